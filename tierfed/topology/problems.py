"""Problems: everything wrong with a topology, collected and told at once.

    three.yaml:11:22: error: placements.EDGE_AGGREGATORS.link.loss: 1.5 has no unit; write 1.5%
    three.yaml:16:5: error: placements.EDGE_AGGREGATORS.dedline: unknown field; did you mean 'collect.deadline'?

A reader mends a file once, not once an error, so no check stops at its first
finding: each adds its `Problem` and goes on with what it can still trust.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from tierfed.errors import TopologyError, UnsupportedError

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in the file: ("placements", "CLIENTS", "codec", "up")."""


def dotted(path: Path) -> str:
    """Return `path` as people write it: `placements.CLIENTS.overrides[0].link`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line and column (from 1) of `label`, a file; line 0 means all of it (a `--set`, a call)."""

    line: int
    column: int
    label: str

    def __str__(self) -> str:
        return f"{self.label}:{self.line}:{self.column}" if self.line else self.label


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong; `unsupported` if it is well written but not in this version, `note` if it may be meant."""

    place: Place
    path: Path
    what: str
    unsupported: bool = False
    note: bool = False

    def __str__(self) -> str:
        path = dotted(self.path)
        start = str(self.place) if self.note else f"{self.place}: error"
        return f"{start}: {path}: {self.what}" if path else f"{start}: {self.what}"


@dataclass(slots=True)
class Problems:
    """The problems found so far, and the notes: what is no error, and probably not meant."""

    found: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def add(self, place: Place, path: Path, what: str, *, unsupported: bool = False) -> None:
        """Note a problem, once."""
        problem = Problem(place, path, what, unsupported)
        if problem not in self.found:
            self.found.append(problem)

    def note(self, place: Place, path: Path, what: str) -> None:
        """Note what is probably not meant, once."""
        problem = Problem(place, path, what, note=True)
        if problem not in self.notes:
            self.notes.append(problem)

    def at_or_above(self, path: Path) -> bool:
        """Return whether something is wrong at `path`, or with a mapping that holds it."""
        return any(path[: len(p.path)] == p.path for p in self.found if p.path and not p.unsupported)

    def at_or_below(self, path: Path) -> bool:
        """Return whether something is wrong at `path`, or within it."""
        return any(p.path[: len(path)] == path for p in self.found if not p.unsupported)

    def at_place(self, place: Place) -> bool:
        """Return whether something is wrong at a place in a file."""
        return place.line > 0 and any(p.place == place for p in self.found if not p.unsupported)

    def raise_if_any(self) -> None:
        """Raise TopologyError (UnsupportedError if that is all) with every problem, the file's in order of position."""
        if not self.found:
            return
        listed = tuple(sorted(self.found, key=lambda p: (p.place.line == 0, p.place.line, p.place.column)))
        text = "\n".join(str(p) for p in listed)
        error = UnsupportedError if all(p.unsupported for p in listed) else TopologyError
        raise error(text, problems=listed)
