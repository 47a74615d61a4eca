"""HierFAVG, published and reproduced: eight settings, three seeds, one command.

    python examples/hierfavg/reproduce.py                  all, in half an hour or less of one core
    python examples/hierfavg/reproduce.py --quick          two settings, two rounds each, in a quarter of a minute
    python examples/hierfavg/reproduce.py --settings edge-iid/6x10 edge-noniid/6x10 --seeds 7 --lr 0.01

It writes results.csv (a row a run), rounds.csv (a row a round), table.md and figure.svg to `hierfavg-results/`.

Each run is `topology.yaml` on a virtual clock, as `tierfed simulate` has it, up to the first cloud round whose model
is right on 85 % of the test images.  Its seconds are the clock's, its joules those of the devices.  What is in
results.csv already is not run again: after Ctrl-C the same command goes on, and only the run under way is lost.

Wants `tierfed data add mnist-5k` once; `pip install 'tierfed[fast]'` halves the time, `[plot]` draws the figure.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(HERE := Path(__file__).resolve().parent))  # as tierfed does with the topology's folder

import hierfavg_program
import hierfavg_split
import hierfavg_tables
from hierfavg_published import SETTINGS, T_COMP, Setting

import tierfed
from tierfed.errors import DataError, TierfedError

TOPOLOGY = HERE / "topology.yaml"
CAP = 400  # cloud rounds
QUICK = ("edge-iid/60x1", "edge-iid/6x10")


@dataclass(frozen=True, slots=True)
class Row:
    """One run: what it was asked, and what it took to get there; a client's joules."""

    split: str
    kappa_1: int
    kappa_2: int
    seed: int
    lr: float
    batch: int
    target: float
    reached: bool
    rounds: int
    seconds: float
    joules: float
    accuracy: float
    here: float  # seconds of this machine

    @property
    def asked(self) -> tuple[Any, ...]:
        """What tells one run from another."""
        return self.split, self.kappa_1, self.kappa_2, self.seed, self.lr, self.batch, self.target


def sets_of(setting: Setting, seed: int, params: dict[str, Any]) -> list[str]:
    """Return what `tierfed simulate topology.yaml` is given as `--set` for a run."""
    asked = {"kappa_1": setting.kappa_1, "kappa_2": setting.kappa_2, **params}
    return [
        f"seed={seed}",
        f"job.data.provider=hierfavg_split:{setting.split.replace('-', '_')}",
        f"CLIENTS.compute.time={round(setting.kappa_1 * T_COMP * 1000)}ms",
        *(f"job.params.{name}={value}" for name, value in asked.items()),
    ]


def run(
    setting: Setting, seed: int, params: dict[str, Any], told: Callable[[int, float], None]
) -> tuple[Row, list[Any]]:
    """Return the row of a run, and its rounds; `told` is called with how many there are, and their accuracy."""
    begun = time.monotonic()

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "released":
            told(event["round"] + 1, event["metrics"]["accuracy"])

    with tierfed.simulate(TOPOLOGY, sets=sets_of(setting, seed, params), on_event=on_event) as fleet:
        assert fleet.topology.job is not None
        fleet.run_job(hierfavg_program.train, fleet.topology.job.params)
        clients = len(fleet.topology.members(tierfed.CLIENTS))
        with open(fleet.run_dir / "rounds.csv", encoding="utf-8", newline="") as file:
            rounds = list(csv.DictReader(file))
    seconds, joules, course = 0.0, 0.0, []
    for number, one in enumerate(rounds, 1):
        seconds += float(one["seconds"])
        joules += float(one["joules.CLIENTS"]) / clients
        course.append(
            (setting.name, seed, number, round(seconds, 4), round(joules, 4), f"{float(one['accuracy']):.3f}")
        )
    accuracy = float(rounds[-1]["accuracy"])
    row = Row(
        *(setting.split, setting.kappa_1, setting.kappa_2, seed),
        *(params["lr"], params["batch"], params["target"]),
        reached=accuracy >= params["target"],
        rounds=len(rounds),
        seconds=round(seconds, 4),
        joules=round(joules, 4),
        accuracy=round(accuracy, 3),
        here=round(time.monotonic() - begun, 1),
    )
    return row, course


def read(file: Path) -> list[Row]:
    """Return the rows of a results.csv, none if there is no such file.

    Raises DataError for a file of another kind.
    """
    if not file.exists():
        return []
    cast: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": "True".__eq__}
    with open(file, encoding="utf-8", newline="") as lines:
        try:
            return [Row(**{f.name: cast[str(f.type)](r[f.name]) for f in fields(Row)}) for r in csv.DictReader(lines)]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"its rows are not those of this command: {error}", where=str(file), mend="give another folder as --out"
            ) from error


