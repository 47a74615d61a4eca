"""Eden and drive: the published errors, no bias on sparse arrays, errors that average out over trees."""

from __future__ import annotations

import numpy as np
import pytest

from tierfed.codecs import Stream, codec
from tierfed.errors import CodecError
from tierfed.types import TensorType

SIZE = 1 << 19
PUBLISHED = {1: 0.57080, 2: 0.13312, 3: 0.03578, 4: 0.009592}  # vNMSE, EDEN (arXiv:2108.08842) and DRIVE
MEND = "\n  to mend: the bytes were damaged or written by another codec: name one codec for both ends of the link"


def coded(bits, x, *words):
    """Return what is decoded of float32 `x`, as float64, sent with the stream of these words."""
    c = codec(f"eden({bits})")
    return c.decode(c.encode(x, Stream.of(*words)), TensorType("float32", x.shape)).astype(np.float64)


def nmse(y, x):
    """Return the squared error as a part of the squared norm."""
    wide = x.astype(np.float64)
    return ((y - wide) ** 2).sum() / (wide**2).sum()


@pytest.mark.parametrize("lognormal", [False, True])
@pytest.mark.parametrize("bits", PUBLISHED)
def test_the_error_is_the_published_one(bits, lognormal):
    """Within 1 % on 2^19 normal and lognormal numbers."""
    z = np.random.default_rng(bits).standard_normal(SIZE)
    x = (np.exp(z) if lognormal else z).astype(np.float32)
    assert nmse(coded(bits, x), x) == pytest.approx(PUBLISHED[bits], rel=0.01)


@pytest.mark.parametrize(
    ("bits", "size"),
    [*((1, s) for s in (32, 33, 100, 1500, 4095, 8191)), (2, 33), (3, 63), (4, 2047)],
)
def test_the_last_block_is_unbiased_too(bits, size):
    """Whatever its length, the mean of many decodes of a dense and of sparse arrays is what was encoded.

    The squared error of such a mean has a deviation of its own, less where there are more elements.
    """
    times = 200 if size < 2000 else 100
    few = np.zeros((3, size))
    few[0, -1], few[1, :2], few[2, [0, 1, -1]] = 1, [1, 0.5], [1, 0.6, 0.3]
    for x in (np.random.default_rng(size).standard_normal(size), *few):
        x32 = x.astype(np.float32)
        errors = np.array([coded(bits, x32, size, i) for i in range(times)]) - x32.astype(np.float64)
        spread = (errors**2).sum(axis=1).mean()
        bias = (errors.mean(axis=0) ** 2).sum()
        assert bias <= (1 + 6 * (2 / size) ** 0.5) * spread / times
        assert spread / (x**2).sum() <= 1.15 * PUBLISHED[bits]


@pytest.mark.parametrize("bits", [1, 4])
def test_values_of_one_magnitude_a_block_do_not_disturb_others(bits):
    """A block has its own rotation and scale: a huge value costs its block precision, a block of zeros stays so."""
    x = np.ones(4 * 4096, np.float32)
    x[5000], x[8192:12288] = 1e30, 0
    y = coded(bits, x)
    assert nmse(y[:4096], x[:4096]) == pytest.approx(PUBLISHED[bits], rel=0.25)
    assert not y[8192:12288].any()


def trees(bits, x, shape):
    """Return the mean of the rows of `x` over a tree of `shape`, coded at each hop, and the error that is foretold.

    Foretold: the sum over the tiers of vNMSE · mean ‖v‖² / (m ‖root‖²), of the m vectors v that a tier sends.
    """
    root = x.mean(axis=0, dtype=np.float64)
    values, foretold = x, 0.0
    for tier, fan in enumerate(shape):
        wide = values.astype(np.float64)
        foretold += PUBLISHED[bits] * (wide**2).sum(axis=1).mean() / len(values) / (root**2).sum()
        sent = np.array([coded(bits, v, tier, i) for i, v in enumerate(values)])
        values = sent.reshape(-1, fan, x.shape[1]).mean(axis=1).astype(np.float32)
    return nmse(values[0], root), foretold


@pytest.mark.parametrize("shape", [(64,), (8, 8), (4, 4, 4)])
@pytest.mark.parametrize("correlation", [0.5, 1.0])
@pytest.mark.parametrize("bits", [1, 4])
def test_the_error_at_the_root_of_a_tree_is_the_foretold_one(bits, correlation, shape):
    """64 correlated vectors through trees of one, two and three hops: errors do not correlate, within 5 %.

    Were the rotations shared, equal vectors of one bit would err 62 times as much as foretold.
    """
    random = np.random.default_rng(0)
    common, own = random.standard_normal(1 << 15), random.standard_normal((64, 1 << 15))
    x = (correlation**0.5 * common + (1 - correlation) ** 0.5 * own).astype(np.float32)
    found, foretold = trees(bits, x, shape)
    assert found == pytest.approx(foretold, rel=0.05)


