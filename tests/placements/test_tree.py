"""Trees: members in depth-first order, each under a member of the placement above its own."""

from __future__ import annotations

import pytest

from tierfed.errors import PlacementError
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Member, Tree, placement

EDGE, SENSORS, PHONES = placement("TT_EDGE"), placement("TT_SENSORS"), placement("TT_PHONES")
CHAIN = Hierarchy.chain(SERVER, EDGE, CLIENTS)
BRANCHED = Hierarchy({EDGE: SERVER, SENSORS: EDGE, PHONES: EDGE})


def member(name: str, at: object, *children: Member) -> Member:
    """Return a member with its children."""
    assert isinstance(at, type(SERVER))
    return Member(name, at, children)


def test_member_order_is_depth_first() -> None:
    """Members come in topology order, depth-first, whatever their names and ranks."""
    root = member(
        "s",
        SERVER,
        member("z", EDGE, member("p2", PHONES), member("n1", SENSORS), member("p1", PHONES)),
        member("a", EDGE, member("n0", SENSORS)),
        member("m", EDGE),
    )
    tree = Tree(BRANCHED, root)
    assert [m.name for m in root.walk()] == ["s", "z", "p2", "n1", "p1", "a", "n0", "m"]
    assert [m.name for m in tree.members(EDGE)] == ["z", "a", "m"]
    assert [m.name for m in tree.members(PHONES)] == ["p2", "p1"]
    assert [m.name for m in tree.members(SENSORS)] == ["n1", "n0"]
    assert [m.name for m in tree.member("z").below(PHONES)] == ["p2", "p1"]
    assert tree.member("m").below(PHONES) == () and tree.member("p1").below(PHONES) == (tree.member("p1"),)
    above = tree.parent("n0")
    assert above is not None and above.name == "a" and tree.parent("s") is None and len(tree) == 8
    assert repr(tree) == "<Tree SERVER: 1, TT_EDGE: 3, TT_SENSORS: 2, TT_PHONES: 2>"


def test_grown() -> None:
    """A grown tree has as many children at each member as it is told, with unique names."""
    tree = Tree.grown(CHAIN, {"TT_EDGE": 2, "CLIENTS": 3})
    assert [m.name for m in tree.members(CLIENTS)] == [f"clients-{edge}.{i}" for edge in range(2) for i in range(3)]
    assert [len(e.children) for e in tree.members(EDGE)] == [3, 3]
    assert [m.name for m in Tree.grown(CHAIN, {"TT_EDGE": 1, "CLIENTS": 0}).members(CLIENTS)] == []


@pytest.mark.parametrize(("fan_out", "what"), [({}, "not given"), ({"TT_EDGE": -1}, "-1")])
def test_grown_by_no_number(fan_out: dict[str, int], what: str) -> None:
    """A fan-out that is missing or negative is refused, with the mend."""
    with pytest.raises(PlacementError) as caught:
        Tree.grown(CHAIN, fan_out)
    assert str(caught.value) == (
        f"tree: the number of TT_EDGE is {what}\n  to mend: say how many a parent has, as in {{'TT_EDGE': 2}}"
    )


def test_grown_branches() -> None:
    """Each parent has children of every placement below it."""
    tree = Tree.grown(BRANCHED, {"TT_EDGE": 2, "TT_SENSORS": 1, "TT_PHONES": 2})
    assert [m.name for m in tree.root.walk()] == [
        "server",
        "tt_edge-0", "tt_sensors-0.0", "tt_phones-0.0", "tt_phones-0.1",
        "tt_edge-1", "tt_sensors-1.0", "tt_phones-1.0", "tt_phones-1.1",
    ]  # fmt: skip


def test_other_tier() -> None:
    """Members of a placement that is not in the hierarchy are asked for in vain, with the mend."""
    with pytest.raises(PlacementError, match="no tier TT_PHONES in SERVER > TT_EDGE > CLIENTS"):
        Tree.grown(CHAIN, {"TT_EDGE": 1, "CLIENTS": 1}).members(PHONES)


WRONG = [
    (member("e", EDGE), "e is of TT_EDGE, the root is SERVER"),
    (member("s", SERVER, member("e", EDGE), member("e", EDGE)), "two members are called e"),
    (member("s", SERVER, member("c", CLIENTS)), "c of CLIENTS stands under s of SERVER"),
    (member("s", SERVER, member("e", EDGE, member("f", EDGE))), "f of TT_EDGE stands under e of TT_EDGE"),
    (member("s", SERVER, member("p", PHONES)), "no tier TT_PHONES in SERVER > TT_EDGE > CLIENTS"),
    (member("s", SERVER, member("e", EDGE, member("t", SERVER))), "t of SERVER stands under e of TT_EDGE"),
]


@pytest.mark.parametrize(("root", "what"), WRONG, ids=[what for _, what in WRONG])
def test_wrong(root: Member, what: str) -> None:
    """A tree that skips a tier, repeats a name or starts elsewhere is refused, with a mend."""
    with pytest.raises(PlacementError) as caught:
        Tree(CHAIN, root)
    assert caught.value.what == what and caught.value.mend


def test_singletons_are_counted() -> None:
    """A placement declared a singleton has one member in every tree."""
    hub = placement("TT_HUB", singleton=True)
    h = Hierarchy.chain(SERVER, hub, CLIENTS)
    assert len(Tree.grown(h, {"TT_HUB": 1, "CLIENTS": 1})) == 3
    for count in (0, 2):
        with pytest.raises(PlacementError, match=f"TT_HUB is declared a singleton and has {count} members"):
            Tree.grown(h, {"TT_HUB": count, "CLIENTS": 1})
