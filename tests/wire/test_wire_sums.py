"""Sums of messages: codes that add up are added as they are, beside others, and give what decoding gives."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from test_wire_message import IDENT, frames_of

from tierfed.codecs import CHUNK, ShortStage, Stream, codec
from tierfed.codecs.randomk import Randomk
from tierfed.codecs.sketch import Sketch
from tierfed.errors import CodecError
from tierfed.types import TensorType, Type, parse
from tierfed.wire.message import MessageReader, encode_message
from tierfed.wire.sums import Sums

ADDING = ["randomk(shared=true)", "randomk(fraction=0.3,shared=true)+int8+zstd", "sketch", "sketch(rows=3)+bf16"]
MESSAGE = Stream.of(7, "1", "2.0")


def sent(spec: str, t: Type, value: Any, sender: str, site: Stream = MESSAGE) -> MessageReader:
    """Return a reader of what `sender` sends; those of one `site` share what senders share."""
    stream = site.at(sender).beside(site)
    reader = MessageReader([("d", t)], codec(spec))
    for frame in frames_of(encode_message(IDENT, [("d", t, value)], codec(spec), stream=stream)):
        reader.feed(frame)
    return reader


def normal(size: int, seed: int, dtype: Any = "f4") -> Any:
    """Return so many normal numbers."""
    return np.random.default_rng(seed).standard_normal(size).astype(dtype)


def near(found: Any, wanted: Any, spec: str = "") -> None:
    """Fail unless the two are equal up to the rounding of sums in their dtype, in any order; a sketch is float32."""
    name = "float32" if found.dtype == "f8" and "sketch" in spec else found.dtype.name
    part = {"float64": 1e-14, "float32": 2e-6}[name]
    wide = wanted.astype(np.float64)
    assert np.abs(found.astype(np.float64) - wide).max() <= part * np.abs(wide).max()


@pytest.mark.parametrize("spec", ADDING)
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_sums_of_codes_are_sums_of_what_is_decoded(spec: str, name: str) -> None:
    """Of six senders, over two chunks and a small tensor, within the rounding of the sum; decoded once a chunk."""
    size = CHUNK + 5000
    t = parse(f"<w={name}[{size}],b={name}[3]>")
    dtype = TensorType(name).dtype
    sums, wanted = Sums([np.zeros(size, dtype), np.zeros(3, dtype)]), [np.zeros(size, dtype), np.zeros(3, dtype)]
    for i in range(6):
        reader = sent(spec, t, (normal(size, i, dtype), normal(3, i, dtype)), f"c{i}")
        reader.accumulate_into(sums)
        reader.accumulate_into(wanted)
    assert not sums.arrays[0].any()  # nothing is decoded yet
    near(sums.finish()[0], wanted[0], spec)
    assert sums.arrays[1].tobytes() == wanted[1].tobytes()
    before = sums.arrays[0].copy()
    assert sums.finish()[0].tobytes() == before.tobytes()  # and nothing twice


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_narrow_floats_are_summed_in_float32(name: str) -> None:
    """The sum of codes is as near to the sum of what was sent as one rounding allows."""
    dtype = TensorType(name).dtype
    t = TensorType(name, (5000,))
    sums, wanted = Sums([np.zeros(5000, dtype)]), np.zeros(5000)
    for i in range(6):
        reader = sent("randomk(shared=true)", t, normal(5000, i, dtype), f"c{i}")
        reader.accumulate_into(sums)
        kept = reader.decode()[0].astype("f8") != 0
        wanted += np.where(kept, 10 * normal(5000, i, dtype).astype("f8"), 0)
    off = np.abs(sums.finish()[0].astype("f8") - wanted)
    assert (off <= {"float16": 2.0**-11, "bfloat16": 2.0**-8}[name] * np.abs(wanted) + 1e-5).all()


@pytest.mark.parametrize("stage", [Randomk(shared=True), Sketch()], ids=lambda s: s.name)
def test_a_chunk_is_expanded_once(stage: ShortStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eight senders' codes of one chunk, whether checked or added, none is decoded but their sum."""
    expand, calls = type(stage).expand, []
    monkeypatch.setattr(type(stage), "expand", lambda *a, **k: calls.append(a) or expand(*a, **k))
    spec = str(codec([{stage.name: {"shared": True} if stage.name == "randomk" else {}}]))
    readers = [sent(spec, TensorType("float32", (5000,)), normal(5000, i), f"c{i}") for i in range(8)]
    sums = Sums([np.zeros(5000, "f4")])
    for reader in readers:
        reader.accumulate_into(sums)
    assert not calls
    sums.finish()
    assert len(calls) == 1


