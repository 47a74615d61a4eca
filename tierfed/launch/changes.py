"""Changes: what somebody has done to a running tree from outside, on record in the run's folder.

    changes.jsonl      {"at": "2025-01-31T12:00:00.000000Z", "event": "link", "nodes": ["c-3"], "set": {"delay": "2s"}}
                       {"at": …, "event": "fault", "node": "c-3", "do": "partition", "over": false}

A command writes a line for each of its changes, once it is done.  Whoever records a job of that run takes the new
lines into its events (jobs/recorder.py), at the beginning and the end of a round.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tierfed.launch import logs

NAME = "changes.jsonl"
_LONGEST = 64 << 20  # bytes that are read at once


def note(run_dir: Path, event: str, **more: Any) -> None:
    """Write down a change, in one piece: two commands may do so at once."""
    line = json.dumps({"at": logs.timestamp(time.time()), "event": event, **more}).encode() + b"\n"
    fd = os.open(run_dir / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


class Changes:
    """The changes of a run; `new` returns each once.

    Those before now are among the first, but for what the file `told` has already: a job's events, one JSON object
    a line, with the same `at`.
    """

    def __init__(self, run_dir: Path, told: Path) -> None:
        self._path = run_dir / NAME
        self._read = 0
        self._known = set(_moments(told)) if self._size() else set()

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def new(self) -> list[dict[str, Any]]:
        """Return what was changed since the last time; a line that is none is passed over."""
        if self._size() <= self._read:
            return []
        with open(self._path, "rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read(_LONGEST).rpartition(b"\n")
        self._read += len(whole) + len(newline)
        found = []
        for line in whole.splitlines():
            try:
                change = json.loads(line)
            except ValueError:
                continue
            if isinstance(change, dict) and _has_shape(change) and change["at"] not in self._known:
                found.append(change)
        return found


def _moments(told: Path) -> Iterator[str]:
    with open(told, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if '"at": "' in line:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    yield str(json.loads(line)["at"])


def _has_shape(change: dict[str, Any]) -> bool:
    """Return whether a line is one of those that `note` is called for."""
    match change:
        case {"event": "link", "at": str(), "nodes": [str(), *rest], "set": set_, **more}:
            figures = isinstance(set_, dict) and all(type(v) is str for v in set_.values())
            return not more and all(type(name) is str for name in rest) and (figures or set_ in ("none", "clear"))
        case {"event": "fault", "at": str(), "node": str(), "do": str(), "over": bool(), **more}:
            return not more
    return False
