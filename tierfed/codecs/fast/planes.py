"""Parts for codecs of a few bits: 256 codes to planes and back, as codecs/planes.py has them.

64 codes are one vector: comparing it gives 64 bits, which are eight bytes of a plane, and 64 bits of a plane choose
what is added to 64 codes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from tierfed.codecs.fast.jit import intrinsic, part, place

LANES = 64
_WORD, _BYTES = ir.IntType(64), ir.VectorType(ir.IntType(8), LANES)


@part
def write(codes: Any, planes: Any, at: Any) -> None:
    """Write 256 `codes` (uint8) to the bytes `at` to at + 32 of each of `planes`."""
    for p in range(planes.shape[0]):
        plane = planes[p]
        for g in range(4):
            put(plane, at + 8 * g, ones(codes, LANES * g, 1 << p))


@part
def read(planes: Any, at: Any, codes: Any) -> None:
    """Read 256 `codes` (uint8) from the bytes `at` to at + 32 of each of `planes`."""
    codes[:] = 0
    for p in range(planes.shape[0]):
        plane = planes[p]
        for g in range(4):
            add(codes, LANES * g, 1 << p, get(plane, at + 8 * g))


@intrinsic
def ones(context: Any, codes: Any, at: Any, bit: Any) -> Any:
    """`ones(codes, at, bit)` has bit i set if codes[at + i] has `bit`, which is a power of two."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = builder.load(place(context, builder, signature, arguments, 0, 1, _BYTES), align=1)
        bits = _all(builder, builder.trunc(arguments[2], ir.IntType(8)))
        chosen = builder.icmp_unsigned("!=", builder.and_(values, bits), ir.Constant(_BYTES, None))
        return builder.bitcast(chosen, _WORD)

    return types.uint64(codes, types.int64, types.int64), generate


@intrinsic
def add(context: Any, codes: Any, at: Any, bit: Any, word: Any) -> Any:
    """`add(codes, at, bit, word)` adds `bit` to those of codes[at : at + 64] whose bit is set in `word`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to = place(context, builder, signature, arguments, 0, 1, _BYTES)
        chosen = builder.bitcast(arguments[3], ir.VectorType(ir.IntType(1), LANES))
        bits = _all(builder, builder.trunc(arguments[2], ir.IntType(8)))
        more = builder.select(chosen, bits, ir.Constant(_BYTES, None))
        builder.store(builder.add(builder.load(to, align=1), more), to, align=1)
        return context.get_dummy_value()

    return types.void(codes, types.int64, types.int64, types.uint64), generate


@intrinsic
def get(context: Any, plane: Any, at: Any) -> Any:
    """`get(plane, at)` is the uint64 of the eight bytes from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(place(context, builder, signature, arguments, 0, 1, _WORD), align=1)

    return types.uint64(plane, types.int64), generate


@intrinsic
def put(context: Any, plane: Any, at: Any, word: Any) -> Any:
    """`put(plane, at, word)` writes eight bytes from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], place(context, builder, signature, arguments, 0, 1, _WORD), align=1)
        return context.get_dummy_value()

    return types.void(plane, types.int64, types.uint64), generate


def _all(builder: Any, value: Any) -> Any:
    """Return a vector of 64 times `value`."""
    one = builder.insert_element(ir.Constant(_BYTES, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))
