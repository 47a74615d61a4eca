"""Topology: what a file comes to, every member with every setting.

    topology = load_topology("topologies/three_tier.yaml")
    topology.hierarchy                     SERVER > EDGE_AGGREGATORS > CLIENTS
    topology.node("c-eu-03").codec_up      "int8+zstd"
    topology.node("edge-eu").quorum        {"CLIENTS": 16}
    topology.processes["c-eu-00..c-eu-07"] the eight members that share a process

It is immutable, and says nothing of addresses or programs: those come with a plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tierfed.errors import NoSuchRun
from tierfed.placements import Hierarchy, Member, Placement, Tree
from tierfed.topology.cohort import Cohort
from tierfed.topology.faults import Fault
from tierfed.topology.graph import NO_LABELS
from tierfed.topology.links.profile import DeviceProfile, InterfaceProfile, LinkProfile
from tierfed.topology.links.trace import Trace
from tierfed.topology.links.window import Window
from tierfed.topology.problems import Problem
from tierfed.topology.settle import Settled
from tierfed.topology.suggest import did_you_mean
from tierfed.topology.units import Duration, Percent
from tierfed.types import html

_NOBODY: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Job:
    """What runs once the tree is ready: `program` is module:function, `params` its keyword arguments.

    `data` says where members have their data: `{"dataset": …, "split": …}` or `{"provider": …}`.
    """

    program: str
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    data: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Node:
    """One member of the tree with all that is set for it.

    `index` counts within the placement in member order, `labels` are its own, and `process`
    names the process that it lives in.
    """

    name: str
    placement: str
    index: int
    parent: str | None
    children: tuple[str, ...]
    labels: Mapping[str, str] = field(hash=False)
    settings: Settled
    process: str
    quorum: Mapping[str, int] = field(hash=False)
    """How many of its direct children it needs, by child placement; of a cohort, of those that are to count."""
    cohort: Cohort | None = None
    """How it is drawn with its siblings, None if all take part."""

    @property
    def codec_up(self) -> str:
        """The codec of what it sends to its parent ("none" at the root)."""
        return self.settings.codec_up

    @property
    def codec_down(self) -> str:
        """The codec of what its parent sends to it ("none" at the root)."""
        return self.settings.codec_down

    @property
    def deadline(self) -> Duration:
        """How long it waits for its children; of a leaf, how long its parent waits."""
        return self.settings.deadline

    @property
    def share(self) -> Percent:
        """The quorum as a share of its direct children."""
        return self.settings.quorum

    @property
    def link(self) -> LinkProfile | None:
        """The model of its link to its parent, None if there is none."""
        return self.settings.modelled.link

    @property
    def interface(self) -> InterfaceProfile | None:
        """The model of what its children's links share at it, None if there is none."""
        return self.settings.modelled.interface

    @property
    def device(self) -> DeviceProfile | None:
        """The model of how it computes and what that costs, None if there is none."""
        return self.settings.modelled.device

    @property
    def available(self) -> Window | Trace | None:
        """When it is there, before the spread is drawn; None if always."""
        return self.settings.modelled.available

    @property
    def host(self) -> str:
        """The host that it lives on."""
        return self.settings.host


