"""Random trees of several hierarchies, and random values for their members."""

from __future__ import annotations

import collections
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tierfed.placements import CLIENTS, SERVER, Hierarchy, Member, Placement, Tree, placement
from tierfed.types import FederatedType, SequenceType, StructType, TensorType, Type
from tierfed.types.values import Rows

EDGE = placement("EDGE_AGGREGATORS")
REGIONS = placement("REGIONS")
CONTINENTS = placement("CONTINENTS")
SENSORS = placement("SENSORS")
PHONES = placement("PHONES")
GATE = placement("GATE", singleton=True)

HIERARCHIES = {
    "two tiers": Hierarchy.chain(SERVER, CLIENTS),
    "three tiers": Hierarchy.chain(SERVER, EDGE, CLIENTS),
    "four tiers": Hierarchy.chain(SERVER, REGIONS, EDGE, CLIENTS),
    "five tiers": Hierarchy.chain(SERVER, CONTINENTS, REGIONS, EDGE, CLIENTS),
    "a singleton between": Hierarchy.chain(SERVER, GATE, CLIENTS),
    "two leaf placements": Hierarchy({EDGE: SERVER, SENSORS: EDGE, PHONES: EDGE}),
    "branches of two lengths": Hierarchy({PHONES: SERVER, EDGE: SERVER, SENSORS: EDGE}),
}


@functools.lru_cache(maxsize=1 << 14, typed=True)
def _one_of(*options: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(options)


def sampled(options: Sequence[Any]) -> st.SearchStrategy[Any]:
    """One of hashable `options`; the same strategy each time, since half of drawing is checking a new one."""
    return _one_of(*options)


@functools.lru_cache(maxsize=1 << 14, typed=True)
def few_of(least: int, most: int, *options: Any) -> st.SearchStrategy[list[Any]]:
    """From `least` to `most` of hashable options."""
    return st.lists(st.sampled_from(options), min_size=least, max_size=most)


@functools.cache
def held(t: Type) -> st.SearchStrategy[Any]:
    """Held values of `t`: numbers small and large, now and then no numbers at all."""
    return st.integers(0, 9999).map(lambda seed: _held(np.random.default_rng(seed), t, strange=seed % 7 == 0))


def _held(rng: np.random.Generator, t: Type, strange: bool) -> Any:
    match t:
        case StructType():
            return tuple(_held(rng, e, strange) for e in t.parts())
        case SequenceType():
            return Rows(_held(rng, t.element, strange) for _ in range(int(rng.integers(0, 4))))
        case TensorType(name="str"):
            return str(rng.choice(["", "a", "naïve", "日本語"]))
        case TensorType():
            shape = tuple(int(rng.integers(0, 4)) if s is None else s for s in t.shape or ())
            return _numbers(rng, t, shape, strange)
    raise AssertionError(t)


def _numbers(rng: np.random.Generator, t: TensorType, shape: tuple[int, ...], strange: bool) -> Any:
    kind = "f" if t.name == "bfloat16" else t.dtype.kind
    if kind == "b":
        array = rng.random(shape) < 0.5
    elif kind in "iu":
        info = np.iinfo(t.dtype)
        array = (
            rng.integers(info.min, info.max, shape, t.dtype, endpoint=True) if strange else rng.integers(0, 20, shape)
        )
    else:
        array = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)
        if kind == "c":
            array = array + 1j * rng.normal(size=shape)
        elif strange:
            array = np.where(rng.random(shape) < 0.3, rng.choice([-0.0, np.inf, -np.inf, np.nan, 1e-40], shape), array)
    with np.errstate(all="ignore"):
        return np.asarray(array).astype(t.dtype)[()]


@functools.cache
@st.composite
def trees(draw: st.DrawFn, hierarchy: Hierarchy, least: int = 0, most: int = 18) -> Tree:
    """A tree of `hierarchy`: uneven, and with aggregators that have no children unless `least` is 1."""
    room = [most]
    numbers_of: collections.Counter[str] = collections.Counter()

    def grow(p: Placement) -> Member:
        name = f"{str(p).lower().replace('_', '-')}-{numbers_of[str(p)]}"
        numbers_of[str(p)] += 1
        children = []
        for below in hierarchy.children(p):
            count = 1 if below.singleton else draw(sampled((2, 1, 3, 2, least)))
            for _ in range(min(count, room[0]) or (1 if below.singleton else least)):
                room[0] -= 1
                children.append(grow(below))
        return Member(name, p, tuple(children))

    return Tree(hierarchy, grow(hierarchy.root))


def is_struct_of_placed(t: Type) -> bool:
    return isinstance(t, StructType) and t.contains(FederatedType)


def argument(t: Type, tree: Tree) -> st.SearchStrategy[Any]:
    """A held argument of type `t` on `tree`."""
    if isinstance(t, FederatedType) and not t.all_equal:
        count = len(tree.members(t.placement))
        return _so_many(t.member, count)
    if is_struct_of_placed(t):
        return st.tuples(*(argument(e, tree) for e in t.parts()))
    return held(t.member if isinstance(t, FederatedType) else t)


@functools.cache
def _so_many(t: Type, count: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(held(t), min_size=count, max_size=count).map(tuple)
