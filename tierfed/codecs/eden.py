"""Eden: one to four bits an element, unbiased, whatever the values are.

    r = rotation of the block       q = the centroid next to r √m / ‖r‖       scale = ‖r‖² / <r, q>
    x̂ = scale · q, rotated back                eden(bits=4): vNMSE 0.0096;  bits=1: 0.571

After a random rotation (rotation.py) the coordinates of a block of m elements are nearly normal,
so the best quantiser of the normal distribution (lloyd.py) fits every block.  The scale
makes <x̂, x> = ‖x‖²; what is left of the error is orthogonal to x, and as the rotation is
random, no direction of it is preferred: its mean is zero.  With D the error of the centroids
the squared error is D / (1 - D) of ‖x‖².

Each message rotates on its own: the rotation is all the randomness, so if senders shared one,
their errors would add up instead of averaging out.

Wire form: seed (uint64), one float32 scale a block, all little-endian; then planes (planes.py) of
the codes: the index of the magnitude, and in the highest bit the sign.  Blocks have 4096
elements, the last up to 8191.  n elements take 8 + 4 floor(n / 4096) + b ceil(n / 8) bytes: b + 1/128
bits an element.  Fewer than 32 elements, too few for a random rotation, are written as
float32: 4 n bytes.

The signs of the rotation are those of `Stream(seed)`.  A block is brought near 1 by a power of two
first, or squares would overflow.  Values decoded beyond the declared dtype, which only blocks of
nearly its largest values have, are clipped to it.

Source: Vargaftik et al. 2022, arXiv:2108.08842, algorithm 1 and theorem 2.3; one bit is
DRIVE, Vargaftik et al. 2021, arXiv:2105.08339.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs import compiled, lloyd, planes
from tierfed.codecs.chunks import CHUNK, TILE
from tierfed.codecs.floats import INFINITY, as_float32, ceiling, refuse, unpack
from tierfed.codecs.rotation import BLOCK, SIDE, Signs, blocks, rotate, rotate_back, rotate_odd, rotate_odd_back, split
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS

SMALLEST = 32  # elements that are rotated; fewer are written as they are
ERRORS = {1: 0.57079633, 2: 0.13312117, 3: 0.03578402, 4: 0.00959214}  # D / (1 - D) by bits
_SEED = np.dtype("<u8")
_SCALE = np.dtype("<f4")
_FLOAT = np.dtype("<f4")
_LONGEST = 2 * BLOCK  # elements that an odd block has less than
_SPREAD = 8  # standard deviations of an element that are taken for certain
_NAME = "eden"
_BITS = "give 1, 2, 3 or 4 bits an element"
KERNELS = "rotation"


@dataclass(frozen=True, slots=True)
class Eden(ArrayStage):
    """See the module docstring; `bits` is 1 to 4."""

    name: ClassVar[str] = _NAME
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    kernels: ClassVar[str] = KERNELS
    bits: int = 4

    def __post_init__(self) -> None:
        if self.bits == "auto":  # type: ignore[comparison-overlap]  # options come as they were written
            raise CodecError(
                "bits=auto is settled by a topology, for what its members send up", where=_NAME, mend=_BITS
            )
        if type(self.bits) is not int or self.bits not in lloyd.CENTROIDS:
            raise CodecError(f"bits is {self.bits!r}", where=_NAME, mend=_BITS)

    @property
    def nmse(self) -> float:
        return ERRORS[self.bits]

    def nbytes(self, size: int, dtype: str) -> int:
        if size < SMALLEST:
            return size * _FLOAT.itemsize
        return _header(size) + planes.nbytes(size, self.bits)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        return encode(self.name, self.bits, chunk, first, stream)

    def decode(self, data: memoryview, out: Array) -> None:
        unpack_rotated(self.name, self.bits, data, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        unpack_rotated(self.name, self.bits, data, out, adding=True)

    def bound(self, chunk: Array) -> Array:
        return bound(self.bits, chunk)


def encode(name: str, bits: int, chunk: Array, first: int, stream: Stream) -> Buffer:
    """Return the code of `chunk`; raises CodecError, as of the codec `name`, for what is not finite."""
    size = chunk.size
    if size < SMALLEST:
        return _raw(name, chunk, first)
    seed = stream.at(_NAME, first).key % (1 << 64)
    data = np.empty(_header(size) + planes.nbytes(size, bits), np.uint8)
    data[: _SEED.itemsize].view(_SEED)[0] = seed
    scales = data[_SEED.itemsize : _header(size)].view(_SCALE)
    codes = planes.planes_of(data[_header(size) :], bits)
    full, odd = split(size)
    signs = Stream(seed)
    loops = compiled.kernels(KERNELS, chunk)
    step = TILE if loops is None else CHUNK
    work, scratch = np.empty((2, min(full, step)), np.float32)
    with np.errstate(all="ignore"):
        for at in range(0, full, step):
            tile = slice(at, min(at + step, full))
            x = as_float32(chunk[tile], scratch[: tile.stop - at])
            first_block, turned = at // BLOCK, Signs(signs, at // BLOCK, x.size // BLOCK)
            if loops is not None:
                sums = loops.code(x, turned.bytes, lloyd.centroids(bits), codes, first_block)
            else:
                sums = _code(x, turned, work[: x.size], scratch[: x.size], codes, tile)
            if sums is None:
                refuse(name, chunk, first)
            exponents, squares, products = sums
            rotated_scales = lloyd.scales(squares, products, exponents - 12)  # rotated is 2**12 as large
            scales[first_block:][: squares.size] = rotated_scales
        if odd:
            x = as_float32(chunk[full:], np.empty(odd, np.float32))
            a, b = np.zeros((2, _LONGEST), np.float32)
            odd_exponents = lloyd.scaled(x.reshape(1, -1), a[:odd].reshape(1, 1, -1))
            if odd_exponents is None:
                refuse(name, chunk, first)
            a[:odd] = rotate_odd(a[:odd], signs, full // BLOCK)
            tile_codes, squares, products = lloyd.quantised(a.reshape(-1, 1, SIDE), b.reshape(-1, 1, SIDE), bits, odd)
            scales[-1:] = lloyd.scales(squares, products, odd_exponents)
            planes.write(tile_codes.reshape(-1)[:odd], codes, slice(full, size))
    return data.data


def unpack_rotated(name: str, bits: int, data: memoryview, out: Array, *, adding: bool) -> None:
    """Fill `out`, or add to it, a tile at a time; raises CodecError, with `out` untouched, for other bytes."""
    if out.size < SMALLEST:
        floats = _checked_raw(name, data, out)
        with np.errstate(all="ignore"):
            unpack(out, lambda tile, _, values: np.copyto(values, floats[tile]), width=1, adding=adding)
        return
    seed, scales, codes = _checked(name, bits, data, out)
    full, odd = split(out.size)
    signs = Stream(seed)
    centroids = lloyd.centroids(bits)
    centroids = np.concatenate([centroids, -centroids])
    rotated_back = centroids * np.float32(2.0**-12)
    largest = ceiling(out.dtype)
    loops = compiled.kernels(KERNELS, out)
    clipped = float(scales.max()) * lloyd.CENTROIDS[bits][-1] * _LONGEST**0.5 > float(largest)
    work, scratch = np.empty((2, min(full, TILE)), np.float32)

    def write(tile: slice, _: int, values: Array, adding: bool = False) -> None:
        at = tile.start // BLOCK
        turned = Signs(signs, at, values.size // BLOCK)
        if loops is not None:
            loops.decode(codes, at, turned.bytes, lloyd.centroids(bits), scales[at:], largest, values, adding)
            return
        grid = values.reshape(-1, SIDE, SIDE)
        by_row = grid.transpose(1, 0, 2)
        a, b = (w[: values.size].reshape(by_row.shape) for w in (work, scratch))
        np.take(rotated_back, planes.read(codes, tile).reshape(grid.shape).transpose(1, 0, 2), out=a, mode="clip")
        rotate_back(a, b, turned)
        np.multiply(a, scales[at : at + len(grid), None], out=by_row)
        clip(values)

    def write_odd(_: slice, width: int, values: Array) -> None:
        picked = centroids[planes.read(codes, slice(full, full + width))]
        np.multiply(rotate_odd_back(picked, signs, full // BLOCK), scales[-1], out=values)
        clip(values)

    def clip(values: Array) -> None:
        if clipped:
            np.clip(values, -largest, largest, out=values)

    with np.errstate(all="ignore"):
        if loops is not None and out.dtype == np.float32:
            for low in range(0, full, CHUNK):
                tile = slice(low, min(low + CHUNK, full))
                write(tile, BLOCK, out[tile], adding)
        else:
            unpack(out[:full], write, width=BLOCK, adding=adding)
        if odd:
            unpack(out[full:], write_odd, width=odd, adding=adding)


def bound(bits: int, chunk: Array) -> Array:
    """Return eight standard deviations of an element's error, which by far no element comes to."""
    x = chunk.astype(np.float64)
    if x.size < SMALLEST:
        return np.zeros(x.size)
    starts = np.arange(blocks(x.size)) * BLOCK
    widths = np.diff([*starts, x.size])
    squares = np.add.reduceat((x / (np.abs(x).max() or 1)) ** 2, starts)
    deviations = np.sqrt(ERRORS[bits] * squares / widths) * (np.abs(x).max() or 1)
    spread: Array = np.repeat(_SPREAD * deviations, widths) + 2.0**-147
    return spread


