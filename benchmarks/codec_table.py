"""What each codec costs and saves: the main job under every chain, on real daemons.

    python -m benchmarks.codec_table            prints the tables
    python -m benchmarks.codec_table --write    and writes them to README.md, docs/codec-table.json, docs/tradeoff.svg
    python -m benchmarks.codec_table --times    measures times alone again, and writes
    python -m benchmarks.codec_table --render   measures nothing, and writes from docs/codec-table.json

Trains `topologies/three_tier.yaml`, three seeds a chain.  Bytes are counted at the sockets, over the whole run.
Times are of short runs of their own, each beside one of `none`, so that both see the same machine; the figure is
the median of their ratios.  A codec that is added is a line in `CHAINS`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tierfed
from benchmarks.rows import Row, between, row
from tierfed.jobs.program import load_job

ROOT = Path(__file__).parent.parent
TOPOLOGY = ROOT / "topologies" / "three_tier.yaml"
FIGURES = ROOT / "docs" / "codec-table.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- the codec table: python -m benchmarks.codec_table --write -->", "<!-- end of the codec table -->"
Figures = dict[str, Any]
SEEDS = (0, 1, 2)
QUICK_ROUNDS = 2
TIMED_ROUNDS, TIMED = 8, 3  # of a run that is timed; and how often each chain is


@dataclass(frozen=True, slots=True)
class Chain:
    """What the links carry: up from the clients, up from the edges, and down to both."""

    clients: str
    edges: str = "bf16"
    down: str = "none"

    @property
    def name(self) -> str:
        """The chains in one word, for figures."""
        return f"{self.clients} / {self.edges}" + (f", down {self.down}" if self.down != "none" else "")


BASE = Chain("none", edges="none")
CHAINS = (
    BASE,
    Chain("none+zstd", edges="none+zstd"),
    Chain("none+auto", edges="none+auto"),
    Chain("fp16"),
    Chain("bf16"),
    Chain("fp8"),
    Chain("int8"),
    Chain("int8+zstd"),
    Chain("int8(stochastic=true)"),
    Chain("qsgd(bits=4)"),
    Chain("eden(bits=4)"),
    Chain("eden(bits=4)", edges="eden(bits=4)"),
    Chain("eden(bits=2)"),
    Chain("drive"),
    Chain("thc"),
    Chain("thc", edges="thc"),
    Chain("terngrad"),
    Chain("clip(10)+terngrad"),
    Chain("sign"),
    Chain("error_feedback+sign"),
    Chain("topk(0.05)+int8"),
    Chain("error_feedback+topk(0.05)+int8"),
    Chain("error_feedback+topk(0.01)+int8"),
    Chain("randomk(0.1)"),
    Chain("randomk(0.1,shared=true)"),
    Chain("sketch"),
    Chain("powersgd"),
    Chain("error_feedback+powersgd"),
    Chain("none", edges="none", down="bf16"),
    Chain("none", edges="none", down="int8"),
    Chain("none", edges="none", down="delta+int8"),
    Chain("none", edges="none", down="delta+eden(bits=4)"),
)
QUICK = (BASE, Chain("int8+zstd"))


def train(chain: Chain, seed: int, sets: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document of one run."""
    given = [
        f"CLIENTS.codec.up={chain.clients}",
        f"EDGE_AGGREGATORS.codec.up={chain.edges}",
        f"CLIENTS.codec.down={chain.down}",
        f"EDGE_AGGREGATORS.codec.down={chain.down}",
        f"seed={seed}",
        *sets,
    ]
    before = os.environ.get("TIERFED_HOME")
    try:
        with tempfile.TemporaryDirectory() as home:
            os.environ["TIERFED_HOME"] = home
            topology = tierfed.load_topology(TOPOLOGY, given)
            assert topology.job is not None
            with tierfed.up(topology) as tree:
                tree.run_job(load_job(topology.job.program, None), topology.job.params)
                return tree.summary("ok")
    finally:
        if before is None:
            del os.environ["TIERFED_HOME"]
        else:
            os.environ["TIERFED_HOME"] = before


def measure(chains: Sequence[Chain] = CHAINS, seeds: Sequence[int] = SEEDS, sets: Sequence[str] = ()) -> Figures:
    """Return the accuracies and the bytes of each chain."""
    rows: list[dict[str, Any]] = []
    for chain in chains:
        runs = []
        for seed in seeds:
            runs.append(train(chain, seed, sets))
            print(f"{chain.name}, seed {seed} …", file=sys.stderr, flush=True)
        rows.append(
            {
                "clients": chain.clients,
                "edges": chain.edges,
                "down": chain.down,
                "accuracy": [round(run["metrics"]["accuracy"], 4) for run in runs],
                "bytes_clients": _sent(runs, "CLIENTS", "bytes_up"),
                "bytes_edges": _sent(runs, "EDGE_AGGREGATORS", "bytes_up"),
                "bytes_down": _sent(runs, "CLIENTS", "bytes_down"),
                "round": [],
            }
        )
    return {"topology": str(TOPOLOGY.relative_to(ROOT)), "seeds": list(seeds), "rows": rows}