class Topology:
    """A checked topology; immutable.  Made by `load_topology`, `tree` or `of_tree`.

    `clock` is real or virtual, `faults` are what goes wrong on purpose.  `notes` tell what was probably not meant, and
    is no error.
    """

    __slots__ = (
        "_processes",
        "clock",
        "cohorts",
        "colocate",
        "faults",
        "hierarchy",
        "hosts",
        "job",
        "name",
        "nodes",
        "notes",
        "seed",
        "source",
        "tree",
    )

    def __init__(
        self,
        *,
        name: str,
        seed: int,
        hierarchy: Hierarchy,
        members: Member,
        settings: Mapping[str, Settled],
        labels: Mapping[str, Mapping[str, str]],
        colocate: Mapping[str, int],
        hosts: Mapping[str, Mapping[str, str]],
        job: Job | None,
        source: Path | None,
        cohorts: Mapping[str, Cohort] = MappingProxyType({}),
        clock: str = "real",
        faults: tuple[Fault, ...] = (),
        notes: tuple[Problem, ...] = (),
    ) -> None:
        self.name = name
        self.seed = seed
        self.clock = clock
        self.faults = faults
        self.notes = notes
        self.hierarchy = hierarchy
        self.tree = Tree(hierarchy, members)
        self.colocate: Mapping[str, int] = MappingProxyType(dict(colocate))
        self.hosts: Mapping[str, Mapping[str, str]] = MappingProxyType(dict(hosts))
        self.job = job
        self.cohorts: Mapping[str, Cohort] = MappingProxyType(dict(cohorts))
        self.source = source
        self._processes: Mapping[str, tuple[str, ...]] | None = None
        process = {  # of the members that may share one
            member: called
            for placement in hierarchy.placements
            if self.colocate.get(str(placement), 1) > 1
            for called, of in _processes(self.tree, placement, self.colocate, settings).items()
            for member in of
        }
        nodes: dict[str, Node] = {}
        quorums: dict[tuple[int, tuple[int, ...]], Mapping[str, int]] = {}  # one object for nodes with equal ones
        for placement in hierarchy.placements:
            below = hierarchy.children(placement)
            of_placement = str(placement)
            for index, member in enumerate(self.tree.members(placement)):
                parent = self.tree.parent(member.name)
                own = settings[member.name]
                counts = tuple(sum(c.placement is b for c in member.children) for b in below)
                if self.cohorts and counts:
                    counts = tuple(_to_count(self.cohorts.get(str(b)), n) for b, n in zip(below, counts, strict=True))
                if counts and (id(own), counts) not in quorums:
                    pairs = zip(below, counts, strict=True)
                    quorums[id(own), counts] = MappingProxyType({str(b): own.quorum.of(count) for b, count in pairs})
                nodes[member.name] = Node(
                    member.name,
                    of_placement,
                    index,
                    parent.name if parent else None,
                    tuple([c.name for c in member.children]),
                    MappingProxyType(dict(said)) if (said := labels.get(member.name)) else NO_LABELS,
                    own,
                    process.get(member.name, member.name),
                    quorums[id(own), counts] if counts else _NOBODY,
                    self.cohorts.get(of_placement),
                )
        self.nodes: Mapping[str, Node] = MappingProxyType(nodes)

    @property
    def processes(self) -> Mapping[str, tuple[str, ...]]:
        """The members of each process, in member order, by the process's name."""
        if self._processes is None:
            made: dict[str, list[str]] = {}
            for node in self.nodes.values():
                made.setdefault(node.process, []).append(node.name)
            self._processes = MappingProxyType({name: tuple(of) for name, of in made.items()})
        return self._processes

    @property
    def root(self) -> Node:
        """The node that nobody stands above."""
        return self.nodes[self.tree.root.name]

    def node(self, name: str) -> Node:
        """Return the node called `name`.  Raises NoSuchRun, with the nearest name, if there is none."""
        if name not in self.nodes:
            raise NoSuchRun(f"no node '{name}'", where=self.name, mend=did_you_mean(name, self.nodes))
        return self.nodes[name]

    def members(self, placement: Placement | str) -> tuple[Node, ...]:
        """Return the nodes of `placement` in member order."""
        wanted = next((p for p in self.hierarchy.placements if p.name == str(placement)), None)
        if wanted is None:
            raise NoSuchRun(
                f"no placement '{placement}'",
                where=self.name,
                mend=did_you_mean(str(placement), [p.name for p in self.hierarchy.placements]),
            )
        return tuple(self.nodes[m.name] for m in self.tree.members(wanted))

    def visible_labels(self, name: str) -> dict[str, str]:
        """Return the labels of a node and of those above it, the nearest winning."""
        node = self.node(name)
        above = self.visible_labels(node.parent) if node.parent is not None else {}
        return above | dict(node.labels)

    def to_dict(self) -> dict[str, Any]:
        """Return the resolved topology as plain data, which loads as an equal topology."""
        from tierfed.topology.resolved import to_dict  # which writes what this class holds

        return to_dict(self)

    def to_yaml(self, origins: bool = False) -> str:
        """Return the resolved topology as a file; with `origins`, each value's in a comment."""
        from tierfed.topology.resolved import to_yaml  # which writes what this class holds

        return to_yaml(self, origins=origins)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Topology) and self._value() == other._value()

    def __hash__(self) -> int:
        return hash((self.name, self.seed, self.hierarchy, tuple(self.nodes)))

    def _value(self) -> tuple[Any, ...]:
        colocate = {p: n for p, n in self.colocate.items() if n != 1}
        shape = self.hierarchy, self.tree.root, self.nodes, colocate
        return self.name, self.seed, self.clock, self.faults, *shape, self.hosts, self.job

    def __repr__(self) -> str:
        return f"<Topology {self.name}: {self.hierarchy}, {len(self.nodes)} nodes>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the tree as `tierfed show` draws it."""
        from tierfed.topology.draw import tree  # which draws what this class holds

        return html.code(tree(self).rstrip())


def _to_count(cohort: Cohort | None, children: int) -> int:
    """Return how many of a parent's children are to count in a round."""
    return children if cohort is None else cohort.target(children)


def _processes(
    tree: Tree, placement: Placement, colocate: Mapping[str, int], settings: Mapping[str, Settled]
) -> dict[str, tuple[str, ...]]:
    """Return the members of each process of `placement`, in member order, by the process's name.

    `colocate` members of one placement share a process, consecutive children of one parent:
    a process that dies then takes from one parent alone.  Only whole sets of siblings that are
    smaller than that share one with the next set.
    """
    most = colocate.get(str(placement), 1)
    pieces: list[list[str]] = []
    joinable = False  # whether the last piece is a whole set of siblings
    for siblings in _siblings(tree, placement, settings):
        whole = len(siblings) <= most
        same_host = pieces and settings[pieces[-1][-1]].host == settings[siblings[0]].host
        if whole and joinable and same_host and len(pieces[-1]) + len(siblings) <= most:
            pieces[-1] += siblings
        else:
            pieces += [siblings[at : at + most] for at in range(0, len(siblings), most)]
        joinable = whole
    return {piece[0] if len(piece) == 1 else f"{piece[0]}..{piece[-1]}": tuple(piece) for piece in pieces}


def _siblings(tree: Tree, placement: Placement, settings: Mapping[str, Settled]) -> list[list[str]]:
    """Return the members of `placement` by parent and, within one, by host where that changes."""
    sets: list[list[str]] = []
    last: tuple[Any, str] | None = None
    for member in tree.members(placement):
        parent = tree.parent(member.name)
        key = (parent.name if parent else None, settings[member.name].host)
        if key != last:
            sets.append([])
        sets[-1].append(member.name)
        last = key
    return sets
