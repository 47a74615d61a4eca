"""Zstd: what the stage before it wrote, compressed without loss.

    int8+zstd        none+zstd(level=9)

Wire form: one Zstandard frame with its content size, without checksum (the frames of a
link carry a CRC32C); of nothing, nothing.

Safe against bombs: a decoder knows how many bytes it wants.  The size that the frame
declares is compared with that before any memory is taken, because the library
allocates the declared size, whatever limit it is given; and a frame declares its size,
or is refused.

Source: RFC 8878.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tierfed.codecs.stage import Buffer, ByteStage
from tierfed.errors import CodecError

if TYPE_CHECKING:
    import zstandard

LEVELS = range(1, 23)
_BLOCK = 128 * 1024  # bytes that a block of a frame holds at most …
_SMALLEST_BLOCK = 4  # … and the bytes that it takes at least


class _Compressors(threading.local):
    """This thread's compressors by level: one serves one thread at a time, and keeps its memory between chunks."""

    def __init__(self) -> None:
        self.by_level: dict[int, zstandard.ZstdCompressor] = {}


_compressors = _Compressors()


@dataclass(frozen=True, slots=True)
class Zstd(ByteStage):
    """See the module docstring; `level` is 1 (fast) to 22 (small)."""

    name: ClassVar[str] = "zstd"
    level: int = 3

    def __post_init__(self) -> None:
        if type(self.level) is not int or self.level not in LEVELS:
            raise CodecError(f"there is no level {self.level!r}", where="zstd", mend="give a level from 1 to 22")

    def most(self, size: int) -> int:
        """Return ZSTD_COMPRESSBOUND of `size`."""
        return size + (size >> 8) + (max(0, _BLOCK - size) >> 11)

    def encode(self, data: Buffer) -> Buffer:
        return compressor(self.level).compress(data) if len(data) else b""

    def decode(self, data: memoryview, least: int, most: int) -> Buffer:
        if not len(data):
            return b""
        import zstandard  # daemons that use other codecs do not pay for it

        try:
            declared = zstandard.get_frame_parameters(data).content_size
        except zstandard.ZstdError as e:
            raise _refused(f"{len(data)} bytes are no zstd frame ({e})") from None
        if declared in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
            raise _refused("the frame does not declare its size")
        if not least <= declared <= most:
            expected = f"{most}" if least == most else f"at most {most}"
            raise _refused(f"the frame declares {declared} bytes, where {expected} are expected")
        if declared > len(data) // _SMALLEST_BLOCK * _BLOCK:
            raise _refused(f"the frame declares {declared} bytes, more than its {len(data)} can hold")
        try:
            return zstandard.ZstdDecompressor().decompress(data, max_output_size=most, allow_extra_data=False)
        except zstandard.ZstdError as e:
            raise _refused(f"the frame of {len(data)} bytes is damaged ({e})") from None


def compressor(level: int) -> zstandard.ZstdCompressor:
    """Return this thread's compressor of `level`."""
    held = _compressors.by_level
    if level not in held:
        import zstandard

        held[level] = zstandard.ZstdCompressor(level=level)
    return held[level]


def _refused(what: str) -> CodecError:
    return CodecError(
        what,
        where="zstd",
        mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
    )
