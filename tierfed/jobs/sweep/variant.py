"""Variants: one topology file with some values changed, run in a process of its own.

    here = Variant(Path("three_tier.yaml"), ("CLIENTS.codec.up=int8",), seed=8)
    outcome = run_variant(here, home)
    outcome.status, outcome.metrics["accuracy"], outcome.bytes_up["CLIENTS"]

    run_all(variants, home, jobs=2, on_done=lambda at, outcome: ...)

A variant is `tierfed simulate FILE --set … --json` (virtual clock) or `tierfed up FILE --set … --json` (real), with
`home` as TIERFED_HOME: so its run is a run as any other, in `home/runs/`, and one that dies takes nobody along.
Several run at once, and since each has a process and a seed of its own, what a simulation gives does not depend on
how many.

Nothing is left behind: however `run_all` ends, be it by an exception of `on_done` or by Ctrl-C, it first ends every
process that it has started, by name (SIGTERM, then SIGKILL) and by a mark in the environment, which whatever they have
started carries too.  If this process is killed, the kernel kills them (launch/bound.py).
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from tierfed.errors import TierfedError
from tierfed.launch.interpreter import python_path
from tierfed.launch.pids import tagged

MARK = "TIERFED_VARIANT"  # in the environment of what a variant starts
GRACE = 10.0  # seconds that a run has to take its tree down, before it is killed
_TAIL = 4000  # bytes of what a run that said nothing sensible has written

Clock = Literal["virtual", "real"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A topology file, the `path=value`s that change it, and how it is run.

    `seed` stands for the file's; `clients` is how many members the lowest placement has (virtual clock only); with
    `history`, a simulation keeps what happened at each aggregator, as daemons do.
    """

    file: Path
    sets: tuple[str, ...] = ()
    seed: int | None = None
    clock: Clock = "virtual"
    clients: int | None = None
    history: bool = False

    def arguments(self) -> list[str]:
        """Return the arguments of `tierfed` that run it."""
        sets = [*self.sets]
        if self.seed is not None:
            sets.append(f"seed={self.seed}")
        if self.clock == "real":
            sets.append("clock=real")
        words = ["simulate" if self.clock == "virtual" else "up", str(self.file)]
        words += [word for one in sets for word in ("--set", one)]
        if self.clients is not None:
            words += ["--clients", str(self.clients)]
        if self.clock == "virtual":  # which keeps that of a small fleet unasked: too much for hundreds of runs
            words.append("--history" if self.history else "--no-history")
        return words


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a variant: `document` is that of its run (`summary.json`), None if no run began.

    `seconds` are those that it took here.
    """

    variant: Variant
    status: Literal["ok", "failed"]
    document: Mapping[str, Any] | None
    error: TierfedError | None
    seconds: float

    @property
    def run(self) -> str | None:
        """The id of its run, whose folder is `home/runs/ID`."""
        return None if self.document is None else str(self.document["run"])

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics that were released last."""
        return {} if self.document is None else self.document["metrics"]

    @property
    def bytes_up(self) -> Mapping[str, int]:
        """The bytes that each tier has sent up, in all rounds."""
        tiers = {} if self.document is None else self.document["tiers"]
        return {name: tier["bytes_up"] for name, tier in tiers.items() if "bytes_up" in tier}

    @property
    def joules(self) -> Mapping[str, float]:
        """What the modelled devices of each tier have used, in all rounds; empty where none is modelled."""
        tiers = {} if self.document is None else self.document["tiers"]
        return {name: tier["joules"] for name, tier in tiers.items() if "joules" in tier}

    @property
    def job_seconds(self) -> float | None:
        """How long the job took, by its clock."""
        return None if self.document is None else self.document["seconds"]["job"]


def command(variant: Variant) -> list[str]:
    """Return the command line that runs `variant`, and ends with this process."""
    mine = [sys.executable, "-P", "-m", "tierfed.launch.bound", str(os.getpid())]
    return [*mine, *variant.arguments(), "--json"]


def run_variant(
    variant: Variant,
    home: Path,
    *,
    timeout: float | None = None,
    command: Callable[[Variant], list[str]] = command,
) -> Outcome:
    """Return what came of `variant`; see `run_all`."""
    return run_all([variant], home, timeout=timeout, command=command)[0]


def run_all(
    variants: Iterable[Variant],
    home: Path,
    *,
    jobs: int = 1,
    timeout: float | None = None,
    on_start: Callable[[int, Variant], None] = lambda at, variant: None,
    on_done: Callable[[int, Outcome], None] = lambda at, outcome: None,
    command: Callable[[Variant], list[str]] = command,
) -> list[Outcome]:
    """Run all `variants`, at most `jobs` at once, and return their outcomes in the order of `variants`.

    A variant is taken from `variants` when there is room for it.  `on_start` and `on_done` are called here, in this
    thread, with its number from 0.  One that takes longer than `timeout` seconds is ended, and has failed; failures are
    outcomes, nothing is raised for them.  What `on_done` raises ends all.
    """
    jobs = max(1, jobs)
    waiting = enumerate(variants)
    running: list[_Child] = []
    outcomes: dict[int, Outcome] = {}
    more = True
    try:
        while more or running:
            while more and len(running) < jobs:
                following = next(waiting, None)
                if following is None:
                    more = False
                    break
                child = _Child(*following, home, timeout)
                running.append(child)  # before it is started: an interruption may come in between
                child.start(command)
                on_start(child.at, child.variant)
            for child in _ended(running):
                outcomes[child.at] = child.outcome()
                running.remove(child)
                on_done(child.at, outcomes[child.at])
    finally:
        _end(running)
    return [outcomes[at] for at in sorted(outcomes)]


