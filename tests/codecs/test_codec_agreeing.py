"""Codecs whose senders agree: what they add up to, how it errs, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tierfed.codecs import Stream, codec
from tierfed.codecs.powersgd import LowRank
from tierfed.codecs.thc import ERRORS, RANGES, IntegerSum
from tierfed.errors import CodecError
from tierfed.types import TensorType

MEND = "\n  to mend: the bytes were damaged or written by another codec: name one codec for both ends of the link"


def agreed_by(spec, values, seed=7):
    """Return the codec of senders of `values` who have agreed."""
    coder = codec(spec).of_shape(values[0].shape)
    total = coder.offer_chunk(values[0].reshape(-1), 0, seed)
    for value in values[1:]:
        coder.agreement.combine(total, coder.offer_chunk(value.reshape(-1), 0, seed))
    return coder.agreed(coder.agreement.answer(total), seed)


def coded(spec, values, seed=7):
    """Return the sum of codes of senders of `values`, empty, and the codes, each rounded for itself."""
    own = agreed_by(spec, values, seed)
    streams = [Stream.of(seed, i) for i in range(len(values))]
    return own, [bytes(own.encode_chunk(v.reshape(-1), 0, s)) for v, s in zip(values, streams, strict=True)]


def summed(spec, values, seed=7):
    """Return what a parent makes of the codes of `values`."""
    own, codes = coded(spec, values, seed)
    total, out = own.summing(values[0].size, values[0].dtype.name), np.zeros(values[0].shape, values[0].dtype)
    for code in codes:
        total.add(memoryview(code))
    total.into(out.reshape(-1))
    return out


def correlated(count, size, correlation):
    """Return so many vectors, each two of which correlate so."""
    rng = np.random.default_rng(1)
    common = rng.standard_normal(size) * correlation**0.5
    return [(common + rng.standard_normal(size) * (1 - correlation) ** 0.5).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("spec", ["thc", "thc(7)+zstd", "powersgd(3)", "clip(1.5)+powersgd(2)+zstd"])
def test_a_sum_of_codes_is_the_sum_of_what_they_decode_to(spec, dtype):
    """But for the rounding of floats: the codes of thc themselves are added as integers, without any."""
    values = [v.reshape(90, 110).astype(dtype) for v in correlated(5, 9900, 0.3)]
    own, codes = coded(spec, values)
    each = np.zeros(9900)
    for code in codes:
        one = np.empty(9900, dtype)
        own.decode_chunk(code, one)
        each += one.astype(np.float64)
    tolerance = 2e-2 if dtype == "float16" else 2e-4
    assert np.abs(summed(spec, values).reshape(-1) - each).max() < tolerance
    assert np.abs(each).max() > 3


def test_integers_grow_with_the_number_of_senders_and_never_overflow():
    """One byte an element up to 17 senders of 4 bits, two up to 4369, then four: no code is too high."""
    grid = agreed_by("thc", [np.ones(100, np.float32)]).array_stage
    highest = memoryview(b"".join(b"\xff" * 12 + b"\x0f" for _ in range(4)))
    total, sizes = IntegerSum(grid, 100), {}
    for count in range(1, 4372):
        total.add(highest)
        sizes.setdefault(total._codes.dtype.name, count)
        assert count % 500 or (total._codes == 15 * count).all()
    assert sizes == {"uint8": 1, "uint16": 18, "uint32": 4370} and (total._codes == 15 * 4371).all()


@pytest.mark.parametrize("bits", RANGES)
def test_the_error_is_the_stated_one(bits):
    """What is rounded within the range, and what is cut of it; values of any distribution, since they are rotated."""
    x = np.exp(np.random.default_rng(0).standard_normal(1 << 18)).astype(np.float32)
    found = np.square(summed(f"thc({bits})", [x]) - x.astype(np.float64)).sum() / np.square(x).sum()
    assert found == pytest.approx(ERRORS[bits], rel=0.02)


@pytest.mark.parametrize(
    ("correlation", "expected"), [(0.0, 0.0270 * 1.025**2), (0.5, 9.1e-4), (1.0, 0.0266 / 64 + 4.1e-4)]
)
def test_errors_of_senders_do_not_correlate(correlation, expected):
    """The mean of 64: 9.1e-4 at correlation .5, as adding in compressed form was to have; equal ones share what is cut.

    The longest of 64 blocks is 2.5 % longer than most, for which all pay.
    """
    values = correlated(64, 1 << 15, correlation)
    wanted = np.sum(values, axis=0, dtype=np.float64)
    found = np.square(summed("thc", values) - wanted).sum() / np.square(wanted).sum()
    assert expected * 0.9 < found < expected * 1.03


@pytest.mark.parametrize("values", [[1, 0.5], [1, 0.6, 0.3]])
def test_the_mean_over_rounds_is_short_by_what_is_cut(values):
    """Of few elements other than zero too: 2 Q(3) = .0027 of the values, and nothing else that does not average out."""
    x = np.zeros(4096, np.float32)
    x[: len(values)] = values
    total = np.zeros(4096)
    for seed in range(400):
        total += summed("thc", [x], seed)
    mean = total / 400
    assert np.square(mean - x).sum() / np.square(x).sum() < 1.3 * ERRORS[4] / 400
    along = float((mean * x).sum() / np.square(x).sum())
    assert 1 - 0.0027 - 0.002 < along < 1 - 0.0027 + 0.002


def test_a_sender_whose_values_are_small_errs_by_the_grid_of_the_largest():
    """Each block has its own range, so that only where another is larger a sender pays for it.

    There most of its values lie half-way between two codes, where rounding errs most.
    """
    rng = np.random.default_rng(0)
    large, small = (rng.standard_normal(8192).astype(np.float32) for _ in range(2))
    large[4096:] = 0
    small *= np.float32(0.1)
    own, codes = coded("thc", [large, small])
    out = np.empty(8192, np.float32)
    own.decode_chunk(codes[1], out)
    errors = np.square(out - small).reshape(2, -1).sum(axis=1) / np.square(small).reshape(2, -1).sum(axis=1)
    assert errors[0] == pytest.approx(100 * 0.4**2 * (0.25 - 0.1**2 / 0.4**2), rel=0.12)
    assert errors[1] == pytest.approx(0.0270, rel=0.1)


@pytest.mark.parametrize("shape", [(200, 300), (300, 20, 10), (64, 64, 3, 3)])
def test_a_sum_of_low_rank_is_exact(shape):
    """Matrices that share a range of rank 4: their sum comes out, but for rounding; and so does that of zeros."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal((shape[0], 4))
    values = [
        (left @ rng.standard_normal((4, int(np.prod(shape[1:]))))).reshape(shape).astype(np.float32) for _ in range(3)
    ]
    wanted = np.sum(values, axis=0, dtype=np.float64)
    assert np.abs(summed("powersgd(4)", values) - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert np.abs(summed("powersgd(3)", values) - wanted).max() > 0.01 * np.abs(wanted).max()
    assert not summed("powersgd", [np.zeros(shape, np.float32)] * 2).any()


def test_both_exchanges_are_as_long_as_two_thin_matrices():
    """r (n + m) float32 up; alone, the same. A tensor that would not be smaller so is written as it is."""
    matrix = codec("powersgd(3)").of_shape((100, 20, 30))
    assert matrix.agreement.offer_size(60_000) * 4 + matrix.agreement.code_bytes(60_000, "") == 4 * 3 * (100 + 600)
    assert len(codec("powersgd(3)").encode(np.ones((100, 20, 30), np.float32))) == 4 * 3 * 700
    for shape in ((), (60_000,), (1, 60_000), (6, 6), (3, 1000)):
        assert codec("powersgd(3)").of_shape(shape).agreement is None
        assert len(codec("powersgd(3)").encode(np.ones(shape, np.float32))) == 4 * int(np.prod(shape))
    assert codec("powersgd(3)").of_shape((7, 7)).agreement is not None


def test_what_stays_of_a_matrix_is_its_projection():
    """The error is orthogonal to what is sent, and within thrice that of the best eight directions."""
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.standard_normal((n, 64)))[0] for n in (96, 80))
    x = (u * (1 / np.arange(1, 65)) @ v.T).astype(np.float32)
    y = summed("powersgd(8)", [x]).astype(np.float64)
    left = x - y
    assert abs((left * y).sum()) < 1e-5 * np.square(x).sum()
    best = np.square(1 / np.arange(1, 65))[8:].sum() / np.square(1 / np.arange(1, 65)).sum()
    assert best < np.square(left).sum() / np.square(x).sum() < 3 * best


