"""A long run: does anything grow?

    python -m benchmarks.soak --minutes 60 --out docs/figures

A tree of 1-4-64, the clients eight to a process, runs one round after the other: a model of
2^18 float32 goes down in bf16, updates come up as int8+zstd, are checked and added, and each
result is held against the one that it must be.  Four times a minute every process is looked at: proportional set
size, descriptors, and, by its `/metrics`, how late its event loop was.

What is said of memory is the slope of a straight line through the second half of the samples, of all node processes
together and of the one that grows the most: what is allocated once, at the beginning, is no leak.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tierfed
from benchmarks.lag import late, percentile
from benchmarks.rows import Row, markdown, row

SIZE = 2**18
EVERY = 15.0  # seconds between two samples
TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: soak
placements:
  SERVER:
  EDGE_AGGREGATORS:
    parent: SERVER
    per_parent: 4
    codec: {up: int8+zstd, down: bf16}
  CLIENTS:
    parent: EDGE_AGGREGATORS
    per_parent: 16
    colocate: 8
    codec: {up: int8+zstd, down: bf16}
"""
MODEL = tierfed.to_type(f"float32[{SIZE}]")


@tierfed.py_computation(MODEL, returns=MODEL)
def update(model: Any) -> Any:
    """Return a ramp, scaled by the model's mean: something that a quantiser has work with."""
    return np.linspace(-1, 1, SIZE, dtype=np.float32) * np.float32(model.mean())


@tierfed.federated_computation(MODEL)
def step(model: Any) -> Any:
    """Return the mean of the clients' updates."""
    here = tierfed.federated_value(model, tierfed.SERVER)
    return tierfed.federated_mean(tierfed.federated_map(update, tierfed.federated_broadcast(here)))


def _memory(pid: int) -> float:
    """Return the proportional set size of a process, in MB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return float(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1]) / 1024


def _slope(times: list[float], values: list[float]) -> float:
    """Return the slope of `values` an hour, over the second half."""
    half = len(times) // 2
    if len(times) - half < 2:
        return 0.0
    return float(np.polyfit(np.array(times[half:]) / 3600, values[half:], 1)[0])


def soak(seconds: float, every: float, out: Path | None) -> list[Row]:
    """Run for so long; return the rows, and write the samples to `soak.csv` in `out`."""
    samples: list[dict[str, Any]] = []
    took: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        file = Path(home) / "soak.yaml"
        file.write_text(TREE)
        with tierfed.up(file) as tree:
            assert tree.deployment is not None
            status = tree.deployment.status()
            addresses = {
                node["process"]: tuple(node["address"]) for node in status["nodes"].values() if node["address"]
            }
            pids = {name: process["pid"] for name, process in status["processes"].items()}
            model = np.ones(SIZE, np.float32)
            expected = np.linspace(-1, 1, SIZE, dtype=np.float32)
            begun = look = time.monotonic()
            while (now := time.monotonic()) < begun + seconds:
                result = np.asarray(tree.invoke(step, model))
                took.append(time.monotonic() - now)
                error = float(np.linalg.norm(result - expected) / np.linalg.norm(expected))
                if not error < 0.01:
                    raise SystemExit(f"round {len(took)} is off by {error:.3g}")
                if time.monotonic() >= look:
                    look += every
                    for name, pid in pids.items():
                        fds = len(os.listdir(f"/proc/{pid}/fd"))
                        samples.append(
                            {
                                "seconds": now - begun,
                                "round": len(took),
                                "process": name,
                                "mb": _memory(pid),
                                "fds": fds,
                            }
                        )
                    print(
                        f"\r{(now - begun) / 60:.1f} of {seconds / 60:.0f} min, {len(took)} rounds, "
                        f"{sum(s['mb'] for s in samples[-len(pids):]):.0f} MB ",
                        end="", file=sys.stderr, flush=True,
                    )  # fmt: skip
            counts: dict[float, int] = {}
            for address in addresses.values():
                for bound, count in late(address).items():
                    counts[bound] = counts.get(bound, 0) + count
    print(file=sys.stderr)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "soak.csv", "w", newline="") as to:
            writer = csv.DictWriter(to, list(samples[0]))
            writer.writeheader()
            writer.writerows({**s, "seconds": round(s["seconds"], 1), "mb": round(s["mb"], 2)} for s in samples)
    each = {name: [s for s in samples if s["process"] == name] for name in pids}
    times = [s["seconds"] for s in next(iter(each.values()))]
    total = [sum(s[i]["mb"] for s in each.values()) for i in range(len(times))]
    slopes = {name: _slope(times, [s["mb"] for s in own]) for name, own in each.items()}
    worst = max(slopes, key=lambda name: slopes[name])
    tenth = max(1, len(took) // 10)
    return [
        row("soak of 1-4-64, int8+zstd: time", times[-1] / 60, "min"),
        row("rounds, each held against its result", len(took), "rounds"),
        row("memory of all nodes, at the beginning", total[0], "MB"),
        row("memory of all nodes, at the end", total[-1], "MB"),
        row("slope of it, an hour", _slope(times, total), "MB/h"),
        row(f"the steepest slope of one process ({worst}), an hour", slopes[worst], "MB/h"),
        row("descriptors more at the end than at the beginning", _more(each, "fds"), "fds", "<= 0"),
        row("event loops late, median of all", percentile(counts, 0.5), "ms"),
        row("event loops late, 99 %", percentile(counts, 0.99), "ms"),
        row(
            "a round, last tenth against first tenth",
            statistics.median(took[-tenth:]) / statistics.median(took[:tenth]),
            "x",
        ),
    ]


def _more(each: Mapping[str, list[dict[str, Any]]], key: str) -> int:
    return sum(own[-1][key] - own[0][key] for own in each.values())


def main() -> None:
    """Run for as long as was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write soak.csv and soak.json there")
    given = parser.parse_args()
    rows = soak(given.minutes * 60, EVERY, given.out)
    print(markdown(rows))
    if given.out is not None:
        (given.out / "soak.json").write_text(json.dumps(rows, indent=1) + "\n")


def run(quick: bool = False) -> list[Row]:
    """Return the rows of a soak that is no soak: to see that it works."""
    return soak(10.0 if quick else 60.0, 2.0, None)


if __name__ == "__main__":
    main()