def _header(size: int) -> int:
    """Return the bytes of the seed and of the scales."""
    return _SEED.itemsize + blocks(size) * _SCALE.itemsize


def _code(
    x: Array, signs: Signs, work: Array, scratch: Array, codes: Array, tile: slice
) -> tuple[Array, Array, Array] | None:
    """Write the codes of a tile's blocks `x`, which may be `scratch`, to the planes `codes`; `work` is as long.

    Returns the exponents of what they were scaled by, and the sums of `lloyd.quantised`; None if a value is not finite.
    """
    a, b = (w.reshape(SIDE, -1, SIDE) for w in (work, scratch))
    exponents = lloyd.scaled(x.reshape(-1, BLOCK), a)
    if exponents is None:
        return None
    rotate(a, b, signs)
    tile_codes, squares, products = lloyd.quantised(a, b, len(codes), BLOCK)
    planes.write(tile_codes.transpose(1, 0, 2).reshape(-1), codes, tile)
    return exponents, squares, products


def _raw(name: str, chunk: Array, first: int) -> Buffer:
    with np.errstate(all="ignore"):
        values = as_float32(chunk, np.empty(chunk.size, np.float32))
    if not np.isfinite(values).all():
        refuse(name, chunk, first)
    return values.astype(_FLOAT).view(np.uint8).data