def refused(work):
    """Return the text of the CodecError that `work` raises."""
    with pytest.raises(CodecError) as caught:
        work()
    return str(caught.value)


@pytest.mark.parametrize("size", [np.nan, np.inf, -1.0, -0.0])
def test_thc_refuses_sizes_that_no_values_have(size):
    """In a code of a sender alone, and as an answer; an offer may be any zero."""
    data = bytearray(codec("thc").encode(np.ones(300, np.float32)))
    data[8:12] = np.float32(size).tobytes()
    wrong = f"thc: the size of block 0 is {size:g}, none that values have{MEND}"
    assert refused(lambda: codec("thc").decode(data, TensorType("float32", (300,)))) == wrong
    assert refused(lambda: codec("thc").agreed(np.float32([size]), 7)) == wrong
    if size:
        stage = codec("thc").agreement
        assert f"thc: {size:g} is no size of block 0" in refused(lambda: stage.check_offer(np.float32([size])))


@pytest.mark.parametrize("size", [300, 4099])
def test_thc_refuses_bits_after_the_last_element(size):
    """In a code alone, and before it is added to others: the sum stays as it was."""
    own, (code,) = coded("thc", [np.ones(size, np.float32)])
    bad = bytearray(code)
    bad[-1] |= 0x80
    wrong = f"thc: bits are set after the {size} elements{MEND}"
    assert refused(lambda: own.decode_chunk(bad, np.empty(size, np.float32))) == wrong
    assert refused(lambda: own.check_chunk(bad, size, "float32")) == wrong
    total, out = own.summing(size, "float32"), np.zeros(size, np.float32)
    assert refused(lambda: total.add(memoryview(bad))) == wrong
    total.into(out)
    assert not out.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.5])
