"""Frames: layout, segmentation, limits and refusals."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import numpy as np
import pytest
import wire_second_decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import cuts, seeds

from tierfed.errors import FrameError, ProtocolError, TierfedError
from tierfed.wire.frame import Frame, FrameDecoder, Sealed, aligned, crc32c, encode, frame_bytes
from tierfed.wire.plain import HEADER_LIMIT, pack

plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False),
              st.text(max_size=40), st.binary(max_size=40)),
    lambda of: st.one_of(st.lists(of, max_size=4), st.dictionaries(st.text(max_size=5), of, max_size=4)),
    max_leaves=8,
)  # fmt: skip
headers = st.dictionaries(st.text(max_size=8), plain, max_size=5)
payloads = st.lists(st.binary(max_size=300), max_size=3)


def joined(header: dict[str, Any], *buffers: Any) -> bytes:
    """Return the bytes of a frame."""
    return b"".join(encode(header, buffers))


def raw_frame(
    packed: bytes, payload: bytes = b"", *, magic: bytes = b"TIERFED\n", version: int = 1, **change: int
) -> bytes:
    """Return a frame around any bytes, its CRCs right unless changed, as an attacker would write it."""
    size = change.get("size", len(payload))
    crc = change.get("crc", wire_second_decoder.crc32c(payload))
    front = struct.pack("<8sIIQI", magic, version, change.get("header", len(packed)), size, crc)
    head_crc = change.get("head_crc", wire_second_decoder.crc32c(front + packed))
    head = front + struct.pack("<I", head_crc) + packed
    head += bytes(-len(head) % 64)
    return head + payload + bytes(-len(payload) % 64)


def refusal(data: bytes, **options: Any) -> str:
    """Return the text with which `data` is refused."""
    decoder = FrameDecoder(**options)
    with pytest.raises(FrameError) as caught:
        decoder.feed(data)
        decoder.eof()
    return str(caught.value)


def test_the_crc_is_castagnolis() -> None:
    """CRC32C of the check string, and of the zeros in RFC 3720, has the published value."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(memoryview(bytes(32))) == 0x8A9136AA
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283


def test_the_layout_is_what_the_page_says() -> None:
    """Each field stands at its offset, and header and payload start and end at multiples of 64."""
    header = {"site": "2.0"}
    data = joined(header, b"payload", memoryview(b"!"))
    packed = msgpack.packb(header)
    assert struct.unpack_from("<8sIIQ", data) == (b"TIERFED\n", 1, len(packed), 8)
    assert data[32 : 32 + len(packed)] == packed
    assert data[64:72] == b"payload!"
    assert len(data) == 128 == frame_bytes(len(packed), 8)


def test_the_payload_is_not_copied() -> None:
    """What `encode` returns of the payload are views of the caller's memory, whatever its dtype and shape."""
    array = np.arange(300.0).reshape(3, 100)
    pieces = encode({}, [array, np.empty((0, 3)), b"x"])
    assert len(pieces) == 4
    array[0, 0] = 7.0
    assert bytes(pieces[1]) == array.tobytes()


def test_sealed_buffers_are_not_read_again() -> None:
    """`encode` takes the CRC32C that was computed when the buffers were sealed."""
    sealed = Sealed.of(b"ab", b"c")
    assert b"".join(encode({}, sealed)) == joined({}, b"abc")
    sealed.crc ^= 1
    with pytest.raises(FrameError, match="CRC32C of a payload"):
        FrameDecoder().feed(b"".join(encode({}, sealed)))


@given(st.lists(st.tuples(headers, payloads), max_size=4), seeds)
def test_frames_survive_any_segmentation(told: list[tuple[dict[str, Any], list[bytes]]], seed: int) -> None:
    """However a stream is cut, the same frames come out, and the second decoder reads them too."""
    stream = b"".join(joined(h, *p) for h, p in told)
    decoder = FrameDecoder()
    found: list[Frame] = []
    for segment in cuts(np.random.default_rng(seed), stream):
        found += decoder.feed(segment)
    decoder.eof()
    assert decoder.within is None
    expected = [(h, b"".join(p)) for h, p in told]
    assert [(f.header, bytes(f.payload)) for f in found] == expected
    assert sum(f.nbytes for f in found) == len(stream)
    assert [(h, p) for h, p, _ in wire_second_decoder.frames(stream)] == expected


