"""The pipes of the node processes: their readiness and their logs, read by the supervisor.

| pipe | carries |
|---|---|
| `ready` | the name of a node, on a line, when it is up and connected to its parent |
| `records`, `stdout`, `stderr` | see `launch.log_writer` |

What a process has written before it died is still in its pipes; `drain` reads it
before anybody asks why it died.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tierfed.launch import channel
from tierfed.launch.log_writer import LogWriter
from tierfed.launch.roster import ProcessRow, Roster

_READ = 1 << 16  # bytes
_NAME_LIMIT = 4096  # bytes of a line that has not ended

Take = Callable[[bytes], None]


class Pipes:
    """All read ends, registered with the supervisor's selector."""

    def __init__(
        self, selector: selectors.BaseSelector, logs: Path, roster: Roster, changed: Callable[[], None]
    ) -> None:
        self._selector = selector
        self._logs = logs
        self._roster = roster
        self._changed = changed
        self._open: dict[int, tuple[str, Take]] = {}  # read end -> its process, what takes the bytes

    def make(self, row: ProcessRow) -> list[int]:
        """Make the pipes of one process; return the write ends, in the order of `channel.PIPES`."""
        writer = LogWriter(self._logs, row.nodes, partial(self._roster.said, row.name), time.time)
        takes = {pipe: partial(writer.feed, pipe) for pipe in channel.PIPES}
        takes["ready"] = partial(self._ready, row.name, bytearray())
        return [self.watch(takes[pipe], row.name) for pipe in channel.PIPES]

    def watch(self, take: Take, process: str) -> int:
        """Return the write end of a new pipe whose bytes go to `take`; none at all means that it has ended."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._open[reading] = process, take
        self._selector.register(reading, selectors.EVENT_READ, lambda _mask: self._read(reading))
        return writing

    def _read(self, reading: int) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = os.read(reading, _READ)
        except BlockingIOError:
            return False
        self._open[reading][1](data)
        if not data:
            self._selector.unregister(reading)
            os.close(reading)
            del self._open[reading]
        return bool(data)

    def drain(self, process: str | None = None) -> None:
        """Read all that `process` (None: any) has written so far."""
        for reading, (owner, _) in list(self._open.items()):
            if process in (None, owner):
                while self._read(reading):
                    pass

    def _ready(self, process: str, pending: bytearray, data: bytes) -> None:
        *lines, rest = (pending + data).split(b"\n")
        pending[:] = rest[:_NAME_LIMIT]
        for line in lines:
            if self._roster.node_ready(process, line.decode("utf-8", "replace")):
                self._changed()
