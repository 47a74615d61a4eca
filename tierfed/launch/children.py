"""The supervisor's children: taking in those that have ended, and ending all that are left.

As a subreaper the supervisor is the next parent of every orphan below it: of a
node whose zygote has died, and of a subprocess that some leaf has left behind.
So "no process stays" is a loop that ends at ECHILD: kill every child, reap, and
look again, since each death may bring new orphans.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tierfed.launch.pids import ProcessId

_PAUSE = 0.005  # seconds between two looks


def ended() -> Iterator[tuple[int, int]]:
    """Yield (pid, exit code or minus signal) of each child that has ended, and reap it."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def end_all(seconds: float) -> bool:
    """Kill and reap all children, and those that become ours by that; return whether none is left."""
    until = time.monotonic() + seconds
    while True:
        for _ in ended():
            pass
        left = _children()
        if not left:
            return True
        if time.monotonic() > until:
            return False
        for child in left:
            child.signal(signal.SIGKILL)
        time.sleep(_PAUSE)


def _children() -> list[ProcessId]:
    me = str(os.getpid())
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = Path(entry.path, "stat").read_text("latin-1")
            except OSError:
                continue
            if text[text.rindex(")") + 2 :].split()[1] == me and (child := ProcessId.of(int(entry.name))):
                found.append(child)
    return found
