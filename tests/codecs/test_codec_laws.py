"""The laws that every codec of the table keeps, and where each is held.

within the stated bound                 here: test_round_trip_is_within_the_bound, test_any_bits_…, test_blocks_of_…
the published errors; nominal sizes     test_codec_published (by the wire form), test_codec_figures (published)
unbiased where claimed                  here: test_claimed_unbiasedness_holds; odd blocks in test_codec_eden
errors of senders do not correlate      test_codec_trees (64, 8-8, 4-4-4), test_codec_streams
sums of codes are the sums of decodes   here: test_accumulate_is_…; as sent: test_codec_short, test_codec_agreeing
the input is never changed              here: test_the_input_is_never_changed
shapes, strides, orders, dtypes         here: test_every_shape_comes_back, test_layout_does_not_matter
Σ sent + residual = Σ x                 test_codec_error_feedback
hostile bytes, in bounded memory        test_codec_hostile; ../fuzz over every decoder
golden bytes, by a second decoder       test_codec_golden
config ↔ codec, equality, hash          here: test_a_codec_is_a_value; notations in test_codec_grammar
with numba and without, the same bytes  test_codec_compiled, test_codec_fast_…
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.codecs import Codec, ShortStage, Stream, codec
from tierfed.codecs.chunks import TILE
from tierfed.errors import CodecError
from tierfed.types import TensorType
from tierfed.types.dtypes import dtype_of

SIZES = [0, 1, 2, 255, 256, 257, 513, TILE - 1, TILE + 257]
PRECISION = {"float16": (2.0**-10, 2.0**-24), "bfloat16": (2.0**-7, 2.0**-133)}  # spacing at 1, and at 0
FAR = ("sign", "qsgd", "terngrad", "eden", "drive", "randomk", "sketch", "thc")  # may decode to far more than was coded


def assert_within_bound(c, x, y):
    """Fail unless `y` is what `c` may decode `x` to."""
    assert y.dtype == x.dtype and y.shape == x.shape
    if not c.lossy:
        assert y.tobytes() == x.tobytes()
        return
    spacing, smallest = PRECISION.get(x.dtype.name, (2.0**-23, 2.0**-149))
    wide, got = x.astype(np.float64), y.astype(np.float64)
    rounded = np.maximum(np.abs(wide), np.abs(got)) if c.array_stage.name in FAR else np.abs(wide)
    allowed = c.array_stage.bound(x) + 2 * spacing * rounded + smallest
    error = np.abs(got - wide)
    assert np.isfinite(got).all()
    assert (error <= allowed).all(), f"{error.max()} at {error.argmax()}"


@pytest.mark.parametrize("size", SIZES)
def test_round_trip_is_within_the_bound(carried, sample, size):
    """What is decoded has the type, and lies within the stated bound."""
    c, name = carried
    x = sample(name, size)
    assert_within_bound(c, x, c.decode(c.encode(x), TensorType(name, x.shape)))


def test_the_bound_is_not_slack(lossy_codec):
    """Some element comes near the stated bound, so a tighter code would state less.

    That of a random rotation is eight standard deviations, of which 2^14 elements see four or five; and that of
    sums of random signs about as many.  A projection errs as it says where a column has a direction of its own.
    """
    x = np.random.default_rng(1).standard_normal(1 << 14).astype(np.float32)
    if lossy_codec.array_stage.name == "powersgd":
        x = np.diag(np.repeat(np.float32([1000, 1]), [4, 124]))
    y = lossy_codec.decode(lossy_codec.encode(x), TensorType("float32", x.shape))
    least = 0.45 if lossy_codec.array_stage.name in ("eden", "drive", "sketch", "thc") else 0.95
    bound = lossy_codec.of_shape(x.shape).array_stage.bound(x.reshape(-1)).reshape(x.shape)
    assert (np.abs(y.astype(np.float64) - x)[bound > 0] / bound[bound > 0]).max() > least


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (7, 5), (2, 3, 64)])
def test_every_shape_comes_back(carried, sample, shape):
    """Scalars, empty arrays and any rank keep their shape."""
    c, name = carried
    x = np.asarray(sample(name, shape))
    assert_within_bound(c, x.reshape(-1), c.decode(c.encode(x), TensorType(name, shape)).reshape(-1))
    assert c.decode(c.encode(x), TensorType(name, shape)).shape == shape


def test_layout_does_not_matter(carried, sample):
    """Strided, reversed, Fortran and big-endian arrays have the code of their contiguous copy."""
    c, name = carried
    base = sample(name, (40, 30))
    for x in (base[::2, 1::3], base[::-1, ::-2], np.asfortranarray(base), base.T, np.broadcast_to(base[0], (4, 30))):
        assert c.encode(x) == c.encode(np.ascontiguousarray(x))
    if name != "bfloat16":  # which ml_dtypes has in native order only
        assert c.encode(base.astype(base.dtype.newbyteorder(">"))) == c.encode(base)
    assert c.encode(base[3, 4]) == c.encode(base[3:4, 4])


def test_the_input_is_never_changed(carried, sample):
    """Encoding leaves its input as it was, and takes read-only arrays."""
    c, name = carried
    x = sample(name, TILE + 300)
    before = x.tobytes()
    c.encode(x)
    bytes(c.encode_chunk(x))
    assert x.tobytes() == before
    x.flags.writeable = False
    assert bytes(c.encode_chunk(x)) == c.encode(x)


def test_what_is_decoded_can_be_written_to(carried, sample):
    """A decoded array owns its memory: writing to it changes no frame."""
    c, name = carried
    data = c.encode(sample(name, 300))
    kept = bytes(data)
    y = c.decode(data, TensorType(name, (300,)))
    y[:] = np.zeros(300, y.dtype)
    assert data == kept


@pytest.mark.parametrize("size", [0, 1, 300, TILE + 257])
@pytest.mark.parametrize("aligned", [True, False])
def test_accumulate_is_decode_and_add(carried, sample, size, aligned):
    """The fused sum has the bits of decoding and np.add, wherever the bytes lie; integers wrap, silently."""
    c, name = carried
    code = bytes(c.encode_chunk(sample(name, size)))
    data = memoryview(code) if aligned else memoryview(b"\0" + code)[1:]
    total = sample(name, size, 1)
    decoded = np.empty_like(total)
    c.decode_chunk(data, decoded)
    with np.errstate(all="ignore"):
        expected = np.add(total, decoded)
    c.accumulate_chunk(data, total)
    assert total.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("large", "dtype"), [(3e38, np.float32), (6e4, np.float16)])
def test_a_sum_that_overflows_is_infinite_without_a_warning(each_codec, large, dtype):
    """Two finite children may sum to infinity; that is numpy's answer too, and nobody is warned.

    Of what is left out of a short code, nothing is added.
    """
    x = np.full(10, large, dtype)
    if large > each_codec.array_stage.reach:
        with pytest.raises(CodecError):  # which has no code for it
            each_codec.encode_chunk(x)
        return
    total = x.copy()
    code = each_codec.encode_chunk(x)
    each_codec.accumulate_chunk(code, total)
    sent = each_codec.decode(code, TensorType(x.dtype, x.shape)) >= x / 2
    assert sent.any() or each_codec.array_stage.alike  # an estimate may be anything
    assert np.isinf(total[sent]).all()
    assert sent.all() or isinstance(each_codec.stages[0], ShortStage)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_as_stated(carried, sample, size):
    """A code of fixed size has its nominal bytes, and no code has more than the most."""
    c, name = carried
    data = c.encode(sample(name, size))
    if c.fixed_size:
        assert len(data) == c.nominal_bytes(size, name) == c.most_bytes(size, name)
    assert len(data) <= c.most_bytes(size, name)


def test_a_codec_is_a_value(each_codec):
    """Equal by configuration, hashable, immutable, and read back from its notation and its JSON."""
    for same in (codec(str(each_codec)), codec(each_codec.config), codec(each_codec)):
        assert same == each_codec and hash(same) == hash(each_codec)
    with pytest.raises(AttributeError):
        each_codec.stages = ()
    for stage in each_codec.stages:
        with pytest.raises((AttributeError, TypeError)):  # TypeError where a slotted class has no such field
            stage.level = 2


def test_codecs_that_differ_are_unequal():
    """Another stage or another option is another codec."""
    all_of_them = [codec(s) for s in ("none", "int8", "bf16", "qsgd", "qsgd(5)", "zstd", "int8+zstd", "int8+zstd(4)")]
    assert len(set(all_of_them)) == 8


def test_chunks_and_arrays_have_one_code(carried, sample):
    """The code of an array is that of its elements in a row, whichever interface wrote it."""
    c, name = carried
    x = sample(name, (30, 20))
    data = c.encode(x)
    own = c.of_shape(x.shape)
    assert bytes(own.encode_chunk(x.reshape(-1))) == data
    out = np.empty(600, x.dtype)
    own.decode_chunk(memoryview(data), out)
    assert out.tobytes() == c.decode(data, TensorType(name, (30, 20))).tobytes()


def test_not_a_number_is_carried_exactly_or_refused(each_codec):
    """A lossless codec keeps the bits of NaN and infinity; a lossy one refuses them, never computes with them."""
    for value in (np.nan, np.inf, -np.inf):
        for at in (0, 299, TILE + 5):
            x = np.zeros(TILE + 300, np.float32)
            x[at] = value
            if each_codec.lossy:
                with pytest.raises(CodecError, match=f"^{each_codec.array_stage.name}: {value} at element {at} "):
                    each_codec.encode(x)
            else:
                assert_within_bound(
                    each_codec, x, each_codec.decode(each_codec.encode(x), TensorType("float32", x.shape))
                )


@settings(max_examples=150, deadline=None)
@given(bits=st.binary(max_size=1200), name=st.sampled_from(sorted({"float32", "float64", *PRECISION})), data=st.data())
def test_any_bits_are_within_the_bound_or_refused(specs, bits, name, data):
    """Whatever bits the floats have (subnormal, huge, NaN), they decode within the bound or are refused."""
    c = codec(data.draw(st.sampled_from(specs)))
    dtype = dtype_of(name)
    x = np.frombuffer(bits[: len(bits) // dtype.itemsize * dtype.itemsize], dtype)
    with np.errstate(all="ignore"):
        fine = (np.abs(x.astype(np.float32)) <= np.float32(c.array_stage.reach)).all()
    with np.errstate(all="raise"):  # a codec sets its own
        if fine or not c.lossy:
            code = c.encode(x)
        else:
            with pytest.raises(CodecError):
                c.encode(x)
            return
        y = c.decode(code, TensorType(name, x.shape))
    assert_within_bound(c, x, y)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), exponent=st.floats(-149, 128))
def test_blocks_of_any_magnitude_are_within_the_bound(specs, data, exponent):
    """A block of one magnitude, from the smallest subnormal to the largest float32, is within the bound."""
    c = codec(data.draw(st.sampled_from(specs)))
    x = np.random.default_rng(3).uniform(-1, 1, 600) * 2.0**exponent
    x = np.clip(x, -c.array_stage.reach, c.array_stage.reach).astype(np.float32)
    assert_within_bound(c, x, c.decode(c.encode(x), TensorType("float32", x.shape)))


def test_claimed_unbiasedness_holds(unbiased_codec):
    """The mean of 400 decodes of a codec that claims to be unbiased is what was encoded, on sparse blocks too."""
    c = unbiased_codec
    normal = np.random.default_rng(0).standard_normal(1 << 14)
    dense = np.where(np.arange(normal.size) % 100 == 0, normal, 0)
    few = ([1], [1, 0.5], [1, 0.6, 0.3])
    if c.array_stage.name in ("eden", "drive"):  # which err in all elements of a block of 4096, whatever it has
        parts = [np.exp(normal[:4096]), dense[:8192], *([*these, *[0] * (4096 - len(these))] for these in few)]
    else:  # so many elements err that luck is less than the law allows
        tiles = [np.tile([*these, *[0] * (256 - len(these))], 16 if len(these) == 1 else 128) for these in few]
        parts = [np.exp(normal[:4096]), dense, *tiles]
    x = np.concatenate(parts).astype(np.float32)  # in blocks of their own
    starts = np.cumsum([0, *map(len, parts[:-1])])
    total, spread = np.zeros(x.size), np.zeros(len(parts))
    for i in range(400):
        error = c.decode(c.encode(x, Stream.of(i)), TensorType("float32", x.shape)) - x.astype(np.float64)
        total += error
        spread += np.add.reduceat(error**2, starts) / 400
    assert (np.add.reduceat(total**2, starts) / 400**2 <= 1.3 * spread / 400).all()


def test_threads_do_not_disturb_each_other(each_codec):
    """Eight threads that encode and decode at once get what one thread gets."""
    arrays = [np.random.default_rng(i).standard_normal(9000).astype(np.float32) for i in range(8)]
    expected = [each_codec.encode(x) for x in arrays]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(5):
            code = each_codec.encode(arrays[i])
            again = each_codec.encode(each_codec.decode(code, TensorType("float32", (9000,))))
            if code != expected[i] or len(again) > each_codec.most_bytes(9000, "float32"):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_a_big_endian_machine_writes_the_same_bytes(monkeypatch, sample):
    """The wire form is little-endian: where the machine is not, `none` swaps both ways."""
    x = sample("complex64", 10)
    monkeypatch.setattr("sys.byteorder", "big")
    c = codec("none")
    data = c.encode(x)
    assert data == x.byteswap().tobytes()
    assert c.decode(data, TensorType("complex64", (10,))).tobytes() == x.tobytes()
    total = x.copy()
    c.accumulate_chunk(data, total)
    assert total.tobytes() == (x + x).tobytes()


def test_a_codec_is_made_by_its_chain():
    """A chain built by hand is checked like one that was read."""
    with pytest.raises(CodecError, match="a chain starts with an array"):
        Codec(())
    with pytest.raises(CodecError, match="a chain starts with an array"):
        Codec((codec("zstd").stages[1],))
