"""Hierarchy: which placement stands above which.

    Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS")
    Hierarchy({"EDGE": "SERVER", "SENSORS": "EDGE", "PHONES": "EDGE"})

A tree of placements with one root, which is a singleton.  Every member's parent
belongs to the parent placement, and no tier is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping

from tierfed.errors import PlacementError
from tierfed.placements.placement import Placement, declared, mentioned, placement
from tierfed.user_line import at_user_line


def as_placement(name: Placement | str) -> Placement:
    """Return `name` as a placement."""
    return name if isinstance(name, Placement) else mentioned(name)


class Hierarchy:
    """A tree of placements; immutable.  `parents` maps each placement but the root to the one above it.

    The root is a singleton.  Raises PlacementError for what is no tree.

    >>> tierfed.Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS")
    <Hierarchy SERVER > EDGE_AGGREGATORS > CLIENTS>
    >>> tierfed.Hierarchy({"EDGE": "SERVER", "SENSORS": "EDGE", "PHONES": "EDGE"})
    <Hierarchy SERVER > EDGE > (SENSORS, PHONES)>
    """

    __slots__ = ("_children", "_depth", "_order", "_parent", "root")

    def __init__(
        self, parents: Mapping[Placement | str, Placement | str], *, root: Placement | str | None = None
    ) -> None:
        names: dict[str, Placement | str] = {}  # in order of first mention, before any is declared
        parent_names: dict[str, str] = {}
        for below, above in parents.items():
            names.setdefault(str(above), above)
            names.setdefault(str(below), below)
            parent_names[str(below)] = str(above)
        if root is not None:
            names.setdefault(str(root), root)
        roots = [name for name in names if name not in parent_names]
        if len(roots) != 1:
            raise PlacementError(
                f"a hierarchy has one root, this one has {len(roots)}" + (f": {', '.join(roots)}" if roots else ""),
                where=at_user_line("hierarchy"),
                mend="give every placement but one its parent, and let no chain of parents come back to itself",
            )
        top = names[roots[0]]
        self.root = top if isinstance(top, Placement) else _root_placement(top)
        if not self.root.singleton:
            singletons = [name for name in names if (p := declared(name)) is not None and p.singleton]
            raise PlacementError(
                f"the root {self.root} is not a singleton",
                where=at_user_line("hierarchy"),
                mend=f"let {singletons[0]} be the root, which is one: a chain names its root first"
                if singletons
                else f'declare it first: tierfed.placement("{self.root}", singleton=True)',
            )
        placed = {name: self.root if name == roots[0] else as_placement(value) for name, value in names.items()}
        self._parent: dict[Placement, Placement] = {placed[b]: placed[a] for b, a in parent_names.items()}
        self._children: dict[Placement, tuple[Placement, ...]] = {
            p: tuple(b for b, a in self._parent.items() if a == p) for p in placed.values()
        }
        order: list[Placement] = []
        depth: dict[Placement, int] = {}
        stack = [(self.root, 0)]
        while stack:
            p, d = stack.pop()
            order.append(p)
            depth[p] = d
            stack.extend((c, d + 1) for c in reversed(self._children[p]))
        if len(order) != len(placed):
            loose = ", ".join(sorted(str(p) for p in placed.values() if p not in depth))
            raise PlacementError(
                f"no way from the root {self.root} to {loose}",
                where=at_user_line("hierarchy"),
                mend="let no chain of parents come back to itself",
            )
        self._order = tuple(order)
        self._depth = depth

    @staticmethod
    def chain(*placements: Placement | str) -> Hierarchy:
        """Return the hierarchy of `placements`, root first, each above the next."""
        if not placements:
            raise PlacementError(
                "a chain needs a placement", where=at_user_line("hierarchy"), mend='start with "SERVER"'
            )
        if len({str(p) for p in placements}) != len(placements):
            raise PlacementError(
                f"a placement stands twice in {' > '.join(str(p) for p in placements)}",
                where=at_user_line("hierarchy"),
                mend="give each tier a placement of its own",
            )
        return Hierarchy(dict(zip(placements[1:], placements, strict=False)), root=placements[0])

    @property
    def placements(self) -> tuple[Placement, ...]:
        """All placements, depth-first from the root."""
        return self._order

    def __contains__(self, item: object) -> bool:
        return item in self._depth

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hierarchy) and self.root == other.root and self._parent == other._parent

    def __hash__(self) -> int:
        return hash((self.root, frozenset(self._parent.items())))

    def parent(self, p: Placement) -> Placement | None:
        """Return the placement above `p`, None for the root."""
        self._check(p)
        return self._parent.get(p)

    def children(self, p: Placement) -> tuple[Placement, ...]:
        """Return the placements just below `p`."""
        self._check(p)
        return self._children[p]

    def depth(self, p: Placement) -> int:
        """Return the number of hops from the root to `p`."""
        self._check(p)
        return self._depth[p]

    def is_above(self, above: Placement, below: Placement) -> bool:
        """Return whether `above` is strictly above `below` on one path."""
        return above != below and above in self.path_to_root(below)

    def path_to_root(self, p: Placement) -> tuple[Placement, ...]:
        """Return `p`, the placement above it, and so on to the root."""
        self._check(p)
        path = [p]
        while (up := self._parent.get(path[-1])) is not None:
            path.append(up)
        return tuple(path)

    def path(self, below: Placement, above: Placement) -> tuple[Placement, ...]:
        """Return the tiers from `below` up to `above`, both included.

        Raises PlacementError if `above` is not above `below` (or equal to it).
        """
        way = self.path_to_root(below)
        self._check(above)
        if above not in way:
            raise PlacementError(
                f"{above} is not above {below} in {self}",
                where="hierarchy",
                mend=f"the tiers above {below} are {', '.join(str(p) for p in way[1:]) or 'none'}",
            )
        return way[: way.index(above) + 1]

    def _check(self, p: Placement) -> None:
        if p not in self._depth:
            raise PlacementError(
                f"no tier {p} in {self}",
                where="hierarchy",
                mend=f"add {p} to `placements:` in the topology, or use a tier it lists",
            )

    def __str__(self) -> str:
        """Return the notation `A > B > C`; branches are written `A > (B, C)`."""

        def show(p: Placement) -> str:
            below = self._children[p]
            if not below:
                return str(p)
            rest = show(below[0]) if len(below) == 1 else "(" + ", ".join(show(c) for c in below) + ")"
            return f"{p} > {rest}"

        return show(self.root)

    def __repr__(self) -> str:
        return f"<Hierarchy {self}>"


def _root_placement(name: str) -> Placement:
    """Return the placement of a root: declared a singleton here if nobody has declared it."""
    return declared(name) or placement(name, singleton=True)
