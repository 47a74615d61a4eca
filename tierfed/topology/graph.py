"""Graph: from `parent`, `members`, `per_parent` and `count` to the members and their parents.

    SERVER: {}
    EDGE_AGGREGATORS: {parent: SERVER, members: {edge-eu: {}, edge-us: {}}}
    CLIENTS: {parent: EDGE_AGGREGATORS, count: 32, fan_in: 16}

Placements form a tree with one root (a cycle, a second root and a parent that is not there
are found on the graph of placements); then each placement's members are dealt out to the
members of the parent placement, in order: blocks of equal size, or one by one with
`distribute: round_robin`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import networkx as nx

from tierfed.placements.placement import declared
from tierfed.topology.checks import wrong_name
from tierfed.topology.names import Template, TemplateError, numbered
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Problems
from tierfed.topology.spec import MemberSpec, PlacementSpec, TopologySpec
from tierfed.topology.suggest import did_you_mean

MAX_MEMBERS = 2_000_000
_SHAPE_FIELDS = ("parent", "members", "per_parent", "count", "fan_in", "distribute", "name")
_EMPTY = PlacementSpec()


NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class Sprout:
    """A member while the tree grows: `labels` are its own and those of its ancestors, the nearest winning."""

    placement: str
    parent: Sprout | None
    name: str = ""
    own_labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    spec: MemberSpec | None = None
    i: int = 0
    n: int = 0


@dataclass(frozen=True, slots=True)
class Grown:
    """The placements in order from the root with their parents, and the members of each in member order."""

    parents: dict[str, str | None]
    members: dict[str, list[Sprout]]


def grow(spec: TopologySpec, document: Document, problems: Problems) -> Grown | None:
    """Return the members of every placement; None if the placements are no tree.

    Placements whose members cannot be known, because of a problem noted here or before,
    are left out with all below them.
    """
    order = _placements(spec, document, problems)
    if order is None:
        return None
    growing = _Growing(spec, document, problems)
    for name in order:
        growing.add(name)
    growing.check_duplicates()
    parents = {name: (spec.placements[name] or _EMPTY).parent for name in order if name in growing.members}
    return Grown(parents, growing.members)


def _placements(spec: TopologySpec, document: Document, problems: Problems) -> list[str] | None:
    """Return the placements, each after its parent; None unless they form a tree."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(spec.placements)
    sound = True
    roots = []
    for name, placement in spec.placements.items():
        path: Path = ("placements", name, "parent")
        above = (placement or _EMPTY).parent
        if above is None:
            if problems.at_or_above(path):
                sound = False  # its parent was wrong, and is told already
            else:
                roots.append(name)
        elif above not in spec.placements:
            sound = False
            others = [p for p in spec.placements if p != name]
            problems.add(document.value(path), path, f"no placement '{above}'; {did_you_mean(above, others)}")
        else:
            graph.add_edge(above, name)
    for extra in roots[1:]:
        sound = False
        path = ("placements", extra)
        told = f"a second root beside {roots[0]}; give it a parent"
        problems.add(document.key(path), path, told)
    listed = list(spec.placements)
    for cycle in sorted(nx.simple_cycles(graph), key=lambda c: min(map(listed.index, c))):
        sound = False
        start = min(range(len(cycle)), key=lambda at: listed.index(cycle[at]))
        ring = [*cycle[start:], *cycle[:start]]
        way = " > ".join([*ring, ring[0]])
        path = ("placements", ring[0], "parent")
        problems.add(document.value(path), path, f"{way} comes back to itself; one of them must have another parent")
    if not sound or not roots:
        return None
    return list(nx.dfs_preorder_nodes(graph, roots[0]))