def append(file: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Append rows, below a header if the file is new."""
    new = not file.exists()
    with open(file, "a", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([columns, *rows] if new else rows)


class Progress:
    """One line: what runs, how far it is, and about how long all of it will take."""

    def __init__(self, runs: int, done: Sequence[Row]) -> None:
        self._runs, self._number = runs, 0
        self._done = list(done)
        self._tty = sys.stderr.isatty()

    def begin(self, setting: Setting, seed: int, after: Sequence[Setting]) -> None:
        """A run begins, and those of `after` are to come."""
        self._number += 1
        self._label = f"[{self._number}/{self._runs}] {setting.name} seed {seed}"
        self._setting, self._after, self._begun = setting, after, time.monotonic()

    def told(self, rounds: int, accuracy: float) -> None:
        """So many rounds of the run are done."""
        if self._tty:
            line = f"{self._label}: round {rounds}, accuracy {accuracy:.3f}{self._left(rounds)}"
            line = line[: shutil.get_terminal_size().columns - 1]
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def _left(self, rounds: int) -> str:
        """Return how long it will take: as many rounds as the runs so far had, for each that the paper had."""
        published = {s.name: s.rounds for s in SETTINGS}
        had = sum(r.rounds for r in self._done)
        per = had / sum(published[f"{r.split}/{r.kappa_1}x{r.kappa_2}"] for r in self._done) if had else 0.5
        to_come = sum(s.rounds * per for s in self._after) + max(0, self._setting.rounds * per - rounds)
        minutes = to_come * (time.monotonic() - self._begun) / rounds / 60
        return f", about {max(1, round(minutes))} min left"

    def end(self, row: Row) -> None:
        """The run is over."""
        self._done.append(row)
        what = f"{row.rounds} rounds, {row.seconds:.1f} s, {row.joules:.1f} J, accuracy {row.accuracy:.3f}"
        before, behind = ("\r", "\x1b[K") if self._tty else ("", "")
        print(f"{before}{self._label}: {what}, {row.here:.0f} s here{behind}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked and not there yet; write it, the table and the figure."""
    names = {s.name: s for s in SETTINGS}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--settings", nargs="+", choices=list(names), default=list(names), metavar="SETTING", help=", ".join(names)
    )
    parser.add_argument("--lr", type=float, metavar="RATE", help="learning rate, instead of the topology's")
    parser.add_argument("--quick", action="store_true", help="two settings, one seed, two rounds of small batches")
    parser.add_argument("--out", type=Path, default=Path("hierfavg-results"), metavar="FOLDER")
    asked = parser.parse_args(argv)
    job = tierfed.load_topology(TOPOLOGY).job
    assert job is not None
    params = {name: job.params[name] for name in ("lr", "batch", "target")} | {"rounds": CAP}
    if asked.lr is not None:
        params["lr"] = asked.lr
    if asked.quick:
        asked.settings, asked.seeds = list(QUICK), asked.seeds[:1]
        params |= {"rounds": 2, "batch": 1}
    results = asked.out / "results.csv"
    try:
        there = {row.asked: row for row in read(results)}
    except TierfedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    wanted = [(names[name], seed) for seed in asked.seeds for name in asked.settings]
    keys = [(s.split, s.kappa_1, s.kappa_2, n, params["lr"], params["batch"], params["target"]) for s, n in wanted]
    missing = [one for one, key in zip(wanted, keys, strict=True) if key not in there]
    if len(missing) < len(wanted):
        print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are in {results}", file=sys.stderr)
    progress = Progress(len(missing), list(there.values()))
    try:
        if missing:
            hierfavg_split.images("test")  # so that data which is not there is told before anything begins
        asked.out.mkdir(parents=True, exist_ok=True)
        for number, (setting, seed) in enumerate(missing):
            progress.begin(setting, seed, [s for s, _ in missing[number + 1 :]])
            row, course = run(setting, seed, params, progress.told)
            append(asked.out / "rounds.csv", hierfavg_tables.COURSE, course)
            append(results, [f.name for f in fields(Row)], [list(asdict(row).values())])
            there[row.asked] = row
            progress.end(row)
    except TierfedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped: {len(there)} runs are in {results}; the same command goes on then", file=sys.stderr)
        return 130
    rows = [there[key] for key in keys]
    table = hierfavg_tables.table(rows)
    (asked.out / "table.md").write_text(table, encoding="utf-8")
    print(table, end="")
    try:
        hierfavg_tables.draw(rows, asked.out / "figure.svg")
    except ImportError:
        print("no figure: pip install 'tierfed[plot]'", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
