"""Kernels of topk; see codecs/topk.py, which says the same in numpy.

    magnitudes  3 9 1 7 …   not below 7:   marks  0 1 0 1 …   →   places 1, 3

Marks are made for many elements at a time, a bit each, and say how many places there are; as most are
zero, places are found by going from one set bit of 64 to the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from tierfed.codecs.fast.jit import as_float, intrinsic, kernel
from tierfed.codecs.fast.lanes import LANES, Lanes, Value, straight

_MAGNITUDE = np.uint32(0x7FFF_FFFF)
_WORD = 64  # marks that are looked at together


def above(bits: Any, low: Any) -> tuple[Any, Any]:
    """Return the indices, ascending, of the float32 numbers of these `bits` whose magnitude is not below `low`.

    And their magnitudes.  Magnitudes are compared as integers (uint32).
    """
    marks = np.zeros(-(-bits.size // _WORD), np.uint64)
    count = _mark(bits, low, marks.view(np.uint8), marks)
    places, magnitudes = np.empty(count, np.intp), np.empty(count, np.uint32)
    _find(marks, places)
    _take(bits, places, magnitudes)
    return places, magnitudes


def largest(places: Any, magnitudes: Any, edge: Any, count: int) -> Any:
    """Return those `count` of `places` whose magnitude is above `edge` or, the first of these, equal to it."""
    kept = np.empty(count, np.intp)
    _keep(places, magnitudes, edge, kept)
    return kept


def set_bits(data: Any) -> Any:
    """Return the indices, ascending, of the bits of `data`, bytes, that are set; the first is the lowest of a byte."""
    marks = np.zeros(-(-data.size * 8 // _WORD), np.uint64)
    marks.view(np.uint8)[: data.size] = data
    places = np.empty(_count(marks), np.intp)
    _find(marks, places)
    return places


@straight
def _marked(lanes: Lanes, bits: Value, at: Value, low: Value, marks: Value, byte: Value) -> None:
    lanes.store_mask(lanes.not_below(lanes.magnitudes(lanes.load(bits, at)), lanes.all(low)), marks, byte)


@intrinsic
def _ones(_: Any, word: Any) -> Any:
    """`_ones(word)` is how many bits of a uint64 are set."""
    return types.uint64(types.uint64), lambda context, builder, signature, arguments: builder.ctpop(arguments[0])


@intrinsic
def _lowest(_: Any, word: Any) -> Any:
    """`_lowest(word)` is the place of the lowest set bit of a uint64, which has one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@kernel("intp(uint64[::1])")
def _count(words: Any) -> Any:
    ones = np.uint64(0)
    for i in range(words.size):
        ones += _ones(words[i])
    return np.intp(ones)


@kernel("intp(Array(uint32,1,'C',readonly=True), uint32, uint8[::1], uint64[::1])")
def _mark(bits: Any, low: Any, marks: Any, words: Any) -> Any:
    """Set the marks of magnitudes not below `low`, and return how many these are; `words` are the bytes `marks`."""
    edge = as_float(low)
    whole = bits.size - bits.size % LANES
    for i in range(0, whole, LANES):
        _marked(bits, i, edge, marks, i // 8)
    for i in range(whole, bits.size):
        if bits[i] & _MAGNITUDE >= low:
            marks[i // 8] |= np.uint8(1 << (i % 8))
    return _count(words)


@kernel("void(uint64[::1], intp[::1])")
def _find(words: Any, places: Any) -> None:
    """Write the places of the marks, as many as there are."""
    to = 0
    for i in range(words.size):
        word = words[i]
        while word:
            places[to] = i * _WORD + np.intp(_lowest(word))
            to += 1
            word &= word - np.uint64(1)


@kernel("void(Array(uint32,1,'C',readonly=True), intp[::1], uint32[::1])")
def _take(bits: Any, places: Any, magnitudes: Any) -> None:
    for i in range(places.size):
        magnitudes[i] = bits[places[i]] & _MAGNITUDE


@kernel("void(Array(intp,1,'C',readonly=True), Array(uint32,1,'C',readonly=True), uint32, intp[::1])")
def _keep(places: Any, magnitudes: Any, edge: Any, kept: Any) -> None:
    ties = kept.size
    for i in range(magnitudes.size):
        ties -= magnitudes[i] > edge
    to = 0
    for i in range(magnitudes.size):
        if magnitudes[i] >= edge:
            if magnitudes[i] == edge:
                if not ties:
                    continue
                ties -= 1
            kept[to] = places[i]
            to += 1
