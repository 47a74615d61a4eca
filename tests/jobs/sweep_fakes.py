"""Sweeps without processes: a runner that makes up what comes of a variant, and a topology file to vary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tierfed.errors import TierfedError
from tierfed.jobs.sweep.cells import Sweep, cells
from tierfed.jobs.sweep.grammar import axis
from tierfed.jobs.sweep.store import Kept, create
from tierfed.jobs.sweep.variant import Outcome, Variant

TREE = """\
apiVersion: tierfed/v1
kind: Topology
seed: 7
placements:
  SERVER:
  CLIENTS: {parent: SERVER, per_parent: 2, link: {delay: 10ms}}
job: {program: "tierfed.learning.fedavg:train", params: {rounds: 2}, data: {dataset: fashion-mnist-6k}}
"""


def document(variant: Variant, **changes: Any) -> dict[str, Any]:
    """Return what the run of a variant might say: figures that differ by seed and by what is set."""
    sent = 1000 if "CLIENTS.codec.up=none" in variant.sets else 250
    seed = variant.seed or 0
    return {
        "run": f"{hash(variant) & 0xFFFFFFFF:08x}",
        "status": "ok",
        "rounds": 2,
        "metrics": {"loss": 0.5, "accuracy": 0.7 + seed / 100, "rounds": 2},
        "seconds": {"job": 3.0, "per_round": [1.0, 2.0]},
        "tiers": {
            "SERVER": {"nodes": 1, "joules": 2.0},
            "CLIENTS": {"nodes": 2, "bytes_up": sent, "bytes_down": 1000, "raw_bytes_up": 1000, "raw_bytes_down": 1000},
        },
        "lost": [],
        **changes,
    }


def fake(
    fails: Callable[[Variant], bool] = lambda variant: False, ends_after: int | None = None
) -> Callable[..., list[Outcome]]:
    """Return a runner: variants that `fails` names fail, and with `ends_after` so many it is interrupted."""

    def run_all(
        variants: Iterable[Variant],
        home: Path,
        *,
        on_start: Callable[[int, Variant], None],
        on_done: Callable[[int, Outcome], None],
        **rest: Any,
    ) -> list[Outcome]:
        for at, variant in enumerate(variants):
            on_start(at, variant)
            if at == ends_after:
                raise KeyboardInterrupt
            if fails(variant):
                error = TierfedError("below quorum", where="round 1", mend="wait longer")
                on_done(at, Outcome(variant, "failed", document(variant, rounds=1, lost=[{}, {}]), error, 1.0))
            else:
                on_done(at, Outcome(variant, "ok", document(variant), None, 1.0))
        return []

    return run_all


def new(folder: Path, *axes: str, seeds: tuple[int, ...] = (7, 8)) -> Kept:
    """Return a new sweep of a file in `folder`."""
    file = folder / "tree.yaml"
    file.write_text(TREE)
    read = [axis(text) for text in axes]
    paths = tuple(path for one in read for path in one.paths)
    return create(Sweep(file, paths, cells(read), seeds, "virtual"), ["tierfed", "sweep"], "2026-01-01")


class Silent:
    """Nobody watches; what happened is kept."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    def started(self, cell: Any, repeat: int) -> None:
        """A run has begun."""
        self.happened.append(f"start {cell.number}.{repeat}")

    def done(self, cell: Any, row: dict[str, Any], seconds: float) -> None:
        """A run is over."""
        self.happened.append(f"{row['status']} {cell.number}.{row['repeat']}")