def _checked_raw(name: str, data: memoryview, out: Array) -> Array:
    floats = np.frombuffer(data, _FLOAT).astype(np.float32)
    wrong = ~(np.abs(floats) <= ceiling(out.dtype))
    if wrong.any():
        at = int(wrong.argmax())
        raise _damaged(name, f"{floats[at]:g} at element {at} is none that {out.dtype.name} values have")
    return floats


def _checked(name: str, bits: int, data: memoryview, out: Array) -> tuple[int, Array, Array]:
    """Return the seed, the scales and the codes in `data`; raises CodecError for what `encode` never writes."""
    header = _header(out.size)
    seed = int.from_bytes(data[: _SEED.itemsize], "little")
    scales = np.frombuffer(data[_SEED.itemsize : header], _SCALE).astype(np.float32)
    codes = planes.planes_of(np.frombuffer(data[header:], np.uint8), bits)
    if scales.view(np.uint32).max() >= INFINITY:  # a negative scale or a NaN is above all others
        at = int(scales.view(np.uint32).argmax())
        raise _damaged(name, f"scale {scales[at]:g} of block {at} is none that values have")
    if planes.is_filled_up(codes, out.size):
        raise _damaged(name, f"bits are set after the {out.size} elements")
    return seed, scales, codes


def _damaged(name: str, what: str) -> CodecError:
    return CodecError(
        what,
        where=name,
        mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
    )
