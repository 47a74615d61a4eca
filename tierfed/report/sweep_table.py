"""What came of a sweep, a line a cell, for people and for programs.

    CLIENTS.codec.up   CLIENTS upload   vs none   accuracy       s/round (modelled)
    none                       20 MB      1.0×    0.780 ±0.010                  1.3
    int8                      5.0 MB      4.0×    0.780 ±0.010                  0.9

The upload is that of the tier at the leaves, in all rounds; ± is the standard deviation over the seeds.  Cells are
compared with the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tierfed.jobs.sweep.cells import Sweep
from tierfed.jobs.sweep.results import CellResult, Row, Spread, by_cell, metric_names
from tierfed.jobs.sweep.store import Kept
from tierfed.report.output import SCHEMA_VERSION
from tierfed.report.quantities import number
from tierfed.report.table import table
from tierfed.topology.captions import amount
from tierfed.topology.draw import size

_FIRST = re.compile(r"^(?:job\.params\.|(?:placements\.)?[^. ]+(?:\.(?=\w+(?:\.\w+)?$)| (?=upload$)))")
_METRICS = 2  # columns of metrics, where none of them is called accuracy


def told(kept: Kept, rows: Sequence[Row], width: int | None = None) -> str:
    """Return the table of a sweep, in at most `width` columns where it goes, else a paragraph a cell."""
    sweep = kept.sweep()
    results = by_cell(sweep.cells, rows, sweep.paths)
    heads, lines, left = _columns(sweep, results, shown_metrics(rows, sweep.paths))
    for some in (heads, _short(heads)):
        aligned = _aligned([some, *lines], left)
        if width is None or max(map(len, aligned)) <= width:
            return "\n".join(aligned)
    return table(heads, lines, width)


def _aligned(lines: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return lines of columns, the first `left` of them to the left and the others, which are figures, to the right."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    cells = [
        [cell.ljust(w) if at < left else cell.rjust(w) for at, (cell, w) in enumerate(zip(line, widths, strict=True))]
        for line in lines
    ]
    return ["  ".join(line).rstrip() for line in cells]


def _short(heads: Sequence[str]) -> list[str]:
    """Return `heads` without their placements (`codec.up`, `upload`), where they still differ then."""
    short = [_FIRST.sub("", head).replace(" (modelled)", "") for head in heads]
    return [one if short.count(one) == 1 else head for one, head in zip(short, heads, strict=True)]


def shown_metrics(rows: Sequence[Row], paths: Sequence[str]) -> list[str]:
    """Return the metrics that a table of people has room for: accuracy, or the first ones that are measured."""
    names = metric_names(rows, paths)
    measured = [name for name in names if any(isinstance(row.get(name), float) for row in rows)]
    return ["accuracy"] if "accuracy" in names else (measured or names)[:_METRICS]


def _columns(
    sweep: Sweep, results: Sequence[CellResult], metrics: Sequence[str]
) -> tuple[list[str], list[list[str]], int]:
    """Return the heads, the cells of each line, and how many columns from the left are texts."""
    paths = list(sweep.paths)
    uploads = next((name for result in results for name in result.figures if name.startswith("bytes_up.")), None)
    columns = [(path, [result.cell.values.get(path, "–") for result in results]) for path in paths]
    if not paths:
        columns = [("", [str(result.cell) for result in results])]
    left = len(columns)
    if uploads is not None:
        sent = [result.figures.get(uploads) for result in results]
        columns.append((f"{uploads.partition('.')[2]} upload", [size(round(s.mean)) if s else "" for s in sent]))
        if len(results) > 1:
            columns.append((_versus(paths, results), [_times(sent[0], s) for s in sent]))
    for name in metrics:
        columns.append((name, [spread(result.figures.get(name)) for result in results]))
    rounds = [result.figures.get("seconds_per_round") for result in results]
    if any(one and one.mean for one in rounds):
        head = "s/round (modelled)" if sweep.clock == "virtual" else "s/round"
        columns.append((head, [number(one.mean) if one else "" for one in rounds]))
    joules = [[s.mean for name, s in result.figures.items() if name.startswith("joules.")] for result in results]
    if any(map(sum, joules)):
        columns.append(("energy", [amount(sum(each), "J") if each else "" for each in joules]))
    if any(result.failed for result in results):
        columns.append(("failed", [f"{r.failed} of {r.ok + r.failed}" if r.failed else "" for r in results]))
    return [head for head, _ in columns], [list(line) for line in zip(*(c for _, c in columns), strict=True)], left


def _versus(paths: Sequence[str], results: Sequence[CellResult]) -> str:
    first = results[0].cell.values.get(paths[0]) if len(paths) == 1 else None
    return f"vs {first}" if first is not None and len(first) <= 12 else "vs first"


def _times(first: Spread | None, this: Spread | None) -> str:
    if first is None or this is None or not this.mean:
        return ""
    ratio = first.mean / this.mean
    return f"{ratio:.0f}×" if ratio >= 9.95 else f"{ratio:.1f}×"


def spread(of: Spread | None) -> str:
    """Return a mean with its deviation, if there is one: `0.780 ±0.010`."""
    if of is None:
        return ""
    mean = number(of.mean)
    if of.std is None:
        return mean
    decimals = len(mean.partition(".")[2]) if "e" not in mean else 0
    return f"{mean} ±{of.std:.{decimals}f}" if "e" not in mean else f"{mean} ±{of.std:.2g}"


def document(kept: Kept, rows: Sequence[Row], status: str, error: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what `--json` prints of a sweep."""
    sweep = kept.sweep()
    cells = [
        {
            "cell": result.cell.number,
            "values": dict(result.cell.values),
            "ok": result.ok,
            "failed": result.failed,
            "figures": {name: {"mean": s.mean, "std": s.std} for name, s in result.figures.items()},
            "error": result.error,
        }
        for result in by_cell(sweep.cells, rows, sweep.paths)
    ]
    good = sum(row["status"] == "ok" for row in rows)
    return {
        "schema_version": SCHEMA_VERSION,
        "sweep": kept.id,
        "status": status,
        "clock": sweep.clock,
        "seeds": list(sweep.seeds),
        "metrics": metric_names(rows, sweep.paths),
        "runs": {"all": len(sweep.cells) * len(sweep.seeds), "ok": good, "failed": len(rows) - good},
        "cells": cells,
        "sweep_dir": str(kept.path),
        "error": error,
    }
