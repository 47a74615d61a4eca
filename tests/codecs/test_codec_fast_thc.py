"""Thc, compiled: the bytes, the bits and the sums of numpy, once senders have agreed."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.codecs import CHUNK, Stream, codec, compiled
from tierfed.codecs.thc import RANGES, IntegerSum, SharedGrid
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

pytest.importorskip("numba")

SIZES = [4095, 4096, 4097, 8191, 8192, 8193, 12288, 12288 + 257]


def ways(do):
    """Return what `do()` gives compiled, and in numpy."""
    loops = compiled.load("thc")
    assert loops is not None
    with mock.patch.object(compiled, "kernels", lambda name, chunk: loops):
        fast = do()
    with mock.patch.object(compiled, "kernels", lambda name, chunk: None):
        return fast, do()


def sent(own, values):
    """Return the codes of `values`, each sender's rounded for itself."""
    return [bytes(own.encode(v, 0, Stream.of(7, i))) for i, v in enumerate(values)]


def summed(own, codes, like):
    """Return the sum of the codes before it is turned back, in its own dtype, and what it adds to ones."""
    total, out = IntegerSum(own, like.size), np.ones_like(like)
    for code in codes:
        total.add(memoryview(code))
    total.into(out)
    return total._codes.dtype.name, total._codes.tobytes(), out.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    bits=st.sampled_from(sorted(RANGES)),
    name=st.sampled_from(FLOATS),
    size=st.sampled_from(SIZES),
    senders=st.sampled_from([1, 2, 18]),
    power=st.sampled_from([-149, -130, -24, 0, 9, 120]),
    seed=st.integers(0, 2**32),
)
def test_codes_sums_and_what_is_decoded_are_those_of_numpy(bits, name, size, senders, power, seed):
    """For sizes about the edges of blocks, values of all magnitudes, blocks of zeros, and sums of one byte and two."""
    random = np.random.default_rng(seed)
    most = {"float16": 6e4, "float32": 3.4e38, "float64": 3.4e38, "bfloat16": 3.3e38}[name]
    values = random.standard_normal((senders, size)) * 2.0**power
    values[:, ::7] = 0
    values[0] *= random.choice([1e-3, 1, 50])
    values[:, 4096 : 4096 * random.integers(1, 3)] = 0
    values = np.clip(values, -most, most).astype(dtype_of(name))
    c = codec(f"thc({bits})").array_stage
    offers, same = ways(lambda: [c.offer(v, 0, seed) for v in values])
    assert np.array(offers).tobytes() == np.array(same).tobytes()
    wide = values[0].astype(np.float64)
    for block, size_of in enumerate(offers[0][:-1]):
        assert size_of == pytest.approx(np.sqrt(np.mean(wide[4096 * block :][:4096] ** 2)), rel=1e-6, abs=2.0**-148)
    own = c.agreed(np.max(offers, axis=0), seed)
    codes, same = ways(lambda: sent(own, values))
    assert codes == same
    sums, same = ways(lambda: summed(own, codes, values[0]))
    assert sums == same
    assert sums[0] == np.min_scalar_type(senders * (2**bits - 1)).name
    out = np.empty_like(values[0])

    def decoded():
        own.decode(memoryview(codes[0]), out)
        return out.tobytes()

    one, same = ways(decoded)
    assert one == same


def test_sums_of_more_than_two_bytes_are_numpy_s():
    """The same codes 300 times at 8 bits: uint8, then uint16, then uint32, which no kernel adds, and turned back."""
    random = np.random.default_rng(0)
    own = SharedGrid.of(codec("thc(8)").array_stage, np.ones(2, np.float32), 3)
    code = random.integers(0, 256, 8192, np.uint8).tobytes()
    fast, slow = ways(lambda: summed(own, [code] * 300, np.empty(8192, np.float32)))
    assert fast == slow
    assert fast[0] == "uint32"


def test_what_an_extreme_grid_decodes_to_is_clipped_alike():
    """Sizes near the end of float32, and codes that no encoder wrote, of every dtype."""
    random = np.random.default_rng(1)
    sizes = np.array([3.4e38, 2.0**-149, 7e4, 0], np.float32)
    own = SharedGrid.of(codec("thc").array_stage, sizes, 9)
    code = memoryview(random.integers(0, 256, 4 * 4096 // 2, np.uint8).tobytes())
    for name in FLOATS:
        out = np.ones(4 * 4096, dtype_of(name))

        def added():
            total = out.copy()
            own.accumulate(code, total)
            return total.tobytes()

        fast, slow = ways(added)
        assert fast == slow


def test_numbers_that_a_kernel_does_not_draw_are_numpy_s():
    """A chunk that begins within a count of the generator, and one of more than a chunk of a link."""
    x = np.random.default_rng(0).standard_normal(CHUNK + 4096 + 300).astype(np.float32)
    c = codec("thc").array_stage
    own = c.agreed(c.offer(x, 0, 1), 1)
    for first in (0, 5, 16):
        fast, slow = ways(lambda: bytes(own.encode(x, first, Stream.of(2))))
        assert fast == slow


def test_a_chunk_of_a_link_is_added_by_kernels(monkeypatch):
    """Codes of a link's size are written, added and turned back by them without being told."""
    x = np.ones(CHUNK, np.float32)
    own = codec("thc").array_stage.agreed(np.ones(CHUNK // 4096, np.float32), 1)
    used = []
    monkeypatch.setattr(compiled, "load", lambda name: used.append(name))
    summed(own, sent(own, [x]), x)
    assert used == ["thc"] * 3
    own.offer(x, 0, 1)
    assert used == ["thc"] * 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 2048, 8191, 8192 + 4097])
def test_what_cannot_be_quantised_is_refused_alike(value, at):
    """By its offer, in any block, with the same words."""
    x = np.ones(8192 + 5000, np.float32)
    x[at] = value

    def refused():
        with pytest.raises(CodecError) as e:
            codec("thc").array_stage.offer(x, 7, 0)
        return str(e.value)

    fast, slow = ways(refused)
    assert fast == slow
    assert fast.startswith(f"thc: {value:g} at element {at + 7} cannot be quantised")
