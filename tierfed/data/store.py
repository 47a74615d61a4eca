"""Store: the data sets that were added, each one plain `.npz` in the user's cache.

    ~/.cache/tierfed/data/mnist-5k.npz              $XDG_CACHE_HOME/tierfed/data/…
    ~/.cache/tierfed/data/mnist-5k.licence.txt      the notice that its licence asks for

A file is written under another name and renamed, so whatever stands there is whole.  Nothing in it is ever unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from tierfed.data.recipe import Arrays
from tierfed.errors import DataError


def folder() -> Path:
    """Return the folder of the data sets; a relative XDG_CACHE_HOME counts as none, as its specification has it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "tierfed" / "data"


def path(name: str) -> Path:
    """Return where the data set called `name` is, if it is here."""
    return folder() / f"{name}.npz"


def keep(name: str, arrays: Arrays, notice: bytes) -> Path:
    """Write a data set and its notice; return the path.  Raises DataError where they cannot be written."""
    to = path(name)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with _replaced(to.with_suffix(".licence.txt")) as file:
            file.write(notice)
        with _replaced(to) as file:
            np.savez_compressed(file, **dict[str, Any](arrays))
    except OSError as error:
        raise DataError(
            f"it cannot be written: {error.strerror or error}",
            where=str(to),
            mend="make room, or set XDG_CACHE_HOME to a folder that you can write to",
        ) from error
    return to


@contextmanager
def _replaced(to: Path) -> Iterator[IO[bytes]]:
    partial = to.with_name(f".{to.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(to)
    finally:
        partial.unlink(missing_ok=True)
