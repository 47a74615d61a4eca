"""Tables: measured beside predicted, as docs/validation.md shows it.

    lines(rows)          a table in Markdown, a line a setting
    verdict(rows)        what it comes to: the median error and the worst
    picture(rows, file)  the scatter plot; wants the extra `[plot]`
    write(rows)          all of it into docs/, with the figures themselves as JSON
    links(rows)          what `--check` has seen of the links, in a few sentences

A row is what `__main__` makes of a setting: `measured` has the figures of measure.py, `predicted` those of model.py.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE, FIGURES, PICTURE = "validation.md", "validation.json", "validation.svg"
BEGIN = "<!-- measured and predicted: python -m benchmarks.network --write -->"
END = "<!-- end of measured and predicted -->"
LINKS_BEGIN = "<!-- the links: python -m benchmarks.network --check --write -->"
LINKS_END = "<!-- end of the links -->"
MEDIAN, WORST = 0.10, 0.25  # what errors are held to


def error(row: dict[str, Any]) -> float:
    """Return by which share the prediction is too long."""
    return float(row["predicted"]["seconds"] / row["measured"]["seconds"] - 1)


def exact(row: dict[str, Any]) -> bool:
    """Return whether the bytes of a round were predicted, tier by tier and each way."""
    return bool(row["predicted"]["bytes"] == row["measured"]["bytes"])


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table."""
    table = ["| setting | measured | predicted | error | bytes |", "|---|---|---|---|---|"]
    for row in rows:
        least, most = row["measured"]["spread"]
        measured = f"{row['measured']['seconds']:.3f} s ({least:.3f}-{most:.3f})"
        bytes_ = "exact" if exact(row) else "**not exact**"
        table.append(
            f"| {row['described']} | {measured} | {row['predicted']['seconds']:.3f} s | {error(row):+.1%} | {bytes_} |"
        )
    return table


def verdict(rows: list[dict[str, Any]]) -> str:
    """Return a sentence."""
    errors = [abs(error(row)) for row in rows]
    median, worst = statistics.median(errors), max(errors)
    right = sum(map(exact, rows))
    return (
        f"{len(rows)} settings: the error is {median:.1%} in the median "
        f"({'within' if median <= MEDIAN else 'beyond'} {MEDIAN:.0%}) and {worst:.1%} at worst "
        f"({'within' if worst <= WORST else 'beyond'} {WORST:.0%}); bytes are exact in {right} of {len(rows)}."
    )


def picture(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw predicted against measured seconds, with the range of the rounds and the bounds of the error."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "tierfed"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.2, 4.6), layout="constrained")
    every = [row[side]["seconds"] for row in rows for side in ("measured", "predicted")]
    ends = min(every) / 1.3, max(every) * 1.3
    axes.fill_between(ends, [e * (1 - WORST) for e in ends], [e * (1 + WORST) for e in ends], color="#e8eef4")
    axes.fill_between(ends, [e * (1 - MEDIAN) for e in ends], [e * (1 + MEDIAN) for e in ends], color="#cfdde9")
    axes.plot(ends, ends, color="#8c96a0", linewidth=0.8)
    for lossy, colour, name in ((False, "#1f4e79", "without loss"), (True, "#b4552d", "with loss")):
        some = [row for row in rows if any(tier["loss"] > 0 for tier in row["drawn"]["tiers"]) == lossy]
        middle = [row["measured"]["seconds"] for row in some]
        reach = [
            [m - row["measured"]["spread"][0] for m, row in zip(middle, some, strict=True)],
            [row["measured"]["spread"][1] - m for m, row in zip(middle, some, strict=True)],
        ]
        predicted = [row["predicted"]["seconds"] for row in some]
        axes.errorbar(middle, predicted, xerr=reach, fmt="o", color=colour, markersize=4, linewidth=0.8, label=name)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set_xlabel("measured, seconds a round: median and range")
    axes.set_ylabel("predicted, seconds a round")
    axes.set_title("Round times over shaped links, bands of 10 and 25 %", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.grid(alpha=0.25, which="both")
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def links(rows: list[dict[str, Any]]) -> str:
    """Return what looking at the links has come to."""
    late = [(row["round_trip"] - row["nominal"]["round_trip"]) * 1e3 for row in rows]
    off = [row[way] / row["nominal"][way] - 1 for row in rows for way in ("up", "down")]
    lost, sent = sum(row["lost"] * row["probes"] for row in rows), sum(row["probes"] for row in rows)
    meant = sum(row["nominal"]["lost"] * row["probes"] for row in rows)
    odd = [f"{row['setting']} {row['tier']}" for row in rows if not row["good"]]
    return (
        f"{len(rows)} links: the median round trip is {min(late):.2f} to {max(late):.2f} ms longer than what was set. "
        f"Rates, less what is meant to be lost, differ by {min(off):+.1%} to {max(off):+.1%}. Of {sent:,} echoes "
        f"{lost:,.0f} were lost, and {meant:,.0f} were meant to be. "
        + (f"Not what they claim: {', '.join(odd)}." if odd else "All are what they claim.")
    )


def write(rows: list[dict[str, Any]], machine: str, folder: Path = DOCS) -> None:
    """Put table, verdict, picture and figures into the folder of the documentation."""
    (folder / FIGURES).write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", "utf-8")
    said = "\n".join([f"{verdict(rows)} {machine}.", "", *lines(rows), "", f"![Predicted against measured]({PICTURE})"])
    _insert(folder / PAGE, BEGIN, END, said)
    picture(rows, folder / PICTURE)


def write_links(rows: list[dict[str, Any]], folder: Path = DOCS) -> None:
    """Put what was seen of the links into the page."""
    _insert(folder / PAGE, LINKS_BEGIN, LINKS_END, links(rows))


def _insert(file: Path, begin: str, end: str, said: str) -> None:
    before, found, rest = file.read_text("utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise SystemExit(f"{file.name} has no lines {begin} and {end}")
    file.write_text(f"{before}{begin}\n\n{said}\n\n{end}{after}", "utf-8")
