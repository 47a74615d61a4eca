"""Harm: a node of a running tree killed, stopped or let go on, on purpose.

    harm(runs.find("7f3"), "c-us-05", "stop")         ["c-us-04", "c-us-05"]: what it hit, all that its process hosts

The signal goes to the recorded pid and start time, so to that very process or to nobody.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import MappingProxyType

from tierfed.errors import NoSuchRun
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
    if node not in nodes:
        raise NoSuchRun(f"no node '{node}'", where=f"run {run.id}", mend=did_you_mean(node, nodes))
    name = nodes[node]["process"]
    process = run.processes().get(name)
    if process is None or not process.signal(SIGNALS[do]):
        raise NoSuchRun(
            f"the process of {node} has ended", where=f"run {run.id}", mend=f"`tierfed ps {run.id}` says how"
        )
    return [one for one, row in nodes.items() if row["process"] == name]
