"""Blosc2: the bytes of elements sorted by their place in the element, then compressed without loss.

    none+blosc2        bf16+blosc2(typesize=2)        int8+blosc2(typesize=1,codec=lz4)

Floats of similar size have similar first bytes and noise in their last; side by side, the first ones
compress and the last ones do no harm.  `typesize` is the bytes of an element in what the stage before
wrote.

Wire form: one Blosc2 chunk of the whole elements, with its header of 32 bytes, blocks of 64 KiB that are not
split, and the shuffle as its one filter; then the bytes that are no whole element, as they are (the library loses
such bytes in some shapes).  Of no whole element there is no chunk.

Safe against bombs: the header is held against what is expected before a byte is taken for it: the
size that it declares, its own length, and that nothing but what `encode` writes is asked for.  A header
could name filters and compressors that the library looks for among plugins, or ask for memory as it was found.

Source: README_CHUNK_FORMAT.rst of c-blosc2; Alted 2010, "Why modern CPUs are starving and what can be done about it".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tierfed.codecs import Buffer, ByteStage
from tierfed.errors import CodecError

TYPESIZES = (1, 2, 4, 8, 16)  # bytes; divisors of a block
LEVELS = range(1, 10)
CODECS = {"lz4": 1, "zstd": 5}  # as the header numbers them
LONGEST = 2**31 - 1 - 32  # bytes of a chunk
_HEADER = struct.Struct("<BBBBIII6sBB6sBB")
_BLOCK = 1 << 16  # fixed: the library's own choice depends on the processor's caches
_VERSION = 5
_EXTENDED, _COPIED, _DELTA, _WHOLE = 0x05, 0x02, 0x08, 0x10  # of the flags
_FORMATS = {1: "lz4", 4: "zstd"}  # the upper three bits of the flags
_SHUFFLE = b"\1\0\0\0\0\0"
_ZEROS = 0x10  # of the second flags: a chunk of zeros


@dataclass(frozen=True, slots=True)
class Blosc2(ByteStage):
    """See the module docstring; `typesize` is 1, 2, 4, 8 or 16, `level` 1 (fast) to 9 (small), `codec` lz4 or zstd."""

    name: ClassVar[str] = "blosc2"
    typesize: int = 4
    level: int = 5
    codec: str = "zstd"

    def __post_init__(self) -> None:
        if type(self.typesize) is not int or self.typesize not in TYPESIZES:
            raise CodecError(f"no element has {self.typesize!r} bytes", where="blosc2", mend="give 1, 2, 4, 8 or 16")
        if type(self.level) is not int or self.level not in LEVELS:
            raise CodecError(f"there is no level {self.level!r}", where="blosc2", mend="give a level from 1 to 9")
        if self.codec not in CODECS:
            raise CodecError(f"there is no codec {self.codec!r}", where="blosc2", mend="write lz4 or zstd")

    def most(self, size: int) -> int:
        return size + _HEADER.size if size else 0

    def encode(self, data: Buffer) -> Buffer:
        view = memoryview(data).cast("B")
        whole = view.nbytes - view.nbytes % self.typesize
        if not whole:
            return bytes(view)
        if whole > LONGEST:
            raise CodecError(f"{whole} bytes are too many", where="blosc2", mend="encode chunks, as links do")
        import blosc2  # not before it is used: nodes of other codecs do not pay for it

        coded: bytes = blosc2.compress2(
            view[:whole],
            codec=blosc2.Codec[self.codec.upper()],
            clevel=self.level,
            typesize=self.typesize,
            blocksize=_BLOCK,
            splitmode=blosc2.SplitMode.NEVER_SPLIT,
            nthreads=1,  # nodes share the machine
            filters=[blosc2.Filter.SHUFFLE],
            filters_meta=[0],
        )
        return coded + view[whole:]

    def decode(self, data: memoryview, least: int, most: int) -> Buffer:
        whole, length = self._declared(data) if len(data) >= self.typesize else (0, 0)
        size = whole + len(data) - length
        if not least <= size <= most:
            expected = f"{most}" if least == most else f"at most {most}"
            raise _refused(f"{size} bytes are declared, where {expected} are expected")
        if not whole:
            return bytes(data)
        import blosc2

        out = bytearray(size)
        try:
            blosc2.decompress2(data[:length], dst=memoryview(out)[:whole], nthreads=1)
        except (RuntimeError, ValueError) as e:
            raise _refused(f"the chunk of {length} bytes is damaged ({e})") from None
        out[whole:] = data[length:]
        return out

    def _declared(self, data: memoryview) -> tuple[int, int]:
        """Return the size and the length that a header declares; raises CodecError if `encode` writes no such one."""
        if len(data) < _HEADER.size:
            raise _refused(f"{len(data)} bytes are no chunk")
        header = _HEADER.unpack_from(data)
        version, _, flags, typesize, size, block, length, filters, codec, _, meta, reserved, special = header
        if not 0 <= len(data) - length < self.typesize:
            raise _refused(f"the chunk declares a length of {length} bytes, of {len(data)} that there are")
        if not (
            version == _VERSION
            and flags & _EXTENDED == _EXTENDED
            and not flags & _DELTA
            and (flags & _COPIED or (flags & _WHOLE and _FORMATS.get(flags >> 5) == self.codec))
            and codec == CODECS[self.codec]
            and typesize == self.typesize
            and 0 < size <= LONGEST
            and not size % typesize
            and 0 < block <= _BLOCK
            and filters == _SHUFFLE
            and not any(meta)
            and not reserved
            and special in (0, _ZEROS)
        ):
            raise _refused("the chunk's header is none that this codec writes")
        return size, length


def _refused(what: str) -> CodecError:
    return CodecError(
        what,
        where="blosc2",
        mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
    )
