"""Random types of every kind, and values of those that have values.

    @given(types)
    @given(local_types.flatmap(lambda t: st.tuples(st.just(t), values_of(t))))

`values_of` gives values as they are held inside: see `tierfed.types.values`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tierfed.placements import CLIENTS, SERVER, placement
from tierfed.types import (
    AbstractType,
    FederatedType,
    FunctionType,
    PlacementType,
    SequenceType,
    StructType,
    TensorType,
    Type,
)
from tierfed.types.dtypes import NAMES, dtype_of
from tierfed.types.values import Rows

EDGE = placement("EDGE_AGGREGATORS")
HUB = placement("Hub", singleton=True)
PLACEMENTS = (SERVER, CLIENTS, EDGE, HUB, placement("régions_2"))
ODD_NAMES = (
    "conv/kernel:0",
    'say "hi"',
    "back\\slash",
    "a b",
    "int32",
    "placement",
    "line\nbreak",
    "é",
    "e\u0301",
    "=",
    "0",
    "∅",
)
TEXTS = ("", "a", "\x00", "trailing\x00", "naïve", "日本語", "\U0001f600", "z" * 40)

text = st.characters(exclude_categories=["Cs"])
names = st.one_of(st.sampled_from(("a", "b", "x", "w1", *ODD_NAMES)), st.text(text, min_size=1, max_size=5))
placements = st.sampled_from(PLACEMENTS)
shapes = st.one_of(st.none(), st.just(()), st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=3).map(tuple))
tensors: st.SearchStrategy[Type] = st.builds(TensorType, st.sampled_from(NAMES), shapes)


def structs(of: st.SearchStrategy[Type], most: int = 3) -> st.SearchStrategy[Type]:
    """Structs of at most `most` elements, each with a name or without."""
    elements = st.lists(
        st.tuples(st.one_of(st.none(), names), of),
        max_size=most,
        unique_by=lambda e: object() if e[0] is None else e[0],
    )
    return elements.map(StructType)


rows = st.recursive(tensors, structs, max_leaves=4)
local_types: st.SearchStrategy[Type] = st.recursive(st.one_of(tensors, rows.map(SequenceType)), structs, max_leaves=5)
federated_types: st.SearchStrategy[Type] = st.builds(FederatedType, local_types, placements, st.booleans())
labels: st.SearchStrategy[Type] = st.from_regex(r"[A-Z][A-Z0-9_]{0,3}", fullmatch=True).map(AbstractType)


def _grown(of: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    return st.one_of(structs(of), st.builds(FunctionType, st.one_of(st.none(), of), of))


types: st.SearchStrategy[Type] = st.recursive(
    st.one_of(local_types, federated_types, labels, st.just(PlacementType())), _grown, max_leaves=5
)


def values_of(t: Type) -> st.SearchStrategy[Any]:
    """Held values of `t`; of floats every bit pattern, NaNs of every kind among them."""
    return st.integers(0, 2**32 - 1).map(lambda seed: _value(np.random.default_rng(seed), t))


def _value(rng: np.random.Generator, t: Type) -> Any:
    match t:
        case TensorType():
            known: tuple[int | None, ...] = (None,) * int(rng.integers(0, 4)) if t.shape is None else t.shape
            shape = tuple(int(rng.integers(0, 4)) if s is None else s for s in known)
            array = _array(rng, t.name, shape)
            return array if shape else array[()]
        case StructType():
            return tuple(_value(rng, e) for e in t.parts())
        case SequenceType():
            return Rows(_value(rng, t.element) for _ in range(int(rng.integers(0, 4))))
    raise AssertionError(f"{t} has no values")


def _array(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape, dtype=np.int64))
    if name == "str":
        flat = np.empty(size, object)
        flat[:] = [TEXTS[i] for i in rng.integers(0, len(TEXTS), size)]
        return flat.reshape(shape)
    dtype = dtype_of(name)
    raw = np.where(
        rng.random(size * dtype.itemsize) < 0.5,
        rng.integers(0, 256, size * dtype.itemsize),
        rng.choice([0, 0x7F, 0x80, 0xFF], size * dtype.itemsize),
    ).astype(np.uint8)
    return (raw & 1 if name == "bool" else raw).view(dtype).reshape(shape)
