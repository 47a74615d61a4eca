"""Places: the folder that a word on the command line means.

    place("7f3")            the run whose id begins so         place("s-2")       a sweep
    place("runs/7f3a90c2")  a folder                           place(None)        the latest run

Runs of a virtual clock have no supervisor and no manifest, so they are found by their folders; runs of sweeps are in
the folder of their sweep, and are found there if no other begins so.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from tierfed.errors import NoSuchRun
from tierfed.launch import runs

_RUN = re.compile(r"[0-9a-f]{8}")
_SWEEP = re.compile(r"s-[0-9]+")


def place(what: str | os.PathLike[str] | None) -> Path:
    """Return the folder of a run or a sweep; raises NoSuchRun if there is none, or more than one."""
    home = runs.folder().parent
    known = _known(home / "runs")
    if what is None:
        if not known:
            raise NoSuchRun("no run", where=str(home), mend="run one: tierfed simulate FILE, or tierfed up FILE")
        return max(known, key=lambda folder: folder.stat().st_mtime)
    said = os.fspath(what)
    if _SWEEP.fullmatch(said):
        folder = home / "sweeps" / said
        if folder.is_dir():
            return folder
        others = sorted(one.name for one in (home / "sweeps").glob("s-*"))
        raise NoSuchRun(
            f"no sweep {said}",
            where=str(home / "sweeps"),
            mend=f"there are {', '.join(others)}" if others else "make one: tierfed sweep FILE",
        )
    fit = [one for one in known if one.name.startswith(said)] if said else []
    fit = fit or (
        [one for f in sorted(home.glob("sweeps/*/runs")) for one in _known(f) if one.name.startswith(said)]
        if said
        else []
    )
    exact = [one for one in fit if one.name == said]
    if exact or len(fit) == 1:
        return (exact or fit)[0]
    if Path(said).is_dir():
        return Path(said).absolute()
    if fit:
        raise NoSuchRun(
            f"{said} begins {len(fit)} runs: {', '.join(one.name for one in fit[:8])}",
            where=str(home / "runs"),
            mend="write more of the id",
        )
    latest = sorted(known, key=lambda folder: folder.stat().st_mtime)[-5:]
    raise NoSuchRun(
        f"no run, sweep or folder {said}",
        where=str(home),
        mend=f"the latest runs are {', '.join(one.name for one in reversed(latest))}"
        if latest
        else "run one: tierfed simulate FILE",
    )


def _known(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(one for one in folder.iterdir() if _RUN.fullmatch(one.name) and one.is_dir())
    return []
