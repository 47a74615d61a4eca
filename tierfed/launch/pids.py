"""A process by pid *and* start time, so that a recycled pid is never taken for it.

    me = ProcessId.of(os.getpid())      # ProcessId(pid=4711, start=123456)
    me.signal(signal.SIGTERM)           # to that process, or to nobody

`start` is field 22 of /proc/PID/stat, in clock ticks since boot.  Signals go by
a pidfd, and the start time is compared *after* it was opened: from then on the
descriptor cannot come to mean another process, so there is no window between
looking and killing.  Pids and ticks mean something on one boot and in one pid
namespace only; `machine` names the two, and a record of another machine is
never acted upon.

Source: proc_pid_stat(5), pidfd_open(2).
"""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

_START = 19  # of the fields behind the command, which ends with the last bracket
_GONE = "ZXx"  # a zombie runs no more


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process of this machine, for ever."""

    pid: int
    start: int

    @staticmethod
    def of(pid: int) -> ProcessId | None:
        """Return the process that has `pid` now, None if nobody runs under it."""
        fields = _stat(pid)
        return None if fields is None or fields[0] in _GONE else ProcessId(pid, int(fields[_START]))

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self == ProcessId.of(self.pid)

    @property
    def reaped(self) -> bool:
        """Whether not even its zombie is left, so that nobody will hear of its end any more."""
        fields = _stat(self.pid)
        return fields is None or int(fields[_START]) != self.start

    def open(self) -> int | None:
        """Return a pidfd of this process, None if it is gone; the caller closes it."""
        try:
            fd = os.pidfd_open(self.pid)
        except OSError:
            return None
        fields = _stat(self.pid)
        if fields is None or int(fields[_START]) != self.start:
            os.close(fd)
            return None
        return fd

    def signal(self, number: int) -> bool:
        """Send the signal; return whether the process was there to get it."""
        fd = self.open()
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True

    def wait_gone(self, seconds: float) -> bool:
        """Wait until the process has ended, at most `seconds`; return whether it has."""
        fd = self.open()
        if fd is None:
            return True
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return bool(poll.poll(max(0.0, seconds) * 1000))
        finally:
            os.close(fd)


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("latin-1")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def machine() -> str:
    """Return the name of this boot and pid namespace, within which a ProcessId holds."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def tagged(variable: str, value: str) -> list[ProcessId]:
    """Return the running processes of this user that were started with `variable=value` in their environment.

    Forks have the environment of the program they were forked from, so a
    grandchild that a leaf has started is found too, whoever its parent is now.
    """
    want = f"{variable}={value}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if entry.stat().st_uid != os.getuid():
                continue
            process = ProcessId.of(int(entry.name))
            environment = Path(entry.path, "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile, or is not ours to read
        if process is not None and want in environment.split(b"\0"):
            found.append(process)
    return found
