"""Hierarchies: trees of placements with one root, or an error that says why not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.errors import PlacementError
from tierfed.placements import CLIENTS, SERVER, Hierarchy, placement

EDGE, SENSORS, PHONES = placement("HT_EDGE"), placement("HT_SENSORS"), placement("HT_PHONES")
CHAIN = Hierarchy.chain(SERVER, EDGE, CLIENTS)
BRANCHED = Hierarchy({EDGE: SERVER, SENSORS: EDGE, PHONES: EDGE, CLIENTS: SERVER})


def test_chain() -> None:
    """A chain is read from the root down, and knows what is above and below."""
    assert str(CHAIN) == "SERVER > HT_EDGE > CLIENTS" and repr(CHAIN) == "<Hierarchy SERVER > HT_EDGE > CLIENTS>"
    assert CHAIN.placements == (SERVER, EDGE, CLIENTS) and CHAIN.root is SERVER
    assert (CHAIN.parent(CLIENTS), CHAIN.parent(SERVER), CHAIN.children(EDGE)) == (EDGE, None, (CLIENTS,))
    assert [CHAIN.depth(p) for p in CHAIN.placements] == [0, 1, 2]
    assert CHAIN.path(CLIENTS, SERVER) == (CLIENTS, EDGE, SERVER) and CHAIN.path(EDGE, EDGE) == (EDGE,)
    assert EDGE in CHAIN and PHONES not in CHAIN and "CLIENTS" not in CHAIN


def test_branches() -> None:
    """Branches are written in parentheses, in the order they were given, depth-first."""
    assert str(BRANCHED) == "SERVER > (HT_EDGE > (HT_SENSORS, HT_PHONES), CLIENTS)"
    assert BRANCHED.placements == (SERVER, EDGE, SENSORS, PHONES, CLIENTS)
    assert BRANCHED.is_above(EDGE, PHONES) and BRANCHED.is_above(SERVER, PHONES)
    assert not BRANCHED.is_above(EDGE, CLIENTS) and not BRANCHED.is_above(EDGE, EDGE)


def test_equality() -> None:
    """Hierarchies are equal if each placement has the same parent."""
    same = Hierarchy({PHONES: EDGE, SENSORS: EDGE, CLIENTS: SERVER, EDGE: SERVER})
    assert same == BRANCHED and hash(same) == hash(BRANCHED) and BRANCHED != CHAIN
    assert Hierarchy.chain("SERVER", "HT_EDGE", "CLIENTS") == CHAIN


def test_root_is_declared_a_singleton() -> None:
    """A root that nobody has declared is a singleton; a declared one that is none is refused."""
    assert Hierarchy.chain("HT_TOP", "CLIENTS").root.singleton
    with pytest.raises(PlacementError) as caught:
        Hierarchy.chain(EDGE, CLIENTS)
    assert str(caught.value).partition(": ")[2] == (
        "hierarchy: the root HT_EDGE is not a singleton\n"
        '  to mend: declare it first: tierfed.placement("HT_EDGE", singleton=True)'
    )


WRONG: list[tuple[Any, str]] = [
    (lambda: Hierarchy({}), "a hierarchy has one root, this one has 0"),
    (lambda: Hierarchy({EDGE: SERVER, CLIENTS: PHONES}), "a hierarchy has one root, this one has 2: SERVER, HT_PHONES"),
    (lambda: Hierarchy({EDGE: CLIENTS, CLIENTS: EDGE}), "a hierarchy has one root, this one has 0"),
    (lambda: Hierarchy({EDGE: CLIENTS, CLIENTS: EDGE}, root=SERVER), "no way from the root SERVER to CLIENTS, HT_EDGE"),
    (lambda: Hierarchy({SERVER: SERVER}), "a hierarchy has one root, this one has 0"),
    (lambda: Hierarchy.chain(), "a chain needs a placement"),
    (lambda: Hierarchy.chain(SERVER, EDGE, SERVER), "a placement stands twice in SERVER > HT_EDGE > SERVER"),
    (lambda: CHAIN.parent(PHONES), "no tier HT_PHONES in SERVER > HT_EDGE > CLIENTS"),
    (lambda: CHAIN.path(EDGE, CLIENTS), "CLIENTS is not above HT_EDGE in SERVER > HT_EDGE > CLIENTS"),
    (lambda: BRANCHED.path(CLIENTS, EDGE), f"HT_EDGE is not above CLIENTS in {BRANCHED}"),
    (lambda: CHAIN.path(CLIENTS, PHONES), "no tier HT_PHONES in SERVER > HT_EDGE > CLIENTS"),
]


@pytest.mark.parametrize(("make", "what"), WRONG, ids=[what for _, what in WRONG])
def test_wrong(make: Any, what: str) -> None:
    """What is no tree with one root, and what is not in it, is an error with a mend."""
    with pytest.raises(PlacementError) as caught:
        make()
    assert caught.value.what == what and str(caught.value.where).endswith("hierarchy") and caught.value.mend


def test_one_placement() -> None:
    """A root alone is a hierarchy."""
    alone = Hierarchy.chain(SERVER)
    assert (str(alone), alone.placements, alone.children(SERVER)) == ("SERVER", (SERVER,), ())


@given(st.lists(st.integers(0, 100), max_size=8))
def test_any_tree(above: list[int]) -> None:
    """In any tree, depth-first order puts parents first and subtrees together, and paths rise by one."""
    tiers = [SERVER, *(placement(f"HT_{i}") for i in range(len(above)))]
    h = Hierarchy({tiers[i + 1]: tiers[a % (i + 1)] for i, a in enumerate(above)}, root=SERVER)
    order = h.placements
    assert len(order) == len(tiers)
    for p in order:
        parent = h.parent(p)
        assert (parent is None) == (p == SERVER)
        if parent is not None:
            assert h.depth(p) == h.depth(parent) + 1 and p in h.children(parent) and h.is_above(parent, p)
            assert h.path(p, SERVER) == (p, *h.path(parent, SERVER))
        below = [i for i, q in enumerate(order) if q == p or h.is_above(p, q)]
        assert below == list(range(below[0], below[0] + len(below)))
