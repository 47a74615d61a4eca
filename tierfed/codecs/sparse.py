"""Sparse: what topk and randomk share, the floats of some elements in the place of all.

    head: which elements        values: theirs, in the order of the elements
    x̂ = weight · value at these, zero at the others

How many of n elements: `round(fraction · n)`, one at least.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tierfed.codecs.floats import LARGEST, as_float32, ceiling, refuse
from tierfed.codecs.stage import Array, add
from tierfed.errors import CodecError


def check_fraction(name: str, fraction: object) -> None:
    """Raise CodecError unless `fraction` is a part of one."""
    if type(fraction) not in (int, float) or not 0 < fraction <= 1:  # type: ignore[operator]
        raise CodecError(
            f"fraction is {fraction!r}", where=name, mend=f"give a part of the elements: {name}(fraction=0.05)"
        )


def length(size: int, fraction: float) -> int:
    """Return how many of `size` elements are kept."""
    return max(1, round(fraction * size)) if size else 0


def check_finite(name: str, chunk: Array, first: int, reach: float = LARGEST) -> None:
    """Raise CodecError, as of the codec `name`, for the first value that is not within `reach` as float32."""
    if not chunk.size:
        return
    with np.errstate(all="ignore"):
        values = as_float32(chunk, np.empty(0 if chunk.dtype == np.float32 else chunk.size, np.float32))
        if not (values.max() <= np.float32(reach) and values.min() >= np.float32(-reach)):  # of a NaN, both are NaN
            refuse(name, chunk, first, reach)


def scatter(places: Array, values: Array, out: Array, *, adding: bool) -> None:
    """Write `values` to their places in `out`, zeros elsewhere; or add them there."""
    if values.dtype != out.dtype:
        with np.errstate(all="ignore"):
            values = values.astype(out.dtype)
    if adding:
        part = out[places]
        add(values, part)
        out[places] = part
    else:
        out[:] = np.zeros((), out.dtype)
        out[places] = values


def weigh(values: Array, weight: float, dtype: np.dtype[Any]) -> Array:
    """Return `values` times `weight`, as floats in which one computes; finite ones are so in `dtype`, too."""
    double = dtype == np.float64
    wide: np.dtype[Any] = np.dtype(np.float64 if double else np.float32)
    largest = float(np.finfo(np.float64).max if double else ceiling(dtype))
    with np.errstate(all="ignore"):
        given = values.astype(wide)
        weighed: Array = given * wide.type(weight)
        np.clip(weighed, -largest, largest, out=weighed, where=np.isfinite(given))
    return weighed
