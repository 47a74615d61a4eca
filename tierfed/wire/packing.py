"""Packing: which column of a message travels in which frame.

    bias float32[64], w float32[784,512], step int32
    →   slab: bias at 0, step at 256 · chunk: w[0:262144] · chunk: w[262144:401408]

Columns of fewer than 4096 elements go raw, of whatever dtype, in slabs of up to 1 MiB;
a small message is one slab and so one frame.  A larger column goes in chunks of 2^18
elements, each coded for itself: by the codec that the link has for its path, or raw if the column
is structural.

Sound because both ends compute the packing from the same columns and codec: no offset
and no length travels, and a frame whose payload is not as long as the packing says is
refused before there is memory for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tierfed.codecs import CHUNK, Codec, LinkCodec, Rules, codec
from tierfed.codecs.delta import BASE
from tierfed.codecs.rules import tensor_name
from tierfed.errors import CodecError
from tierfed.wire.layout import Column

SMALL = 4096  # elements; from here on the codec is used
SLAB = 1 << 20  # bytes of a slab, unless it holds a single column
_PLACE = 8  # bytes; each column of a slab starts at a multiple of them

RAW = codec("none")


@dataclass(frozen=True, slots=True)
class Slab:
    """Small columns, raw: the index of each and its offset; `nbytes` is the length of all."""

    places: tuple[tuple[int, int], ...]
    nbytes: int

    @property
    def most_bytes(self) -> int:
        """The most bytes that a payload may have."""
        return self.nbytes

    @property
    def raw_bytes(self) -> int:
        """Bytes of the same payload under `none`."""
        return self.nbytes

    def takes(self, nbytes: int) -> str | None:
        """Return the sizes that a payload may have, None if `nbytes` is one of them."""
        return None if nbytes == self.nbytes else str(self.nbytes)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Elements `start` to `stop` of the column `index`, under `coder`."""

    index: int
    start: int
    stop: int
    coder: Codec
    dtype: str
    raw_bytes: int

    @property
    def trusted(self) -> bool:
        """Whether any bytes of the right number can be decoded."""
        return self.coder == RAW and self.dtype != "bool"

    @property
    def most_bytes(self) -> int:
        """The most bytes that a payload may have."""
        return self.coder.most_bytes(self.stop - self.start, self.dtype) or 0

    def takes(self, nbytes: int) -> str | None:
        """Return the sizes that a payload may have, None if `nbytes` is one of them."""
        most = self.most_bytes
        if self.coder.fixed_size:
            return None if nbytes == most else str(most)
        return None if 0 < nbytes <= most else f"1 to {most}"


Pack: TypeAlias = Slab | Chunk


@dataclass(frozen=True, slots=True)
class Agreed:
    """The codec of a link whose senders have agreed (terms.py): `chunks` has that of each chunk, by path and start."""

    link: LinkCodec
    chunks: Mapping[tuple[str, int], Codec]

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codecs that the link has for tensors."""
        return self.link.codecs if isinstance(self.link, Rules) else (self.link,)

    def at(self, path: str) -> Codec:
        """Return the codec that the link has for a path."""
        return self.link.at(path)

    def __str__(self) -> str:
        return str(self.link)


def packing(columns: Sequence[Column], coder: LinkCodec | Agreed, *, in_full: bool = False) -> list[Pack]:
    """Return the frames of a message with `columns`, at least one, in order.

    With `in_full`, what would be sent as a difference to a base is sent as it is.

    Raises CodecError if a large column is of a dtype that `coder` does not carry.
    """
    slabs: list[Pack] = []
    chunks: list[Pack] = []
    places: list[tuple[int, int]] = []
    end = 0
    for index, column in enumerate(columns):
        size, nbytes = column.type.size or 0, column.type.nbytes or 0  # of a column, all sizes are known
        if size >= SMALL:
            by = RAW if column.structural else check_carried(column, coder)
            if in_full and by.state == BASE:
                by = by.in_full
            by = by.of_shape(shape_of(column))
            grain = size if by.array_stage.grain == "tensor" else CHUNK
            for at in range(0, size, grain):
                stop = min(at + grain, size)
                own = coder.chunks.get((column.path, at), by) if isinstance(coder, Agreed) else by
                chunks.append(Chunk(index, at, stop, own, column.type.name, nbytes // size * (stop - at)))
            continue
        start = -(-end // _PLACE) * _PLACE
        if places and start + nbytes > SLAB:
            slabs.append(Slab(tuple(places), end))
            places, start = [], 0
        places.append((index, start))
        end = start + nbytes
    if places or not chunks:
        slabs.append(Slab(tuple(places), end))
    return slabs + chunks


def coded_bytes(packs: Iterable[Pack | None]) -> int:
    """Return the bytes of the columns, as they are in memory, that these frames have under a codec."""
    return sum(p.raw_bytes for p in packs if isinstance(p, Chunk) and p.coder != RAW)


def shape_of(column: Column) -> tuple[int, ...]:
    """Return the shape of a column, of which all sizes are known."""
    return tuple(s or 0 for s in column.type.shape or ())


def check_carried(column: Column, coder: LinkCodec | Agreed) -> Codec:
    """Return the codec that a link has for a column; raises CodecError, naming it, if its dtype is not carried."""
    by = coder.at(column.path)
    try:
        by.check_carries(column.type)
    except CodecError as e:
        mend = e.mend
        if isinstance(coder, Rules):
            mend = f'give it a rule of its own, before the others: "{tensor_name(column.path)}": none'
        raise CodecError(e.what, where=column.path, mend=mend) from e
    return by
