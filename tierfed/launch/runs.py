"""Runs: their folders, finding one, and ending one whoever started it.

    ./.tierfed/runs/7f3a90c2/manifest.json          (TIERFED_HOME stands for ./.tierfed)

    run = find("7f3")          # a unique prefix; find(None): the one that runs, or the latest
    end(run)

A manifest is a claim.  Whether a run is up is asked of the kernel: its
supervisor must still be the process with the recorded pid *and* start time, on
this boot and in this pid namespace.  So a recycled pid is never taken for a
node, let alone ended, and a supervisor that was killed leaves no run that seems
to live.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tierfed.errors import NoSuchRun, TierfedError
from tierfed.launch import control, manifest
from tierfed.launch.interpreter import RUN_VARIABLE
from tierfed.launch.pids import ProcessId, machine, tagged

GRACE = 3.0  # seconds between SIGTERM and SIGKILL
_ID = re.compile(r"[0-9a-f]{8}")
_SLACK = 10.0  # seconds in which a supervisor must have finished, on top of its grace


def folder() -> Path:
    """Return the folder of all runs, which need not exist."""
    return Path(os.environ.get("TIERFED_HOME") or ".tierfed").absolute() / "runs"


def create() -> Path:
    """Make the folder of a new run and return it; its name is the run's id."""
    while True:
        run_dir = folder() / secrets.token_hex(4)
        with contextlib.suppress(FileExistsError):
            (run_dir / "logs").mkdir(parents=True, exist_ok=False)
            return run_dir


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its manifest tells it; `manifest` is a copy of the moment."""

    id: str
    path: Path
    manifest: dict[str, Any] = field(repr=False)

    @property
    def supervisor(self) -> ProcessId | None:
        """The supervisor's process if it still runs."""
        return self._live(self.manifest.get("supervisor"))

    @property
    def state(self) -> str:
        """The manifest's state, or `lost` where it claims one and there is no supervisor."""
        stated = str(self.manifest["state"])
        return stated if stated in manifest.OVER or self.supervisor else "lost"

    @property
    def running(self) -> bool:
        """Whether its supervisor is there."""
        return self.supervisor is not None

    def processes(self) -> dict[str, ProcessId]:
        """Return the recorded processes that still run, nodes first."""
        rows = {**self.manifest["processes"], "zygote": self.manifest.get("zygote")}
        return {name: live for name, row in rows.items() if (live := self._live(row))}

    def _live(self, row: object) -> ProcessId | None:
        if not isinstance(row, dict) or self.manifest["machine"] != machine():
            return None
        pid, start = row.get("pid"), row.get("start")
        if not isinstance(pid, int) or not isinstance(start, int) or pid <= 1:
            return None
        process = ProcessId(pid, start)
        return process if process.alive else None

    def select(self, name: str) -> list[str]:
        """Return the node called `name`, or the nodes of the placement called so, in the manifest's order.

        Raises NoSuchRun if there is neither.
        """
        nodes: dict[str, dict[str, Any]] = self.manifest["nodes"]
        found = [name] if name in nodes else [node for node, row in nodes.items() if row.get("placement") == name]
        if not found:
            placements = ", ".join(dict.fromkeys(str(row.get("placement")) for row in nodes.values()))
            raise NoSuchRun(
                f"no node and no placement {name!r}",
                where=f"run {self.id}",
                mend=f"its placements are {placements}; `tierfed ps {self.id}` lists the nodes",
            )
        return found

    def fresh(self) -> Run:
        """Return the run as it is now."""
        return Run(self.id, self.path, manifest.read(self.path) or self.manifest)


