"""A file that is there whole, or not at all: written beside, made durable, and put in its place by a rename.

    with whole_file(folder / "round-000004.ckpt") as file:
        file.write(…)

A crash before the end leaves what was there, and at most a `.part` beside it.  The folder is synced too, or a
machine that stops could forget the name.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `target` when the block has ended; raises OSError if that cannot be."""
    beside = target.with_suffix(".part")
    with open(beside, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
