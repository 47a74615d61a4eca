"""The loops of the network that are no matrix products: maximum of 2×2, its way back, and the sum of copied pixels.

    out, which = pooled(maps, bias)      which of its four pixels each maximum is; 4 where it is not above 0
    unpooled(slopes, which)              each slope at that pixel
    spread(slopes, shape)                what `columns` copied, summed

Numpy goes over such arrays many times, and in short runs.  With numba (`pip install 'tierfed[fast]'`) each is one
compiled loop, a step of gradient descent takes half as long, and the bits are the same: the same
sums, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

try:
    import numba
except ImportError:
    numba = None  # type: ignore[assignment]

Array: TypeAlias = "np.ndarray[Any, Any]"
NONE = 4  # no pixel


def pooled(maps: Array, bias: Array) -> tuple[Array, Array]:
    """Return the maximum of each 2×2 pixels of [channels, height, width, images], plus bias, and 0; and which it is."""
    channels, height, width, images = maps.shape
    four = maps.reshape(channels, height // 2, 2, width // 2, 2, images)
    a, b, c, d = (four[:, :, y, :, x] for y in (0, 1) for x in (0, 1))
    upper, lower = np.maximum(a, b), np.maximum(c, d)
    out = np.maximum(upper, lower)
    which = np.where(upper >= lower, (b > a).astype(np.uint8), (d > c).astype(np.uint8) + np.uint8(2))
    out += bias[:, None, None, None]
    which[~(out > 0)] = NONE
    return np.maximum(out, 0, out=out), which


def unpooled(slopes: Array, which: Array) -> Array:
    """Return the slopes by the maps of those by their maxima: zero but at the pixel that is one."""
    channels, height, width, images = slopes.shape
    maps = np.empty((channels, height, 2, width, 2, images), slopes.dtype)
    for pixel in range(4):
        np.multiply(slopes, which == pixel, out=maps[:, :, pixel // 2, :, pixel % 2])
    return maps.reshape(channels, 2 * height, 2 * width, images)


def spread(slopes: Array, shape: tuple[int, ...]) -> Array:
    """Return the slopes by maps of this shape, of those by their columns: of each pixel the sum over its copies."""
    channels, height, width, images = shape
    parts = slopes.reshape(channels, 5, 5, height - 4, width - 4, images)
    total = np.zeros(shape, slopes.dtype)
    for dy in range(5):
        for dx in range(5):
            total[:, dy : dy + height - 4, dx : dx + width - 4] += parts[:, dy, dx]
    return total


def _pooled(maps: Array, bias: Array, out: Array, which: Array) -> None:
    channels, height, width, images = out.shape
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                for i in range(images):
                    a, b = maps[c, 2 * y, 2 * x, i], maps[c, 2 * y, 2 * x + 1, i]
                    d, e = maps[c, 2 * y + 1, 2 * x, i], maps[c, 2 * y + 1, 2 * x + 1, i]
                    upper, lower = max(a, b), max(d, e)
                    most = max(upper, lower) + bias[c]
                    first = np.uint8(b > a)
                    second = np.uint8(e > d) + np.uint8(2)
                    pixel = first if upper >= lower else second
                    out[c, y, x, i] = most if most > 0 else 0
                    which[c, y, x, i] = pixel if most > 0 else NONE


def _unpooled(slopes: Array, which: Array, maps: Array) -> None:
    channels, height, width, images = slopes.shape
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                for i in range(images):
                    slope, pixel = slopes[c, y, x, i], which[c, y, x, i]
                    maps[c, 2 * y, 2 * x, i] = slope if pixel == 0 else 0
                    maps[c, 2 * y, 2 * x + 1, i] = slope if pixel == 1 else 0
                    maps[c, 2 * y + 1, 2 * x, i] = slope if pixel == 2 else 0
                    maps[c, 2 * y + 1, 2 * x + 1, i] = slope if pixel == 3 else 0


def _spread(slopes: Array, total: Array, images: int) -> None:
    channels, height, row = total.shape
    run = row - 4 * images
    total[:] = 0
    for c in range(channels):
        for dy in range(5):
            for dx in range(5):
                for y in range(height - 4):
                    copies = slopes[c, dy, dx, y * run : y * run + run]
                    pixels = total[c, dy + y, dx * images : dx * images + run]
                    for i in range(run):
                        pixels[i] += copies[i]


def _fast(spell: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """Return the three functions as compiled loops; `spell` compiles one."""
    pool, unpool, sum_up = spell(_pooled), spell(_unpooled), spell(_spread)

    def fast_pooled(maps: Array, bias: Array) -> tuple[Array, Array]:
        channels, height, width, images = maps.shape
        out = np.empty((channels, height // 2, width // 2, images), maps.dtype)
        which = np.empty(out.shape, np.uint8)
        pool(maps, bias, out, which)
        return out, which

    def fast_unpooled(slopes: Array, which: Array) -> Array:
        channels, height, width, images = slopes.shape
        maps = np.empty((channels, 2 * height, 2 * width, images), slopes.dtype)
        unpool(slopes, which, maps)
        return maps

    def fast_spread(slopes: Array, shape: tuple[int, ...]) -> Array:
        channels, height, width, images = shape
        total = np.empty((channels, height, width * images), slopes.dtype)
        sum_up(slopes.reshape(channels, 5, 5, -1), total, images)
        return total.reshape(shape)

    return fast_pooled, fast_unpooled, fast_spread


SLOW = pooled, unpooled, spread
FAST = None if numba is None else _fast(numba.njit(cache=True, nogil=True, error_model="numpy"))
