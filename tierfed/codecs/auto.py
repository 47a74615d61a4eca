"""Auto: the lossless stage that pays for this chunk, found by looking at a sixty-fourth of it.

    auto = none+auto        int8+auto        none+auto(level=9)

    raw      as it is                                    tag 0
    zstd     a Zstandard frame                           tag 1
    shuffle  bytes of one place of each element together, then zstd: by 2, 4 or 8      tag 2, 4, 8

Wire form: the tag, then the bytes, or one Zstandard frame with its size (zstd.py) that is shorter
than they are; of nothing, nothing.  So a code is at most one byte longer than what it is of.  Bytes
after the last whole element stay at the end.

What pays is estimated on sixteen pieces of 1 KiB, evenly spread.  One histogram, by value and by
place within eight bytes, gives the entropy of a byte under each of the four layouts: shuffling pays where
places differ, as the exponents and the last bits of floats do.  What repeats without being
frequent, which no entropy sees, is found by compressing the pieces.  Where less than a thirty-second
would be saved, nothing is tried.  Dense float32 saves a sixth, most quantised values nothing.

Safe against bombs as zstd is: the size that a frame declares is compared with what is wanted first.

Source: the byte shuffle of Masui et al. 2015, arXiv:1503.00638, section 2.2, and of Blosc; the
correction of entropies for short samples, Miller 1955.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs.stage import Array, Buffer, ByteStage
from tierfed.codecs.zstd import LEVELS, Zstd, compressor
from tierfed.errors import CodecError

RAW = 0
WIDTHS = (1, 2, 4, 8)  # bytes of an element; 1 is zstd alone
_PIECES, _PIECE = 16, 1024  # of a sample, each of so many bytes
_SHORTEST = 64  # bytes; fewer are not worth a frame
_GAIN = 1 / 32  # of the bytes, which must be hoped for
_MARGIN = 1 / 100  # of the bytes, by which a wider element must be better
_PLACES = np.repeat((np.arange(WIDTHS[-1]) * 256).astype(np.int64)[None], _PIECES * _PIECE // WIDTHS[-1], axis=0)


@dataclass(frozen=True, slots=True)
class Auto(ByteStage):
    """See the module docstring; `level` is zstd's, 1 (fast) to 22 (small)."""

    name: ClassVar[str] = "auto"
    level: int = 1

    def __post_init__(self) -> None:
        if type(self.level) is not int or self.level not in LEVELS:
            raise CodecError(f"there is no level {self.level!r}", where="auto", mend="give a level from 1 to 22")

    def most(self, size: int) -> int:
        return size + 1 if size else 0

    def encode(self, data: Buffer) -> Buffer:
        raw = np.frombuffer(data, np.uint8)
        if not raw.size:
            return b""
        width = self.chosen(raw)
        if width != RAW:
            packed = packed_by(raw, width, self.level)
            if len(packed) < raw.size:
                return b"".join((bytes((width,)), packed))
        return b"".join((bytes((RAW,)), raw.data))

    def chosen(self, raw: Array) -> int:
        """Return the tag of what is likely to pay for `raw`, bytes as uint8."""
        if raw.size < _SHORTEST:
            return RAW
        sample = _sample(raw)
        estimates = dict(zip(WIDTHS, _entropies(sample), strict=True))
        estimates[1] = min(estimates[1], len(Zstd(1).encode(sample.data)) / sample.size)
        least = min(estimates.values())
        return next(w for w in WIDTHS if estimates[w] <= least + _MARGIN) if least <= 1 - _GAIN else RAW

    def decode(self, data: memoryview, least: int, most: int) -> Buffer:
        if not len(data):
            return b""
        tag, packed = data[0], data[1:]
        if tag == RAW:
            if not max(least, 1) <= len(packed) <= most:
                expected = f"{most}" if least == most else f"at most {most}"
                raise _refused(f"{len(packed)} bytes as they are, where {expected} are expected")
            return packed
        if tag not in WIDTHS:
            raise _refused(f"no stage has the tag {tag}")
        if len(packed) >= most:
            raise _refused(f"a frame of {len(packed)} bytes is not shorter than what it is of")
        raw = np.frombuffer(Zstd(self.level).decode(packed, max(least, len(packed) + 1), most), np.uint8)
        if not raw.size:
            raise _refused("a tag, and no frame")
        return _unshuffled(raw, tag).data


def _sample(raw: Array) -> Array:
    """Return the pieces of `raw` that are looked at; all of it where that is not much more."""
    if raw.size <= _PIECES * _PIECE:
        return raw
    starts = np.linspace(0, raw.size - _PIECE, _PIECES).astype(np.int64) // WIDTHS[-1] * WIDTHS[-1]
    return np.concatenate([raw[at : at + _PIECE] for at in starts])


def _entropies(sample: Array) -> list[float]:
    """Return the bytes that a byte takes, at best, when those of each place within an element are alike; by width."""
    rows = sample[: sample.size // WIDTHS[-1] * WIDTHS[-1]].reshape(-1, WIDTHS[-1])
    counts = np.bincount(np.add(rows, _PLACES[: len(rows)]).reshape(-1), minlength=256 * WIDTHS[-1])
    lanes = counts.reshape(WIDTHS[-1], 256)
    return [_entropy(lanes.reshape(-1, width, 256).sum(axis=0)) / 8 for width in WIDTHS]


def _entropy(lanes: Array) -> float:
    """Return the mean entropy of a byte, in bits, of `lanes` of as many bytes each, by their counts of each value."""
    each = lanes[0].sum()
    shares = lanes[lanes > 0] / each
    bias = (shares.size - len(lanes)) / (2 * each)  # a short sample looks more orderly than its source
    return float((bias - (shares * np.log(shares)).sum()) / np.log(2) / len(lanes))


def packed_by(raw: Array, width: int, level: int) -> bytes:
    """Return a frame of `raw`, shuffled by `width`: each place begins a block, for its frequencies are its own."""
    if width == 1:
        return bytes(Zstd(level).encode(raw.data))
    import zstandard  # daemons that use other codecs do not pay for it

    whole = raw.size // width * width
    packing = compressor(level).compressobj(size=raw.size)
    pieces = []
    for place in range(width):
        pieces.append(packing.compress(np.ascontiguousarray(raw[place:whole:width]).data))
        pieces.append(packing.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    pieces.append(packing.compress(raw[whole:].data))
    pieces.append(packing.flush())
    return b"".join(pieces)


def _unshuffled(raw: Array, width: int) -> Array:
    if width == 1:
        return raw
    whole = raw.size // width * width
    out = np.empty_like(raw)
    for place, values in enumerate(raw[:whole].reshape(width, -1)):
        out[place:whole:width] = values  # three times as fast as a transposed copy
    out[whole:] = raw[whole:]
    return out


def _refused(what: str) -> CodecError:
    return CodecError(
        what,
        where="auto",
        mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
    )
