"""Messages: what is sent is what is read, frame by frame, and nothing else is taken."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import wire_second_decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import bits, cuts, held_form, seeds, types, value_of

from tierfed.codecs import CHUNK, Stream, codec
from tierfed.errors import CodecError, FrameError, ProtocolError, TierfedError, ValueMismatch
from tierfed.types import Type, parse
from tierfed.types.values import Rows, same
from tierfed.wire.frame import Frame, FrameDecoder, crc32c, encode
from tierfed.wire.heading import digest_of
from tierfed.wire.layout import Limits
from tierfed.wire.message import Message, MessageReader, encode_message

NONE = codec("none")
IDENT = {"site": "2.0", "member": "c3", "round": 7}


def stream_of(message: Message) -> bytes:
    """Return the bytes of a message on the wire."""
    return b"".join(b"".join(encode(h, b)) for h, b in message)


def frames_of(message: Message) -> list[Frame]:
    """Return the frames of a message, as received."""
    return FrameDecoder().feed(stream_of(message))


def read(message: Message, slots: list[Any], spec: str = "none", **options: Any) -> MessageReader:
    """Return a reader that has read `message`."""
    reader = MessageReader(slots, codec(spec), **options)
    whole = [reader.feed(f) for f in frames_of(message)]
    assert whole == [False] * (len(whole) - 1) + [True]
    return reader


def one(value: Any, notation: str, spec: str = "none") -> tuple[Message, list[tuple[str, Type]]]:
    """Return the message of one value called delta, and the slots of its reader."""
    t = parse(notation)
    return encode_message(IDENT, [("delta", t, value)], codec(spec)), [("delta", t)]


@st.composite
def slots(draw: st.DrawFn) -> tuple[list[tuple[str, Type, bool]], list[Any]]:
    """Up to three slots, some of many values, and a value for each."""
    rng = np.random.default_rng(draw(seeds))
    made = [(f"s{i}", draw(types), draw(st.booleans())) for i in range(draw(st.integers(0, 3)))]
    values = [
        [value_of(rng, t) for _ in range(rng.integers(0, 4))] if many else value_of(rng, t) for _, t, many in made
    ]
    return made, values


@settings(max_examples=200)
@given(slots(), seeds)
def test_every_message_survives_bit_for_bit(told: tuple[list[tuple[str, Type, bool]], list[Any]], seed: int) -> None:
    """Values of random types come back bit for bit, however the stream is cut; the second decoder agrees."""
    made, values = told
    message = encode_message(
        IDENT,
        [(n, t, v) for (n, t, _), v in zip(made, values, strict=True)],
        NONE,
        many={n for n, _, many in made if many},
    )
    stream = stream_of(message)
    decoder, reader = FrameDecoder(), MessageReader(made, NONE)
    for segment in cuts(np.random.default_rng(seed), stream):
        for frame in decoder.feed(segment):
            reader.feed(frame)
    assert reader.complete
    assert (reader.ident, reader.digest) == (IDENT, message.digest)
    assert reader.wire_bytes == reader.raw_bytes == message.wire_bytes == message.raw_bytes == len(stream)
    first, second = wire_second_decoder.message(stream, made)
    assert first["ident"] == IDENT
    for decoded in (reader.decode(), second):
        for (_, t, many), value, again in zip(made, values, decoded, strict=True):
            pairs = list(zip(value, again, strict=True)) if many else [(value, again)]
            for v, a in pairs:
                held_form(a, t)
                assert same(v, a, t)


@pytest.mark.parametrize("size", [4095, 4096, CHUNK - 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("name", ["float32", "bfloat16", "complex128", "bool", "int64"])
def test_tensors_at_the_borders_of_packing(name: str, size: int) -> None:
    """A tensor of each size around the borders of slab and chunk comes back, in the expected number of frames."""
    value = bits(np.random.default_rng(size), name, (size,))
    message, expected = one(value, f"{name}[{size}]")
    (again,) = read(message, expected).decode()
    assert same(value, again, parse(f"{name}[{size}]"))
    assert message.frames == (2 if size > CHUNK else 1)


def test_structural_columns_go_raw_under_a_lossy_codec() -> None:
    """Long text, and the shapes and ranks of many rows, are exact whatever the codec."""
    t = parse("<words=str[?],rows=float32[...]*>")
    rng = np.random.default_rng(0)
    words = np.array(["wörter " * int(n) for n in rng.integers(0, 3, 5000)], object)
    rows = Rows(np.zeros((int(n),) * int(n % 3), "f4")[()] for n in rng.integers(0, 3, 5000))
    message = encode_message(IDENT, [("data", t, (words, rows))], codec("int8"))
    (again,) = read(message, [("data", t)], "int8").decode()
    assert message.frames > 3
    assert same((words, rows), again, t)


def test_a_small_message_is_one_frame() -> None:
    """Everything below 4096 elements, of any dtype and under any codec, travels raw in one frame."""
    t = parse("<w=float32[4095],n=int64,s=str,f=float64[7]>")
    value = (np.full(4095, np.nan, "f4"), np.int64(1), "s", np.ones(7))
    message = encode_message(IDENT, [("v", t, value)], codec("int8+zstd"))
    (again,) = read(message, [("v", t)], "int8+zstd").decode()
    assert message.frames == 1
    assert same(value, again, t)


def test_nothing_at_all_is_one_frame() -> None:
    """A message without slots, and one of `<>`, are a frame without payload."""
    assert [len(f.payload) for f in frames_of(encode_message(IDENT, [], NONE))] == [0]
    message, expected = one((), "<>")
    assert read(message, expected).values() == {"delta": ()}


def test_slabs_hold_a_mebibyte() -> None:
    """Small tensors of more than 1 MiB together take a second slab, not a longer frame."""
    t = parse("float64[4000]")
    values = [np.full(4000, i, "f8") for i in range(40)]
    message = encode_message(IDENT, [("v", t, values)], NONE, many={"v"})
    frames = frames_of(message)
    assert [len(f.payload) for f in frames] == [32 * 32_000, 8 * 32_000]
    (again,) = read(message, [("v", t, True)]).decode()
    assert all(same(a, b, t) for a, b in zip(values, again, strict=True))


@pytest.mark.parametrize(("n", "frames"), [(1024, 1), (1025, 2)])
def test_more_than_1024_open_sizes_travel_in_their_own_frame(n: int, frames: int) -> None:
    """The sizes of many ragged values are read from a header up to 1024, then from a frame before the others."""
    t = parse("int32[?]")
    values = [np.arange(i % 5, dtype="i4") for i in range(n)]
    message = encode_message(IDENT, [("v", t, values)], NONE, many={"v"})
    (again,) = read(message, [("v", t, True)]).decode()
    assert all(same(a, b, t) for a, b in zip(values, again, strict=True))
    assert message.frames == frames
    first, second = wire_second_decoder.message(stream_of(message), [("v", t, True)])
    assert first["sizes"] == (n if n > 1024 else [i % 5 for i in range(n)])
    assert all(same(a, b, t) for a, b in zip(values, second[0], strict=True))


@pytest.mark.parametrize("spec", ["none", "int8", "bf16", "none+zstd", "int8+zstd"])
def test_accumulating_is_decoding_and_adding(spec: str) -> None:
    """`accumulate_into` gives the bits of decode and np.add, in the order in which messages are folded."""
    t = parse("<w=float32[700,400],b=float32[3],x=float64[5000]>")
    rng = np.random.default_rng(1)
    sums = [p.copy() for p in (rng.normal(size=(700, 400)).astype("f4"), np.ones(3, "f4"), np.ones(5000))]
    expected = [p.copy() for p in sums]
    for _ in range(3):
        value = (rng.normal(size=(700, 400)).astype("f4"), rng.normal(size=3).astype("f4"), rng.normal(size=5000))
        reader = read(encode_message(IDENT, [("d", t, value)], codec(spec)), [("d", t)], spec)
        reader.accumulate_into(sums)
        (decoded,) = reader.decode()
        expected = [e + d for e, d in zip(expected, decoded, strict=True)]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(sums, expected, strict=True))


def test_random_numbers_are_the_message_s_own() -> None:
    """A retry is the same bytes; another sender, another tensor and another chunk of equal values are rounded apart."""
    t = parse("<a=float32[600000],b=float32[600000]>")
    row = np.tile(np.random.default_rng(0).normal(size=300_000).astype("f4"), 2)
    row[CHUNK : 2 * CHUNK] = row[:CHUNK]
    streams = [Stream.of(7, "2.0", member) for member in ("c0", "c0", "c1")]
    made = [encode_message(IDENT, [("d", t, (row, row))], codec("int8(stochastic=true)"), stream=s) for s in streams]
    first, retry, other = (stream_of(m) for m in made)
    assert first == retry != other
    assert stream_of(made[0]) == first  # iterated again
    payloads = [bytes(f.payload) for f in frames_of(made[0])]
    assert len(payloads[0]) == len(payloads[1])
    assert len({payloads[0], payloads[1], payloads[3], payloads[4]}) == 4
    readers = [read(m, [("d", t)], "int8(stochastic=true)") for m in (made[0], made[2])]
    errors = [r.values()["d"][0].astype("f8") - row for r in readers]
    assert abs(np.corrcoef(errors)[0, 1]) < 5 * row.size**-0.5


def test_integers_wrap_and_scalars_add() -> None:
    """Sums of integers wrap, of scalars too, and floats overflow to infinity, without a warning."""
    t = parse("<n=int8,m=int32[5000],f=float32>")
    value = (np.int8(100), np.full(5000, 2**31 - 1, "i4"), np.float32(3e38))
    sums = [np.array(100, "i1"), np.full(5000, 2, "i4"), np.array(3e38, "f4")]
    read(encode_message(IDENT, [("d", t, value)], NONE), [("d", t)]).accumulate_into(sums)
    assert (int(sums[0]), int(sums[1][0]), float(sums[2])) == (-56, -(2**31) + 1, np.inf)


def test_accumulating_makes_no_copy_of_a_part() -> None:
    """Adding 16 MB takes the memory of a few tiles, not of a decoded part."""
    n = 1 << 22
    message, expected = one(np.ones(n, "f4"), f"float32[{n}]", "int8")
    reader = read(message, expected, "int8")
    into = np.zeros(n, "f4")
    tracemalloc.start()
    try:
        reader.accumulate_into([into])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
    assert abs(float(into.sum()) - n) < n * 1e-3


def test_encoding_holds_one_chunk() -> None:
    """A message is coded while it is iterated over: one chunk at a time."""
    n = 1 << 22
    message, _ = one(np.ones(n, "f4"), f"float32[{n}]", "bf16")
    tracemalloc.start()
    try:
        total = sum(len(b) for _, sealed in message for b in sealed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 2 * n
    assert peak < 3_000_000


def test_a_chunk_that_does_not_decode_adds_nothing() -> None:
    """When the last chunk is broken behind a right digest, the sums are as before: a sum cannot be un-added."""
    n = CHUNK + 5000
    message, expected = one(np.ones(n, "f4"), f"float32[{n}]", "none+zstd")
    frames = frames_of(message)
    reader = MessageReader(expected, codec("none+zstd"))
    reader.feed(frames[0])
    reader.feed(forged(frames, 1, payload=b"garbage"))
    into = np.zeros(n, "f4")
    for call in (reader.verify, lambda: reader.accumulate_into([into]), reader.decode):
        with pytest.raises(CodecError, match=rf"^delta, elements {CHUNK} to {n}: "):
            call()
    assert not into.any()


def test_some_slots_are_added_and_others_decoded() -> None:
    """A message of several slots gives each to whom it belongs."""
    sums, weight, rows = parse("float32[5000]"), parse("int32"), parse("int32*")
    told = [("sum", sums, np.ones(5000, "f4")), ("n", weight, np.int32(7)), ("rows", rows, Rows([np.int32(3)]))]
    reader = read(encode_message(IDENT, told, NONE), [(n, t) for n, t, _ in told])
    into = [np.zeros(5000, "f4")]
    reader.accumulate_into(into, slots=["sum"])
    assert into[0].sum() == 5000
    assert reader.decode(["rows", "n"]) == [7, (3,)]
    assert list(reader.values()) == ["sum", "n", "rows"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda r: r.decode(["x"]), "message: no value x in the message"),
        (lambda r: r.accumulate_into([], ["rows"]), "rows: int32* is not added"),
        (lambda r: r.accumulate_into([], ["flag"]), "flag: bool is not added"),
        (lambda r: r.accumulate_into([], ["all"]), "all: float32 of many is not added"),
        (lambda r: r.accumulate_into([], ["sum"]), "message: expected 1 arrays, got 0"),
        (
            lambda r: r.accumulate_into([np.zeros(4)], ["sum"]),
            "sum: expected a writable, C-contiguous float32[4], got fl",
        ),
        (
            lambda r: r.accumulate_into([np.zeros(3, "f4")], ["sum"]),
            "sum: expected a writable, C-contiguous float32[4]",
        ),
        (lambda r: r.accumulate_into([np.zeros(8, "f4")[::2]], ["sum"]), "sum: expected a writable, C-contiguous"),
    ],
)
def test_what_cannot_be_added_is_told(call: Callable[[MessageReader], Any], told: str) -> None:
    """Asking for a slot that is not there, or for a sum of what has none, is an error that names it."""
    values = [
        ("sum", parse("float32[4]"), np.ones(4, "f4")),
        ("flag", parse("bool"), np.True_),
        ("rows", parse("int32*"), Rows([np.int32(1)])),
        ("all", parse("float32"), [np.float32(1)]),
    ]
    reader = read(encode_message(IDENT, values, NONE, many={"all"}), [(n, t, n == "all") for n, t, _ in values])
    with pytest.raises(ValueMismatch, match="to mend: ") as caught:
        call(reader)
    assert str(caught.value).startswith(told)


def test_values_share_no_memory_with_payloads() -> None:
    """Buffers may go back to their pool as soon as the values are decoded."""
    message, expected = one((np.ones(5, "f4"), np.ones(5000, "f4")), "<float32[5],float32[5000]>")
    reader = read(message, expected)
    ((small, large),) = reader.decode()
    for payload in reader.release():
        payload[:] = bytes(len(payload))
    assert small.sum() + large.sum() == 5005
    assert large.ctypes.data % 64 == 0
    with pytest.raises(ProtocolError, match="0 of 2 frames of a message are here"):
        reader.decode()


def landed(data: bytes, reader: MessageReader) -> list[int]:
    """Read a message as a link does, into the memory that its reader gives; return how long each of it was."""
    given: list[int] = []

    def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
        memory = reader.memory(header, nbytes)
        if memory is None:
            return memoryview(bytearray(nbytes))
        given.append(nbytes)
        return memory

    decoder, left = FrameDecoder(allocate=allocate), memoryview(data)
    while left:
        buffer = decoder.get_buffer()
        n = min(len(buffer), len(left), 100_000)
        buffer[:n] = left[:n]
        for frame in decoder.buffer_updated(n):
            reader.feed(frame)
        left = left[n:]
    return given


def test_raw_chunks_are_received_where_they_are_read() -> None:
    """A large raw tensor is one array from the socket on; bools, coded and small ones are decoded as ever."""
    t = parse("<a=float32[600000],b=bool[5000],c=int16[300000],d=float32[7]>")
    rng = np.random.default_rng(3)
    value = (
        rng.normal(size=600_000).astype(np.float32),
        rng.random(5000) < 0.5,
        rng.integers(-9, 9, 300_000).astype(np.int16),
        np.arange(7, dtype=np.float32),
    )
    reader = MessageReader([("delta", t)], NONE)
    given = landed(stream_of(encode_message(IDENT, [("delta", t, value)], NONE)), reader)
    assert given == [1 << 20, 1 << 20, 4 * 75_712, 1 << 19, 2 * 37_856]
    (first,), (again,) = reader.decode(), reader.decode()
    assert same(first, value, t) and same(again, value, t)
    assert not np.shares_memory(first[0], again[0]) and not np.shares_memory(first[2], again[2])

    coded = MessageReader([("delta", parse("float32[600000]"))], codec("int8"))
    assert landed(stream_of(one(value[0], "float32[600000]", "int8")[0]), coded) == []
    assert np.abs(coded.decode()[0] - value[0]).max() < 0.05


def test_receiving_a_raw_value_takes_its_size_once() -> None:
    """40 MB are 40 MB at the peak, from the first byte to the value."""
    t = parse("float32[10000000]")
    data = stream_of(encode_message(IDENT, [("model", t, np.ones(10_000_000, np.float32))], NONE))
    reader = MessageReader([("model", t)], NONE)
    tracemalloc.start()
    try:
        landed(data, reader)
        (value,) = reader.decode()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (value == 1).all() and peak < 1.06 * 40_000_000


def test_no_memory_is_given_to_a_frame_that_is_not_due() -> None:
    """What does not follow is refused before there is an array for it."""
    message, slots_ = one(np.ones(600_000, np.float32), "float32[600000]")
    for change in ({"seq": 2}, {"ident": {"site": "9.9"}}):
        reader = MessageReader(slots_, NONE)
        first, second, _ = frames_of(message)
        assert len(reader.memory(first.header, 1 << 20) or b"") == 1 << 20
        reader.feed(first)
        with pytest.raises(ProtocolError):
            reader.memory({**second.header, **change}, 1 << 20)


def test_bytes_are_counted_as_they_are_and_as_they_would_be() -> None:
    """`wire_bytes` are those of the frames, `raw_bytes` what they would be with raw payloads, at both ends."""
    message, expected = one(np.ones(CHUNK + 1, "f4"), f"float32[{CHUNK + 1}]", "int8+zstd")
    stream = stream_of(message)
    reader = read(message, expected, "int8+zstd")
    assert message.wire_bytes == reader.wire_bytes == len(stream)
    heads = len(stream) - sum(-(-len(f.payload) // 64) * 64 for f in frames_of(message))
    assert message.raw_bytes == reader.raw_bytes == heads + 4 * CHUNK + 64


def test_the_digest_tells_contributions_apart() -> None:
    """The same value of the same member has the same digest; another value, shape or member another."""
    t = parse("float32[?,?]")

    def digest(value: Any, **ident: Any) -> bytes | None:
        message = encode_message(IDENT | ident, [("d", t, value)], NONE)
        frames_of(message)
        return message.digest

    value = np.arange(6.0, dtype="f4").reshape(2, 3)
    assert digest(value) == digest(value.copy())
    assert digest(value) == digest(value, **{k: IDENT[k] for k in reversed(IDENT)})
    others = [digest(value.reshape(3, 2)), digest(value + 1), digest(value, member="c4"), digest(value)]
    assert len(set(others)) == 4


def forged(
    frames: list[Frame], index: int, payload: bytes | None = None, redigest: bool = True, **change: Any
) -> Frame:
    """Return a frame with other header entries (None removes one) or payload, its CRC and digest made right."""
    frame = frames[index]
    body = bytes(frame.payload) if payload is None else payload
    header = {k: v for k, v in (frame.header | change).items() if v is not None or k not in change}
    crcs = [crc32c(body) if i == index else f.crc for i, f in enumerate(frames)]
    if redigest and "digest" in header:
        header["digest"] = digest_of(header if index == 0 else frames[0].header, crcs)
    (made,) = FrameDecoder().feed(b"".join(encode(header, [body])))
    return made


LONG = parse("<w1=float32[784,400],n=int32>")
LONG_VALUE = (np.zeros((784, 400), "f4"), np.int32(3))


def long_frames() -> list[Frame]:
    """Return the three frames of a message: a slab and two chunks."""
    return frames_of(encode_message(IDENT, [("delta", LONG, LONG_VALUE)], NONE))


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ([1], "expected frame 0, got 1"),
        ([0, 2], "expected frame 1, got 2"),
        ([0, 0], "expected frame 1, got 0"),
        ([0, 1, 1], "expected frame 2, got 1"),
        ([0, 1, 2, 2], "expected frame none, the message has ended, got 2"),
        ([0, 1, 2, 0], "expected frame none, the message has ended, got 0"),
    ],
)
def test_frames_come_once_and_in_order(order: list[int], told: str) -> None:
    """A frame before its turn, twice, or after the end is refused."""
    frames = long_frames()
    reader = MessageReader([("delta", LONG)], NONE, where="link from c3")
    for i in order[:-1]:
        reader.feed(frames[i])
    with pytest.raises(ProtocolError) as caught:
        reader.feed(frames[order[-1]])
    assert str(caught.value) == f"link from c3: {told}\n  to mend: send each frame once, in order"


@pytest.mark.parametrize(
    ("index", "change", "kind", "told"),
    [
        (0, {"seq": "0"}, ProtocolError, "message: expected frame 0, got 0"),
        (0, {"seq": True}, ProtocolError, "message: expected frame 0, got True"),
        (0, {"seq": None}, ProtocolError, "message: expected frame 0, got None"),
        (
            0,
            {"ident": None},
            ProtocolError,
            "message: a header with the keys codec, seq, sizes, slots, expected codec,",
        ),
        (0, {"extra": 1}, ProtocolError, "message: a header with the keys codec, extra, ident, seq, sizes, slots,"),
        (0, {"ident": 3}, ProtocolError, "message: a header whose ident, end or digest is none"),
        (0, {"codec": "int8"}, ProtocolError, "message: expected the codec none, got int8"),
        (0, {"codec": 3}, ProtocolError, "message: expected the codec none, got 3"),
        (0, {"slots": 3}, ProtocolError, "message: a header whose slots cannot be read"),
        (0, {"slots": [["delta"]]}, ProtocolError, "message: a header whose slots cannot be read"),
        (0, {"slots": []}, ProtocolError, "message: expected the values delta, got none"),
        (
            0,
            {"slots": [[["delta"], "int32", None]]},
            ProtocolError,
            "message: expected the values delta, got ['delta']",
        ),
        (0, {"slots": [["w", str(LONG), None]]}, ProtocolError, "message: expected the values delta, got w"),
        (0, {"slots": [["delta", str(LONG), 1]]}, ProtocolError, "delta: expected one value, got many"),
        (
            0,
            {"slots": [["delta", "<w1=float64[784,400],n=int32>", None]]},
            ValueMismatch,
            "delta.w1: expected float32[784,400], got float64[784,400]",
        ),
        (
            0,
            {"slots": [["delta", "<w1=float32[784,400]>", None]]},
            ValueMismatch,
            "delta: expected <w1=float32[784,400],",
        ),
        (
            0,
            {"slots": [["delta", "float32[?]*", None]]},
            ValueMismatch,
            "delta: expected <w1=float32[784,400],n=int32>, g",
        ),
        (0, {"slots": [["delta", "<<<<", None]]}, ProtocolError, "delta: '<<<<' is no type"),
        (
            0,
            {"slots": [["delta", b"0123456789abcdef", None]]},
            ValueMismatch,
            "delta: expected <w1=float32[784,400],n=int",
        ),
        (
            0,
            {"slots": [["delta", "int32" * 9999, None]]},
            ValueMismatch,
            "delta: expected <w1=float32[784,400],n=int32>,",
        ),
        (
            0,
            {"slots": [["delta", 3, None]]},
            ValueMismatch,
            "delta: expected <w1=float32[784,400],n=int32>, got another",
        ),
        (
            0,
            {"sizes": None},
            ProtocolError,
            "message: a header with the keys codec, ident, seq, slots, expected codec, id",
        ),
        (0, {"sizes": [1]}, ValueMismatch, "message: sizes beyond the 0 that the types leave open"),
        (0, {"sizes": 3}, ProtocolError, "message: 3 open sizes, expected a list of up to 1024, or a number"),
        (0, {"sizes": -1}, ProtocolError, "message: -1 open sizes, expected a list of up to 1024, or a number"),
        (0, {"sizes": 2**40}, ProtocolError, "message: 1099511627776 open sizes, expected a list of up to 1024"),
        (0, {"sizes": [0] * 1025}, ProtocolError, "message: 1025 open sizes, expected a list of up to 1024, or"),
        (0, {"end": True, "digest": bytes(16)}, ProtocolError, "message: a message ends at frame 0, expected 3 frames"),
        (0, {"payload": bytes(3)}, ProtocolError, "message: expected a payload of 4 bytes in frame 0, got 3"),
        (0, {"payload": b""}, ProtocolError, "message: expected a payload of 4 bytes in frame 0, got 0"),
        (1, {"ident": {"site": "2.0"}}, ProtocolError, "message: a frame of another contribution"),
        (1, {"sizes": []}, ProtocolError, "message: a header with the keys ident, seq, sizes, expected ident, seq"),
        (1, {"end": True}, ProtocolError, "message: a header with the keys end, ident, seq, expected ident, seq"),
        (1, {"payload": bytes(9)}, ProtocolError, "delta.w1: expected a payload of 1048576 bytes in frame 1, got 9"),
        (2, {"end": False}, ProtocolError, "message: a header whose ident, end or digest is none"),
        (2, {"end": None, "digest": None}, ProtocolError, "message: frame 2 of 3 does not end its message"),
        (
            2,
            {"payload": bytes(205_828)},
            ProtocolError,
            "delta.w1: expected a payload of 205824 bytes in frame 2, got 205",
        ),
        (
            2,
            {"digest": bytes(15), "redigest": False},
            ProtocolError,
            "message: a header whose ident, end or digest is none",
        ),
        (2, {"digest": "0123456789abcdef", "redigest": False}, ProtocolError, "message: a header whose ident, end or"),
        (2, {"digest": bytes(16), "redigest": False}, FrameError, "message: the digest of a message is "),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    index: int, change: dict[str, Any], kind: type[TierfedError], told: str
) -> None:
    """Each entry of a header, and the length of each payload, is compared with what the program expects."""
    frames = long_frames()
    reader = MessageReader([("delta", LONG)], NONE)
    for frame in frames[:index]:
        reader.feed(frame)
    with pytest.raises(kind, match="to mend: ") as caught:
        reader.feed(forged(frames, index, **change))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(told)
    assert not reader.complete


def test_a_changed_first_header_breaks_the_digest() -> None:
    """Frames that each fit, but are not those of one message, end in a wrong digest."""
    frames = long_frames()
    other = frames_of(encode_message(IDENT, [("delta", LONG, (LONG_VALUE[0], np.int32(4)))], NONE))
    reader = MessageReader([("delta", LONG)], NONE)
    reader.feed(other[0])
    reader.feed(frames[1])
    with pytest.raises(FrameError, match=r"the digest of a message is [0-9a-f]{32}, its last frame says"):
        reader.feed(frames[2])
    with pytest.raises(ProtocolError, match="message: frame 3 of 3"):
        reader.feed(forged(frames, 1, seq=3))
    with pytest.raises(ProtocolError, match="a message are here"):
        reader.decode()


def test_a_type_too_long_for_a_header_is_told_by_its_hash() -> None:
    """Types of more than 2048 characters of notation are compared all the same."""
    long, other = (parse("<" + ",".join(f"layer{i}={n}[4]" for i in range(300)) + ">") for n in ("float32", "float64"))
    value = tuple(np.ones(4, "f4") for _ in range(300))
    message = encode_message(IDENT, [("d", long, value)], NONE)
    (again,) = read(message, [("d", long)]).decode()
    assert same(value, again, long)
    with pytest.raises(ValueMismatch, match=r"d: expected <layer0=float64\[4\],.*\.\.\., got another type"):
        read(message, [("d", other)])


@pytest.mark.parametrize(
    ("notation", "many", "sizes", "items", "told"),
    [
        ("float32[?]", False, [300_000], None, "v: takes the values to 1200000 bytes, at most 1000000 are taken"),
        ("float32[?]", False, [2**30], None, "v: a size of 1073741824, expected 0 to 1000000"),
        ("float32[?]", False, [], None, "v: its size is missing"),
        ("<>*", False, [2**40], None, "v: a size of 1099511627776, expected 0 to 1000000"),
        ("float32", True, [], 101, "v: 101 values, expected 0 to 100"),
        ("float32", True, [], -1, "v: -1 values, expected 0 to 100"),
        ("float32", True, [], "many", "v: 'many' values, expected 0 to 100"),
        ("float32[10000]", True, [], 100, "v: takes the values to 4006400 bytes, at most 1000000 are taken"),
        ("int32[?]", True, [1, 2**19], 2, "v[1]: takes the values to 2097284 bytes"),
    ],
)
def test_open_sizes_are_refused_before_there_is_memory(
    notation: str, many: bool, sizes: list[int], items: Any, told: str
) -> None:
    """With `admit` in the decoder's `allocate`, no payload of a refused header gets memory."""
    t = parse(notation)
    limits = Limits(nbytes=1_000_000, items=100)
    reader = MessageReader([("v", t, many)], NONE, limits)
    given_: list[int] = []

    def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
        reader.admit(header, nbytes)
        given_.append(nbytes)
        return memoryview(bytearray(nbytes))

    header = {"ident": {}, "seq": 0, "codec": "none", "slots": [["v", notation, items]], "sizes": sizes}
    with pytest.raises((ProtocolError, ValueMismatch), match="to mend: ") as caught:
        FrameDecoder(allocate=allocate).feed(b"".join(encode(header, [bytes(5000)])))
    assert str(caught.value).startswith(told)
    assert not given_


