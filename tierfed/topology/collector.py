"""Collector: keeps Python's collector of cycles out while a large tree grows.

    with paused():
        nodes = [Node(…) for …]

Each time that so many objects have been made it goes through those that there are, and none of a tree's are in
a cycle: of 100,000 members that is half of the time.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Keep the collector out until the end, if it was on."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
