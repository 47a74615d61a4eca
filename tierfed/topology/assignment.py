"""Assignment: what one node is told of the tree.

    NodeAssignment("edge-eu", "EDGE_AGGREGATORS", parent="server", children=(ChildAssignment("c-eu-00", …), …), …)

A node knows its parent, its children and itself, and no more.  The form is plain data, and
this module imports nothing but the errors and the profiles: daemons read it without networkx or pydantic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tierfed.errors import ProtocolError
from tierfed.topology.cohort import CohortPlan, plans_of
from tierfed.topology.links import figures
from tierfed.topology.links.profile import DeviceProfile, InterfaceProfile, LinkProfile
from tierfed.topology.links.trace import Trace
from tierfed.topology.links.window import Window

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ChildAssignment:
    """One direct child.  `members_below` counts its subtree by placement, itself included.

    `link` is the model of its link to this node, None if there is none.
    """

    name: str
    placement: str
    codec_up: str
    codec_down: str
    members_below: Mapping[str, int] = field(hash=False)
    link: LinkProfile | None = None


@dataclass(frozen=True, slots=True)
class NodeAssignment:
    """One node: member number `index` of the `count` of its placement, in member order.

    `codec_*` are those of its link to its parent.  `quorum` is how many direct children it
    needs, by their placement; `deadline` is in seconds, at a leaf its parent's.  `labels` are its own
    and its ancestors'.  `data` is the job's, `seed` the run's.  Nodes with one `process` live in one process;
    who has children `listens`, and of a process without such a node the first one does, to be asked for metrics.
    `interface` is the model of what its children's links share, `device` that of how it computes, `available` when it
    is there, with its own share of the spread; each None if there is none.  `cohorts` says of which placements
    below not all children take part in an invocation.  `crowd` is what the split of the job's data asks for of all
    members of the placement, as tierfed.data.crowd reads it; empty if it asks for nothing.
    """

    name: str
    placement: str
    index: int
    count: int
    parent: str | None
    parent_address: Address | None
    children: tuple[ChildAssignment, ...]
    codec_up: str
    codec_down: str
    quorum: Mapping[str, int] = field(hash=False)
    deadline: float
    labels: Mapping[str, str] = field(hash=False)
    data: Mapping[str, Any] | None = field(hash=False)
    seed: int
    listens: bool
    process: str
    interface: InterfaceProfile | None = None
    device: DeviceProfile | None = None
    available: Window | Trace | None = None
    cohorts: Mapping[str, CohortPlan] = field(default_factory=dict, hash=False)
    crowd: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def computing(self, leaves: int) -> float:
        """Return the seconds that so many leaves take on the modelled device, 0 if there is none."""
        return 0.0 if self.device is None else leaves * self.device.seconds / self.device.speed

    def at(self, parent_address: Address | None) -> NodeAssignment:
        """Return this assignment with the address of its parent."""
        return dataclasses.replace(self, parent_address=parent_address)

    def to_dict(self) -> dict[str, Any]:
        """Return the assignment as plain data."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["children"] = [
            {f.name: getattr(c, f.name) for f in dataclasses.fields(c)}
            | {"members_below": dict(c.members_below), "link": figures.plain(c.link)}
            for c in self.children
        ]
        for name in (*_PROFILES, "available"):
            plain[name] = figures.plain(plain[name])
        plain["parent_address"] = list(self.parent_address) if self.parent_address is not None else None
        for name in ("quorum", "labels", "data"):
            plain[name] = dict(plain[name]) if plain[name] is not None else None
        plain["crowd"] = dict(self.crowd)
        plain["cohorts"] = {placement: plan.to_dict() for placement, plan in self.cohorts.items()}
        return plain

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> NodeAssignment:
        """Return the assignment that `to_dict` wrote.  Raises ProtocolError, naming the field, for anything else."""
        fields = _checked(data, NodeAssignment, _NODE, "assignment")
        fields["children"] = tuple(
            _child(child, f"assignment.children[{at}]") for at, child in enumerate(fields["children"])
        )
        for name, kind in _PROFILES.items():
            fields[name] = figures.profile(fields[name], kind, f"assignment.{name}")
        fields["available"] = figures.hours(fields["available"], "assignment.available")
        address = fields["parent_address"]
        if address is not None:
            if len(address) != 2 or not isinstance(address[0], str) or type(address[1]) is not int:
                raise ProtocolError(f"{address!r} is no address", where="assignment.parent_address")
            fields["parent_address"] = (address[0], address[1])
        fields["deadline"] = float(fields["deadline"])
        fields["cohorts"] = plans_of(fields["cohorts"], "assignment.cohorts")
        return NodeAssignment(**fields)


_PROFILES: Mapping[str, type[InterfaceProfile | DeviceProfile]] = {
    "interface": InterfaceProfile,
    "device": DeviceProfile,
}


def _child(data: object, where: str) -> ChildAssignment:
    fields = _checked(data, ChildAssignment, _CHILD, where)
    fields["link"] = figures.profile(fields["link"], LinkProfile, f"{where}.link")
    return ChildAssignment(**fields)


_Kinds = Mapping[str, tuple[type, ...]]
_TEXT, _NUMBER, _NONE = (str,), (int,), type(None)
_CHILD: _Kinds = {
    "name": _TEXT,
    "placement": _TEXT,
    "codec_up": _TEXT,
    "codec_down": _TEXT,
    "members_below": (dict,),
    "link": (dict, _NONE),
}
_NODE: _Kinds = {
    "name": _TEXT,
    "placement": _TEXT,
    "index": _NUMBER,
    "count": _NUMBER,
    "parent": (str, _NONE),
    "parent_address": (list, tuple, _NONE),
    "children": (list, tuple),
    "codec_up": _TEXT,
    "codec_down": _TEXT,
    "quorum": (dict,),
    "deadline": (int, float),
    "labels": (dict,),
    "data": (dict, _NONE),
    "seed": _NUMBER,
    "listens": (bool,),
    "process": _TEXT,
    "interface": (dict, _NONE),
    "device": (dict, _NONE),
    "available": (dict, _NONE),
    "cohorts": (dict,),
    "crowd": (dict,),
}
_COUNTS = ("members_below", "quorum")


def _checked(data: object, kind: type, kinds: _Kinds, where: str) -> dict[str, Any]:
    """Return the fields in `data`, each of the type that it should be."""
    if not isinstance(data, Mapping):
        raise ProtocolError(f"expected a mapping, got {type(data).__name__}", where=where)
    if set(data) != set(kinds):
        odd = ", ".join(sorted(str(name) for name in set(data) ^ set(kinds)))
        raise ProtocolError(f"missing or unknown: {odd}", where=where, mend="run one version of tierfed on both sides")
    for name, allowed in kinds.items():
        value = data[name]
        fits = type(value) in allowed
        if fits and name in _COUNTS:
            fits = all(isinstance(k, str) and type(v) is int and v >= 0 for k, v in value.items())
        if fits and name == "labels":
            fits = all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
        if not fits:
            raise ProtocolError(f"{value!r} is no {name}", where=f"{where}.{name}")
    return dict(data)


def by_process(assignments: Iterable[NodeAssignment]) -> dict[str, list[NodeAssignment]]:
    """Return `assignments` by the process that they share, in the order given."""
    processes: dict[str, list[NodeAssignment]] = {}
    for assignment in assignments:
        processes.setdefault(assignment.process, []).append(assignment)
    return processes
