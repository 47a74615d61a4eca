"""Error feedback: nothing is lost for good, over every codec of the table that may stand behind it."""

from __future__ import annotations

import numpy as np
import pytest

from tierfed.codecs import CHUNK, Stream, codec
from tierfed.codecs.error_feedback import feed_back, residual_dtype
from tierfed.errors import CodecError
from tierfed.types import TensorType
from tierfed.types.dtypes import dtype_of

SIZE = 5000


def behind(specs: list[str]) -> list[str]:
    """Return the chains that error feedback may stand before."""
    found = []
    for spec in specs:
        try:
            found.append(str(codec(f"error_feedback+{spec}")))
        except CodecError:
            continue
    return found


def messages(dtype: np.dtype, count: int, size: int = SIZE):
    """Return messages of one sender: a part that stays, and one that changes."""
    rng = np.random.default_rng(5)
    steady = rng.standard_normal(size)
    return [(steady + 0.1 * rng.standard_normal(size)).astype(dtype) for _ in range(count)]


def sent(c, xs, chunk=SIZE):
    """Return what is decoded of each message, and the residual after the last."""
    before, decoded = None, []
    for number, x in enumerate(xs):
        after, y = np.empty(x.size, residual_dtype(x.dtype.name)), np.empty_like(x)
        for at in range(0, x.size, chunk):
            here = slice(at, at + chunk)
            given = None if before is None else before[here]
            stream = Stream.of(number).at("w")
            c.decode_chunk(feed_back(c, x[here], given, after[here], at, stream), y[here])
        before = after
        decoded.append(y)
    return decoded, before


def test_what_was_sent_and_the_residual_are_what_was_given(specs):
    """Σ decoded + e = Σ x to the rounding of the sums, whatever is lost on the way, for every codec of the table."""
    chains = behind(specs)
    assert {"error_feedback+int8", "error_feedback+sign", "error_feedback+sign+zstd"} <= set(chains)
    for chain in chains:
        c = codec(chain)
        for name in ("float32", "float64", "float16", "bfloat16"):
            if not c.carries(name):
                continue
            xs = messages(dtype_of(name), 3)
            decoded, left = sent(c, xs)
            assert left.dtype == (np.float64 if name == "float64" else np.float32)
            total = sum(x.astype(np.float64) for x in xs)
            got = sum(y.astype(np.float64) for y in decoded) + left
            assert np.abs(got - total).max() <= 40 * np.finfo(left.dtype).eps * np.abs(total).max(), (chain, name)
            if name == "float32" and "powersgd" not in chain:  # which leaves vectors as they are
                assert np.abs(left).max() > 0, chain


def test_a_code_is_that_of_the_sum():
    """What follows sees x + e, chunk by chunk, and neither array is changed."""
    c, rest = codec("error_feedback+sign"), codec("sign")
    x, e = (np.random.default_rng(n).standard_normal(SIZE).astype(np.float32) for n in (0, 1))
    for array in (x, e):
        array.flags.writeable = False
    after = np.empty_like(x)
    data = feed_back(c, x, e, after, 0, Stream.of(1))
    assert bytes(data) == rest.encode(x + e)
    assert after.tobytes() == ((x + e) - rest.decode(data, TensorType("float32", (SIZE,)))).tobytes()
    assert c.encode(x) == rest.encode(x)  # by itself, it starts from nothing


def test_what_is_clipped_before_is_gone_and_what_is_clipped_after_is_not():
    """The residual has what the stages behind the feedback have cut, and only that."""
    x = np.array([5.0, 0.25, -7.0], np.float32)
    for chain, left in (("clip(1)+error_feedback+bf16", [0, 0, 0]), ("error_feedback+clip(1)+bf16", [4, 0, -6])):
        after = np.empty_like(x)
        feed_back(codec(chain), x, None, after, 0, Stream())
        assert after.tolist() == left


