"""The picture of the codec table: accuracy against bytes, a point a chain.

    python -m benchmarks.tradeoff        docs/codec-table.json -> docs/tradeoff.svg

Chains that no other beats in both bytes and mean accuracy are dark.  Some are named.  Wants the extra `[plot]`.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
PICTURE = DOCS / "tradeoff.svg"
ABOVE = ("none", "bf16", "int8+zstd", "eden(bits=4)", "eden(bits=2)", "terngrad", "drive")  # named above their bars …
LEFT = ("sign", "error_feedback+sign")
RIGHT = (  # … or beside their points
    "topk(0.05)+int8",
    "error_feedback+topk(0.01)+int8",
    "powersgd",
    "error_feedback+powersgd",
)


def front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that no other beats: fewer bytes at its accuracy, or better at its bytes."""
    points = [(r["bytes_clients"], -statistics.mean(r["accuracy"])) for r in rows]
    beaten = [any(a <= x and b <= y and (a, b) != (x, y) for a, b in points) for x, y in points]
    return [r for r, worse in zip(rows, beaten, strict=True) if not worse]


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw accuracy against bytes, with a bar over the seeds."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "tierfed"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.8), layout="constrained")
    rows = [r for r in rows if r["down"] == "none"]
    best = front(rows)
    named: set[str] = set()
    for r in rows:
        middle, sent = statistics.mean(r["accuracy"]), r["bytes_clients"] / 1e6
        bars = [[middle - min(r["accuracy"])], [max(r["accuracy"]) - middle]]
        colour = "#1f4e79" if r in best else "#8c96a0"
        axes.errorbar(sent, middle, yerr=bars, fmt="o", capsize=3, color=colour, markersize=5)
        label: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": colour}
        if r["clients"] in ABOVE and r["clients"] not in named:
            place = (sent, max(r["accuracy"]))
            axes.annotate(r["clients"], place, xytext=(-2, 5), rotation=35, **label)
        elif r["clients"] in LEFT:
            axes.annotate(r["clients"], (sent, middle), xytext=(-7, -3), ha="right", **label)
        elif r["clients"] in RIGHT:
            axes.annotate(r["clients"], (sent, middle), xytext=(7, -3), **label)
        named.add(r["clients"])
    axes.set_xscale("log")
    axes.set_xlabel("sent by 32 clients in 20 rounds, MB (fewer is cheaper)")
    axes.set_ylabel("accuracy on 1,000 test images")
    axes.axhline(0.75, color="#999999", linewidth=0.8, linestyle=":")
    axes.set_title("FedAvg over three tiers: accuracy against bytes, range of three seeds", fontsize=10)
    axes.set_ylim(0.725, 0.82)
    axes.set_xlim(2, 240)
    axes.grid(alpha=0.25, which="both")
    ticks = [2, 4, 8, 16, 32, 64, 128]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads((DOCS / "codec-table.json").read_text("utf-8"))["rows"], PICTURE)
    sys.exit(0)
