"""Views: a run as it goes on, for whoever is watching.

| | |
|---|---|
| `LiveView` | a terminal: the tree, redrawn eight times a second, gone when the run is over |
| `PlainView` | a file or a pipe: a line when ready, one a round, a loss or a fault, and every 10 s of a long round |

Each is a context manager that takes events, from any thread, by `happened`; `done` says that the
job has returned.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tierfed.errors import TierfedError
from tierfed.report import failure
from tierfed.report.hearing import Hearing
from tierfed.report.losses import Losses
from tierfed.report.output import Output
from tierfed.report.progress import Event, Progress
from tierfed.report.quantities import metrics, seconds
from tierfed.topology import Topology

_EVERY = 10.0  # seconds between two lines about one round


def view(topology: Topology, output: Output) -> LiveView | PlainView:
    """Return the view that suits whoever reads `output`."""
    return LiveView(topology, output) if output.live else PlainView(output)


class PlainView:
    """See the module docstring."""

    def __init__(self, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._hearing = Hearing(clock)
        self._said = clock()
        self._lock = threading.Lock()
        self._round: tuple[int, int] | None = None  # that has released nothing yet
        self._nodes: dict[str, int] = {}
        self._losses = Losses()

    def happened(self, event: Event) -> None:
        """Say what there is to say about an event."""
        with self._lock:
            if event.get("event") == "lost":
                return self._losses.add(str(event["node"]), str(event["reason"]))
            for line in self._losses.take():
                self._output.say(line)
            match event.get("event"):
                case "heard":
                    return self._heard(event)
                case "invoked":
                    self._hearing.over()
                case "starting":
                    self._nodes = {name: of for name, (_, of) in event["placements"].items()}
                case "ready":
                    self._output.say(ready(self._nodes, event["seconds"]))
                case "fault":
                    self._output.say(fault(event))
                case "link":
                    self._output.say(link(event))
                case "round":
                    self._over()
                    self._said = self._clock()
                    self._round = event["round"] + 1, event["of"]
                case "released":
                    self._round = None
                    told = ", ".join([*metrics(event["metrics"]), seconds(event["seconds"])])
                    self._output.say(f"round {event['round'] + 1}/{event['of']}: {told}")
                case "done":
                    self._over()

    def _heard(self, event: Event) -> None:
        """Say from time to time how far a long round is."""
        self._hearing.happened(event)
        told = self._hearing.told()
        if told is not None and self._clock() - self._said >= _EVERY:
            self._said = self._clock()
            self._output.say(f"round {self._round[0]}/{self._round[1]}: {told}" if self._round is not None else told)

    def fail(self, error: TierfedError, *, log: str | None) -> None:
        """Tell people of an error that does not end the run."""
        with self._lock:
            self._output.fail(error, log=log)

    def _over(self) -> None:
        if self._round is not None:
            self._output.say(f"round {self._round[0]}/{self._round[1]}")
            self._round = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to be said."""


class LiveView:
    """See the module docstring."""

    def __init__(self, topology: Topology, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
        from tierfed.report.terminal import Picture  # with rich, which lines do not need

        self._lock = threading.Lock()
        self._losses = Losses()
        self._progress = Progress(topology, clock)
        self._picture = Picture(output.people, self._progress.lines, colours=output.colours)

    def happened(self, event: Event) -> None:
        """Take an event; what it changes is drawn when its turn comes, a loss is told at once."""
        self._progress.happened(event)
        with self._lock:
            if event.get("event") == "lost":
                return self._losses.add(str(event["node"]), str(event["reason"]))
            told = self._losses.take()
        for line in told:
            self._picture.write(f"⚠ {line}", "yellow")
        if event.get("event") == "fault":
            self._picture.write(f"⚠ {fault(event)}", "yellow")
        if event.get("event") == "link":
            self._picture.write(f"⚠ {link(event)}", "yellow")
        if event.get("event") == "ready":
            nodes = {name: of for name, (_, of) in self._progress.placements.items()}
            self._picture.write(ready(nodes, event["seconds"]))

    def fail(self, error: TierfedError, *, log: str | None) -> None:
        """Tell people of an error that does not end the run."""
        self._picture.write(failure.told(error, log=log), "red")

    def __enter__(self) -> Self:
        self._picture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._picture.__exit__(kind, error, trace)


def fault(event: Event) -> str:
    """Return the line of something that goes wrong on purpose, or is over."""
    figures = "".join(f" {name}={value}" for name, value in event.get("set", {}).items())
    return f"fault {event['node']}: {event['do']}{figures}{' is over' if event['over'] else ''}"


def link(event: Event) -> str:
    """Return the line of links that were changed."""
    from tierfed.report.links import said

    return f"link {said(event['nodes'], event['set'])}"


def ready(nodes: dict[str, int], took: float) -> str:
    """Return the line of a tree that is up."""
    return "   ".join([*(f"✓ {name} {of}/{of}" for name, of in nodes.items()), f"ready in {seconds(took)}"])
