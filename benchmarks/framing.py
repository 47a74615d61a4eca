"""Framing 40 MB of float32: its CPU beside memcpy and beside msgpack with the payload inside.

    python -m benchmarks.framing

Encoding ends with the list of buffers that a link would write; decoding starts from
segments of 256 KB, as a socket gives them: the copy of a segment into the decoder's buffer
stands for the socket's own.  Runs alternate, so that all see the same machine, and a
figure is the median of their CPU time.  *Beyond* is what is left of a run when its
baseline is taken off: for encoding the CRC32C of each chunk, for decoding the copy and the
CRC32C of each segment.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]  # has no stubs
import numpy as np

from benchmarks.rows import Row, row
from tierfed.codecs import CHUNK, codec
from tierfed.types import TensorType
from tierfed.wire.frame import FrameDecoder, aligned, crc32c, encode
from tierfed.wire.message import MessageReader, encode_message

ELEMENTS = 10_000_000  # float32: 40 MB
SEGMENT = 256 * 1024  # bytes that a socket gives at once
RUNS = 11

_NONE = codec("none")
_TYPE = TensorType(np.float32, (ELEMENTS,))


class _Rig:
    """The array, its frames on the wire, and memory that is used again, so that no run pays for new pages."""

    def __init__(self) -> None:
        self.array = np.random.default_rng(0).random(ELEMENTS, np.float32)
        self.raw = self.array.view(np.uint8)
        self.wire = np.frombuffer(b"".join(self.encode()), np.uint8).data
        self.packed = self.pack()
        self.copy = np.empty_like(self.raw)
        self.copy[:] = self.raw
        self.pool = [aligned(4 * CHUNK) for _ in range(ELEMENTS // CHUNK + 1)]

    def memcpy(self) -> None:
        self.copy[:] = self.raw

    def checksum(self) -> None:
        for at in range(0, self.raw.size, 4 * CHUNK):
            crc32c(self.raw[at : at + 4 * CHUNK])

    def copy_and_checksum(self) -> None:
        for i, buffer in enumerate(self.pool):
            chunk = self.raw.data[i * 4 * CHUNK : (i + 1) * 4 * CHUNK]
            for at in range(0, len(chunk), SEGMENT):
                n = min(SEGMENT, len(chunk) - at)
                buffer[at : at + n] = chunk[at : at + n]
                crc32c(buffer[at : at + n])

    def encode(self) -> list[Any]:
        message = encode_message({"site": "0.0", "member": "c1"}, [("update", _TYPE, self.array)], _NONE)
        return [buffer for header, buffers in message for buffer in encode(header, buffers)]

    def decode(self) -> None:
        reader = MessageReader([("update", _TYPE)], _NONE)
        pool = list(self.pool)

        def allocate(header: dict[str, Any], nbytes: int) -> memoryview:
            reader.admit(header, nbytes)
            return pool.pop()[:nbytes]

        decoder = FrameDecoder(allocate=allocate)
        at = 0
        while at < len(self.wire):
            buffer = decoder.get_buffer(-1)
            n = min(len(buffer), SEGMENT, len(self.wire) - at)
            buffer[:n] = self.wire[at : at + n]
            at += n
            for frame in decoder.buffer_updated(n):
                reader.feed(frame)
        if not reader.complete:
            raise RuntimeError("the message did not end")

    def pack(self) -> bytes:
        packed: bytes = msgpack.packb({"site": "0.0", "member": "c1", "update": self.array.tobytes()})
        return packed

    def unpack(self) -> None:
        np.frombuffer(msgpack.unpackb(self.packed, max_bin_len=1 << 30)["update"], np.float32)


def _cpu(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return 1e3 * (time.process_time() - before)


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark; times are CPU milliseconds."""
    rig = _Rig()
    calls: dict[str, Callable[[], object]] = {
        name: getattr(rig, name)
        for name in ("memcpy", "checksum", "copy_and_checksum", "encode", "decode", "pack", "unpack")
    }
    rounds = [{name: _cpu(call) for name, call in calls.items()} for _ in range((2 if quick else RUNS) + 1)][
        1:
    ]  # the first warms up
    ms = {name: statistics.median(r[name] for r in rounds) for name in calls}
    sending = statistics.median(r["encode"] - r["checksum"] for r in rounds)
    receiving = statistics.median(r["decode"] - r["copy_and_checksum"] for r in rounds)

    return [
        row("40 MB, memcpy", ms["memcpy"], "ms"),
        row("40 MB, CRC32C", ms["checksum"], "ms"),
        row("40 MB, encode, with its CRC32C", ms["encode"], "ms"),
        row("40 MB, decode, with the socket's copy and its CRC32C", ms["decode"], "ms"),
        row("encode beyond its CRC32C", sending, "ms", "<= 1"),
        row("decode beyond the copy and its CRC32C", receiving, "ms", "<= 1"),
        row("encode against memcpy", ms["encode"] / ms["memcpy"], "x"),
        row("decode against memcpy", ms["decode"] / ms["memcpy"], "x"),
        row("msgpack with the payload inside, against encode", ms["pack"] / ms["encode"], "x"),
        row("msgpack with the payload inside, against decode", ms["unpack"] / ms["decode"], "x"),
    ]


if __name__ == "__main__":
    for each in run():
        print(json.dumps(each))
