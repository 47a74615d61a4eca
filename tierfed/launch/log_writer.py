"""The supervisor's side of the logs: from the pipes of a process to the files of its nodes.

A process has three pipes.  `records` carries whole JSON lines of `launch.logs`;
`stdout` and `stderr` carry whatever else wrote to descriptors 1 and 2, and
become lines here, for the process's first node.  From "Fatal Python error" on,
stderr is faulthandler's account of a crash and is CRITICAL.

Files are opened for each batch: thousands of nodes take no thousands of
descriptors, and a file that somebody removed simply begins anew.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tierfed.launch import logs

_LINE_LIMIT = 1 << 20  # bytes, after which a line is broken
_CRASH = "Fatal Python error"


class LogWriter:
    """Splits what the pipes of one process bring into lines, and appends them to files."""

    def __init__(
        self, folder: Path, nodes: tuple[str, ...], said: Callable[[dict[str, Any]], object], now: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._nodes = nodes
        self._said = said
        self._now = now
        self._pending = {"records": b"", "stdout": b"", "stderr": b""}
        self._crashed = False

    def feed(self, pipe: str, data: bytes) -> None:
        """Take `data` from `pipe`; empty data is its end, which completes the last line."""
        *lines, rest = (self._pending[pipe] + data).split(b"\n")
        if rest and (not data or len(rest) > _LINE_LIMIT):
            lines, rest = [*lines, rest], b""
        self._pending[pipe] = rest
        files: dict[str, list[str]] = {}
        for raw in lines:
            text = raw.decode("utf-8", "backslashreplace")
            record = (_record(text) if pipe == "records" else None) or self._wrap(pipe, text)
            if record["node"] not in self._nodes:
                record["node"] = self._nodes[0]
            files.setdefault(record["node"], []).append(json.dumps(record) + "\n")
            self._said(record)
        for node, whole in files.items():
            append(self._folder / f"{node}.jsonl", "".join(whole))

    def _wrap(self, pipe: str, text: str) -> dict[str, Any]:
        self._crashed |= pipe == "stderr" and text.startswith(_CRASH)
        level = "INFO" if pipe == "stdout" else "CRITICAL" if self._crashed else "WARNING"
        logger = pipe if pipe != "records" else "stderr"
        found: dict[str, Any] = json.loads(logs.line(logs.timestamp(self._now()), level, logger, self._nodes[0], text))
        return found


def append(path: Path, text: str) -> None:
    """Append whole lines to a log.

    A full disk or a removed folder loses lines, never the run: the supervisor
    must go on to end its nodes.
    """
    with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
        file.write(text)


def note(path: Path, level: str, message: str, *, logger: str = "supervisor", traceback: str | None = None) -> None:
    """Append a line of the supervisor's own."""
    append(path, logs.line(logs.timestamp(time.time()), level, logger, "", message, traceback) + "\n")


def _record(text: str) -> dict[str, Any] | None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(record, dict) and all(
        isinstance(record.get(key), str) for key in ("time", "level", "logger", "node", "message")
    )
    return record if fits else None
