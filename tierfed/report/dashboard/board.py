"""Board: what a page shows of a run, from the run's events.

    board.happened({"event": "released", "round": 3, "metrics": {"accuracy": .71}, …})
    board.told()["rounds"][-1]                         {"number": 4, "seconds": .4, "metrics": …, "traffic": …}

What each aggregator does now is `report.progress`'s, as in the terminal; here are what came before (the rounds) and
what went wrong.  The document stays small: of very long runs every second, fourth, … round is kept, of losses the last
hundred.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tierfed.report import view
from tierfed.report.progress import Event, Progress
from tierfed.topology import Topology

_ROUNDS = 600  # kept; beyond that every second one is
_TROUBLES = 100  # losses, faults and errors kept


class Dashboard:
    """What is known of a run so far; events may come from any thread."""

    def __init__(self, topology: Topology, clock: Callable[[], float] = time.monotonic) -> None:
        self._topology = topology
        self._progress = Progress(topology, clock)
        self._lock = threading.Lock()
        self._status = "starting"
        self._rounds: list[dict[str, Any]] = []
        self._stride = 1
        self._latest: dict[str, Any] | None = None
        self._troubles: deque[dict[str, str]] = deque(maxlen=_TROUBLES)
        self._lost = 0
        self.changed: Callable[[], None] = lambda: None

    def happened(self, event: Event) -> None:
        """Take an event; one that is not known says nothing."""
        self._progress.happened(event)
        with self._lock:
            match event.get("event"):
                case "ready":
                    self._status = "running"
                case "released":
                    self._released(event)
                case "lost":
                    self._lost += 1
                    self._troubles.append({"what": "lost", "node": str(event["node"]), "why": str(event["reason"])})
                case "fault":
                    why = view.fault(event).partition(": ")[2]
                    self._troubles.append({"what": "fault", "node": str(event["node"]), "why": why})
                case "link":
                    node, _, why = view.link(event).removeprefix("link ").partition(": ")
                    self._troubles.append({"what": "link", "node": node, "why": why})
                case "raised":
                    error = event["error"]
                    self._troubles.append({"what": "raised", "node": str(error["node"]), "why": str(error["what"])})
        self.changed()

    def _released(self, event: Event) -> None:
        row = {
            "number": event["round"] + 1,
            "seconds": event["seconds"],
            "metrics": dict(event["metrics"]),
            "traffic": {tier: {"up": c["up"], "down": c["down"]} for tier, c in event["traffic"].items()},
        }
        self._latest = row
        if len(self._rounds) >= _ROUNDS:
            self._rounds, self._stride = self._rounds[::2], self._stride * 2
        if event["round"] % self._stride == 0:
            self._rounds.append(row)

    def over(self, status: str) -> None:
        """The run is over: `ok`, `failed` or `interrupted`."""
        with self._lock:
            self._status = status
        self.changed()

    def told(self) -> dict[str, Any]:
        """Return the document that the page draws."""
        now = self._progress.told()
        with self._lock:
            latest = self._latest
            rounds = self._rounds if latest is None or self._rounds[-1:] == [latest] else [*self._rounds, latest]
            return {
                **now,
                "name": self._topology.name,
                "status": self._status,
                "clock": self._topology.clock,
                "rounds": rounds,
                "lost": self._lost,
                "troubles": list(self._troubles),
            }

    def served(self) -> AbstractContextManager[str]:
        """Serve the page while the context is open, at the address that it gives."""
        from tierfed.report.dashboard.serving import served

        return served(self)
