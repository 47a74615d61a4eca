"""Endings: what the supervisor knows of a node that a failed round was lost by.

    1 of 2 CLIENTS left, quorum is 2; the first lost is c-0: its connection was lost: …
    ; c-0 was killed by SIGKILL, and with it c-1

The tree sees a connection end; the supervisor sees how the process ended and whom it took
along, since nodes that are colocated die together.  It may hear of it a moment later: about
the node that is to blame, and processes that the kernel has no more, it is asked again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tierfed.errors import RoundFailed, TierfedError
from tierfed.launch.pids import ProcessId

_MOMENT = 1.0  # seconds for the supervisor to hear of an end
_PAUSE = 0.01  # seconds between two questions
_WORD = re.compile(r"[\w.@+=-]*\w")
_GONE = ("its connection was lost", "it is not connected", " is gone")


def explain(error: TierfedError, status: Callable[[], Mapping[str, Any]]) -> None:
    """Add to what `error` says how the processes of the nodes in it ended; `status` returns the run's manifest."""
    if not isinstance(error, RoundFailed) or not any(sign in error.what for sign in _GONE):
        return
    named = set(_WORD.findall(error.what))
    until = time.monotonic() + _MOMENT
    found = _hosts(named, status())
    while any(_unheard(host, error.node) for host in found) and time.monotonic() < until:
        time.sleep(_PAUSE)
        found = _hosts(named, status())
    error.what = "; ".join([error.what, *(_told(process) for process in found if process["state"] == "ended")])


def _hosts(named: Collection[str], manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the processes that host one of the `named` nodes."""
    return [process for process in manifest["processes"].values() if not set(process["nodes"]).isdisjoint(named)]


def _unheard(process: Mapping[str, Any], culprit: str | None) -> bool:
    """Return whether a process has ended, or closed the culprit's connection, and its end is not known yet."""
    if process["state"] == "ended" or process["pid"] is None:
        return False
    return culprit in process["nodes"] or not ProcessId(process["pid"], process["start"]).alive


def _told(process: Mapping[str, Any]) -> str:
    first, *others = process["nodes"]
    return f"{first} {process['ending']}" + (f", and with it {', '.join(others)}" if others else "")
