"""The flat form of values: the few arrays that go into a graph, and come out of it.

A graph has tensors for inputs and outputs, our values are structs and sequences of them.

    <a=int32,b=<float32[3],y=str>*>     int32,  float32[?,3] and str[?]

| type | arrays |
|---|---|
| tensor | itself |
| struct | those of its elements, in order |
| sequence | one a tensor of its element, stacked: `float32[3]*` is `float32[?,3]` |
| … of unknown sizes | its elements end to end, and their shapes: `float32[?,3]*` is `float32[?]`, `int64[?,2]` |
| … of unknown rank | its elements end to end, their sizes end to end, and their ranks: `int64[?]`, `int64[?]` |

The number of arrays follows from the type alone, so feeding a graph needs names `in_0`, `in_1`, …
and nothing else.  No array is copied but a sequence's elements, when they are put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from tierfed.errors import LeafError
from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.values import Rows

Array: TypeAlias = "np.ndarray[Any, Any]"


def arrays_of(t: Type | None) -> list[TensorType]:
    """Return the types of the arrays that a value of `t` is made of; of none if there is no value."""
    match t:
        case TensorType():
            return [t]
        case StructType():
            return [array for part in t.parts() for array in arrays_of(part)]
        case SequenceType():
            return [array for column in arrays_of(t.element) for array in stacked(column)]
    return []


def stacked(t: TensorType) -> list[TensorType]:
    """Return the types of the arrays that many tensors of `t` are made of."""
    if t.shape is None:
        return [TensorType(t.name, [None]), TensorType("int64", [None]), TensorType("int64", [None])]
    if not t.is_static:
        return [TensorType(t.name, [None]), TensorType("int64", [None, len(t.shape)])]
    return [TensorType(t.name, [None, *t.shape])]


def flat(value: Any, t: Type) -> Iterator[Array]:
    """Yield the arrays that a held `value` of `t` is made of."""
    match t:
        case TensorType():
            yield np.asarray(value, object if t.name == "str" else t.dtype)
        case StructType():
            for part, of in zip(value, t.parts(), strict=True):
                yield from flat(part, of)
        case SequenceType():
            columns = arrays_of(t.element)
            rows = [list(flat(row, t.element)) for row in value]
            for i, column in enumerate(columns):
                yield from _stack([row[i] for row in rows], column)


def _stack(tensors: list[Array], t: TensorType) -> Iterator[Array]:
    dtype = np.dtype(object) if t.name == "str" else t.dtype
    if t.is_static and t.shape is not None:
        out = np.empty((len(tensors), *(size for size in t.shape if size is not None)), dtype)
        for i, tensor in enumerate(tensors):
            out[i] = tensor if t.shape else tensor[()]
        yield out
        return
    yield np.concatenate([np.empty(0, dtype), *(tensor.reshape(-1) for tensor in tensors)])
    if t.shape is not None:
        yield np.array([tensor.shape for tensor in tensors], np.int64).reshape(len(tensors), len(t.shape))
    else:
        yield np.array([size for tensor in tensors for size in tensor.shape], np.int64)
        yield np.array([tensor.ndim for tensor in tensors], np.int64)


def held(arrays: Iterator[Array], t: Type, where: str) -> Any:
    """Return the held value of `t` that is made of the next of `arrays`, as a graph gives them."""
    match t:
        case TensorType():
            return _tensor(next(arrays), t, where)
        case StructType():
            return tuple(held(arrays, part, where) for part in t.parts())
        case SequenceType():
            columns = [list(_unstacked(arrays, column, where)) for column in arrays_of(t.element)]
            return Rows(held(iter(row), t.element, where) for row in zip(*columns, strict=True))
    raise AssertionError(t)


def _unstacked(arrays: Iterator[Array], t: TensorType, where: str) -> Iterator[Array]:
    column = next(arrays)
    if t.is_static and t.shape is not None:
        yield from column
        return
    if t.shape is not None:
        shapes = [tuple(int(size) for size in shape) for shape in next(arrays)]
    else:
        sizes, ranks = next(arrays), next(arrays)
        ends = np.cumsum(ranks)
        shapes = [tuple(int(size) for size in sizes[end - rank : end]) for end, rank in zip(ends, ranks, strict=True)]
    start = 0
    for shape in shapes:
        end = start + int(np.prod(shape, dtype=np.int64))
        yield column[start:end].reshape(shape)
        start = end


def _tensor(array: Any, t: TensorType, where: str) -> Any:
    if t.name != "str":
        return array
    try:
        texts = np.array([_text(s) for s in np.asarray(array, object).flat], object)
    except UnicodeDecodeError as problem:
        raise LeafError(
            f"a str of the result is no UTF-8: {problem}",
            where=where,
            mend="encode the bytes with tf.io.encode_base64, or return them as uint8 by tf.io.decode_raw",
        ) from None
    return texts.reshape(np.shape(array)) if np.ndim(array) else texts[0]


def _text(s: Any) -> str:
    return s.decode() if isinstance(s, bytes) else str(s)
