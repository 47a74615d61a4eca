"""Tree: the members of a hierarchy's placements, and who is whose parent.

A topology becomes a tree, and the reference interpreter folds along one.  The
order of a member's children is the topology's, and *member order* of a placement
is depth-first in it: Python lists for `{T}@P` and every fold use that order.

    Tree.grown(Hierarchy.chain("SERVER", "EDGE", "CLIENTS"), {"EDGE": 2, "CLIENTS": 3})

is a server with two edges of three clients each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tierfed.errors import PlacementError
from tierfed.placements.hierarchy import Hierarchy
from tierfed.placements.placement import Placement


@dataclass(frozen=True, slots=True)
class Member:
    """One participant: its name, its placement, its children in topology order."""

    name: str
    placement: Placement
    children: tuple[Member, ...] = ()

    def walk(self) -> Iterator[Member]:
        """Yield this member and all below it, depth-first."""
        stack = [self]
        while stack:
            member = stack.pop()
            yield member
            stack.extend(reversed(member.children))

    def below(self, placement: Placement) -> tuple[Member, ...]:
        """Return the members of `placement` in this subtree, in member order."""
        return tuple(m for m in self.walk() if m.placement == placement)


class Tree:
    """A hierarchy with its members; immutable and checked when made."""

    __slots__ = ("_by_name", "_by_placement", "_parent", "hierarchy", "root")

    def __init__(self, hierarchy: Hierarchy, root: Member) -> None:
        self.hierarchy = hierarchy
        self.root = root
        self._by_name: dict[str, Member] = {}
        self._parent: dict[str, Member] = {}
        members: dict[Placement, list[Member]] = {p: [] for p in hierarchy.placements}
        if root.placement != hierarchy.root:
            raise PlacementError(
                f"{root.name} is of {root.placement}, the root is {hierarchy.root}",
                where="tree",
                mend=f"start with the member of {hierarchy.root}",
            )
        allowed = {p: set(hierarchy.children(p)) for p in hierarchy.placements}
        for member in root.walk():
            if member.name in self._by_name:
                raise PlacementError(
                    f"two members are called {member.name}", where="tree", mend="give each member its own name"
                )
            self._by_name[member.name] = member
            members[member.placement].append(member)
            under = allowed[member.placement]
            last: Placement | None = None  # most siblings are of one placement
            for child in member.children:
                if child.placement is not last and child.placement not in under:
                    above = hierarchy.parent(child.placement)
                    raise PlacementError(
                        f"{child.name} of {child.placement} stands under {member.name} of {member.placement}",
                        where="tree",
                        mend=f"in {hierarchy} its parent is a member of {above}" if above else "have one root",
                    )
                last = child.placement
                self._parent[child.name] = member
        self._by_placement = {p: tuple(of) for p, of in members.items()}
        self.check_singletons()

    def check_singletons(self) -> None:
        """Raise PlacementError unless every singleton has one member; a program may declare one after the tree."""
        for p, of in self._by_placement.items():
            if p.singleton and len(of) != 1:
                raise PlacementError(
                    f"{p} is declared a singleton and has {len(of)} members",
                    where="tree",
                    mend="give it one member, or declare it without singleton=True",
                )

    @staticmethod
    def grown(hierarchy: Hierarchy, fan_out: Mapping[str, int]) -> Tree:
        """Return a tree in which every parent has `fan_out[name]` children of each placement below it."""

        def grow(p: Placement, name: str) -> Member:
            children = []
            for c in hierarchy.children(p):
                for i in range(_fan_out(fan_out, c)):
                    stem = "" if p == hierarchy.root else name.split("-", 1)[1] + "."
                    children.append(grow(c, f"{str(c).lower()}-{stem}{i}"))
            return Member(name, p, tuple(children))

        return Tree(hierarchy, grow(hierarchy.root, str(hierarchy.root).lower()))

    def members(self, placement: Placement) -> tuple[Member, ...]:
        """Return the members of `placement` in member order."""
        if placement not in self._by_placement:
            self.hierarchy.depth(placement)  # raises, with the mend
        return self._by_placement[placement]

    def member(self, name: str) -> Member:
        """Return the member called `name`."""
        return self._by_name[name]

    def parent(self, name: str) -> Member | None:
        """Return the parent of the member called `name`, None for the root's."""
        return self._parent.get(name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        counts = ", ".join(f"{p}: {len(of)}" for p, of in self._by_placement.items())
        return f"<Tree {counts}>"


def _fan_out(fan_out: Mapping[str, int], below: Placement) -> int:
    count = fan_out.get(str(below))
    if count is None or count < 0:
        raise PlacementError(
            f"the number of {below} is {'not given' if count is None else count}",
            where="tree",
            mend=f"say how many a parent has, as in {{{str(below)!r}: 2}}",
        )
    return count
