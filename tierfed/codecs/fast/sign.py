"""Kernels of sign; codecs/sign.py and codecs/planes.py say the same in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from tierfed.codecs.fast.jit import intrinsic, kernel, part, place
from tierfed.codecs.fast.planes import LANES, get, put

BLOCK = 4096
_F, _D = np.float32, np.float64
_WORD, _FLOATS, _BITS = ir.IntType(64), ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(1), LANES)
_LEAVES, _LEAF = 32, 128  # of the tree in which numpy adds the numbers of a block
_READ = "Array(uint8,1,'C',readonly=True), int64, Array(float32,1,'C',readonly=True), float32[:,::1]"


@part
def _sum(values: Any, sums: Any) -> Any:
    """Return the sum of the magnitudes of a block, added as numpy adds float64: eight lanes a leaf, then pairs."""
    sums[:] = 0
    for at in range(0, _LEAF, 8):
        for leaf in range(_LEAVES):
            lanes = sums[leaf]
            for lane in range(8):
                lanes[lane] += _D(abs(values[leaf * _LEAF + at + lane]))
    total = sums[:, 0]
    for leaf in range(_LEAVES):
        r = sums[leaf]
        total[leaf] = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
    count = _LEAVES
    while count > 1:
        count >>= 1
        for leaf in range(count):
            total[leaf] = total[2 * leaf] + total[2 * leaf + 1]
    return total[0]


@intrinsic
def _negative(context: Any, values: Any, at: Any) -> Any:
    """`_negative(values, at)` has bit i set if values[at + i] < 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.load(place(context, builder, signature, arguments, 0, 1, _FLOATS), align=4)
        return builder.bitcast(builder.fcmp_ordered("<", found, ir.Constant(_FLOATS, None)), _WORD)

    return types.uint64(values, types.int64), generate


@intrinsic
def _write(context: Any, out: Any, at: Any, mean: Any, word: Any, adding: Any) -> Any:
    """`_write(out, at, mean, word, adding)` writes 64 times the mean, negative where `word` has a bit, or adds it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to = place(context, builder, signature, arguments, 0, 1, _FLOATS)
        first = ir.Constant(ir.IntType(32), 0)
        order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        mean = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), arguments[2], first)
        mean = builder.shuffle_vector(mean, mean, order)
        less = builder.fneg(mean)
        values = builder.select(builder.bitcast(arguments[3], _BITS), less, mean)
        sums = builder.fadd(builder.load(to, align=4), values)
        everywhere = builder.insert_element(ir.Constant(_BITS, ir.Undefined), arguments[4], first)
        builder.store(builder.select(builder.shuffle_vector(everywhere, everywhere, order), sums, values), to, align=4)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.float32, types.uint64, types.boolean), generate


@kernel("boolean(Array(float32,2,'C',readonly=True), float32[::1], uint8[::1], int64)")
def encode(values: Any, means: Any, plane: Any, first: int) -> bool:
    """Write blocks' means, and their signs from the block `first` on; return whether all values are finite."""
    sums = np.empty((_LEAVES, 8), _D)
    for b in range(values.shape[0]):
        x = values[b]
        mean = _F(_sum(x, sums) / _D(BLOCK))
        if not np.isfinite(mean):
            return False
        means[b] = mean
        for at in range(0, BLOCK, LANES):
            put(plane, ((first + b) * BLOCK + at) >> 3, _negative(x, at))
    return True


@kernel(f"void({_READ})")
def decode(plane: Any, first: int, means: Any, out: Any) -> None:
    """Write what blocks decode to, of which `out[0]` is the block `first`."""
    for b in range(out.shape[0]):
        to, mean = out[b], means[b]
        for at in range(0, BLOCK, LANES):
            _write(to, at, mean, get(plane, ((first + b) * BLOCK + at) >> 3), False)


@kernel(f"void({_READ})")
def add(plane: Any, first: int, means: Any, out: Any) -> None:
    """Add what blocks decode to, of which `out[0]` is the block `first`."""
    for b in range(out.shape[0]):
        to, mean = out[b], means[b]
        for at in range(0, BLOCK, LANES):
            _write(to, at, mean, get(plane, ((first + b) * BLOCK + at) >> 3), True)
