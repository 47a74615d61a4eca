"""The main function of a supervisor process.

    python -P -m tierfed.launch.supervisor FD        # started by launch.processes alone

FD is a socket from the command; its first line is the configuration.  What
follows is in `launch.supervision`.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sys

from tierfed.launch import lifeline
from tierfed.launch.supervision import Supervisor


def _close_strays(keep: int) -> None:
    """Close what the command had left inheritable, and everything but the standard streams and `keep`."""
    with os.scandir("/proc/self/fd") as found:
        numbers = [int(entry.name) for entry in found]
    for number in numbers:
        if number > 2 and number != keep:
            with contextlib.suppress(OSError):
                os.close(number)


def _first_line(command: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        part = command.recv(1 << 20)
        if not part:
            return b""  # the command is gone already
        data += part
    return bytes(data)


def main(descriptor: int) -> int:
    """Serve one run for the command at the other end of `descriptor`; return the exit code."""
    _close_strays(descriptor)
    lifeline.inherit_orphans()
    lifeline.show_as("tf:supervisor")
    with socket.socket(fileno=descriptor) as command:
        os.set_inheritable(descriptor, False)
        line = _first_line(command)
        if not line:
            return 1
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # five descriptors a process, two a child
        Supervisor(json.loads(line), command).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
