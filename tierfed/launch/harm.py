"""Harm: a node of a running tree killed, stopped or let go on, or its link cut or healed, on purpose.

    harm(runs.find("7f3"), "c-us-05", "stop")         ["c-us-04", "c-us-05"]: what it hit, all that its process hosts

    cut(runs.find("7f3"), "edge-eu", "partition")     "server": its parent, who hears no more of it

The signal goes to the recorded pid and start time, so to that very process or to nobody.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tierfed.errors import NoSuchRun, TopologyError
from tierfed.launch.link_doors import LinkDoors
from tierfed.launch.runs import Run
from tierfed.topology.suggest import did_you_mean

SIGNALS: Mapping[str, int] = MappingProxyType(
    {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "cont": signal.SIGCONT},
)


def harm(run: Run, node: str, do: str) -> list[str]:
    """Send the signal of `do` to the process of `node`; return the nodes that live in it.

    Raises NoSuchRun if there is no such node, or its process has ended.
    """
    nodes = run.manifest["nodes"]
    name = _known(run, node)["process"]
    process = run.processes().get(name)
    if process is None or not process.signal(SIGNALS[do]):
        raise NoSuchRun(
            f"the process of {node} has ended", where=f"run {run.id}", mend=f"`tierfed ps {run.id}` says how"
        )
    return [one for one, row in nodes.items() if row["process"] == name]


def cut(run: Run, node: str, do: str) -> str:
    """Cut the link of `node` to its parent (`do` is partition), or heal it; return the parent.

    Raises NoSuchRun if there is no such node, TopologyError if it is the root, NotReady if the parent does not answer.
    """
    parent = _known(run, node)["parent"]
    if parent is None:
        raise TopologyError(f"{node} is the root: it has no link", where=f"run {run.id}", mend="name a node below it")
    LinkDoors.of(run).ask({parent: [node]}, {"do": "cut" if do == "partition" else "heal"})
    return str(parent)


def _known(run: Run, node: str) -> Mapping[str, Any]:
    nodes: Mapping[str, Mapping[str, Any]] = run.manifest["nodes"]
    if node not in nodes:
        raise NoSuchRun(f"no node '{node}'", where=f"run {run.id}", mend=did_you_mean(node, nodes))
    return nodes[node]