@settings(max_examples=25)
@given(st.lists(st.tuples(headers, payloads), min_size=2, max_size=4), seeds)
def test_decoders_of_one_thread_do_not_mix_their_bytes(
    told: list[tuple[dict[str, Any], list[bytes]]], seed: int
) -> None:
    """Streams that come in pieces, in turn, each come out as they went in; between frames no decoder holds memory."""
    streams = [joined(header, *buffers) for header, buffers in told]
    decoders = [FrameDecoder() for _ in streams]
    frames: list[list[Frame]] = [[] for _ in streams]
    rng = np.random.default_rng(seed)
    pieces = [cuts(rng, stream) for stream in streams]
    while any(pieces):
        for decoder, found, left in zip(decoders, frames, pieces, strict=True):
            if left:
                piece = memoryview(left.pop(0))
                while piece:
                    buffer = decoder.get_buffer()
                    n = min(len(buffer), len(piece))
                    buffer[:n] = piece[:n]
                    found += decoder.buffer_updated(n)
                    piece = piece[n:]
    for (header, buffers), (frame,) in zip(told, frames, strict=True):
        assert frame.header == header and bytes(frame.payload) == b"".join(buffers)
    assert len({id(d.get_buffer().obj) for d in decoders}) == 1


@pytest.mark.parametrize("size", [1, 63, 64, 4000, 4096, 70_000])
def test_every_cut_in_two_is_whole(size: int) -> None:
    """A frame cut at each place around its borders comes out once, at its last payload byte."""
    data = joined({"k": "v"}, bytes(size)) + joined({})
    for cut in [*range(1, 140), *range(size, size + 70)]:
        decoder = FrameDecoder()
        found = decoder.feed(data[:cut]) + decoder.feed(data[cut:])
        assert [len(f.payload) for f in found] == [size, 0]
        decoder.eof()


def test_a_payload_lands_where_allocate_says() -> None:
    """The decoder hands out the allocated memory itself, from the first byte that was not read ahead."""
    memory = aligned(100_000)
    asked: list[tuple[dict[str, Any], int]] = []

    def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
        asked.append((header, nbytes))
        return memory

    data = joined({"k": 1}, bytes(range(256)) * 300)
    decoder = FrameDecoder(allocate=allocate)
    assert decoder.feed(data[:100]) == []
    assert asked == [({"k": 1}, 76_800)]
    assert decoder.within == "payload"
    buffer = decoder.get_buffer(-1)
    assert np.shares_memory(np.frombuffer(buffer, np.uint8), np.frombuffer(memory, np.uint8))
    assert len(buffer) == 76_800 - (100 - 64)
    (frame,) = decoder.feed(data[100:])
    assert np.shares_memory(np.frombuffer(frame.payload, np.uint8), np.frombuffer(memory, np.uint8))
    assert frame.payload == data[64 : 64 + 76_800]


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_default_memory_is_aligned(size: int) -> None:
    """Without `allocate`, a payload stands at a multiple of 64, as DLPack asks."""
    (frame,) = FrameDecoder().feed(joined({}, bytes(size)))
    assert np.frombuffer(frame.payload, np.uint8).ctypes.data % 64 == 0


def test_allocate_may_refuse() -> None:
    """What `allocate` raises reaches the caller, and the decoder stays closed with it."""

    def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
        raise ProtocolError("no credit", where=header["who"])

    decoder = FrameDecoder(allocate=allocate)
    for _ in range(2):
        with pytest.raises(ProtocolError, match="c3: no credit"):
            decoder.feed(joined({"who": "c3"}, bytes(5000)))
    with pytest.raises(ProtocolError):
        decoder.eof()


def test_allocate_must_give_room() -> None:
    """Memory that is too short, or read-only, is refused and not written past."""
    for memory in (memoryview(bytearray(4999)), memoryview(bytes(6000))):
        with pytest.raises(FrameError, match="the buffer for 5000 bytes"):
            FrameDecoder(allocate=lambda h, n, m=memory: m).feed(joined({}, bytes(5000)))