@dataclass(slots=True)
class _Growing:
    spec: TopologySpec
    document: Document
    problems: Problems
    members: dict[str, list[Sprout]] = field(default_factory=dict)
    total: int = 0

    def add(self, name: str) -> None:
        """Add the members of the placement `name`, whose parent placement has been added."""
        placement = self.spec.placements[name] or _EMPTY
        if any(_of_shape(p.path, name) for p in self.problems.found if not p.unsupported) or (
            placement.parent is not None and placement.parent not in self.members
        ):
            return
        before = len(self.problems.found)
        if placement.parent is None:
            dealt = self.root(name, placement)
        else:
            dealt = self.dealt(name, placement, self.members[placement.parent])
        if dealt is None or len(self.problems.found) > before:
            return
        grown = [member for of_one in dealt for member in of_one]
        self.check_singleton(name, grown)
        self.name_them(name, placement, dealt, grown)
        if len(self.problems.found) == before:
            self.members[name] = grown

    def note(self, name: str, at: str, told: str) -> None:
        """Add a problem about the field `at` of the placement `name`; "" is the placement itself."""
        path: Path = ("placements", name, at) if at else ("placements", name)
        place = self.document.value(path) if at not in ("", "members") else self.document.key(path)
        self.problems.add(place, path, told)

    def too_many(self, name: str, at: str, count: int) -> bool:
        self.total += count
        if self.total > MAX_MEMBERS:
            self.note(name, at, f"{self.total} members in all; {MAX_MEMBERS} are the most")
            return True
        return False

    def root(self, name: str, placement: PlacementSpec) -> list[list[Sprout]] | None:
        for at in ("per_parent", "fan_in", "distribute", "name"):
            if at in placement.model_fields_set:
                told = f"{name} is the root and has no parent; remove it" if at != "name" else _ROOT_NAME.format(name)
                self.problems.add(self.document.key(("placements", name, at)), ("placements", name, at), told)
        if placement.count not in (None, 1):
            self.note(name, "count", f"{name} is the root and has one member, not {placement.count}; remove it")
        members = placement.members
        if members is not None and placement.count is not None:
            self.note(name, "count", "both members and count; keep one of them")
        if members is not None and len(members) != 1:
            self.note(name, "members", f"{name} is the root and has one member, not {len(members)}")
            return None
        called, of = next(iter(members.items())) if members else (_stem(name), None)
        if members is None and wrong_name(called):
            called = f"{called[:60]}-0"
        self.total += 1
        return [[self.explicit(name, called, of, None)]]

    def explicit(self, placement: str, name: str, of: MemberSpec | None, parent: Sprout | None) -> Sprout:
        return Sprout(placement, parent, name, own_labels=of.labels if of and of.labels else NO_LABELS, spec=of)

    def dealt(self, name: str, placement: PlacementSpec, parents: list[Sprout]) -> list[list[Sprout]] | None:
        """Return the members for each of `parents`; None with a problem if that cannot be."""
        ways = [w for w in ("members", "per_parent", "count") if getattr(placement, w) is not None]
        if len(ways) != 1:
            if ways:
                self.note(name, ways[1], f"both {ways[0]} and {ways[1]}; keep one of them")
            else:
                mend = "per_parent" if placement.fan_in is None else f"per_parent: {placement.fan_in}"
                self.note(name, "", f"no members; add {mend}, count or members")
            return None
        if placement.fan_in is not None and ways != ["count"]:
            self.note(name, "fan_in", f"fan_in confirms a count, and there is none beside {ways[0]}; remove it")
            return None
        if placement.members is not None:
            return self.written(name, placement, parents)
        if placement.per_parent is not None:
            if placement.distribute is not None:
                self.note(name, "distribute", "with per_parent there is nothing to distribute; remove it")
                return None
            if self.too_many(name, "per_parent", placement.per_parent * len(parents)):
                return None
            return [[Sprout(name, parent) for _ in range(placement.per_parent)] for parent in parents]
        count = placement.count or 0
        if placement.fan_in is not None and count != placement.fan_in * len(parents):
            self.note(name, "fan_in", self.contradiction(placement, len(parents)))
            return None
        if self.too_many(name, "count", count):
            return None
        return self.shared_out(name, placement, [Sprout(name, None) for _ in range(count)], parents, "count")

    def contradiction(self, placement: PlacementSpec, parents: int) -> str:
        count, fan_in = placement.count or 0, placement.fan_in or 0
        told = f"{_members(count)} under {parents} of {placement.parent} are not {fan_in} each"
        exact = f" or fan_in: {count // parents}" if parents and count % parents == 0 else ""
        return f"{told}; write count: {fan_in * parents}{exact}"

    def written(self, name: str, placement: PlacementSpec, parents: list[Sprout]) -> list[list[Sprout]] | None:
        """Return members that are written out, each under the parent it names, or shared out if none does."""
        members = placement.members or {}
        if self.too_many(name, "members", len(members)):
            return None
        made = [self.explicit(name, called, of, None) for called, of in members.items()]
        if placement.name is not None:
            self.note(name, "name", "members are written out and have their names; remove it")
            return None
        named = [m for m in made if m.spec is not None and m.spec.parent is not None]
        if not named:
            return self.shared_out(name, placement, made, parents, "members")
        if placement.distribute is not None:
            self.note(name, "distribute", "members name their parents, there is nothing to distribute; remove it")
        at = {p.name: index for index, p in enumerate(parents)}
        dealt: list[list[Sprout]] = [[] for _ in parents]
        wrong = False
        for member in made:
            path: Path = ("placements", name, "members", member.name)
            wanted = member.spec.parent if member.spec else None
            if wanted is None and len(parents) == 1:
                wanted = parents[0].name
            if wanted is None:
                told = f"names no parent, and {named[0].name} does; name one for each"
                if not self.problems.at_or_above((*path, "parent")):
                    self.problems.add(self.document.key(path), path, told)
                wrong = True
            elif wanted not in at:
                told = f"no member '{wanted}' of {placement.parent}; {did_you_mean(wanted, at)}"
                path = (*path, "parent")
                wrong = True
                self.problems.add(self.document.value(path), path, told)
            else:
                member.parent = parents[at[wanted]]
                dealt[at[wanted]].append(member)
        return None if wrong else dealt

    def shared_out(
        self, name: str, placement: PlacementSpec, made: list[Sprout], parents: list[Sprout], at: str
    ) -> list[list[Sprout]] | None:
        """Return `made` shared out among `parents`: in blocks, or one by one."""
        if not parents:
            if made:
                self.note(name, at, f"{_members(len(made))}, and {placement.parent} has none to stand under")
                return None
            return []
        if placement.distribute == "round_robin":
            dealt = [made[index :: len(parents)] for index in range(len(parents))]
        elif len(made) % len(parents):
            each = len(made) // len(parents)
            fits = [str(c * len(parents)) for c in (each, each + 1) if c]
            sizes = f"count: {' or '.join(fits)}, or " if at == "count" else "a parent for each member, or "
            told = f"{_members(len(made))} do not divide among {len(parents)} of {placement.parent}"
            self.note(name, at, f"{told}; write {sizes}distribute: round_robin")
            return None
        else:
            each = len(made) // len(parents)
            dealt = [made[index * each : (index + 1) * each] for index in range(len(parents))]
        for parent, children in zip(parents, dealt, strict=True):
            for child in children:
                child.parent = parent
        return dealt

    def name_them(
        self, name: str, placement: PlacementSpec, dealt: Sequence[list[Sprout]], grown: list[Sprout]
    ) -> None:
        """Number the members, give each the labels it inherits, and a name if it has none."""
        try:
            template = Template.parse(placement.name) if placement.name else numbered(_stem(name), len(grown))
        except TemplateError as error:
            self.note(name, "name", str(error))
            return
        for children in dealt:
            for i, member in enumerate(children):
                member.i = i
        for n, member in enumerate(grown):
            member.n = n
            inherited = member.parent.labels if member.parent else NO_LABELS
            member.labels = {**inherited, **member.own_labels} if member.own_labels else inherited
            if member.name or member.parent is None:
                continue
            try:
                member.name = template.name(i=member.i, n=n, parent=member.parent.name, labels=inherited)
            except TemplateError as error:
                if not any("labels" in p.path for p in self.problems.found):
                    self.note(name, "name", str(error))
                return
            if wrong := wrong_name(member.name):
                self.note(name, "name", f"gives {wrong}")
                return

    def check_singleton(self, name: str, grown: list[Sprout]) -> None:
        known = declared(name)
        placement = self.spec.placements[name] or _EMPTY
        if known is None:
            return
        if placement.parent is None and not known.singleton:
            self.note(name, "", f"{name} is no singleton and cannot be the root; put SERVER above it")
        elif placement.parent is not None and known.singleton and len(grown) != 1:
            at = next(w for w in ("members", "per_parent", "count") if getattr(placement, w) is not None)
            self.note(name, at, f"{name} is a singleton and has {_members(len(grown))}; give it one")

    def check_duplicates(self) -> None:
        """Refuse two members with one name, wherever they stand."""
        seen: dict[str, Sprout] = {}
        told = set()
        for name, members in self.members.items():
            for member in members:
                first = seen.setdefault(member.name, member)
                if first is member or name in told:
                    continue
                told.add(name)
                if member.spec is not None or "members" in (self.spec.placements[name] or _EMPTY).model_fields_set:
                    path: Path = ("placements", name, "members", member.name)
                    clash = f"a member of {first.placement} has this name too; choose another"
                    self.problems.add(self.document.key(path), path, clash)
                elif first.placement == name:
                    under = _name(member.parent)
                    mend = "add {i} or {n}"
                    if first.parent is not member.parent:
                        under = f"{_name(first.parent)} and {under}"
                        mend = "add {parent.name}, or use {n}"
                    self.note(name, "name", f"gives '{member.name}' twice, under {under}; {mend}")
                else:
                    self.note(name, "name", f"gives '{member.name}', which a member of {first.placement} is called")


_ROOT_NAME = "a template names many; {} is the root, write members: {{its-name: {{}}}} instead"


def _of_shape(path: Path, placement: str) -> bool:
    """Return whether a problem at `path` leaves open which members `placement` has."""
    if path[:2] != ("placements", placement):
        return False
    if len(path) > 2 and path[2] == "members":
        return len(path) <= 4
    return len(path) == 2 or path[2] in _SHAPE_FIELDS


def _members(count: int) -> str:
    return "1 member" if count == 1 else f"{count} members"


def _stem(placement: str) -> str:
    return placement.lower().replace("_", "-").strip("-") or "member"


def _name(member: Sprout | None) -> str:
    return member.name if member is not None else "nobody"
