"""Frames: a small header that is read first, and raw bytes that land where they will stay.

    offset  bytes  little-endian
         0      8  magic, "TIERFED" and a newline
         8      4  version, 1
        12      4  header length H, at most 65536
        16      8  payload length P
        24      4  CRC32C of the payload
        28      4  CRC32C of bytes 0-27 and the header
        32      H  header: a msgpack map, in its shortest form
         .      .  zeros up to a multiple of 64
         .      P  payload: raw bytes
         .      .  zeros up to a multiple of 64

    decoder = FrameDecoder(allocate=lambda header, nbytes: pool.take(nbytes))
    decoder.get_buffer(-1)[: len(data)] = data;  frames = decoder.buffer_updated(len(data))

Sound because each thing is checked before the next is believed: the lengths against
their limits before the header is read, the head's own CRC before msgpack sees it, and
`allocate` may look at the header, and refuse, before there is memory for the payload.
The payload is received into that memory, with no copy between; only what came along
with a header, 4 KiB at most, is moved.  Frames laid end to end in a file keep each
payload at a multiple of 64.

CRC32C is Castagnoli's polynomial, as in RFC 3720, appendix B.4.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import google_crc32c
import numpy as np

from tierfed.errors import FrameError
from tierfed.wire.plain import HEADER_LIMIT, Header, pack, unpack

MAGIC = b"TIERFED\n"
VERSION = 1
PAYLOAD_LIMIT = 8 << 20  # bytes, what a decoder takes when it is not told; the largest chunk takes 4 MiB
ALIGN = 64  # bytes, what DLPack and the vector units ask for

_PREFIX = struct.Struct("<8sIIQII")
_HEAD_CRC = struct.Struct("<I")
_COVERED = _PREFIX.size - _HEAD_CRC.size  # bytes of the prefix under the head's CRC
_STAGE = 4096  # bytes read ahead of a header: most heads and small payloads in one read
_ZEROS = bytes(ALIGN)

Bytes: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One whole frame whose CRCs hold: its header, payload, the payload's CRC32C, and its bytes on the wire."""

    header: Header
    payload: memoryview
    crc: int
    nbytes: int


class Sealed(tuple[Any, ...]):
    """Buffers with the CRC32C of their bytes, end to end, so that `encode` need not compute it."""

    crc: int

    @staticmethod
    def of(*buffers: Any) -> Sealed:
        """Return `buffers` with their CRC32C; they must not change from now on."""
        sealed = Sealed(b if type(b) is bytes else _flat(b) for b in buffers)
        sealed.crc = _crc_of(sealed)
        return sealed


_NOTHING = Sealed()
_NOTHING.crc = 0


def crc32c(data: Any, crc: int = 0) -> int:
    """Return the CRC32C of `data` (contiguous), going on from `crc`."""
    if type(data) is not bytes:
        data = np.frombuffer(data, np.uint8)  # the C function takes no memoryview
    value: int = google_crc32c.extend(crc, data)
    return value


def aligned(nbytes: int) -> memoryview:
    """Return a new, writable buffer of `nbytes` bytes at an address that is a multiple of 64."""
    if nbytes == 0:
        return memoryview(bytearray())
    raw = np.empty(nbytes + ALIGN - 1, np.uint8)
    at = -int(raw.__array_interface__["data"][0]) % ALIGN
    return raw.data[at : at + nbytes]


