"""The roster: how far every process and node of a run has come.  Pure: events in, answers out.

    waiting ──started──> starting ──ready (every node of it)──> ready
       └───────────────────ended (with its ending)────────────────┘

A process hosts one node or several.  It is ready when each of its nodes has said
so; it ends once, and takes all of its nodes along.  What the nodes log is shown
to the roster, which keeps the first error of each process: that is the reason
that `NotReady` gives.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tierfed.errors import NotReady
from tierfed.launch.pids import ProcessId

_SHOWN = 8  # names in a message before "and N more"
_ERRORS = ("ERROR", "CRITICAL")


@dataclass(slots=True)
class ProcessRow:
    """One process: what it hosts, how far it is, and what it said that matters when it fails."""

    name: str
    nodes: tuple[str, ...]
    state: str = "waiting"
    identity: ProcessId | None = None
    ending: str | None = None
    error: dict[str, Any] | None = None  # its first record at ERROR or above
    complaint: str | None = None  # its last warning
    raw: deque[str] = field(default_factory=lambda: deque(maxlen=80))  # its last lines on stderr


class Roster:
    """All processes and nodes of one run."""

    def __init__(self, assignments: Iterable[dict[str, Any]]) -> None:
        self.placement_of: dict[str, str] = {}
        self._process_of: dict[str, str] = {}
        self._ready: set[str] = set()
        self._dead: list[ProcessRow] = []  # in the order of their ends
        hosted: dict[str, list[str]] = {}
        for assignment in assignments:
            name = assignment["name"]
            self.placement_of[name] = assignment["placement"]
            self._process_of[name] = assignment["process"]
            hosted.setdefault(assignment["process"], []).append(name)
        self.processes = {name: ProcessRow(name, tuple(nodes)) for name, nodes in hosted.items()}

    # -- events ---------------------------------------------------------------

    def started(self, process: str, identity: ProcessId) -> None:
        """The process has been forked; on a busy machine its nodes may have said before that they are up."""
        row = self.processes[process]
        row.state, row.identity = "ready" if self._ready.issuperset(row.nodes) else "starting", identity

    def node_ready(self, process: str, node: str) -> bool:
        """Node `node` of `process` says that it is up; return whether that is news."""
        row = self.processes[process]
        if node not in row.nodes or node in self._ready or row.state == "ended":
            return False
        self._ready.add(node)
        if self._ready.issuperset(row.nodes) and row.identity is not None:
            row.state = "ready"
        return True

    def ended(self, process: str, status: int | None) -> bool:
        """The process has ended with a wait status (None: nobody could tell); return whether that is news."""
        row = self.processes[process]
        if row.state == "ended":
            return False
        row.state, row.ending = "ended", ending(status)
        self._ready.difference_update(row.nodes)
        self._dead.append(row)
        return True

    def said(self, process: str, record: dict[str, Any]) -> None:
        """The process has logged `record` (see `launch.logs`)."""
        row = self.processes[process]
        if record.get("logger") == "stderr":
            row.raw.append(str(record.get("message")))
        if record.get("level") in _ERRORS:
            row.error = row.error or record
        elif record.get("level") == "WARNING":
            row.complaint = str(record.get("message"))

    # -- answers --------------------------------------------------------------

    def node_state(self, node: str) -> str:
        """Return the state of one node."""
        row = self.processes[self._process_of[node]]
        if row.state in ("waiting", "ended"):
            return row.state
        return "ready" if node in self._ready else "starting"

    def progress(self) -> dict[str, tuple[int, int]]:
        """Return for each placement how many of its nodes are ready, and how many it has."""
        counts: dict[str, tuple[int, int]] = {}
        for node, placement in self.placement_of.items():
            ready, total = counts.get(placement, (0, 0))
            counts[placement] = ready + (node in self._ready), total + 1
        return counts

    @property
    def all_ready(self) -> bool:
        """Whether every node is up at this moment, and its process known."""
        up = len(self._ready) == len(self.placement_of)
        return up and all(row.identity is not None for row in self.processes.values())

    def live(self) -> list[ProcessRow]:
        """Return the processes that have been forked and have not ended."""
        return [row for row in self.processes.values() if row.state in ("starting", "ready")]

    def dead(self) -> list[ProcessRow]:
        """Return the processes that have ended, the first to end first."""
        return self._dead

    def why_dead(self, logs: str) -> NotReady | None:
        """Return the error of a start-up in which a process has ended, None if none has."""
        dead = self.dead()
        if not dead:
            return None
        first = next((row for row in dead if row.error), dead[0])
        also = [name for row in dead if row is not first for name in row.nodes]
        what = f"{_names(first.nodes)} {first.ending} before it was ready"
        what += f": {_reason(first)}" if _reason(first) else ""
        what += f"; so did {_names(also)}" if also else ""
        return self._not_ready(what, first, f"read {logs}/{first.nodes[0]}.jsonl")

    def why_late(self, seconds: float, logs: str) -> NotReady:
        """Return the error of a start-up that took longer than `seconds`."""
        late = [row for row in self.processes.values() if row.state != "ready"]
        names = [name for row in late for name in row.nodes if row.identity is None or name not in self._ready]
        first = next((row for row in late if row.error), next((row for row in late if row.complaint), late[0]))
        reason = _reason(first)
        what = f"{len(names)} of {len(self.placement_of)} nodes not ready after {seconds:g} s: {_names(names)}"
        if reason:
            what += f"; {first.nodes[0]} said: {reason}"
        elif all(row.state == "waiting" for row in late):
            what += "; they wait for the zygote, which is still importing"
        return self._not_ready(what, first, f"read {logs}/{first.nodes[0]}.jsonl, or allow more with --wait-timeout")

    def _not_ready(self, what: str, row: ProcessRow, mend: str) -> NotReady:
        traceback = row.error.get("traceback") if row.error else None
        if traceback is None and row.raw:
            traceback = "\n".join(row.raw)
        node = str(row.error.get("node", row.nodes[0])) if row.error else row.nodes[0]
        raised = row.error.get("error") if row.error else None
        mend = str(raised["mend"]) if isinstance(raised, dict) and raised.get("mend") else mend
        return NotReady(what, where="up", mend=mend, node=node, remote_traceback=traceback)

    def to_dict(self) -> dict[str, Any]:
        """Return the processes as a manifest shows them."""
        return {
            row.name: {
                "pid": row.identity and row.identity.pid,
                "start": row.identity and row.identity.start,
                "state": row.state,
                "ending": row.ending,
                "nodes": list(row.nodes),
            }
            for row in self.processes.values()
        }

    def identity(self, node: str) -> ProcessId | None:
        """Return the process that hosts `node`, None before it is forked."""
        return self.processes[self._process_of[node]].identity


def ending(status: int | None) -> str:
    """Return what a wait status means, as in "c-0 was killed by SIGKILL"."""
    if status is None:
        return "ended in an unknown way"
    if status < 0:
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"was killed by signal {-status}"
    return f"ended with exit code {status}"


def _reason(row: ProcessRow) -> str | None:
    if row.error:
        return str(row.error.get("message")).strip()
    return row.complaint or (row.raw[-1] if row.raw else None)


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