def test_admit_and_feed_take_a_frame_once() -> None:
    """The usual way: `admit` from the decoder, then `feed` with the frame it became."""
    reader = MessageReader([("delta", LONG)], NONE)

    def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
        reader.admit(header, nbytes)
        return memoryview(bytearray(nbytes))

    stream = stream_of(encode_message(IDENT, [("delta", LONG, LONG_VALUE)], NONE))
    decoder = FrameDecoder(allocate=allocate)
    while stream:
        buffer = decoder.get_buffer()
        n = min(len(buffer), len(stream))
        buffer[:n], stream = stream[:n], stream[n:]
        for frame in decoder.buffer_updated(n):
            reader.feed(frame)
    assert same(reader.decode()[0], LONG_VALUE, LONG)


def test_what_was_admitted_is_not_what_may_be_fed() -> None:
    """A frame other than the one that `admit` has seen is checked for itself."""
    frames = long_frames()
    reader = MessageReader([("delta", LONG)], NONE)
    reader.feed(frames[0])
    reader.admit(frames[1].header, 1 << 20)
    with pytest.raises(ProtocolError, match="expected frame 1, got 2"):
        reader.feed(frames[2])
    with pytest.raises(ProtocolError, match="expected a payload of 1048576 bytes in frame 1, got 205824"):
        reader.feed(Frame(frames[1].header, frames[2].payload, frames[2].crc, 0))