def padded(nbytes: int) -> int:
    """Return `nbytes` rounded up to a multiple of 64."""
    return -(-nbytes // ALIGN) * ALIGN


def frame_bytes(header_bytes: int, payload_bytes: int) -> int:
    """Return the bytes of a frame on the wire, from those of its header and payload."""
    return padded(_PREFIX.size + header_bytes) + padded(payload_bytes)


def encode(header: Header, buffers: Sequence[Any] = ()) -> list[Bytes]:
    """Return the frame of `header` and the bytes of `buffers`, end to end, as buffers to be written in order.

    The payload is not copied: the result holds views of `buffers`.

    Raises FrameError if the header takes more than 64 KiB or is not made of None, bool,
    int, float, str, bytes, list and dict.
    """
    packed = pack(header)
    sealed = buffers if isinstance(buffers, Sealed) else Sealed.of(*buffers) if buffers else _NOTHING
    size = sum(map(len, sealed))
    # The last field is the CRC of what stands before it, so it is packed as 0 and cut off.
    front = _PREFIX.pack(MAGIC, VERSION, len(packed), size, sealed.crc, 0)[:_COVERED]
    head = front + _HEAD_CRC.pack(google_crc32c.extend(google_crc32c.value(front), packed)) + packed
    frame: list[Bytes] = [head + _ZEROS[: -len(head) % ALIGN]]
    frame += (b for b in sealed if len(b))
    if size % ALIGN:
        frame.append(_ZEROS[: -size % ALIGN])
    return frame


def _flat(buffer: Any) -> memoryview:
    view = memoryview(buffer)
    return view.cast("B") if view.nbytes else memoryview(b"")  # a view with a zero in its shape has no cast


def _crc_of(buffers: Sequence[Any]) -> int:
    crc = 0
    for buffer in buffers:
        crc = crc32c(buffer, crc) if len(buffer) else crc
    return crc


class _Common(threading.local):
    """The stage that the decoders of a thread share: what they are given is read before the next is asked."""

    def __init__(self) -> None:
        self.stage = memoryview(bytearray(_STAGE))


_common = _Common()


class FrameDecoder:
    """Bytes in, frames out, shaped for `asyncio.BufferedProtocol`.

    `limit` is the most bytes a payload may have.  `allocate(header, nbytes)` returns
    writable memory for a payload, or raises to refuse the frame; it is called when every
    frame before has been returned, and not for a payload that has arrived with its head
    (less than 4 KiB).  `where` names the peer in errors.  After an error, each further
    call raises the same.
    """

    __slots__ = ("_allocate", "_broken", "_crc", "_end", "_got", "_header", "_limit", "_payload", "_prefix",
                 "_read", "_skip", "_stage", "_where")  # fmt: skip

    def __init__(
        self,
        *,
        limit: int = PAYLOAD_LIMIT,
        allocate: Callable[[Header, int], memoryview] | None = None,
        where: str = "frame",
    ) -> None:
        self._limit = limit
        self._allocate = allocate
        self._where = where
        self._stage = _common.stage  # a stage of its own only while there is something in it
        self._read = 0  # the bytes of the stage in _read.._end are still to be looked at
        self._end = 0
        self._skip = 0  # zeros still to come after the last payload
        self._prefix: tuple[int, int, int, int] | None = None  # header length, payload length, both CRCs
        self._header: Header | None = None  # read, its payload is under way
        self._payload = memoryview(b"")
        self._got = 0
        self._crc = 0
        self._broken: Exception | None = None

    @property
    def within(self) -> str | None:
        """Which part of a frame has begun and not ended: "head", "payload", or None between two frames."""
        if self._header is not None:
            return "payload"
        return "head" if self._read < self._end or self._skip else None

    def get_buffer(self, sizehint: int = -1) -> memoryview:
        """Return the memory that the next bytes belong in; `sizehint` is asyncio's and not used."""
        if self._broken is not None:
            raise self._broken
        if self._header is not None:
            return self._payload[self._got :]
        if self._read == self._end:
            self._stage, self._read, self._end = _common.stage, 0, 0  # this thread's
        elif self._end == len(self._stage):  # and something in front was used, or there would be room already
            self._restage(len(self._stage))
        return self._stage[self._end :]

    def buffer_updated(self, nbytes: int) -> list[Frame]:
        """Return the frames that `nbytes` more bytes, in the last buffer given out, have made whole.

        Raises FrameError for bytes that are no frame, and whatever `allocate` raises.
        """
        if self._broken is not None:
            raise self._broken
        try:
            if self._header is not None:
                return self._received(nbytes)
            self._end += nbytes
            frames = self._parse()
            if self._read < self._end and self._stage is _common.stage:
                self._restage(_STAGE)
            return frames
        except Exception as e:
            self._broken = e
            raise

    def feed(self, data: Bytes) -> list[Frame]:
        """Return the frames that `data`, received elsewhere, has made whole; `allocate` may run ahead of them."""
        frames: list[Frame] = []
        view = memoryview(data).cast("B")
        while len(view):
            buffer = self.get_buffer()
            n = min(len(buffer), len(view))
            buffer[:n] = view[:n]
            frames += self.buffer_updated(n)
            view = view[n:]
        return frames

    def eof(self) -> None:
        """Take the end of the stream; raises FrameError if it cuts a frame in two."""
        if self._broken is not None:
            raise self._broken
        if self._header is not None:
            had, of = self._got, f"the {len(self._payload)} bytes of a payload"
        elif self._read < self._end:
            had, of = self._end - self._read, "the head of a frame"
        elif self._skip:
            had, of = 0, f"the {self._skip} zeros that end a frame"
        else:
            return
        raise self._error(
            f"the stream ended after {had} bytes of {of}",
            "see why the peer closed the connection; it has to send again",
        )

    def _error(self, what: str, mend: str) -> FrameError:
        return FrameError(what, where=self._where, mend=mend)

    def _restage(self, size: int) -> None:
        """Move what is staged to the front of a stage of `size` bytes."""
        rest = bytearray(size)
        rest[: self._end - self._read] = self._stage[self._read : self._end]
        self._stage, self._read, self._end = memoryview(rest), 0, self._end - self._read

    def _received(self, nbytes: int) -> list[Frame]:
        at = self._got
        self._got += nbytes
        self._crc = crc32c(self._payload[at : self._got], self._crc)
        return [self._finished()] if self._got == len(self._payload) else []

    def _parse(self) -> list[Frame]:
        frames: list[Frame] = []
        while self._read < self._end:
            if self._skip:
                n = min(self._skip, self._end - self._read)
                self._check_zeros(self._read, self._read + n)
                self._read += n
                self._skip -= n
            elif self._prefix is None:
                if not self._parse_prefix():
                    break
            elif not self._parse_header(*self._prefix, first=not frames):
                break
            elif self._take_staged():
                frames.append(self._finished())
        if self._read == self._end:
            self._stage, self._read, self._end = _common.stage, 0, 0
        return frames

    def _parse_prefix(self) -> bool:
        """Read the 32 bytes before the header; return whether they are all there."""
        staged = self._stage[self._read : self._end]
        n = min(len(staged), len(MAGIC))
        if staged[:n] != MAGIC[:n]:
            raise self._error(
                f"expected a frame, which starts with {MAGIC!r}, got {bytes(staged[:16])!r}",
                "the peer must be a tierfed node; see who dials this address",
            )
        if len(staged) < _PREFIX.size:
            return self._make_room(_PREFIX.size)
        _, version, header, payload, crc, head_crc = _PREFIX.unpack_from(staged)
        if version != VERSION:
            raise self._error(
                f"the peer sends frames of version {version}, this side reads version {VERSION}",
                "run one version of tierfed at both ends",
            )
        for part, size, limit in (("header", header, HEADER_LIMIT), ("payload", payload, self._limit)):
            if size > limit:
                raise self._error(
                    f"a frame announces a {part} of {size} bytes, at most {limit} are taken",
                    "the peer must send its values in chunks, as tierfed's messages do",
                )
        self._prefix = (header, payload, crc, head_crc)
        return True

    def _make_room(self, nbytes: int) -> bool:
        if len(self._stage) - self._read < nbytes:
            self._restage(max(nbytes, _STAGE))
        return False

    def _parse_header(self, header: int, payload: int, crc: int, head_crc: int, *, first: bool) -> bool:
        """Read the header and get memory for the payload; return whether that was possible."""
        start = self._read
        stop = start + _PREFIX.size + header
        size = padded(stop - start)
        if self._end - start < size:
            return self._make_room(size)
        staged = self._end - start - size >= payload
        if not (staged or first):  # `allocate` is for the next call: the caller has not seen the frames before
            return False
        packed = bytes(self._stage[start + _PREFIX.size : stop])
        found = google_crc32c.extend(google_crc32c.value(bytes(self._stage[start : start + _COVERED])), packed)
        if found != head_crc:
            raise self._error(
                f"the CRC32C of a head is {found:08x}, it says {head_crc:08x}",
                "bytes were changed on the way; the peer has to send again",
            )
        self._check_zeros(stop, start + size)
        self._header = unpack(packed, self._where)
        self._payload = aligned(payload) if staged else self._memory(self._header, payload)
        self._got = self._crc = 0
        self._read = start + size
        return True

    def _memory(self, header: Header, nbytes: int) -> memoryview:
        memory = aligned(nbytes) if self._allocate is None else self._allocate(header, nbytes)
        if memory.readonly or memory.format != "B" or memory.ndim != 1 or len(memory) < nbytes:
            raise self._error(f"the buffer for {nbytes} bytes is {memory!r}", "`allocate` must return writable bytes")
        return memory[:nbytes]

    def _take_staged(self) -> bool:
        """Move what was read ahead of a payload into its memory; return whether that is all of it."""
        n = min(len(self._payload) - self._got, self._end - self._read)
        if n:
            part = self._payload[self._got : self._got + n]
            part[:] = self._stage[self._read : self._read + n]
            self._crc = crc32c(part, self._crc)
            self._got += n
            self._read += n
        return self._got == len(self._payload)

    def _finished(self) -> Frame:
        header, payload, prefix = self._header, self._payload, self._prefix
        if header is None or prefix is None:
            raise RuntimeError("a frame was finished before it was begun")
        if self._crc != prefix[2]:
            raise self._error(
                f"the CRC32C of a payload of {len(payload)} bytes is {self._crc:08x}, its head says {prefix[2]:08x}",
                "bytes were changed on the way; the peer has to send again",
            )
        self._header = self._prefix = None
        self._payload = memoryview(b"")
        self._skip = -len(payload) % ALIGN
        if len(self._stage) > _STAGE and self._end - self._read <= _STAGE:
            self._restage(_STAGE)  # a long header's room is given back
        return Frame(header, payload, self._crc, frame_bytes(prefix[0], len(payload)))

    def _check_zeros(self, start: int, stop: int) -> None:
        if self._stage[start:stop] != _ZEROS[: stop - start]:
            raise self._error("the padding of a frame is not zero", "run one version of tierfed at both ends")
