"""Chunks and tiles: how long arrays are cut.

A *chunk* is what a link carries as one codec frame, and what an aggregator folds at
once.  A *tile* is the part of a chunk that a codec works on between reading and
writing it: 64 Ki elements are 256 KiB of float32, so that two or three working
arrays stay in the L2 cache, and each pass of numpy over them runs at its speed.
"""

from __future__ import annotations

from collections.abc import Iterator

CHUNK = 1 << 18  # elements
TILE = 1 << 16  # elements


def tiles(size: int, longest: int = TILE) -> Iterator[slice]:
    """Yield the tiles of `size` elements, in order."""
    for low in range(0, size, longest):
        yield slice(low, min(low + longest, size))


def rows(size: int, width: int, longest: int = TILE) -> Iterator[tuple[slice, int]]:
    """Yield tiles, of at most `longest` elements, made of whole rows of `width` elements, with their width.

    A last row that is shorter comes alone, with its own width; so a tile always
    reshapes to (-1, its width).  `width` divides `longest`.
    """
    whole = size - size % width
    for tile in tiles(whole, longest):
        yield tile, width
    if whole < size:
        yield slice(whole, size), size - whole
