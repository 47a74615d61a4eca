"""The event loop of node processes: asyncio's own, or uvloop's.

    TIERFED_LOOP=uvloop tierfed up topologies/three_tier.yaml

uvloop is an extra, and nobody's default: what it gains and loses is in docs/performance.md.  Under it two of
our own means for large payloads are off: its sockets are not ours to set SO_RCVLOWAT on (inlet.py), and
its transports are no subclass of asyncio's, but do the same.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from tierfed.errors import SettingError

_VARIABLE = "TIERFED_LOOP"


def factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop that TIERFED_LOOP names; None is asyncio's default.

    Raises SettingError for another loop, and where uvloop is not installed.
    """
    wanted = os.environ.get(_VARIABLE) or "asyncio"
    if wanted == "asyncio":
        return None
    if wanted != "uvloop":
        raise SettingError(f"{wanted!r} is no event loop", where=_VARIABLE, mend="write asyncio or uvloop")
    try:
        import uvloop
    except ImportError:
        raise SettingError("uvloop is not installed", where=_VARIABLE, mend="pip install 'tierfed[uvloop]'") from None
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made