@given(st.lists(st.integers(0, 9000), max_size=8), st.integers(0, 5000), seeds)
def test_allocate_is_asked_after_the_frames_before(sizes: list[int], long: int, seed: int) -> None:
    """When memory is asked for, every earlier frame has been returned, however the stream is cut."""
    stream = b"".join(joined({"i": i, "pad": "x" * (long if i == 1 else 0)}, bytes(n)) for i, n in enumerate(sizes))
    seen: list[int] = []

    def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
        assert seen == [*range(header["i"])]
        return aligned(nbytes)

    decoder = FrameDecoder(allocate=allocate)
    rng = np.random.default_rng(seed)
    while stream:
        buffer = decoder.get_buffer()
        n = min(len(buffer), len(stream), int(rng.choice([1, 40, 1000, 4096, 9000])))
        buffer[:n], stream = stream[:n], stream[n:]
        for frame in decoder.buffer_updated(n):
            assert len(frame.payload) == sizes[frame.header["i"]]
            seen.append(frame.header["i"])
    decoder.eof()
    assert seen == [*range(len(sizes))]


def test_another_protocol_is_refused_at_its_first_bytes() -> None:
    """An HTTP request is refused before a whole prefix is there, and shown."""
    assert refusal(b"GET /", where="link from 127.0.0.1:9") == (
        "link from 127.0.0.1:9: expected a frame, which starts with b'TIERFED\\n', got b'GET /'\n"
        "  to mend: the peer must be a tierfed node; see who dials this address"
    )


def test_another_version_names_both() -> None:
    """A frame of another version is refused with both versions, before anything else in it is read."""
    told = refusal(raw_frame(b"\x80", version=2, head_crc=0))
    assert "the peer sends frames of version 2, this side reads version 1" in told
    assert "to mend: run one version of tierfed at both ends" in told


@pytest.mark.parametrize("size", [HEADER_LIMIT + 1, 2**32 - 1])
def test_a_long_header_is_refused_before_it_is_read(size: int) -> None:
    """The announced length alone refuses a header of more than 64 KiB."""
    told = refusal(raw_frame(b"", header=size)[:32])
    assert f"a frame announces a header of {size} bytes, at most 65536 are taken" in told


@pytest.mark.parametrize("size", [1025, 2**63, 2**64 - 1])
def test_a_long_payload_is_refused_before_memory_is_taken(size: int) -> None:
    """A payload beyond the decoder's limit is refused without a call of `allocate`."""
    called: list[int] = []

    def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
        called.append(nbytes)
        return aligned(nbytes)

    told = refusal(raw_frame(b"\x80", size=size), limit=1024, allocate=allocate)
    assert f"a frame announces a payload of {size} bytes, at most 1024 are taken" in told
    assert not called


