"""Faults: what goes wrong on purpose, as a topology file says.

    faults:
      - {at: {round: 3}, node: c-us-05, do: kill}                    Fault("c-us-05", "kill", round=3)
      - {at: {time: 12s}, node: edge-eu, do: partition, for: 10s}    Fault("edge-eu", "partition", time=…, lasts=…)
      - {at: {round: 5}, node: c-us-05, do: link, link: {delay: 2s}}   Fault("c-us-05", "link", round=5, link=…)

Rounds are those of the job, counted from 1; times are from when the tree is ready.  Who is killed or stopped takes
along the members of its process.  The root has no faults: without it there is no run whose rounds could go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tierfed.topology.graph import Grown
from tierfed.topology.link_words import LinkChange, change_of
from tierfed.topology.positions import Document
from tierfed.topology.problems import Problems
from tierfed.topology.spec import FaultSpec, TopologySpec
from tierfed.topology.suggest import did_you_mean
from tierfed.topology.units import Duration


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, at the beginning of `round` or at `time`; see the module docstring.

    `do` is kill, stop, partition or link: its link to its parent has the figures of `link`, the others as they are.
    It is over after `lasts`, None if it does not end.
    """

    node: str
    do: str
    round: int | None = None
    time: Duration | None = None
    lasts: Duration | None = None
    link: LinkChange | None = None

    def written(self) -> dict[str, Any]:
        """Return the fault as a file says it."""
        at = {"round": self.round} if self.round is not None else {"time": str(self.time)}
        told: dict[str, Any] = {"at": at, "node": self.node, "do": self.do}
        if self.link is not None:
            told["link"] = self.link.nested()
        return told | ({} if self.lasts is None else {"for": str(self.lasts)})


def faults_of(spec: TopologySpec) -> tuple[Fault, ...]:
    """Return the faults of a file, in its order."""
    return tuple(_fault(one) for one in spec.faults)


def _fault(one: FaultSpec) -> Fault:
    link = change_of(one.link) if one.link is not None else None
    return Fault(one.node, one.do, one.at.round, one.at.time, one.lasts, link)


def check_faults(spec: TopologySpec, grown: Grown, document: Document, problems: Problems) -> None:
    """Add a problem for each fault of nobody, of the root, and for each that is over when it begins."""
    if not spec.faults:
        return
    known = {member.name: member for members in grown.members.values() for member in members}
    for i, fault in enumerate(spec.faults):
        at = ("faults", i, "node")
        if fault.node not in known:
            problems.add(document.value(at), at, f"no node '{fault.node}'; {did_you_mean(fault.node, known)}")
        elif known[fault.node].parent is None:
            told = f"{fault.node} is the root, without which there is no run; name a node below it"
            problems.add(document.value(at), at, told)
        if fault.lasts is not None and not fault.lasts.exact:
            at = ("faults", i, "for")
            problems.add(document.value(at), at, "lasts no time; write a longer one, or remove it")