def test_the_size_is_near_the_nominal_one():
    """The bits and 1/128 for the scales; within 1.5 % of the bits alone, also where the last chunk is short."""
    for bits in PUBLISHED:
        c = codec(f"eden({bits})")
        assert c.nominal_bytes(1 << 18, "float32") * 8 / (1 << 18) == pytest.approx(bits + 1 / 128, rel=1e-3)
        for size in (1 << 16, (1 << 16) + 1, 100_000, 1 << 18, (1 << 18) - 1):
            assert c.nominal_bytes(size, "float32") * 8 / size == pytest.approx(bits, rel=0.015)
        for rest in (1, 31, 32, 5000):
            both = c.nominal_bytes(1 << 18, "float32") + c.nominal_bytes(rest, "float32")
            assert both * 8 / ((1 << 18) + rest) == pytest.approx(bits, rel=0.015)


def test_fewer_than_32_elements_are_exact():
    """They are written as float32: a rotation of so few would be biased."""
    x = np.random.default_rng(0).standard_normal(31).astype(np.float32)
    assert (coded(1, x) == x).all()


def test_drive_writes_the_bytes_of_one_bit():
    """Drive is eden of one bit: its bytes decode as those."""
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    assert codec("drive").encode(x, Stream.of(3)) == codec("eden(1)").encode(x, Stream.of(3))


@pytest.mark.parametrize("bits", [1, 4])
@pytest.mark.parametrize("name", ["float16", "float32", "bfloat16"])
def test_the_largest_values_stay_finite(bits, name):
    """Blocks of a dtype's largest values decode to finite ones, clipped where the error would pass the end."""
    t = TensorType(name, (9000,))
    largest = {"float16": 65504.0, "float32": float(np.finfo(np.float32).max), "bfloat16": float.fromhex("0x1.fep127")}
    x = np.full(9000, largest[name]).astype(t.dtype)
    y = codec(f"eden({bits})").decode(codec(f"eden({bits})").encode(x), t).astype(np.float64)
    assert np.isfinite(y).all()
    assert (((y - x.astype(np.float64)) / largest[name]) ** 2).mean() < PUBLISHED[bits]


@pytest.mark.parametrize("exponent", [-140, -126, -60, 0, 60, 120])
def test_a_power_of_two_changes_nothing(exponent):
    """The error of a block does not depend on its magnitude, subnormal ones included, as long as scales have bits."""
    x = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    y = coded(2, np.ldexp(x, exponent))
    assert nmse(np.ldexp(y, -exponent), x) == pytest.approx(nmse(coded(2, x), x), rel=1e-2)


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, -0.0])
def test_scales_that_no_values_have_are_refused(scale):
    """A scale that is negative or no number is refused, and the sum is left as it was."""
    data = bytes(8) + np.array([1, scale], "<f4").tobytes() + bytes(8192 // 8)
    total = np.ones(8192, np.float32)
    with pytest.raises(CodecError) as e:
        codec("drive").accumulate_chunk(data, total)
    assert str(e.value) == f"drive: scale {scale:g} of block 1 is none that values have{MEND}"
    assert (total == 1).all()


def test_bits_after_the_last_code_are_refused():
    """What fills up a plane is zero."""
    data = bytearray(codec("eden(2)").encode(np.ones(33, np.float32)))
    data[-1] |= 0x80
    with pytest.raises(CodecError) as e:
        codec("eden(2)").decode(data, TensorType("float32", (33,)))
    assert str(e.value) == f"eden: bits are set after the 33 elements{MEND}"


def test_few_elements_are_checked_too():
    """Raw float32s that the declared dtype does not hold are refused."""
    for value, name in ((np.nan, "float32"), (np.inf, "float64"), (7e4, "float16")):
        with pytest.raises(CodecError) as e:
            codec("eden").decode(np.array([1, value], "<f4").tobytes(), TensorType(name, (2,)))
        assert str(e.value) == f"eden: {value:g} at element 1 is none that {name} values have{MEND}"


@pytest.mark.parametrize("bits", [0, 5, 2.0, "four", True])
def test_other_bits_are_refused(bits):
    """One to four bits, as an integer."""
    with pytest.raises(CodecError) as e:
        codec([{"eden": {"bits": bits}}])
    assert "eden" in str(e.value)
    assert str(e.value).endswith(f"bits is {bits!r}\n  to mend: give 1, 2, 3 or 4 bits an element")


def test_no_decoded_copy_is_made_when_adding():
    """Adding a code of 2^22 elements takes a few tiles of memory, not sixteen megabytes."""
    import tracemalloc

    data = codec("eden").encode(np.ones(1 << 22, np.float32))
    total = np.zeros(1 << 22, np.float32)
    codec("eden").accumulate_chunk(data, total)
    tracemalloc.start()
    codec("eden").accumulate_chunk(data, total)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 << 20
