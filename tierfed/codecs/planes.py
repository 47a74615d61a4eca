"""Planes: codes of a few bits, written bit by bit.

    codes 5, 2, 7 of three bits    plane 0: 1 0 1    plane 1: 0 1 1    plane 2: 1 0 1

Plane p holds bit p of every code, eight codes a byte, the first in the lowest bit; the last
byte is filled up with zeros.  n codes of b bits take b ceil(n / 8) bytes.  Any number
of bits is written and read at the same speed, since numpy packs bits eight at a time, and
what is alike in many codes (the sign, the upper bits) lies together for a byte stage.
"""

from __future__ import annotations

import numpy as np

from tierfed.codecs.stage import Array


def nbytes(size: int, bits: int) -> int:
    """Return the bytes that `size` codes of `bits` take."""
    return bits * -(-size // 8)


def planes_of(data: Array, bits: int) -> Array:
    """Return `data`, a uint8 array, as one row a plane."""
    return data.reshape(bits, -1)


def write(codes: Array, planes: Array, tile: slice) -> None:
    """Write a tile's `codes` (uint8) to their place in `planes`; a tile starts at a multiple of 8."""
    at = slice(tile.start // 8, -(-tile.stop // 8))
    bits = np.empty_like(codes)
    for p, plane in enumerate(planes):
        np.bitwise_and(codes, np.uint8(1 << p), out=bits)
        plane[at] = np.packbits(bits, bitorder="little")


def read(planes: Array, tile: slice) -> Array:
    """Return a tile's codes (uint8)."""
    at = slice(tile.start // 8, -(-tile.stop // 8))
    codes: Array | None = None
    for plane in planes[::-1]:
        bits = np.unpackbits(plane[at], count=tile.stop - tile.start, bitorder="little")
        if codes is None:
            codes = bits
        else:
            np.add(codes, codes, out=codes)
            np.bitwise_or(codes, bits, out=codes)
    assert codes is not None  # a code has bits
    return codes


def is_filled_up(planes: Array, size: int) -> bool:
    """Return whether something other than zeros follows the last code."""
    return bool(size % 8 and (planes[:, -1] >> np.uint8(size % 8)).any())