def test_senders_with_another_seed_are_added_too() -> None:
    """Codes that were not made alike, as of another attempt or message, break no sum, in any order."""
    t = TensorType("float32", (5000,))
    for spec in ADDING:
        sites = [MESSAGE, Stream.of("another"), MESSAGE, Stream.of("a third"), Stream.of("another")]
        sums, wanted = Sums([np.ones(5000, "f4")]), [np.ones(5000, "f4")]
        for i, site in enumerate(sites):
            reader = sent(spec, t, normal(5000, i), f"c{i}", site)
            reader.accumulate_into(sums)
            reader.accumulate_into(wanted)
        near(sums.finish()[0], wanted[0])


def test_children_whose_links_have_other_codecs_share_a_sum() -> None:
    """Codes that add up, others that add up, and codes that are decoded: all are in the sum."""
    t = TensorType("float32", (5000,))
    sums, wanted = Sums([np.zeros(5000, "f4")]), [np.zeros(5000, "f4")]
    for i, spec in enumerate(["int8", *ADDING, "topk(0.1)", "randomk", "none", *ADDING]):
        reader = sent(spec, t, normal(5000, i), f"c{i}")
        reader.accumulate_into(sums)
        reader.accumulate_into(wanted)
    near(sums.finish()[0], wanted[0])


@pytest.mark.parametrize("spec", ["randomk(shared=true)", "sketch", "topk", "topk+int8"])
def test_a_message_that_is_refused_is_in_no_sum(spec: str) -> None:
    """A second chunk with an infinity: the first one is not added either, whether as a code or decoded."""
    size = 2 * CHUNK
    t = TensorType("float32", (size,))
    sums = Sums([np.zeros(size, "f4")])
    sent(spec, t, normal(size, 0), "c0").accumulate_into(sums)
    bad = sent(spec, t, normal(size, 1), "c1")
    payload = bytearray(bad._payloads[1])
    at = codec(spec).stages[0].head_bytes(CHUNK)  # type: ignore[union-attr]
    payload[at : at + 4] = np.float32(np.inf).tobytes()
    bad._payloads[1] = memoryview(payload)
    with pytest.raises(CodecError, match="d, elements 262144 to 524288: (value inf|scale inf)"):
        bad.accumulate_into(sums)
    expected = [np.zeros(size, "f4")]
    sent(spec, t, normal(size, 0), "c0").accumulate_into(expected)
    assert sums.finish()[0].tobytes() == expected[0].tobytes()


@pytest.mark.parametrize("spec", ["randomk(shared=true)", "sketch(rows=1)", "topk", "randomk+int8"])
def test_no_child_s_values_are_ever_there(spec: str) -> None:
    """Eight messages of 4 MB are added in the memory of a chunk and, where codes add up, of the sum of codes."""
    size = 1 << 20
    t = TensorType("float32", (size,))
    readers = [sent(spec, t, normal(size, i), f"c{i}") for i in range(8)]
    sums = Sums([np.zeros(size, "f4")])
    tracemalloc.start()
    try:
        for reader in readers:
            reader.accumulate_into(sums)
        sums.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    kept = 4 * codec(spec).stages[0].length(size) if codec(spec).array_stage.linear else 0  # type: ignore[union-attr]
    assert peak < kept + 3_000_000
