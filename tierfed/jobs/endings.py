"""Endings: what the supervisor knows of a node that a failed round was lost by.

    1 of 2 CLIENTS left, quorum is 2; the first lost is c-0: its connection was lost: …
    ; c-0 was killed by SIGKILL, and with it c-1

The tree sees a connection end; the supervisor sees how the process ended and whom it took
along, since nodes that are colocated die together.  The two hear of it at about the same
time, so a node whose connection is gone is asked after for a moment.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tierfed.errors import RoundFailed, TierfedError

_MOMENT = 1.0  # seconds for the supervisor to hear of an end
_PAUSE = 0.01  # seconds between two questions
_WORD = re.compile(r"[\w.@+=-]*\w")
_GONE = ("its connection was lost", "it is not connected", " is gone")


def explain(error: TierfedError, status: Callable[[], Mapping[str, Any]]) -> None:
    """Add to what `error` says how the processes of the nodes in it ended; `status` returns the run's manifest."""
    if not isinstance(error, RoundFailed) or error.node is None or not any(sign in error.what for sign in _GONE):
        return
    until = time.monotonic() + _MOMENT
    while not (told := endings({error.node}, status())) and time.monotonic() < until:
        time.sleep(_PAUSE)
    if told:
        error.what = "; ".join([error.what, *endings(set(_WORD.findall(error.what)), status())])


def endings(named: Collection[str], manifest: Mapping[str, Any]) -> list[str]:
    """Return how each process that hosts one of the `named` nodes ended, and who went with it, if it did."""
    told = []
    for process in manifest["processes"].values():
        if process["state"] == "ended" and not set(process["nodes"]).isdisjoint(named):
            first, *others = process["nodes"]
            told.append(f"{first} {process['ending']}" + (f", and with it {', '.join(others)}" if others else ""))
    return told
