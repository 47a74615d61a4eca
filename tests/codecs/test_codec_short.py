"""Stages that shorten: what topk selects, randomk draws and sketch sums, in chains, and heads that nobody wrote."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from test_codec_golden import plain
from test_codec_hostile import MEND, refused

from tierfed.codecs import CHUNK, Codec, Stream, codec
from tierfed.codecs.randomk import Randomk
from tierfed.codecs.sketch import Sketch
from tierfed.codecs.topk import Topk, select
from tierfed.errors import CodecError
from tierfed.types import TensorType
from tierfed.types.dtypes import dtype_of


def normal(size, seed=0):
    """Return so many normal numbers."""
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)


def decoded(spec, x, stream=Stream()):  # noqa: B008  # a frozen value
    """Return what is decoded of `x`."""
    return codec(spec).decode(codec(spec).encode(x, stream), TensorType(x.dtype.name, x.shape))


# -- what topk selects


@pytest.mark.parametrize("size", [1, 2, 7, 300, 5000, 70_000])
@pytest.mark.parametrize("kind", ["normal", "ties", "zeros", "one", "falling", "few"])
def test_the_largest_are_selected_and_of_equal_ones_the_first(size, kind):
    """As sorting all magnitudes selects them, whatever a sample lets expect."""
    x = {
        "normal": normal(size),
        "ties": np.round(normal(size)),
        "zeros": np.zeros(size, np.float32),
        "one": np.full(size, -3, np.float32),
        "falling": np.linspace(9, 1, size, dtype=np.float32),
        "few": np.where(np.arange(size) % 512 < 8, 0, normal(size)).astype(np.float32),  # what is looked at is zero
    }[kind]
    for count in sorted({1, -(-size // 100), -(-size // 10), size // 2 or 1, size}):
        wanted = np.sort(np.argsort(-np.abs(x), kind="stable")[:count])
        assert select(x, count).tolist() == wanted.tolist()


@pytest.mark.parametrize("name", ["float16", "float64", "bfloat16"])
def test_topk_keeps_values_as_they_are(name):
    """In any dtype, the largest k values are the sender's own bits and the others zero."""
    x = normal(5000).astype(dtype_of(name))
    y = decoded("topk(0.02)", x)
    kept = np.flatnonzero(y.astype(np.float64))
    assert kept.tolist() == select(x.astype(np.float32), 100).tolist()
    assert y[kept].tobytes() == x[kept].tobytes()