@pytest.mark.parametrize(("dtype", "spec"), [("float32", "fp16"), ("float16", "int8")])
def test_what_has_no_room_stays_in_the_residual(dtype, spec):
    """x + e beyond the largest that can be coded is cut to it; the excess is sent later, and nothing is lost."""
    most = 65504.0  # of float16, which fp16 codes with
    x = np.full(512, 0.75 * most, dtype)
    after = np.empty(512, np.float32)
    e = np.full(512, 0.5 * most, np.float32)
    c = codec(f"error_feedback+{spec}")
    data = feed_back(c, x, e, after, 0, Stream())
    y = np.empty_like(x)
    c.decode_chunk(data, y)
    assert np.isfinite(after).all() and np.isfinite(y).all()
    np.testing.assert_allclose(y.astype(np.float64) + after, x.astype(np.float64) + e, rtol=1e-6)
    assert (np.abs(y) <= most).all()


def test_a_residual_beyond_float32_is_cut_and_stays_finite():
    """x + e beyond the largest float32 is lost there, and is no infinity that every later message meets."""
    x = np.full(300, 3e38, np.float32)
    after, y = np.empty_like(x), np.empty_like(x)
    c = codec("error_feedback+int8")
    c.decode_chunk(feed_back(c, x, x, after, 0, Stream()), y)
    assert np.isfinite(after).all() and np.isfinite(y).all()


def test_what_cannot_be_coded_is_refused_as_ever():
    """NaN, infinity and what is too large by itself are errors that name the element, not residuals."""
    for value in (np.nan, np.inf, 1e5):
        x = np.zeros(600, np.float32)
        x[77] = value
        with pytest.raises(CodecError, match=r"at element 377"):
            feed_back(codec("error_feedback+fp16"), x, np.ones(600, np.float32), np.empty_like(x), 300, Stream())


@pytest.mark.parametrize(
    ("chain", "what"),
    [
        ("error_feedback", "none loses nothing that could be fed back"),
        ("error_feedback+none+zstd", r"none\+zstd loses nothing that could be fed back"),
        ("error_feedback+terngrad", "terngrad errs by 2.0. times what it is given"),
        (
            "error_feedback+qsgd(2)",
            r"qsgd\(bits=2\) errs by 1.4. times what it is given .* since its errors average out",
        ),
        ("error_feedback+delta+int8", "error_feedback and delta would both send again what was lost"),
        ("error_feedback+error_feedback+int8", "error_feedback and error_feedback would both send again"),
        ("int8+error_feedback", "error_feedback takes an array, and int8 before it gives bytes"),
    ],
)
def test_where_it_does_not_belong(chain, what):
    """A chain in which it would do nothing, or harm, is refused when it is built, and says why."""
    with pytest.raises(CodecError, match="(?s)" + what):
        codec(chain)


def test_chunks_are_fed_back_each_for_itself():
    """A tensor of several chunks has one residual, of which each chunk has its part."""
    c = codec("error_feedback+int8")
    xs = messages(np.dtype(np.float32), 3, CHUNK + 700)
    whole, left = sent(c, xs, CHUNK)
    parts = [sent(c, [x[s] for x in xs], CHUNK) for s in (slice(None, CHUNK), slice(CHUNK, None))]
    assert np.array_equal(left, np.concatenate([e for _, e in parts]))
    assert np.array_equal(whole[2], np.concatenate([ys[2] for ys, _ in parts]))


@pytest.mark.parametrize("spec", ["topk(0.01)", "sign"])
def test_it_trains_where_without_it_nothing_converges(spec):
    """On a quadratic that two senders see differently, feedback brings a biased code near the minimum."""
    target = np.random.default_rng(0).standard_normal((2, 4096)).astype(np.float32) ** 3
    least = target.mean(0)

    def distance(chain: str) -> float:
        c, x = codec(chain), np.zeros(4096, np.float32)
        left = [None, None]
        for round_ in range(400):
            step = np.zeros_like(x)
            for sender in range(2):
                gradient, after, y = (x - target[sender]) * np.float32(0.02), np.empty_like(x), np.empty_like(x)
                given = left[sender] if c.state == "residual" else None
                data = feed_back(codec(f"error_feedback+{spec}"), gradient, given, after, 0, Stream.of(round_, sender))
                c.decode_chunk(data, y)
                left[sender] = after
                step += y / 2
            x -= step
        return float(np.linalg.norm(x - least) / np.linalg.norm(least))

    with_it, without = distance(f"error_feedback+{spec}"), distance(spec)
    assert with_it < 0.25 and with_it < 0.5 * without
