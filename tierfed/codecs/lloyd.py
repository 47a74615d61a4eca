"""Lloyd: the best quantiser of normal numbers, for blocks that a rotation has made nearly normal.

    unit = ‖r‖ / √m        index = how many edges · unit are below |r|        scale = ‖r‖² / <|r|, centroid>

Centroids are those of the least squared error for a normal distribution of deviation 1, on both sides of
zero; an edge is half way between two.  Codes are the index, and in the highest bit the sign.

Bit-reproducible: sums are made by adding the upper half to the lower until one is left, so that all
machines write the same bytes.  Blocks are worked on side by side, as an array of (row, block, column); see rotation.py.

Source: Lloyd 1982, "Least squares quantization in PCM"; Max 1960, table I.
"""

from __future__ import annotations

import numpy as np

from tierfed.codecs.floats import INFINITY, LARGEST, MAGNITUDE
from tierfed.codecs.stage import Array

CENTROIDS = {
    1: (0.79788456,),
    2: (0.45278003, 1.51041761),
    3: (0.24509418, 0.75600528, 1.34390928, 2.1519457),
    4: (0.12839503, 0.3880483, 0.65675912, 0.94234046, 1.2562312, 1.61804639, 2.06901723, 2.73258957),
}


def centroids(bits: int) -> Array:
    """Return those above zero, for codes of `bits`, ascending."""
    return np.array(CENTROIDS[bits], np.float32)


def scaled(x: Array, into: Array) -> Array | None:
    """Write blocks `x` to `into`, of (row, block, column), each times a power of two that brings it near 1.

    Returns the exponents, None if a value is a NaN or an infinity.  An exponent is at least
    -120; blocks below that stay below 1.
    """
    magnitudes = np.bitwise_and(x.view(np.uint32), MAGNITUDE, out=into.view(np.uint32).reshape(x.shape))
    tops = magnitudes.max(axis=1)
    if tops.max() >= INFINITY:
        return None
    exponents: Array = np.clip((tops >> np.uint32(23)).astype(np.int32) - 127, -120, 126)
    grid = x.reshape(len(x), len(into), -1).transpose(1, 0, 2)
    np.multiply(grid, np.ldexp(np.float32(1), -exponents)[:, None], out=into)
    return exponents


def quantised(r: Array, scratch: Array, bits: int, size: int) -> tuple[Array, Array, Array]:
    """Return the codes of blocks of `size` elements, their sums of squares, and of products with their centroids.

    `r`, of (row, block, column), is overwritten.  There are powers of two of rows and columns; what they
    hold beyond `size` elements is zero.
    """
    centres = centroids(bits)
    squares = _sums(np.multiply(r, r, out=scratch))
    unit = np.sqrt(squares / np.float32(size))
    codes = np.signbit(r).view(np.uint8)
    np.left_shift(codes, np.uint8(bits - 1), out=codes)
    magnitudes = np.abs(r, out=r)
    flat = magnitudes.reshape(len(r), -1)  # rows of all blocks: long ones, which numpy is fast at
    indices = np.zeros(codes.shape, np.uint8)
    above = np.empty(codes.shape, np.bool_)
    for edge in (centres[1:] + centres[:-1]) / np.float32(2):
        np.greater(flat, np.repeat(edge * unit, r.shape[2]), out=above.reshape(flat.shape))
        np.add(indices, above.view(np.uint8), out=indices)
    np.take(centres, indices, out=scratch, mode="clip")
    np.multiply(scratch, magnitudes, out=scratch)
    products = _sums(scratch)
    return np.bitwise_or(codes, indices, out=codes), squares, products


def scales(squares: Array, products: Array, exponents: Array) -> Array:
    """Return the scales of blocks, times two to `exponents`, the largest float32 at most."""
    scale = np.divide(squares, products, out=np.zeros_like(squares), where=products > 0)
    return np.minimum(np.ldexp(scale, exponents), np.float32(LARGEST))


def _sums(values: Array) -> Array:
    """Return the sum of each block of (row, block, column), adding halves to halves; `values` are overwritten."""
    while len(values) > 1:
        half = len(values) // 2
        values = np.add(values[:half], values[half:], out=values[:half])
    columns = values[0]
    while columns.shape[1] > 1:
        half = columns.shape[1] // 2
        columns = np.add(columns[:, :half], columns[:, half:], out=columns[:, :half])
    sums: Array = columns[:, 0].copy()
    return sums
