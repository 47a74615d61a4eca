"""What compression costs and saves: the main job under each codec of the clients' uplink.

    python -m benchmarks.tradeoff [--out docs]

Trains `topologies/three_tier.yaml` on real daemons, three seeds a codec, and prints the table
of the README; with `--out`, writes `tradeoff.md` and, with the extra `[plot]`, `tradeoff.svg`.
Bytes are counted at the sockets: what the 32 clients sent in the whole run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import tierfed
from tierfed.jobs.program import load_job

CODECS = ("none", "bf16", "int8", "int8+zstd")
SEEDS = (0, 1, 2)
TOPOLOGY = Path(__file__).parent.parent / "topologies" / "three_tier.yaml"


def train(codec: str, seed: int) -> dict[str, Any]:
    """Return the document of one run."""
    sets = [f"CLIENTS.codec.up={codec}", f"seed={seed}"]
    with tempfile.TemporaryDirectory() as home:
        os.environ["TIERFED_HOME"] = home
        topology = tierfed.load_topology(TOPOLOGY, sets)
        assert topology.job is not None
        with tierfed.up(topology) as tree:
            tree.run_job(load_job(topology.job.program, None), topology.job.params)
            return tree.summary("ok")


def measure() -> list[dict[str, Any]]:
    """Return a row a codec: accuracies, bytes, and seconds in rounds."""
    rows = []
    for codec in CODECS:
        runs = [train(codec, seed) for seed in SEEDS]
        rows.append(
            {
                "codec": codec,
                "accuracy": [run["metrics"]["accuracy"] for run in runs],
                "bytes": statistics.mean(run["tiers"]["CLIENTS"]["bytes_up"] for run in runs),
                "seconds": statistics.median(s for run in runs for s in run["seconds"]["per_round"][1:]),
            }
        )
        print(f"{codec} …", file=sys.stderr, flush=True)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table."""
    base = rows[0]
    lines = [
        "| clients' codec | sent by 32 clients | against none | accuracy, 3 seeds | time of a round |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        saved = "" if r is base else f"{base['bytes'] / r['bytes']:.1f}x less"
        spread = f"{min(r['accuracy']):.3f} to {max(r['accuracy']):.3f}"
        lines.append(
            f"| `{r['codec']}` | {r['bytes'] / 1e6:.1f} MB | {saved} | "
            f"{statistics.mean(r['accuracy']):.3f} ({spread}) | {r['seconds'] / base['seconds']:.2f}x |"
        )
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw accuracy against bytes, a point a codec and a bar over the seeds."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "tierfed"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for at, (r, marker) in enumerate(zip(rows, "osD^", strict=True)):
        middle = statistics.mean(r["accuracy"])
        bars = [[middle - min(r["accuracy"])], [max(r["accuracy"]) - middle]]
        axes.errorbar(r["bytes"] / 1e6, middle, yerr=bars, fmt=marker, capsize=4, color="#1f4e79", markersize=7)
        away = 22 if at % 2 else -30  # points: neighbours are labelled on either side
        label = {"textcoords": "offset points", "xytext": (0, away), "ha": "center"}
        axes.annotate(r["codec"], (r["bytes"] / 1e6, middle), **label)
    axes.set_xscale("log")
    axes.set_xlim(right=rows[0]["bytes"] / 1e6 * 1.6)
    axes.set_xlabel("sent by 32 clients in 20 rounds, MB (fewer is cheaper)")
    axes.set_ylabel("accuracy on 1,000 test images")
    axes.set_ylim(0.74, 0.83)
    axes.axhline(0.75, color="#999999", linewidth=0.8, linestyle=":")
    axes.set_title("FedAvg over three tiers: accuracy against bytes, range of three seeds", fontsize=10)
    axes.grid(alpha=0.25, which="both")
    ticks = [15, 30, 60, 120]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    figure.savefig(file, metadata={"Date": None})


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tradeoff", description="Compression against accuracy.")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write tradeoff.md and tradeoff.svg there")
    given = parser.parse_args()
    rows = measure()
    print(markdown(rows))
    if given.out is not None:
        (given.out / "tradeoff.md").write_text(markdown(rows))
        try:
            draw(rows, given.out / "tradeoff.svg")
        except ImportError:
            print("no picture without matplotlib: pip install 'tierfed[plot]'", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
