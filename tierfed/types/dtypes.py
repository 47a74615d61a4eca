"""The dtypes of tensors, by name.

bool, int8-64, uint8-64, float16/32/64, bfloat16, complex64/128 and str.  bfloat16
comes from ml_dtypes, which takes longer to import than numpy and is loaded on
first use only.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64", "bfloat16")
COMPLEX = ("complex64", "complex128")
NAMES = ("bool", *INTEGERS, *FLOATS, *COMPLEX, "str")


@functools.cache
def dtype_of(name: str) -> np.dtype[Any]:
    """Return numpy's dtype for the dtype called `name`; `str` is numpy's unicode dtype."""
    if name == "bfloat16":
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(name)


def name_of(dtype: object) -> str | None:
    """Return the name of a numpy dtype, scalar type or Python type; None if it is not one of ours."""
    if dtype is None:
        return None
    if isinstance(dtype, np.dtype):
        return _name(dtype)
    if dtype is str:
        return "str"
    if isinstance(dtype, str):
        return dtype if dtype in NAMES else None
    if isinstance(dtype, np.ndarray | np.generic):  # a value, though it has a dtype
        return None
    try:
        return _name(np.dtype(dtype))  # type: ignore[call-overload]  # any object: numpy decides
    except (TypeError, ValueError):
        return None


@functools.lru_cache(maxsize=256)
def _name(found: np.dtype[Any]) -> str | None:
    if found.kind == "U":
        return "str"
    name: str = found.newbyteorder("=").name
    return name if name in NAMES else None
