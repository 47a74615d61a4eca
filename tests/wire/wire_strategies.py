"""Random types that travel, values of them bit by bit, and streams cut at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tierfed.types import SequenceType, StructType, TensorType, Type
from tierfed.types.dtypes import NAMES, dtype_of
from tierfed.types.values import Rows

WORDS = ("", "a", "\x00", "naïve", "日本語", "\U0001f600", 'a "quoted" word', "z" * 40)
NAMED = st.sampled_from(["a", "b", "w1", "two words", "ä", "Δ"])

shapes = st.one_of(
    st.none(), st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=3).map(tuple), st.just((2, 3)), st.just(())
)
tensors = st.builds(TensorType, st.sampled_from(NAMES), shapes)


def structs(of: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    """Structs of up to three elements, each with a name or without."""
    pairs = st.lists(st.tuples(st.one_of(st.none(), NAMED), of), max_size=3)
    unique = pairs.filter(lambda p: len({n for n, _ in p if n}) == sum(n is not None for n, _ in p))
    return unique.map(StructType)


rows = st.recursive(tensors, structs, max_leaves=4)
types: st.SearchStrategy[Type] = st.recursive(st.one_of(tensors, rows.map(SequenceType)), structs, max_leaves=5)
seeds = st.integers(0, 2**32 - 1)


def bits(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Any:
    """Return an array whose bytes are random, often those of NaNs, infinities and zeros of either sign."""
    dtype = dtype_of(name)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.where(
        rng.random(nbytes) < 0.5, rng.integers(0, 256, nbytes), rng.choice([0, 0x7F, 0x80, 0xFF], nbytes)
    ).astype(np.uint8)
    return (raw & 1 if name == "bool" else raw).view(dtype).reshape(shape)


def value_of(rng: np.random.Generator, t: Type) -> Any:
    """Return a held value of `t`."""
    match t:
        case TensorType():
            known: tuple[int | None, ...] = (None,) * int(rng.integers(0, 4)) if t.shape is None else t.shape
            shape = tuple(int(rng.integers(0, 4)) if s is None else s for s in known)
            if t.name == "str":
                flat = np.empty(int(np.prod(shape, dtype=np.int64)), object)
                flat[:] = [WORDS[i] for i in rng.integers(0, len(WORDS), flat.size)]
                return flat.reshape(shape) if shape else flat[0]
            array = bits(rng, t.name, shape)
            return array if shape else array[()]
        case StructType():
            return tuple(value_of(rng, e) for e in t.parts())
        case SequenceType():
            return Rows(value_of(rng, t.element) for _ in range(int(rng.integers(0, 4))))
    raise AssertionError(t)


def held_form(value: Any, t: Type) -> None:
    """Assert that `value` is in the form that values of `t` are held in."""
    match t:
        case TensorType(name="str", shape=()):
            assert type(value) is str
        case TensorType() if isinstance(value, np.ndarray):
            assert value.ndim or t.shape != ()
            assert value.dtype == (object if t.name == "str" else t.dtype)
            assert value.flags.c_contiguous
        case TensorType(name="str"):
            assert type(value) is str
        case TensorType():
            assert type(value) is t.dtype.type
        case StructType():
            assert type(value) is tuple
            for v, e in zip(value, t.parts(), strict=True):
                held_form(v, e)
        case SequenceType():
            assert type(value) is Rows
            for v in value:
                held_form(v, t.element)


def cuts(rng: np.random.Generator, data: bytes) -> list[bytes]:
    """Return `data` in segments, most of them short."""
    segments = []
    at = 0
    while at < len(data):
        n = int(rng.choice([1, 2, 31, 32, 33, 64, 1000, 4096, 1 << 20]))
        segments.append(data[at : at + n])
        at += n
    return segments