def timed(figures: Figures, times: int = TIMED, rounds: int = TIMED_ROUNDS) -> Iterator[Figures]:
    """Yield `figures` with the times of a round, as ratios to those of `none`, once more each time."""
    sets = [f"job.params.rounds={rounds}"]
    rows = [{**r, "round": []} for r in figures["rows"]]
    for at in range(times):
        for r in rows:
            one = Chain(r["clients"], r["edges"], r["down"])
            took = {chain: _seconds(train(chain, SEEDS[0], sets)) for chain in dict.fromkeys((BASE, one))}
            r["round"].append(round(took[one] / took[BASE], 3))
            print(f"{one.name}, time {at + 1}/{times} …", file=sys.stderr, flush=True)
        machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        yield {**figures, "machine": machine, "rows": rows}


def _seconds(run: dict[str, Any]) -> float:
    """Return the median of a run's rounds but the first, in which everything is new."""
    return statistics.median(run["seconds"]["per_round"][1:])


def _sent(runs: list[dict[str, Any]], tier: str, key: str) -> int:
    """Return the bytes of a run, the mean over seeds."""
    return round(statistics.mean(run["tiers"][tier][key] for run in runs))


def markdown(figures: Figures) -> str:
    """Return the tables: codecs on the way up, and on the way down."""
    base, *_ = rows = figures["rows"]
    up = [
        "| clients' codec | edges' codec | sent by 32 clients | by 2 edges | accuracy | time of a round |",
        "|---|---|---|---|---|---|",
    ]
    down = ["| codec down | sent to 32 clients | accuracy | time of a round |", "|---|---|---|---|"]
    for r in rows:
        rest = f"{_accuracy(r)} | {statistics.median(r['round']):.2f}x |"
        if r["down"] == base["down"]:
            sent = f"{_size(r, base, 'bytes_clients', 1)} | {_size(r, base, 'bytes_edges', 2)}"
            up.append(f"| `{r['clients']}` | `{r['edges']}` | {sent} | {rest}")
        if r is base or r["down"] != base["down"]:
            down.append(f"| `{r['down']}` | {_size(r, base, 'bytes_down', 1)} | {rest}")
    return "\n".join([*up, "", *down]) + "\n"


def _accuracy(r: dict[str, Any]) -> str:
    spread = f" ± {statistics.stdev(r['accuracy']):.3f}" if len(r["accuracy"]) > 1 else ""
    return f"{statistics.mean(r['accuracy']):.3f}{spread}"


def _size(r: dict[str, Any], base: dict[str, Any], key: str, digits: int) -> str:
    size = f"{r[key] / 1e6:.{digits}f} MB"
    return size if r is base else f"{size}, {base[key] / r[key]:.1f}x less"


def inserted(readme: str, table: str) -> str:
    """Return the text of README with `table` between the markers."""
    return between(readme, BEGIN, END, table, "README.md")


def write(figures: Figures) -> None:
    """Write README's table and the picture of docs/."""
    README.write_text(inserted(README.read_text("utf-8"), markdown(figures)), "utf-8")
    from benchmarks import tradeoff

    try:
        tradeoff.draw(figures["rows"], tradeoff.PICTURE)
    except ImportError:
        print("no picture without matplotlib: pip install 'tierfed[plot]'", file=sys.stderr)


def run(quick: bool = False) -> list[Row]:
    """Return the rows of this benchmark: `--quick` trains two chains for a moment."""
    short = [f"job.params.rounds={QUICK_ROUNDS}"]
    if quick:
        *_, figures = timed(measure(QUICK, SEEDS[:1], short), 1, QUICK_ROUNDS)
    else:
        *_, figures = timed(measure())
    rows = []
    for r in figures["rows"]:
        name = Chain(r["clients"], r["edges"], r["down"]).name
        rows.append(row(f"{name}: sent by 32 clients", r["bytes_clients"] / 1e6, "MB"))
        rows.append(row(f"{name}: accuracy", statistics.mean(r["accuracy"]), ""))
        rows.append(row(f"{name}: time of a round, to none's", statistics.median(r["round"]), "x"))
    return rows


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codec_table", description="Every codec, in training.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write README's tables, docs/codec-table.json, the picture")
    what.add_argument("--times", action="store_true", help="measure times alone, and write")
    what.add_argument("--render", action="store_true", help="write from docs/codec-table.json, without measuring")
    given = parser.parse_args()
    figures = json.loads(FIGURES.read_text("utf-8")) if given.times or given.render else measure()
    for figures in [figures] if given.render else timed(figures):
        if given.write or given.times:
            FIGURES.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
        if given.write or given.times or given.render:
            write(figures)
    print(markdown(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