@pytest.mark.parametrize("fraction", [0.01, 0.0624, 0.0626, 0.3])
@pytest.mark.parametrize("size", [65_536, 65_537, 200_000])
def test_heads_of_several_blocks_are_read_by_another_decoder(size, fraction):
    """Counts and offsets up to a sixteenth, from there on a bitmap, which is the smaller one then."""
    c, x = codec(f"topk({fraction})"), normal(size)
    x[: size // 3] /= 100  # so that blocks keep unequally many
    data = c.encode(x)
    y = c.decode(data, TensorType("float32", (size,)))
    assert np.float32(plain(c.config, data, size)).tobytes() == y.tobytes()
    kept = round(fraction * size)
    head = min(-(-size // 8), 2 * kept + 4 * -(-size // 65_536))
    assert len(data) == head + 4 * kept == c.nominal_bytes(size, "float32")


def test_adding_a_sparse_code_takes_the_memory_of_what_it_keeps():
    """A chunk of 1 MB is added to without another one of it."""
    out = np.zeros(CHUNK, np.float32)
    for spec in ("topk", "randomk(0.01)"):
        data = codec(spec).encode_chunk(normal(CHUNK))
        tracemalloc.start()
        try:
            codec(spec).accumulate_chunk(data, out)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 300_000


@pytest.mark.parametrize(("spec", "within"), [("topk(0.01)", 0.003), ("topk(0.1)", 0.003), ("topk(0.5)", 0.01)])
def test_topk_declares_what_is_left_of_normal_numbers(spec, within):
    """1 - fraction - 2 t φ(t), where t is passed by half the fraction; nobody knows with a lossy stage behind it."""
    x = normal(1 << 19)
    left = ((decoded(spec, x) - x).astype(np.float64) ** 2).sum() / (x.astype(np.float64) ** 2).sum()
    assert left == pytest.approx(codec(spec).array_stage.nmse, rel=within)
    assert codec(spec + "+int8").array_stage.nmse is None
    assert codec("topk(1)").array_stage.nmse == pytest.approx(0)


# -- what randomk draws


@pytest.mark.parametrize(("size", "count"), [(7, 3), (8, 5), (5, 4), (10, 1), (12, 4), (6, 6)])
def test_randomk_draws_each_element_as_often(size, count):
    """Whether or not strata end between elements: count / size of the time, within five deviations, ascending."""
    stage, times = Randomk(count / size), 4000
    hits = np.zeros(size)
    for seed in range(times):
        kept = stage.places(memoryview(seed.to_bytes(8, "little")), size)
        assert kept.size == count and (np.diff(kept) > 0).all()
        hits[kept] += 1
    chance = count / size
    assert (np.abs(hits / times - chance) <= 5 * (chance * (1 - chance) / times) ** 0.5).all()


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.77, 1.0])
def test_randomk_multiplies_what_it_keeps(fraction):
    """Kept values are n / k times what they were, of every dtype; the largest ones stay finite."""
    for name in ("float16", "float32", "float64", "bfloat16"):
        x = normal(1000).astype(dtype_of(name))
        y = decoded(f"randomk({fraction})", x).astype(np.float64)
        kept = np.flatnonzero(y)
        assert kept.size == round(fraction * 1000)
        assert y[kept] == pytest.approx(x[kept].astype(np.float64) / fraction, rel=0.01 if name != "float64" else 1e-15)
    largest = np.finfo(np.float32).max
    top = decoded(f"randomk({fraction})", np.full(1000, -largest, np.float32))
    assert set(top.tolist()) <= {0.0, -float(largest)}


def test_shared_numbers_are_those_of_the_message():
    """With shared=true, senders of one message keep the same elements, and those of another message others."""
    x, site = np.ones(1000, np.float32), Stream.of("site")
    for spec in ("randomk", "randomk(shared=true)", "sketch"):
        one, two = (codec(spec).encode(x, site.at(m).beside(site)) for m in ("c0", "c1"))
        assert (one == two) == codec(spec).array_stage.alike == codec(spec).array_stage.linear
        assert codec(spec).encode(x, Stream.of("other")) not in (one, two)
        assert bytes(codec(spec).encode_chunk(x, CHUNK, site)) != codec(spec).encode(x, site)


# -- what sketch sums


def test_sketches_add_up():
    """The cells of a sum are the sum of cells, and what they give is the sum of what they give, to float32."""
    x, y, stage = normal(3000), normal(3000, 1), Sketch(3, 0.4)
    (head, a), (_, b), (_, both) = (stage.shorten(v, 0, Stream()) for v in (x, y, x + y))
    assert np.abs(a + b - both).max() < 1e-5
    out = np.zeros((3, 3000), np.float32)
    for to, cells in zip(out, (a, b, a + b), strict=True):
        stage.expand(memoryview(head), cells, to, adding=False)
    assert np.abs(out[0] + out[1] - out[2]).max() < 1e-5


def test_a_large_element_is_found():
    """One of 100 among small ones is estimated within a few percent, whichever it is."""
    for at in range(0, 20_000, 1999):
        x = normal(20_000) / 100
        x[at] = 100
        assert decoded("sketch", x)[at] == pytest.approx(100, abs=0.5)


def test_what_a_cell_would_not_hold_is_refused():
    """Sums of 2^18 elements are finite up to 1.3e33; cells that the next stage refuses are called so."""
    with pytest.raises(CodecError, match=r"2e\+33 at element 7 is beyond sketch, which ends at 1.29807e\+33"):
        codec("sketch").encode(np.float32([0] * 7 + [2e33]))
    with pytest.raises(CodecError, match=r"is beyond fp16, which ends at 65520 \(of the 30 floats that sketch makes\)"):
        codec("sketch+fp16").encode(np.full(300, 6e4, np.float32))


# -- chains


def test_a_chain_shortens_once_and_before_it_makes_bytes():
    """The shorter array is the next stage's; `none` takes its place, float stages may stand on either side."""
    assert str(codec("topk(0.05)")) == "topk(fraction=0.05)+none"
    assert str(codec("topk(0.05)+zstd")) == "topk(fraction=0.05)+none+zstd"
    c = codec([{"clip": {"limit": 3}}, {"topk": {"fraction": 0.05}}, "int8", "zstd"])
    assert str(c) == "clip(limit=3)+topk(fraction=0.05)+int8+zstd" and codec(c.config) == c
    assert codec("randomk+qsgd").array_stage.unbiased and not codec("randomk+int8").array_stage.unbiased
    assert not codec("topk+qsgd").array_stage.unbiased
    x = np.float32([5, 0.1, -4, 0.2])
    assert decoded("topk(0.5)+clip(1)", x).tolist() == [1, 0, -1, 0]
    assert decoded("clip(1)+topk(0.5)", x).tolist() == [1, 0, -1, 0]
    assert not codec("randomk+clip").array_stage.unbiased


@pytest.mark.parametrize(
    ("spec", "what", "mend"),
    [
        (
            "topk+randomk",
            "randomk takes a whole array, and topk before it leaves a part",
            "keep one of the two",
        ),
        ("topk+clip+sketch", "sketch takes a whole array, and topk before it leaves a part", "keep one of the two"),
        (
            "randomk+error_feedback+int8",
            "error_feedback takes a whole array, and randomk before it",
            "write error_feed",
        ),
        ("topk+thc", "thc takes a whole array, and topk before it leaves a part", "keep one of the two: topk or thc"),
        ("int8+topk", "topk takes an array, and int8 before it gives bytes", "write topk first"),
        ("zstd+sketch", "sketch takes an array, and zstd before it gives bytes", "write sketch first"),
        ("topk(0)", "topk: fraction is 0", r"give a part of the elements: topk\(fraction=0.05\)"),
        ("randomk(1.5)", "randomk: fraction is 1.5", r"give a part of the elements: randomk\(fraction=0.05\)"),
        ("sketch(fraction=true)", "sketch: fraction is True", "give a part of the elements"),
        ("randomk(0.1,3)", "randomk: shared is 3", "write true or false"),
        ("sketch(0)", "sketch: rows is 0", "give from 1 to 64 rows"),
        ("sketch(65)", "sketch: rows is 65", "give from 1 to 64 rows"),
    ],
)
def test_chains_that_cannot_be_are_refused(spec, what, mend):
    """Each mistake with what would mend it."""
    with pytest.raises(CodecError, match=f"{what}.*\n  to mend: {mend}"):
        codec(spec)


def test_a_chain_made_by_hand_needs_an_array_stage():
    """A short stage writes no bytes by itself."""
    for stages in ((Topk(),), (Topk(), codec("zstd").stages[1])):
        with pytest.raises(CodecError, match="a chain starts with an array"):
            Codec(stages)


@pytest.mark.parametrize("spec", ["topk(0.5)+fp16", "randomk(1)+fp16", "clip(1e9)+topk(0.5)+fp16"])
def test_what_the_next_stage_refuses_is_named_by_its_place_in_the_tensor(spec):
    """It sees a shorter array, whose indices mean nothing to the user."""
    x = np.zeros(300, np.float32)
    x[17] = 7e4
    with pytest.raises(CodecError, match="fp16: 70000 at element 524305 is beyond fp16"):
        codec(spec).encode_chunk(x, first=524288)


# -- heads that nobody wrote


def of_offsets(counts, offsets):
    """Return a code of `topk(0.01)` with zeros as values."""
    return np.array(counts, "<u4").tobytes() + np.array(offsets, "<u2").tobytes() + bytes(4 * len(offsets))


@pytest.mark.parametrize(
    ("size", "data", "what"),
    [
        (300, of_offsets([3], [0, 7, 300]), "index 300 is none of 300 elements"),
        (300, of_offsets([3], [0, 7, 7]), "index 7 follows index 7, expected them to ascend"),
        (300, of_offsets([3], [0, 9, 7]), "index 7 follows index 9, expected them to ascend"),
        (300, of_offsets([2], [0, 1, 2]), "2 of 300 elements are counted, expected 3"),
        (300, of_offsets([2**32 - 1], [0, 1, 2]), "4294967295 of 300 elements are counted, expected 3"),
        (70_000, of_offsets([700, 1], range(700)), "701 of 70000 elements are counted, expected 700"),
        (70_000, of_offsets([699, 1], [*range(699), 4464]), "index 70000 is none of 70000 elements"),
        (70_000, of_offsets([0, 700], [*range(699), 5]), "index 65541 follows index 66234, expected them to ascend"),
        (300, None, "bits are set after the 300 elements"),
        (304, None, "31 of 304 elements are marked, expected 30"),
    ],
)
def test_topk_refuses_heads_that_nobody_wrote(size, data, what):
    """Out of range, twice, out of order, other counts, bits behind the end."""
    spec = "topk"
    if data is None:  # a bitmap
        spec = "topk(0.1)"
        bad = bytearray(codec(spec).encode(np.full(size, 1, np.float32)))
        bad[37] |= 0x80
        data = bytes(bad)
    assert refused(spec, data, size) == f"topk: {what}{MEND}"


@pytest.mark.parametrize("spec", ["topk", "randomk", "sketch", "topk(0.5)+zstd"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(spec, value):
    """None of them sends one, though `none` behind them could carry it."""
    c = codec(spec)
    data = bytearray(codec(spec.removesuffix("+zstd")).encode(np.ones(300, np.float32)))
    count = c.stages[0].length(300)
    at = len(data) - 4 * count + 4 * (count - 1)
    data[at : at + 4] = np.float32(value).tobytes()
    for stage in c.byte_stages:
        data = stage.encode(bytes(data))
    text = refused(spec, bytes(data))
    assert text == f"{c.array_stage.name}: value {value:g} at place {count - 1} is none that is written{MEND}"


def test_a_code_can_be_checked_without_the_memory_of_its_array():
    """What decoding would refuse is refused, and what it would take is taken, in the memory of the short array."""
    out = np.zeros(CHUNK, np.float32)
    for spec in ("topk", "randomk(0.01)", "sketch(fraction=0.01)", "topk+int8+zstd"):
        data = bytes(codec(spec).encode_chunk(normal(CHUNK)))
        codec(spec).decode_chunk(data, out)
        tracemalloc.start()
        try:
            assert codec(spec).check_chunk(data, CHUNK, "float32")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 200_000
    bad = of_offsets([3], [0, 9, 7])
    with pytest.raises(CodecError, match="index 7 follows index 9"):
        codec("topk").check_chunk(bad, 300, "float32")