def every() -> list[Run]:
    """Return all runs whose manifest can be read, the latest last."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in folder().iterdir():
            if _ID.fullmatch(entry.name) and (read := manifest.read(entry)):
                found.append(Run(entry.name, entry, read))
    return sorted(found, key=lambda run: (str(run.manifest.get("created")), run.id))


def find(prefix: str | None = None, *, running: bool = False) -> Run:
    """Return the run whose id begins with `prefix`; without one, the latest, and one that runs before others.

    With `running`, runs that are not up do not count.  Raises NoSuchRun if there
    is none, or more than one for a prefix.
    """
    runs = every()
    fit = [run for run in runs if run.id.startswith(prefix or "") and (run.running or not running)]
    exact = [run for run in fit if run.id == prefix]
    if exact or (prefix and len(fit) == 1):
        return (exact or fit)[0]
    if prefix and fit:
        raise NoSuchRun(
            f"{prefix} begins {len(fit)} runs: {', '.join(run.id for run in fit)}",
            where=str(folder()),
            mend="write more of the id",
        )
    if fit:
        return max(reversed(fit), key=lambda run: run.running)  # the first of equals, from the latest on
    others = [run.id for run in runs if run.running or not running][-5:]
    over = [run for run in runs if prefix and run.id.startswith(prefix)]  # `running`, or they would fit
    what = (f"no run {prefix}" if prefix else "no run") + (" is up" if running else "")
    if len(over) == 1:
        what += f": {over[0].id} is {over[0].state}"
    elif prefix and not over and (simulated := _simulated(prefix)):
        what += f" of processes: {simulated} was simulated, and has no nodes or logs of its own"
    raise NoSuchRun(
        what,
        where=str(folder()),
        mend=(f"the latest runs are {', '.join(reversed(others))}; " if prefix and others else "")
        + "`tierfed ps` lists the runs, `tierfed up FILE -d` brings one up",
    )


def _simulated(prefix: str) -> str | None:
    """Return the simulated run whose id begins with `prefix`, if there is one."""
    from tierfed.launch import origin  # it imports numpy, which who finds a run does without

    with contextlib.suppress(FileNotFoundError):
        for entry in folder().iterdir():
            if entry.name.startswith(prefix) and _ID.fullmatch(entry.name) and origin.virtual(entry):
                return entry.name
    return None


def attach(run: Run, *, timeout: float = 5.0) -> tuple[str, tuple[str, int], str]:
    """Return (root's name, its address, token): what a driver needs to dial the root of a running tree.

    Raises NoSuchRun if nothing answers.
    """
    try:
        for answer in control.ask(str(run.manifest["control"]), {"do": "attach"}, timeout=timeout):
            if "ok" in answer:
                host, port = answer["ok"]["address"]
                return answer["ok"]["root"], (host, port), answer["ok"]["token"]
    except (OSError, ValueError):
        pass
    raise NoSuchRun(
        f"run {run.id} is {run.fresh().state}: its supervisor does not answer",
        where=str(run.path),
        mend="bring the tree up again: tierfed up FILE -d",
    )


def end(run: Run, *, grace: float = GRACE) -> list[str]:
    """End `run` and return the names of the recorded processes that were ended; none left is no error.

    The supervisor does it if it is there.  If it is gone, or stuck, processes are
    ended by recorded pid and start time, and by the mark of the run in their
    environment, which a leaf's own subprocesses carry too.

    Raises TierfedError if a process will not go.
    """
    before = run.fresh().processes()
    supervisor = run.supervisor
    if supervisor is not None:
        try:
            for _ in control.ask(str(run.manifest["control"]), {"do": "down"}, timeout=grace + _SLACK):
                pass
        except (OSError, ValueError):
            supervisor.signal(signal.SIGTERM)
        if not supervisor.wait_gone(grace + _SLACK):
            supervisor.signal(signal.SIGKILL)
    _end_left_over(run, grace)
    after = run.fresh()
    if after.manifest["state"] not in manifest.OVER:  # its supervisor did not live to write it
        with contextlib.suppress(FileNotFoundError):
            manifest.write(run.path, {**after.manifest, "state": "down"})
    control.remove_folder(run.manifest.get("control"))
    return list(before)


def _end_left_over(run: Run, grace: float) -> None:
    """End what a dead supervisor has left: politely, then by force."""

    def left() -> set[ProcessId]:
        here = run.manifest["machine"] == machine()
        marked = set(tagged(RUN_VARIABLE, run.id)) if here else set()
        return (set(run.processes().values()) | marked) - {ProcessId.of(os.getpid())}

    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _SLACK)):
        until = time.monotonic() + patience
        while found := left():
            for process in found:
                process.signal(number)
            for process in found:
                process.wait_gone(until - time.monotonic())
            if time.monotonic() >= until:
                break
    if found := left():
        raise TierfedError(
            f"processes {', '.join(str(one.pid) for one in found)} do not end, even by SIGKILL",
            where=f"run {run.id}",
            mend="they hang in the kernel: look at /proc/PID/stack",
        )


def remove(run: Run) -> None:
    """Delete the folder of a run that is not up.

    Raises TierfedError if it is.
    """
    if run.running or run.processes():
        raise TierfedError(f"run {run.id} is up", where=str(run.path), mend=f"first: tierfed down {run.id}")
    control.remove_folder(run.manifest.get("control"))
    shutil.rmtree(run.path)