@dataclass(eq=False, slots=True)
class _Child:
    """A variant that runs."""

    at: int
    variant: Variant
    home: Path
    timeout: float | None
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    begun: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    pidfd: int | None = None
    said: IO[bytes] | None = None
    told: IO[bytes] | None = None
    late: bool = False

    def start(self, command: Callable[[Variant], list[str]]) -> None:
        """Start its process, which writes to files: nobody has to read along."""
        self.said, self.told = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        environment = {**os.environ, **python_path(os.environ), "TIERFED_HOME": str(self.home), MARK: self.mark}
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            command(self.variant),
            stdin=subprocess.DEVNULL,
            stdout=self.said,
            stderr=self.told,
            env=environment,
            start_new_session=True,  # a Ctrl-C in the terminal is for whoever started us
        )
        self.pidfd = os.pidfd_open(self.process.pid)

    @property
    def left(self) -> float | None:
        """Seconds until it is late."""
        return None if self.timeout is None else self.begun + self.timeout - time.monotonic()

    def outcome(self) -> Outcome:
        """Return what came of it, once its process has ended."""
        assert self.process is not None and self.said is not None and self.told is not None
        took = time.monotonic() - self.begun
        code = self.process.wait()
        if self.late or code < 0 or self.variant.clock == "real":
            _end_marked([self.mark], GRACE)
        self.said.seek(0)
        document = _document(self.said.read())
        tail = self._tail()
        self.close()
        error: TierfedError | None = None
        if self.late:
            error = TierfedError(f"it took longer than {self.timeout:g} s, and was ended", where="timeout")
        elif document is None:
            error = _unsaid(code, self.variant, tail)
        elif document.get("status") != "ok":
            told = document.get("error")
            error = TierfedError.from_dict(told) if isinstance(told, dict) else _unsaid(code, self.variant, tail)
        elif code:
            error = _unsaid(code, self.variant, tail)
        began = document is not None and "run" in document
        return Outcome(self.variant, "failed" if error else "ok", document if began else None, error, took)

    def _tail(self) -> str:
        assert self.told is not None
        size = self.told.seek(0, os.SEEK_END)
        self.told.seek(max(0, size - _TAIL))
        return self.told.read().decode(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal, if its process still runs."""
        if self.process is not None:
            self.process.send_signal(number)

    def close(self) -> None:
        """Close what is open."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        for file in (self.said, self.told):
            if file is not None:
                file.close()


def _ended(running: list[_Child]) -> list[_Child]:
    """Wait until some of `running` have ended, and return those; end those that are late."""
    if not running:
        return []
    while True:
        late = [child for child in running if child.left is not None and child.left <= 0]
        if late:
            for child in late:
                child.late = True
            _stop(late)
            return late
        lefts = [child.left for child in running if child.left is not None]
        poll = select.poll()
        by_descriptor = {child.pidfd: child for child in running if child.pidfd is not None}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        found = poll.poll(None if not lefts else max(0.0, min(lefts)) * 1000 + 1)
        if found:
            return [by_descriptor[descriptor] for descriptor, _ in found]


def _end(children: list[_Child]) -> None:
    """End what runs, and all that it has started."""
    _stop(children)
    _end_marked([child.mark for child in children], GRACE)
    for child in children:
        child.close()


def _stop(children: list[_Child]) -> None:
    """End the processes of `children`: politely, so that they take their trees down, then by force."""
    for child in children:
        child.signal(signal.SIGTERM)
    until = time.monotonic() + GRACE
    for child in children:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


def _end_marked(marks: list[str], patience: float) -> None:
    """Wait until no process with one of `marks` is left, as supervisors end their trees; then kill those that are."""
    until = time.monotonic() + patience
    for mark in marks:
        while found := tagged(MARK, mark):
            for process in found:
                if not process.wait_gone(until - time.monotonic()):
                    process.signal(signal.SIGKILL)
                    process.wait_gone(patience)


def _document(written: bytes) -> dict[str, Any] | None:
    """Return the one document that a command with `--json` has written, None if there is none."""
    try:
        found = json.loads(written)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _unsaid(code: int, variant: Variant, tail: str) -> TierfedError:
    """Return the error of a run that ended without saying why."""
    how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"
    return TierfedError(
        f"{how}, and has not said why",
        where=variant.arguments()[0],
        mend="run it alone, with the same --set",
        remote_traceback=tail.strip() or None,
    )
