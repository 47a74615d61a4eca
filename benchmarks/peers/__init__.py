"""The other frameworks' job: eight clients, a million float32, FedAvg, ten rounds in which every client adds one.

    python -m benchmarks peers                               ours, as 1-8 and as 1-2-8
    python -m benchmarks.peers Flower -- ./run_sim.sh        anybody's, measured by the same code

`tierfed up benchmarks/peers/flat.yaml` runs as a user would run it, and every process of it is looked at from outside:
whatever has PEERBENCH_ID in its environment belongs to it.  A job that is measured appends a line a round, `number time
weight`, to the file that PEERBENCH_LOG names; round 0 is the beginning, and after round r the first weight is r.

Others need environments of their own: Flower 1.41 (`pip install 'flwr[simulation]==1.41.0'`) and NVFlare 2.9
(`pip install nvflare==2.9.0`) were measured so.  They are in the table too if FLOWER_JOB and NVFLARE_JOB name scripts
that run their job there.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.rows import Row, row

HERE = Path(__file__).parent
EVERY = 0.25  # seconds between two looks
LIMIT = 300.0  # seconds, after which a run is ended
OTHERS = {"Flower": "FLOWER_JOB", "NVFlare": "NVFLARE_JOB"}
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Seen:
    """What was seen of a run: the most memory in MB, the most processes, and CPU seconds by time."""

    resident: float = 0.0
    proportional: float = 0.0
    processes: int = 0
    cpu: list[tuple[float, float]] = field(default_factory=list)

    def cpu_at(self, when: float) -> float:
        """Return the CPU seconds that were spent until then."""
        return max((seconds for at, seconds in self.cpu if at <= when), default=0.0)


@dataclass(frozen=True, slots=True)
class Measured:
    """A run: when each round was done, in seconds since the command was given, and what was seen of it."""

    rounds: dict[int, float]
    weight: float
    seen: Seen
    cpu_each: float

    @property
    def each(self) -> float:
        """The median seconds of a round."""
        done = [self.rounds[n] for n in sorted(self.rounds) if n >= 1]
        return statistics.median(b - a for a, b in itertools.pairwise(done))


def measure(command: Sequence[str], folder: Path) -> Measured:
    """Run a command until it ends, and return what was seen of it; raises SystemExit if its job failed."""
    with tempfile.TemporaryDirectory() as home:
        log, tag = Path(home) / "rounds", secrets.token_hex(8)
        log.touch()
        path = os.pathsep.join([str(HERE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        mine = {"PEERBENCH_ID": tag, "PEERBENCH_LOG": str(log), "TIERFED_HOME": home, "PYTHONPATH": path}
        seen, over = Seen(), threading.Event()
        watching = threading.Thread(target=_watch, args=(f"PEERBENCH_ID={tag}".encode(), seen, over))
        begun = time.time()
        with subprocess.Popen(
            command, cwd=folder, env={**os.environ, **mine}, stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            watching.start()
            try:
                code: int | str = process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                code = f"still running after {LIMIT:g} s"
            finally:
                over.set()
                watching.join()
        lines = [line.split() for line in log.read_text().splitlines()]
    if code or len(lines) < 3:
        raise SystemExit(f"{' '.join(command)} failed ({code}), {len(lines)} rounds were done")
    times = {int(number): float(at) for number, at, _ in lines}
    last = max(times)
    each = (seen.cpu_at(times[last]) - seen.cpu_at(times[1])) / (last - 1)
    return Measured({n: at - begun for n, at in times.items()}, float(lines[-1][2]), seen, each)


def _watch(tag: bytes, seen: Seen, over: threading.Event) -> None:
    """Look at the processes that carry `tag` until it is over."""
    cpu: dict[int, float] = {}
    looks = 0
    while not over.wait(EVERY):
        resident = proportional = 0.0
        there = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if tag not in (process / "environ").read_bytes():
                    continue
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                cpu[int(process.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
                resident += int(fields[21]) * _PAGE / 1e6
                there += 1
                if looks % 4 == 0:  # it takes the kernel a while
                    proportional += _proportional(process)
            except OSError:  # it has just ended
                continue
        looks += 1
        seen.resident, seen.proportional = max(seen.resident, resident), max(seen.proportional, proportional)
        seen.processes = max(seen.processes, there)
        seen.cpu.append((time.time(), sum(cpu.values())))


def _proportional(process: Path) -> float:
    rollup = (process / "smaps_rollup").read_text()
    return float(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1]) * 1024 / 1e6


def rows_of(name: str, measured: Measured, *, ours: bool = False) -> list[Row]:
    """Return the rows of a run; `ours` are held to the goals."""
    seen = measured.seen

    def held_to(target: str) -> str:
        return target if ours else ""

    return [
        row(f"peers' job, {name}: command to first round done", measured.rounds[1], "s", held_to("<= 5")),
        row(f"peers' job, {name}: a round", measured.each, "s", held_to("<= 0.15")),
        row(f"peers' job, {name}: CPU of a round", measured.cpu_each, "s", held_to("<= 0.3")),
        row(f"peers' job, {name}: memory at the peak, PSS", seen.proportional / 1e3, "GB", held_to("<= 0.6")),
        row(f"peers' job, {name}: memory at the peak, RSS", seen.resident / 1e3, "GB"),
        row(f"peers' job, {name}: processes", seen.processes, ""),
    ]


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark."""
    rows = []
    rounds = 3 if quick else 10
    for name, file in (("TierFed 1-8", "flat.yaml"), ("TierFed 1-2-8", "tree.yaml"))[: 1 if quick else 2]:
        tierfed = [sys.executable, "-c", "from tierfed.cli import main; main()"]
        measured = measure([*tierfed, "up", str(HERE / file), "--set", f"job.params.rounds={rounds}"], HERE)
        if measured.weight != rounds:
            raise SystemExit(f"{name}: a weight is {measured.weight} after {rounds} rounds")
        rows += rows_of(name, measured, ours=True)
    for name, variable in OTHERS.items():
        if script := os.environ.get(variable):
            rows += rows_of(name, measure([script], Path(script).parent))
        else:
            print(f"{name} is not run: no script of its job in {variable}", file=sys.stderr)
    return rows
