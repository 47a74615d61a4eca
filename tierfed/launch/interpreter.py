"""Start a fresh interpreter on one of our modules: the supervisor and the zygote.

    python -P -m tierfed.launch.supervisor 7

The one argument is the number of an inherited descriptor, over which everything
else comes: secrets never stand in argv.  `-P` keeps the current folder off
`sys.path`, or a user's `queue.py` would replace the standard library's.
"""

from __future__ import annotations

import fcntl
import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUN_VARIABLE = "TIERFED_RUN"  # marks every process of a run, and forbids `up` within one


def start(
    module: str, descriptor: int, *, output: int, errors: int, environment: Mapping[str, str], own_session: bool
) -> int:
    """Start `python -P -m module N` with `descriptor` as N; return its pid.

    Its standard input is /dev/null, its output and errors are copies of the
    descriptors given; it inherits nothing else, blocks no signal.
    """
    if not sys.executable:
        raise OSError("sys.executable is empty: this Python cannot start another")
    child = 3  # the lowest number after the standard streams
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    # Moved out of the way first, so that no target overwrites a source.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (output, errors, descriptor)]
    try:
        actions += [(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in zip(high, (1, 2, child), strict=True)]
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", module, str(child)],
            {**environment, **python_path(environment)},
            file_actions=actions,
            setsid=own_session,
            setsigmask=[],
        )
    finally:
        for fd in high:
            os.close(fd)


def python_path(environment: Mapping[str, str]) -> dict[str, str]:
    """Return PYTHONPATH with the folder of a `tierfed` that is used from a checkout."""
    home = str(Path(__file__).resolve().parents[2])
    installed = {str(Path(folder).resolve()) for folder in (*site.getsitepackages(), site.getusersitepackages())}
    before = environment.get("PYTHONPATH", "")
    if home in installed or home in before.split(os.pathsep):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (before, home)))}
