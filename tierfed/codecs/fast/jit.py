"""Jit: how a kernel is compiled, and what kernels share.

    @kernel("void(float32[::1])")        compiled here and now, or read from the cache; without the GIL, in one thread
    @part                                a function that kernels call: becomes a part of each

Nothing is compiled with `fastmath`, and array indices are not checked: a kernel's caller gives it arrays that fit.
Arrays that are only read are `Array(…, readonly=True)` in a signature, which takes both kinds.

numba's cache looks at the file of a kernel alone; so that a part may be in another, all files of this folder
make the stamp that a cached kernel is good for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba import extending, types

part = numba.njit(nogil=True, error_model="numpy", inline="never")


def kernel(signature: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what compiles a function of this signature."""

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return _compiled(function, signature, cached=True)
        except (RuntimeError, OSError):  # no folder for the cache can be written to, or its disk is full
            return _compiled(function, signature, cached=False)

    return compiled


def _compiled(function: Callable[..., Any], signature: str, *, cached: bool) -> Callable[..., Any]:
    made: Any = numba.njit(nogil=True, error_model="numpy")(function)
    if cached:
        made.enable_caching()
        made._cache._cache_file._source_stamp = _STAMP
    made.compile(signature)
    made.disable_compile()
    return made  # type: ignore[no-any-return]


def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file of this folder does."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files)


_STAMP = _stamp()


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what kernels call for the LLVM code that the function which `function` returns builds."""
    return extending.intrinsic(function)


@intrinsic
def as_float(context: Any, bits: Any) -> Any:
    """`as_float(bits)` is the float32 whose bits a uint32 gives."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def as_bits(context: Any, value: Any) -> Any:
    """`as_bits(value)` is the uint32 of a float32's bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def place(context: Any, builder: Any, signature: Any, arguments: Any, array: int, index: int, type: ir.Type) -> Any:
    """Return, within an intrinsic, the place of a value of `type` in an array, both given as arguments' numbers."""
    data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
    return builder.bitcast(builder.gep(data, [arguments[index]]), type.as_pointer())
