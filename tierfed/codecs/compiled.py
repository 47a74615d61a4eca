"""Compiled: whether a codec's loops run as machine code (numba) or in numpy, which give the same bytes.

    loops = compiled.kernels("int8", chunk)             # tierfed.codecs.fast.int8, or None: then numpy

The extra `tierfed[fast]` brings numba.  With it, chunks of 2^16 elements and more are coded by the kernels of
`tierfed.codecs.fast`; smaller ones are not worth its import (a third of a second), which comes with the first that
is.  TIERFED_FAST=0 keeps to numpy, which codes whatever has no kernel too: other dtypes than float32 (in part),
short last blocks, and what is to be refused.

Sound because a kernel rounds in the same places as numpy does: no `fastmath`, no fused multiply-add, the same order of
every sum.  The tests code the same arrays both ways and compare bytes.

A kernel has its signature, so it is compiled when its module is imported, once a machine: numba keeps the machine code
beside the module or, if that cannot be written to, in the user's cache.  A tree's zygote loads the kernels
of its links' codecs before it forks (before_fork.py), so that its nodes share them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from types import ModuleType

from tierfed.codecs.stage import Array

LEAST = 1 << 16  # elements
_FOLDER = "tierfed.codecs.fast"


def kernels(name: str, chunk: Array) -> ModuleType | None:
    """Return the compiled kernels called `name` if `chunk` is to be coded, or decoded to, by them, else None."""
    return checking(name, chunk.size) if chunk.flags.aligned else None


def checking(name: str, size: int) -> ModuleType | None:
    """Return the compiled kernels called `name` if codes of `size` elements are to be checked by them, else None."""
    return load(name) if size >= LEAST else None


@functools.cache
def load(name: str) -> ModuleType | None:
    """Return the compiled kernels called `name`, None if there is no numba that works, or it is not to be used."""
    if not wanted():
        return None
    try:
        return importlib.import_module(f"{_FOLDER}.{name}")
    except ImportError:  # also numba's, for a numpy that it does not know yet
        return None


def wanted() -> bool:
    """Return whether kernels are to be used, as far as can be said without importing numba."""
    if os.environ.get("TIERFED_FAST") == "0" or sys.byteorder == "big":
        return False
    return importlib.util.find_spec("numba") is not None
