"""Thc: integers on a grid that all senders share, which a parent adds as integers.

    r = ‖block‖ / √m, of the sender           R = the largest r of all          x = rotation of the block / R
    code = ⌊(x + T) / Δ + u⌋ in 0 … L         L = 2^bits - 1,  Δ = 2 T / L      sum ≈ R (Δ Σ code - k T), rotated back

The rotation (rotation.py) is the same for all senders, so the sum of k codes is the code of the sum and is
turned back once.  It makes coordinates nearly normal, of deviation r <= R, so few are beyond ±T, to
which they are cut; within, u (uniform, the sender's own) makes the mean what was encoded.  Rotations are
shared, roundings are not: errors of senders do not correlate, but for what is cut.

T is by `bits` so that what is cut weighs a 64th of what is rounded.  4 bits: T = 3, the squared error is .0270 of
‖block‖² for a sender of the largest norm, and the mean over rotations is short of what was encoded by 2 Q(T) = .0027 of
it.  A sender of the norm r has an error of (R / r)² times as much, half as much again where r is small, and
nothing is cut.

Wire form, of one who has agreed: the codes, as `bits` planes (planes.py): bits ceil(n / 8) bytes.  Offer and
answer are one float32 a block, r and R.  Alone: seed (uint64), R of each block (float32), the codes: bits + 1/128
bits an element.  A block has 4096 elements, the last up to 8191; the rotation's signs are those of `Stream(seed)`.

A block is brought near 1 by the power of two of R first, or its rotation could overflow.  Sums are kept in
uint8, which holds 17 senders' codes of 4 bits, then uint16, uint32 and uint64, so none overflows.

Source: Li et al. 2024, THC, NSDI '24, arXiv:2302.08545, sections 4 and 5, with an even grid (their lookup table is
uneven) and the norm of a block of 4096 for that of the vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs import compiled, planes
from tierfed.codecs.agreeing import Agreeing, damaged
from tierfed.codecs.chunks import TILE, rows
from tierfed.codecs.floats import LARGEST, as_float32, ceiling, longest, refuse, unpack
from tierfed.codecs.rotation import BLOCK, SIDE, Signs, blocks, rotate, rotate_back, rotate_odd, rotate_odd_back, split
from tierfed.codecs.stage import Array, Buffer, Summing, add
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS

RANGES = {2: 2.24, 3: 2.65, 4: 3.0, 5: 3.32, 6: 3.62, 7: 3.9, 8: 4.17}  # T by bits
ERRORS = {2: 0.36968, 3: 0.09627, 4: 0.02700, 5: 0.007757, 6: 0.002234, 7: 0.0006384, 8: 0.0001811}  # of a normal block
_RANDOM_UNIT = np.float32(2.0**-16)
_RANDOM_HALF = np.float32(2.0**-17)
_SPREAD = 8  # standard deviations of an element that are taken for certain
_NAME = "thc"
_MEND = "run one version of tierfed at both ends of the link"


@dataclass(frozen=True, slots=True)
class Thc(Agreeing):
    """See the module docstring; `bits` is 2 to 8."""

    name: ClassVar[str] = _NAME
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    agrees: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    sum_domain: ClassVar[str] = "integers"
    kernels: ClassVar[str] = _NAME
    bits: int = 4

    def __post_init__(self) -> None:
        if type(self.bits) is not int or self.bits not in RANGES:
            raise CodecError(f"there are no {self.bits!r} bits", where=_NAME, mend="give 2 to 8 bits")

    @property
    def nmse(self) -> float:
        return ERRORS[self.bits]

    def offer_size(self, size: int) -> int:
        return blocks(size)

    def answer_size(self, size: int) -> int:
        return blocks(size)

    def code_bytes(self, size: int, dtype: str) -> int:
        return planes.nbytes(size, self.bits)

    def offer(self, chunk: Array, first: int, seed: int) -> Array:
        found = np.empty(blocks(chunk.size), np.float32)
        full, odd = split(chunk.size)
        loops = compiled.kernels(_NAME, chunk)
        with np.errstate(all="ignore"):
            held = np.empty(TILE, np.float32)
            for tile, _ in rows(full, BLOCK, longest(chunk, loops)):
                x = as_float32(chunk[tile], held[: tile.stop - tile.start])
                squares = np.empty(x.size // BLOCK)
                (_squares if loops is None else loops.squares)(x, squares)
                at = tile.start // BLOCK
                found[at : at + len(squares)] = self._sizes_of(squares, BLOCK, chunk, first)
            if odd:
                x = as_float32(chunk[full:], np.empty(odd, np.float32))
                found[-1:] = self._sizes_of(np.einsum("i,i->", x, x, dtype=np.float64).reshape(1), odd, chunk, first)
        return found

    def _sizes_of(self, squares: Array, width: int, chunk: Array, first: int) -> Array:
        """Return the sizes of blocks of `width` elements; raises CodecError if one has a value that is not finite."""
        if not np.isfinite(squares).all():
            refuse(_NAME, chunk, first)
        sizes: Array = np.minimum(np.sqrt(squares / width), LARGEST)
        return sizes

    def check_offer(self, offer: Array) -> None:
        wrong = ~((offer >= 0) & (offer <= np.float32(LARGEST)))
        if wrong.any():
            at = int(wrong.argmax())
            raise CodecError(f"{offer[at]:g} is no size of block {at}", where=_NAME, mend=_MEND)

    def combine(self, total: Array, offer: Array) -> None:
        np.maximum(total, offer, out=total)

    def answer(self, total: Array) -> Array:
        return total

    def agreed(self, answer: Array, seed: int) -> SharedGrid:
        wrong = (answer.view(np.uint32) >> np.uint32(23)) > 254  # a negative number, an infinity or a NaN
        if wrong.any():
            at = int(wrong.argmax())
            raise damaged(_NAME, f"the size of block {at} is {answer[at]:g}, none that values have")
        return SharedGrid.of(self, answer, seed)

    def bound(self, chunk: Array) -> Array:
        x = chunk.astype(np.float64)
        top = float(np.abs(x).max(initial=0)) or 1.0
        starts = np.arange(blocks(x.size)) * BLOCK
        widths = np.diff([*starts, x.size])
        squares = np.add.reduceat((x / top) ** 2, starts) if x.size else x
        spread: Array = np.repeat(_SPREAD * top * np.sqrt(ERRORS[self.bits] * squares / widths), widths) + 2.0**-140
        return spread


def _squares(x: Array, sums: Array) -> None:
    """Write the sum of squares of each block of `x`: exact ones, the upper half added to the lower each time."""
    held = x.astype(np.float64).reshape(-1, BLOCK)
    np.multiply(held, held, out=held)
    half = BLOCK // 2
    while half:
        np.add(held[:, :half], held[:, half : 2 * half], out=held[:, :half])
        half //= 2
    np.copyto(sums, held[:, 0])


class SharedGrid(Thc):
    """Thc with the sizes of the blocks that its senders have agreed on."""

    _sizes: Array
    _seed: int
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @staticmethod
    def of(options: Thc, sizes: Array, seed: int) -> SharedGrid:
        """Return the stage of senders who share these sizes, one a block, and this seed."""
        made = SharedGrid(options.bits)
        object.__setattr__(made, "_sizes", sizes)
        object.__setattr__(made, "_seed", seed)
        return made

    def nbytes(self, size: int, dtype: str) -> int:
        return self.code_bytes(size, dtype)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        data = np.empty(planes.nbytes(chunk.size, self.bits), np.uint8)
        codes = planes.planes_of(data, self.bits)
        exponents, within = self._scales()
        level = (1 << self.bits) - 1
        steps = np.divide(level / (2 * RANGES[self.bits]), within, out=np.zeros_like(within), where=within > 0)
        steps, middle = steps.astype(np.float32), np.float32(level / 2)
        full, odd = split(chunk.size)
        signs = Stream(self._seed)
        loops = compiled.kernels(_NAME, chunk) if stream.begins(first) else None
        step = longest(chunk, loops)
        work, scratch = np.empty((2, min(full, step)), np.float32)
        with np.errstate(all="ignore"):
            for tile, _ in rows(full, BLOCK, step):
                many = tile.stop - tile.start
                at = slice(tile.start // BLOCK, tile.stop // BLOCK)
                values = as_float32(chunk[tile], scratch[:many])
                if loops is not None:
                    scales = np.ldexp(np.float32(1), -exponents[at])
                    turned = Signs(signs, at.start, len(scales)).bytes
                    drawn = stream.place(first + tile.start)
                    loops.encode(
                        values, turned, scales, steps[at] * np.float32(2.0**-12), middle, codes, at.start, *drawn
                    )
                    continue
                x = values.reshape(-1, SIDE, SIDE).transpose(1, 0, 2)
                a, b = (w[:many].reshape(x.shape) for w in (work, scratch))
                np.multiply(x, np.ldexp(np.float32(1), -exponents[at])[:, None], out=a)
                rotate(a, b, Signs(signs, at.start, len(exponents[at])))
                np.multiply(a, (steps[at] * np.float32(2.0**-12))[:, None], out=a)
                np.copyto(b.reshape(-1, SIDE, SIDE), a.transpose(1, 0, 2))
                self._round(b.reshape(-1), middle, stream, first + tile.start, codes, tile)
            if odd:
                x = as_float32(chunk[full:], np.empty(odd, np.float32))
                scaled = x * np.ldexp(np.float32(1), -exponents[-1])
                turned = rotate_odd(scaled, signs, full // BLOCK) * steps[-1]
                self._round(turned, middle, stream, first + full, codes, slice(full, chunk.size))
        return data.data

    def _round(self, values: Array, middle: np.float32, stream: Stream, first: int, codes: Array, tile: slice) -> None:
        """Write the codes of a tile; `values`, in steps from the middle of the grid, are overwritten."""
        np.add(values, middle, out=values)
        np.clip(values, 0, middle + middle, out=values)
        up = stream.sixteen(first, values.size).astype(np.float32)
        np.multiply(up, _RANDOM_UNIT, out=up)
        np.add(up, _RANDOM_HALF, out=up)
        np.add(values, up, out=values)
        np.minimum(values, middle + middle, out=values)
        planes.write(values.astype(np.uint8), codes, tile)

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        self._planes(data, size)
        return True

    def _planes(self, data: memoryview, size: int) -> Array:
        """Return the planes in `data`; raises CodecError for what `encode` never writes."""
        codes = planes.planes_of(np.frombuffer(data, np.uint8), self.bits)
        if planes.is_filled_up(codes, size):
            raise damaged(_NAME, f"bits are set after the {size} elements")
        return codes

    def decode(self, data: memoryview, out: Array) -> None:
        codes = self._planes(data, out.size)
        self._unpack(lambda tile: planes.read(codes, tile), 1, out, adding=False, codes=codes)

    def accumulate(self, data: memoryview, out: Array) -> None:
        codes = self._planes(data, out.size)
        self._unpack(lambda tile: planes.read(codes, tile), 1, out, adding=True, codes=codes)

    def summing(self, size: int, dtype: str) -> Summing:
        return IntegerSum(self, size)

    def _scales(self) -> tuple[Array, Array]:
        """Return the exponents of two that bring blocks near 1, and what is left of their sizes then."""
        exponents: Array = np.clip(np.frexp(self._sizes)[1], -120, 126)
        return exponents, np.ldexp(self._sizes.astype(np.float64), -exponents)

    def _unpack(
        self, read: Callable[[slice], Array], count: int, out: Array, *, adding: bool, codes: Array | None = None
    ) -> None:
        """Fill `out`, or add to it, from the sums of the codes of `count` senders that `read(tile)` gives.

        `codes` are the planes that it reads, if it does.
        """
        exponents, within = self._scales()
        level = (1 << self.bits) - 1
        steps = (within * (2 * RANGES[self.bits] / level)).astype(np.float32)
        back = np.ldexp(np.float32(1), exponents)
        middle = np.float32(count * level / 2)
        largest = ceiling(out.dtype)
        full, odd = split(out.size)
        signs = Stream(self._seed)
        loops = compiled.kernels(_NAME, out)
        work, scratch = np.empty((2, min(full, TILE if loops is None else 0)), np.float32)

        def whole(tile: slice, values: Array, adding: bool) -> None:
            assert loops is not None  # or this is not called
            at = slice(tile.start // BLOCK, tile.stop // BLOCK)
            turned = Signs(signs, at.start, at.stop - at.start).bytes
            last = turned, steps[at] * np.float32(2.0**-12), back[at], largest, values, adding
            if codes is not None:
                loops.decode(codes, at.start, middle, *last)
            else:
                loops.decode_sums(np.subtract(read(tile), middle, dtype=np.float32), *last)

        def write(tile: slice, _: int, values: Array) -> None:
            grid = values.reshape(-1, SIDE, SIDE)
            by_row = grid.transpose(1, 0, 2)
            a, b = (w[: values.size].reshape(by_row.shape) for w in (work, scratch))
            np.subtract(read(tile).reshape(grid.shape).transpose(1, 0, 2), middle, out=a, dtype=np.float32)
            at = slice(tile.start // BLOCK, tile.start // BLOCK + len(grid))
            np.multiply(a, (steps[at] * np.float32(2.0**-12))[:, None], out=a)
            rotate_back(a, b, Signs(signs, at.start, len(grid)))
            np.multiply(a, back[at, None], out=by_row)
            clip(values)

        def write_odd(_: slice, width: int, values: Array) -> None:
            picked = np.subtract(read(slice(full, full + width)), middle, dtype=np.float32) * steps[-1]
            np.multiply(rotate_odd_back(picked, signs, full // BLOCK), back[-1], out=values)
            clip(values)

        def clip(values: Array) -> None:
            np.clip(values, -largest, largest, out=values)

        with np.errstate(all="ignore"):
            unpack(out[:full], write, width=BLOCK, adding=adding, whole=whole if loops is not None else None)
            if odd:
                unpack(out[full:], write_odd, width=odd, adding=adding)


class IntegerSum(Summing):
    """The sum of the codes of senders who share a grid, in as few bytes an element as hold it."""

    __slots__ = ("_codes", "_count", "_grid")

    def __init__(self, grid: SharedGrid, size: int) -> None:
        self._grid = grid
        self._count = 0
        self._codes: Array = np.zeros(size, np.uint8)

    def add(self, data: memoryview) -> None:
        codes = self._grid._planes(data, self._codes.size)
        self._count += 1
        largest = self._count * ((1 << self._grid.bits) - 1)
        if largest > np.iinfo(self._codes.dtype).max:
            self._codes = self._codes.astype(np.min_scalar_type(largest))
        loops = compiled.kernels(_NAME, self._codes)
        begun = 0
        if loops is not None and self._codes.itemsize <= 2:
            begun = self._codes.size - self._codes.size % loops.PLANED
            (loops.add8 if self._codes.itemsize == 1 else loops.add16)(codes, self._codes[:begun])
        for start in range(begun, self._codes.size, TILE):
            tile = slice(start, min(start + TILE, self._codes.size))
            add(planes.read(codes, tile), self._codes[tile])

    def into(self, out: Array) -> None:
        if self._count:
            self._grid._unpack(lambda tile: self._codes[tile], self._count, out, adding=True)
