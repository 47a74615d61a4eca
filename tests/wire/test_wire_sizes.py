"""Messages of many small tensors, of nothing, and of more bytes than 32 bits count: layouts are arithmetic."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tierfed.codecs import Stream, codec
from tierfed.types import StructType, TensorType, to_type
from tierfed.types.values import zero
from tierfed.wire.forecast import Forecast
from tierfed.wire.layout import layout_of
from tierfed.wire.message import MessageReader, encode_message
from tierfed.wire.packing import Chunk, packing

IDENT = {"m": "down", "inv": "0123abcd-7", "att": 1, "site": "1.0"}
CHUNK = 1 << 18  # elements
LARGE = {  # by type: bytes, frames
    "float32[536870912]": (1 << 31, 2048),
    "<w=float32[512,1048576],b=float64[7]>": ((1 << 31) + 56, 2049),
    "<a=uint8[5000000000],b=float32[3]>": (5_000_000_012, 19075),
    "float64[625000000]": (5_000_000_000, 2385),
}


@pytest.mark.parametrize("notation", LARGE)
def test_types_beyond_32_bits_are_laid_out_and_foreseen_without_their_memory(notation: str) -> None:
    """Chunks follow each other from the first element to the last, and their bytes add up to the value's."""
    nbytes, frames = LARGE[notation]
    t = to_type(notation)
    tracemalloc.start()
    packs = packing(layout_of(t, (), "m"), codec("none"))
    forecast = Forecast.of([("m", t, None)], codec("none"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
    assert forecast is not None and forecast.exact
    chunks = [p for p in packs if isinstance(p, Chunk)]
    ends = [0, *(c.stop for c in chunks)]
    assert [c.start for c in chunks] == ends[:-1] and all(c.stop - c.start <= CHUNK for c in chunks)
    assert len(packs) == len(forecast.payloads) == frames
    assert sum(p.raw_bytes for p in packs) == sum(raw for _, raw in forecast.payloads) == nbytes
    assert forecast.wire_bytes(IDENT) > nbytes


def test_a_reader_of_a_value_beyond_32_bits_takes_its_first_frame_without_its_memory() -> None:
    """What the program fixes is not bounded, and a frame is refused, or taken, by arithmetic alone."""
    t = to_type("uint8[5000000000]")
    first = {"ident": IDENT, "seq": 0, "codec": "none", "slots": [["m", str(t), None]], "sizes": []}
    tracemalloc.start()
    MessageReader([("m", t)], codec("none")).admit(first, CHUNK)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize("first", [(1 << 31) - CHUNK, 1 << 31, 1 << 32, 5_000_000_000 // CHUNK * CHUNK])
def test_chunks_far_behind_draw_numbers_of_their_own(first: int) -> None:
    """A codec that rounds at random does so at any element, and not as 2^31 or 2^32 elements before."""
    chunk = np.random.default_rng(1).standard_normal(5000).astype(np.float32)
    coder, stream = codec("int8(stochastic=true)"), Stream.of("far").at("w")
    places = {at for at in (first, first - (1 << 31), first - (1 << 32), 0) if at >= 0}
    assert len({bytes(coder.encode_chunk(chunk, at, stream)) for at in places}) == len(places) > 1


SMALL = StructType([(f"t{i}", TensorType("float32", [i % 7])) for i in range(2000)])


@pytest.mark.parametrize(("t", "frames"), [(SMALL, 1), (TensorType("float32", [0]), 1), (StructType([]), 1)])
@pytest.mark.parametrize("spec", ["none", "zstd", "int8"])
def test_small_and_empty_values_are_one_frame_as_foreseen(t: StructType, frames: int, spec: str) -> None:
    """Two thousand small tensors travel together, nothing as a frame without a payload, at the bytes foreseen."""
    message = encode_message(IDENT, [("m", t, zero(t))], codec(spec))
    sent = list(message)
    forecast = Forecast.of([("m", t, None)], codec(spec))
    assert forecast is not None and len(sent) == len(forecast.payloads) == frames
    assert message.wire_bytes == forecast.wire_bytes(IDENT) and message.raw_bytes == forecast.raw_bytes(IDENT)