def test_powersgd_refuses_directions_that_are_longer_than_one(value):
    """In a code of a sender alone, and as an answer."""
    t = TensorType("float32", (40, 50))
    data = bytearray(codec("powersgd").encode(np.ones((40, 50), np.float32)))
    data[4:8] = np.float32(value).tobytes()
    wrong = f"powersgd: {value:g} at 1 of the shared matrix is none that values have{MEND}"
    assert refused(lambda: codec("powersgd").decode(data, t)) == wrong


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e38])
def test_powersgd_refuses_factors_that_no_values_have(value):
    """They are checked before they are added."""
    own, (code,) = coded("powersgd", [np.ones((40, 50), np.float32)])
    bad = bytearray(code)
    bad[-4:] = np.float32(value).tobytes()
    wrong = f"powersgd: {np.float32(value):g} at 199 of the code is none that values have{MEND}"
    assert refused(lambda: own.check_chunk(bad, 2000, "float32")) == wrong
    assert refused(lambda: own.summing(2000, "float32").add(memoryview(bad))) == wrong


def test_a_matrix_beyond_the_reach_is_refused_where_it_is():
    """2^80 is the most, so that sums of 2^16 senders are finite; NaN names its element as everywhere."""
    x = np.ones((40, 50), np.float32)
    for value, what in ((2.0**81, "2.41785e+24 at element 103 is beyond powersgd, which ends at 1.20893e+24"),
                        (np.nan, "nan at element 103 cannot be quantised")):  # fmt: skip
        x[2, 3] = value
        assert what in refused(lambda: codec("powersgd").encode(x))
    x[2, 3] = -(2.0**80)
    y = codec("powersgd").decode(codec("powersgd").encode(x), TensorType("float32", x.shape))
    assert np.isfinite(y).all() and LowRank.reach == 2.0**80


@pytest.mark.parametrize(("spec", "what"), [
    ("thc(1)", "thc: there are no 1 bits\n  to mend: give 2 to 8 bits"),
    ("thc(true)", "thc: there are no True bits"),
    ("powersgd(0)", "powersgd: there is no rank 0\n  to mend: give a rank of 1 to 64"),
    ("powersgd(65)", "powersgd: there is no rank 65"),
])  # fmt: skip
def test_options_have_their_bounds(spec, what):
    """Other bits, or another rank, are errors that say which there are."""
    assert what in refused(lambda: codec(spec))


def test_a_chain_that_shortens_first_has_nothing_to_agree_on():
    """Senders keep other elements, so their codes would not add up; stages of floats and of bytes may be there."""
    assert "thc takes a whole array, and topk before it leaves a part" in refused(lambda: codec("topk(0.1)+thc"))
    assert codec("clip(1.0)+thc+zstd").of_shape((40, 50)).agreement is not None