def test_a_long_header_is_read_and_its_room_given_back() -> None:
    """A header of 64 KiB passes, and the decoder is as small after it as before."""
    header = {"k": "v" * (HEADER_LIMIT - 6)}
    assert len(pack(header)) == HEADER_LIMIT
    decoder = FrameDecoder()
    frames = decoder.feed(joined(header, b"x") + joined({}))
    assert [f.header for f in frames] == [header, {}]
    assert len(decoder.get_buffer()) <= 4096


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (raw_frame(b"\x80", b"abc", crc=5), "the CRC32C of a payload of 3 bytes is 364b3fb7, its head says 00000005"),
        (raw_frame(b"\x80", head_crc=5), "the CRC32C of a head is"),
        (raw_frame(b"\xc1"), "is no msgpack of ours"),
        (raw_frame(b"\x81\xa1a"), "is no msgpack of ours"),
        (raw_frame(b"\x80\x80"), "is no msgpack of ours"),
        (raw_frame(b""), "is no msgpack of ours"),
        (raw_frame(b"\x81\x01\x02"), "is no msgpack of ours"),
        (raw_frame(b"\x81\xa1a\xd4\x05x"), "is no msgpack of ours"),
        (raw_frame(b"\x81\xa1a\xd6\xff\x00\x00\x00\x01"), "is no msgpack of ours"),
        (raw_frame(b"\x81\xa1a\xa1\xff"), "is no msgpack of ours"),
        (raw_frame(b"\x81\xa1a\xdd\xff\xff\xff\xff"), "is no msgpack of ours"),
        (raw_frame(b"\x81\xa1a" + b"\x91" * 5000 + b"\x90"), "is no msgpack of ours"),
        (raw_frame(b"\x81\xa1a" + b"\x91" * 20 + b"\x90"), "a header nests 16 deep"),
        (raw_frame(b"\x81\xa1a" + msgpack.packb([0] * 4097)), "is no msgpack of ours"),
        (raw_frame(b"\x90"), "a header is a list, not a map"),
        (raw_frame(b"\x01"), "a header is a int, not a map"),
        (raw_frame(b"\x81\xc4\x01a\x01"), "a key that is no string"),
        (raw_frame(b"\x82\xa1a\x01\xa1a\x02"), "a header is not in its shortest form"),
        (raw_frame(b"\x81\xa1a\xcc\x01"), "a header is not in its shortest form"),
        (raw_frame(b"\x81\xa1a\xca\x00\x00\x00\x00"), "a header is not in its shortest form"),
        (raw_frame(b"\x80")[:-1] + b"x", "the padding of a frame is not zero"),
        (raw_frame(b"\x80", b"abc")[:-1] + b"x", "the padding of a frame is not zero"),
    ],
)
def test_malformed_frames_are_refused(frame: bytes, told: str) -> None:
    """Each kind of malformed frame gives a FrameError that says what is wrong, whole or byte by byte."""
    assert told in refusal(frame)
    decoder = FrameDecoder()
    with pytest.raises(FrameError, match="to mend:"):
        for i in range(len(frame)):
            decoder.feed(frame[i : i + 1])


@pytest.mark.parametrize("wrong", [0, 9, 13, 17, 25, 29, 33, 40, 64, 70])
def test_each_flipped_bit_is_noticed(wrong: int) -> None:
    """A bit flipped in any part of a frame is an error, never another frame."""
    data = bytearray(joined({"k": "v"}, b"payload"))
    data[wrong] ^= 4
    refusal(bytes(data))


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        (5, "the stream ended after 5 bytes of the head of a frame"),
        (40, "the stream ended after 40 bytes of the head of a frame"),
        (64, "the stream ended after 0 bytes of the 10 bytes of a payload"),
        (70, "the stream ended after 6 bytes of the 10 bytes of a payload"),
        (74, "the stream ended after 0 bytes of the 54 zeros that end a frame"),
    ],
)
def test_a_truncated_frame_is_told_at_the_end(cut: int, told: str) -> None:
    """The end of a stream inside a frame is an error that says how far it came."""
    text = refusal(joined({"k": 1}, bytes(10))[:cut])
    assert told in text
    assert "to mend: see why the peer closed the connection; it has to send again" in text


def test_after_an_error_nothing_more_is_read() -> None:
    """A decoder that has refused something raises the same error at each further call."""
    decoder = FrameDecoder()
    with pytest.raises(FrameError) as first:
        decoder.feed(b"garbage!")
    for call in (decoder.get_buffer, decoder.eof, lambda: decoder.buffer_updated(1)):
        with pytest.raises(FrameError) as again:
            call()
        assert again.value is first.value


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"k": "v" * HEADER_LIMIT}, "a header of 65544 bytes, at most 65536 fit"),
        ({"k": np.float32(1)}, "a header holds a float32"),
        ({"k": (1, 2)}, "a header holds a tuple"),
        ({1: 2}, "a key that is no string"),
        ({"k": 2**64}, "the header cannot be packed"),
        ({"k": "\ud800"}, "the header cannot be packed"),
        ([], "a header is a list, not a map"),
    ],
)
def test_headers_that_no_peer_would_take_are_not_sent(header: Any, told: str) -> None:
    """`encode` refuses what a decoder would refuse."""
    with pytest.raises(FrameError, match="encode: ") as caught:
        encode(header)
    assert told in str(caught.value)
    assert isinstance(caught.value, TierfedError)
