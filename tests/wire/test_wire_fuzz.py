"""Fuzzing: whatever a peer sends ends in a value of the type or in one of four errors, in bounded memory."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import held_form, seeds

from tierfed.codecs import codec
from tierfed.errors import CodecError, FrameError, ProtocolError, ValueMismatch
from tierfed.types import parse
from tierfed.types.values import Rows
from tierfed.wire.frame import Frame, FrameDecoder, crc32c, encode
from tierfed.wire.heading import digest_of
from tierfed.wire.layout import Limits
from tierfed.wire.message import MessageReader, encode_message

REFUSALS = (FrameError, ProtocolError, ValueMismatch, CodecError)
LIMITS = Limits(nbytes=1 << 22, items=100)

CASES: list[tuple[str, str, Any, bool]] = [
    ("none", "<w=float32[2,3],s=str,t=str[?],b=bool[3]>", (np.ones((2, 3), "f4"), "aé", np.array(["x", ""], object),
     np.ones(3, bool)), False),
    ("none", "<x=float32[?],y=str,z=bool>*", Rows([(np.ones(2, "f4"), "a", np.True_), (np.ones(0, "f4"), "",
     np.False_)]), False),
    ("none", "int16[...]*", Rows([np.int16(1), np.ones((1, 2), "i2")]), False),
    ("none", "<n=int32,r=int8[?]*>", [(np.int32(i), Rows([np.ones(i, "i1")])) for i in range(3)], True),
    ("int8", "<w=float32[4200],b=float32[2]>", (np.linspace(-1, 1, 4200, dtype="f4"), np.ones(2, "f4")), False),
    ("bf16+zstd", "<w=float32[5000],b=float32[2]>", (np.linspace(-1, 1, 5000, dtype="f4"), np.ones(2, "f4")), False),
    ("none+zstd", "bool[300000]", np.arange(300_000) % 3 == 0, False),
]  # fmt: skip


def frames_of(case: tuple[str, str, Any, bool]) -> list[Frame]:
    """Return the frames of a case."""
    spec, notation, value, many = case
    message = encode_message({"m": "c3"}, [("v", parse(notation), value)], codec(spec), many={"v"} if many else ())
    return FrameDecoder().feed(b"".join(b"".join(encode(h, b)) for h, b in message))


def consume(case: tuple[str, str, Any, bool], stream: bytes) -> bool:
    """Read `stream` as a message of `case`; return whether it was refused."""
    spec, notation, _, many = case
    t = parse(notation)
    reader = MessageReader([("v", t, many)], codec(spec), LIMITS)

    def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
        reader.admit(header, nbytes)
        return memoryview(bytearray(nbytes))

    decoder = FrameDecoder(allocate=allocate, limit=1 << 21)
    try:
        while stream and not reader.complete:
            buffer = decoder.get_buffer()
            n = min(len(buffer), len(stream))
            buffer[:n], stream = stream[:n], stream[n:]
            for frame in decoder.buffer_updated(n):
                reader.feed(frame)
        if not reader.complete:
            decoder.eof()
            return True
        (value,) = reader.decode()
        for v in value if many else [value]:
            held_form(v, t)
        if "str" not in notation and not many and "*" not in notation and "bool" not in notation:
            reader.accumulate_into([np.zeros(4200 if spec == "int8" else 5000, "f4"), np.zeros(2, "f4")])
    except REFUSALS as e:
        assert e.mend, e
        return True
    return False


def joined(frames: list[Frame]) -> bytes:
    """Return the bytes of frames."""
    return b"".join(b"".join(encode(f.header, [f.payload])) for f in frames)


@pytest.mark.parametrize("case", CASES, ids=[c[1][:20] for c in CASES])
def test_what_is_whole_is_taken(case: tuple[str, str, Any, bool]) -> None:
    """Without a mutation, each case is read: so the refusals below are for the mutations."""
    assert not consume(case, joined(frames_of(case)))


@pytest.mark.parametrize("case", CASES, ids=[c[1][:20] for c in CASES])
def test_mutated_bytes_are_refused(case: tuple[str, str, Any, bool]) -> None:
    """Bytes flipped, cut, doubled or inserted anywhere in a stream: refused, whatever they were."""
    stream = joined(frames_of(case))
    rng = random.Random(1)
    for _ in range(150):
        data = bytearray(stream)
        for _ in range(rng.choice([1, 1, 2, 10])):
            at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(300, len(data)))
            match rng.randrange(4):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    del data[at : at + rng.choice([1, 8, 64])]
                case 2:
                    data[at:at] = data[at : at + rng.choice([1, 8, 64])]
                case 3:
                    data[at:at] = rng.randbytes(rng.choice([1, 8, 64]))
        if data != stream:
            consume(case, bytes(data))


@given(st.binary(max_size=400), st.sampled_from(CASES), st.booleans())
def test_random_bytes_are_refused(data: bytes, case: tuple[str, str, Any, bool], magic: bool) -> None:
    """Random bytes are no message, with or without the right magic in front."""
    assert consume(case, (b"TIERFED\n\x01\x00\x00\x00" if magic else b"") + data)


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.sampled_from([0, 1, 2, 3, 1024, 1025, 2**31, 2**62]),
    st.floats(), st.text(max_size=5), st.binary(max_size=16), st.lists(st.integers(-1, 9), max_size=5),
    st.dictionaries(st.text(max_size=3), st.integers(-9, 9), max_size=2),
)  # fmt: skip


@settings(max_examples=300)
@given(st.data(), st.sampled_from(CASES))
def test_an_attacker_who_knows_the_format_is_refused(data: st.DataObject, case: tuple[str, str, Any, bool]) -> None:
    """Headers changed entry by entry, and payloads byte by byte, all CRCs and the digest made right afterwards."""
    frames = frames_of(case)
    index = data.draw(st.integers(0, len(frames) - 1))
    header, payload = dict(frames[index].header), bytearray(frames[index].payload)
    if data.draw(st.booleans()):
        key = data.draw(st.sampled_from([*header, "new"]))
        if data.draw(st.booleans()) and key in header:
            del header[key]
        elif key == "sizes" and type(header[key]) is list:
            sizes = list(header[key])
            for _ in range(data.draw(st.integers(1, 2))):
                at = data.draw(st.integers(0, len(sizes)))
                sizes[at : at + data.draw(st.integers(0, 1))] = [data.draw(ODD)]
            header[key] = sizes
        elif key == "slots":
            slot = list(header[key][0])
            slot[data.draw(st.integers(0, 2))] = data.draw(ODD)
            header[key] = [slot]
        else:
            header[key] = data.draw(ODD)
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(payload) - 1))
            payload[at] = data.draw(st.integers(0, 255))
    frames[index] = Frame(header, memoryview(payload), crc32c(payload), 0)
    last = frames[-1].header
    first = frames[0].header
    if "digest" in last and {"ident", "codec", "slots", "sizes"} <= first.keys():
        last["digest"] = digest_of(first, [f.crc for f in frames])
    try:
        stream = joined(frames)
    except FrameError:
        return  # not even this side could write it
    consume(case, stream)


@settings(max_examples=50)
@given(seeds)
def test_frames_of_several_messages_in_any_order(seed: int) -> None:
    """Frames shuffled, repeated and mixed with another message's are taken only if they are one whole message."""
    rng = np.random.default_rng(seed)
    case = CASES[4]
    spec, notation, value, many = case
    frames = frames_of(case) + frames_of((spec, notation, (value[0] + 1, value[1]), many))
    chosen = [frames[i] for i in rng.integers(0, len(frames), 4)]
    whole = [f.crc for f in chosen[:2]] in ([f.crc for f in frames[:2]], [f.crc for f in frames[2:]])
    assert consume(case, joined(chosen)) is not whole


def test_hostile_sizes_take_no_memory() -> None:
    """A thousand messages that ask for as much as they can leave the memory as it was."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for i in range(1000):
            notation = ("float32[?,?]", "<>*", "str[?]", "float32[...]*", "bool[0]*")[i % 5]
            sizes = [[2**22 - i, 2**20], [2**22], [2**22, 0], [2**22, 2**22, 2**22], [2**22 - 1]][i % 5]
            header = {"ident": {}, "seq": 0, "codec": "none", "slots": [["v", notation, None]], "sizes": sizes}
            assert consume(("none", notation, None, False), b"".join(encode(header, [b"x"])))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 1_000_000
