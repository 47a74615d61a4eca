"""Lanes: straight-line code over several neighbours at once, where numba's own loops would not be vectors.

    @straight
    def doubled(lanes, array, at):                        # an intrinsic: in a kernel, doubled(array, at)
        x = lanes.load(array, at)
        lanes.store(lanes.b.fadd(x, x), array, at)        # LANES elements, from `at` on

A function marked `straight` runs when a kernel is compiled, and emits LLVM code with the builder `lanes.b`: its Python
loops are unrolled, its lists are registers.  Transposing in registers, and masks that are written as bits, are
a few instructions so; numba makes one of them for each element.

Sound because a lane is computed as the element would be alone: LLVM reorders and fuses no float operations unless
told to, so the bits depend neither on LANES nor on the processor.  Nothing is checked: a kernel's caller
gives it arrays that fit.

Masks are bits in memory in the order of lanes, the first in the lowest bit of the first byte, as on machines that are
little-endian: on others there are no kernels.

Source: the LLVM Language Reference Manual, "Vector Operations" and "Fast-Math Flags".
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_FEATURES = cpu_target.target_context.codegen().magic_tuple()[2]  # of the processor that numba compiles for
LANES = 16 if "+avx512vl" in _FEATURES else 8
_FLOAT, _BITS, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _WORDS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_BITS, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)
_PACKED = ir.IntType(LANES)  # a mask as it stands in memory
_LINE = ir.VectorType(ir.IntType(8), 64)  # bytes that are copied together
_MINUS, _MAGNITUDE = -(1 << 31), (1 << 31) - 1

Value = Any  # of LLVM: a register


def straight(emit: Callable[..., None]) -> Any:
    """Return `emit(lanes, …)` as an intrinsic; arrays come as the address of their data, numbers as values."""

    def typed(_: Any, *given: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values = [
                context.make_array(t)(context, builder, value).data if isinstance(t, types.Array) else value
                for t, value in zip(signature.args, arguments, strict=True)
            ]
            emit(Lanes(builder), *values)
            return context.get_dummy_value()

        return types.void(*given), generate

    functools.update_wrapper(typed, emit)  # numba reads its name and the names of its arguments
    return intrinsic(typed)


class Lanes:
    """What `straight` code is made of; operations that are not here are those of the builder `b`."""

    def __init__(self, builder: Any) -> None:
        self.b = builder

    def load(self, array: Value, index: Value) -> Value:
        """Return LANES float32 from `index` on."""
        return self._load(array, index, _FLOATS, 4)

    def mask(self, array: Value, index: Value) -> Value:
        """Return LANES bits from the byte `index` on, of a uint8 array."""
        return self.b.bitcast(self._load(array, index, _PACKED, 1), _MASK)

    def each(self, array: Value, count: int) -> list[Value]:
        """Return the first `count` float32 of `array`, each in all lanes."""
        return [self.all(self._load(array, ir.Constant(_INDEX, i), _FLOAT, 4)) for i in range(count)]

    def all(self, value: Value) -> Value:
        """Return a float32 in all lanes."""
        one = self.b.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(_BITS, 0))
        return self._shuffled(one, one, [0] * LANES)

    def store(self, values: Value, array: Value, index: Value) -> None:
        """Write LANES float32 from `index` on."""
        self.b.store(values, self._address(array, index, _FLOATS), align=4)

    def store_mask(self, mask: Value, array: Value, index: Value) -> None:
        """Write LANES bits from the byte `index` on, of a uint8 array."""
        self.b.store(self.b.bitcast(mask, _PACKED), self._address(array, index, _PACKED), align=1)

    def copy(self, array: Value, index: Value, to: Value, at: Value, count: int) -> None:
        """Copy `count` bytes of the uint8 array `array` to the uint8 array `to`; `count` is a multiple of 64."""
        for i in range(0, count, _LINE.count):
            line = self._load(array, self.plus(index, i), _LINE, 1)
            self.b.store(line, self._address(to, self.plus(at, i), _LINE), align=1)

    def plus(self, index: Value, count: int) -> Value:
        """Return an index `count` further."""
        return self.b.add(index, ir.Constant(index.type, count))

    def flipped(self, mask: Value, values: Value) -> Value:
        """Return `values`, with the other sign where `mask` is set."""
        bits = self.b.bitcast(values, _WORDS)
        other = self.b.xor(bits, ir.Constant(_WORDS, [_MINUS] * LANES))
        return self.b.bitcast(self.b.select(mask, other, bits), _FLOATS)

    def magnitudes(self, values: Value) -> Value:
        """Return `values` without signs."""
        bits = self.b.and_(self.b.bitcast(values, _WORDS), ir.Constant(_WORDS, [_MAGNITUDE] * LANES))
        return self.b.bitcast(bits, _FLOATS)

    def minuses(self, values: Value) -> Value:
        """Return the mask of signs, that of -0 as well."""
        return self.b.icmp_signed("<", self.b.bitcast(values, _WORDS), ir.Constant(_WORDS, [0] * LANES))

    def above(self, values: Value, edges: Value) -> Value:
        """Return the mask of `values` > `edges`."""
        return self.b.fcmp_ordered(">", values, edges)

    def not_below(self, values: Value, edges: Value) -> Value:
        """Return the mask of `values` >= `edges`, neither of which has a sign, as integers: a NaN is above infinity."""
        return self.b.icmp_unsigned(">=", self.b.bitcast(values, _WORDS), self.b.bitcast(edges, _WORDS))

    def picked(self, masks: list[Value], values: list[Value]) -> Value:
        """Return that of 2^k `values` whose index k `masks` give, the lowest bit first."""
        for mask in masks:
            values = [self.b.select(mask, odd, even) for even, odd in zip(values[::2], values[1::2], strict=True)]
        return values[0]

    def larger(self, a: Value, b: Value) -> Value:
        """Return the larger of each pair of numbers without signs, compared as `not_below` does."""
        return self.b.select(self.not_below(a, b), a, b)

    def butterflies(self, rows: list[Value]) -> list[Value]:
        """Return H of order len(rows) applied across `rows`: strides 1, 2, …"""
        stride = 1
        while stride < len(rows):
            rows = [
                (self.b.fsub if i & stride else self.b.fadd)(rows[i & ~stride], rows[i | stride])
                for i in range(len(rows))
            ]
            stride *= 2
        return rows

    def halves_added(self, rows: list[Value]) -> Value:
        """Return the sum of `rows`, adding the upper half to the lower until one is left."""
        while len(rows) > 1:
            half = len(rows) // 2
            rows = [self.b.fadd(low, high) for low, high in zip(rows[:half], rows[half:], strict=True)]
        return rows[0]

    def transposed(self, rows: list[Value]) -> list[Value]:
        """Return LANES rows of LANES, transposed: quarters change places, then the quarters of each quarter …"""
        h = LANES // 2
        while h:
            upper = [i if not i & h else LANES + (i ^ h) for i in range(LANES)]
            lower = [i | h if not i & h else LANES + i for i in range(LANES)]
            rows = [self._shuffled(rows[i & ~h], rows[i | h], lower if i & h else upper) for i in range(LANES)]
            h //= 2
        return rows

    def _shuffled(self, a: Value, b: Value, lanes: list[int]) -> Value:
        return self.b.shuffle_vector(a, b, ir.Constant(_WORDS, lanes))

    def _load(self, array: Value, index: Value, kind: Any, align: int) -> Value:
        return self.b.load(self._address(array, index, kind), align=align)

    def _address(self, array: Value, index: Value, kind: Any) -> Value:
        return self.b.bitcast(self.b.gep(array, [index]), kind.as_pointer())