def test_a_message_is_not_read_before_it_is_whole() -> None:
    """Two frames of three give no value and no sum."""
    reader = MessageReader([("delta", LONG)], NONE)
    with pytest.raises(ProtocolError, match="0 of its frames of a message are here"):
        reader.decode()
    for frame in long_frames()[:2]:
        reader.feed(frame)
    into = [np.zeros((784, 400), "f4"), np.zeros((), "i4")]
    for call in (reader.decode, reader.verify, lambda: reader.accumulate_into(into)):
        with pytest.raises(ProtocolError, match="2 of 3 frames of a message are here"):
            call()


def test_a_nan_under_a_lossy_codec_is_told_with_its_place() -> None:
    """The error names the part, and the element counted from the start of the tensor."""
    value = np.zeros(CHUNK + 100, "f4")
    value[CHUNK + 17] = np.nan
    message, _ = one((value,), f"<w1=float32[{CHUNK + 100}]>", "int8")
    with pytest.raises(CodecError, match=rf"^delta.w1: nan at element {CHUNK + 17}"):
        frames_of(message)


def test_a_codec_that_cannot_carry_a_part_is_told_at_both_ends() -> None:
    """A large tensor of integers under int8 is refused when the message is made, and by a reader."""
    with pytest.raises(CodecError, match=r"^delta.ids: int8 carries .*, not int64\[5000\]"):
        one((np.zeros(5000, "i8"),), "<ids=int64[5000]>", "int8")
    message, expected = one((np.zeros(5000, "i8"),), "<ids=int64[5000]>")
    frames = frames_of(message)
    with pytest.raises(CodecError, match=r"^delta.ids: int8 carries .*, not int64\[5000\]"):
        MessageReader(expected, codec("int8")).feed(forged(frames, 0, codec="int8"))


def test_a_message_may_be_sent_again() -> None:
    """Iterating a second time writes the same frames, for a retry."""
    message, _ = one(LONG_VALUE, str(LONG))
    first = stream_of(message)
    digest = message.digest
    assert stream_of(message) == first
    assert message.digest == digest
    assert message.wire_bytes == len(first)
