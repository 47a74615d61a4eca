"""Side by side: runs, or cells, as columns of a terminal's table; what differs first, then what came of it.

                          7f3a90c2  91bc04d1
    CLIENTS.codec.up      none      int8+zstd
    accuracy              0.784     0.781
    bytes_up.CLIENTS      131 MB    33.1 MB

Where there are more columns than the terminal has room for, each is a paragraph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tierfed.report.page.pareto import Spread
from tierfed.report.page.stored_sweep import Cell, Compared, plain_figures
from tierfed.report.table import table

_UNITS = {"bytes_up": "B", "bytes_down": "B", "raw_bytes_up": "B", "raw_bytes_down": "B", "joules": "J"}
_SECONDS = ("seconds", "seconds_per_round")


def table_of(compared: Compared, width: int | None) -> str:
    """Return the table for people."""
    heads, columns = _columns(compared)
    across = [["", *(_title(cell, compared) for cell in compared.cells)]]
    across += [[head, *(column[at] for column in columns)] for at, head in enumerate(heads)]
    drawn = table(across[0], across[1:])
    if width is None or max(len(line) for line in drawn.splitlines()) <= width:
        return drawn
    told = []
    for cell, column in zip(compared.cells, columns, strict=True):
        lines = (f"  {head}  {said}" for head, said in zip(heads, column, strict=True) if said != "-")
        told.append("\n".join([_title(cell, compared), *lines]))
    return "\n".join(told)


def _title(cell: Cell, compared: Compared) -> str:
    return (
        cell.name if compared.path is not None or len(cell.rows) > 1 else (cell.rows[0].run if cell.rows else cell.name)
    )


def _columns(compared: Compared) -> tuple[list[str], list[list[str]]]:
    """Return the heads of what there is to say, and what is said of each cell."""
    figures = dict.fromkeys(k for cell in compared.cells for row in cell.done for k in row.figures)
    metrics = compared.metrics
    rest = [k for k in figures if k not in metrics and not k.startswith("raw_")]
    named = [*metrics, *(k for k in (*_SECONDS, "rounds") if k in rest)]
    named += [k for k in rest if k not in named and "." in k] + [k for k in ("lost",) if k in rest]
    failed = bool(compared.failed)
    heads = [*compared.varied, *(["status"] if failed else []), *named]
    columns = []
    for cell in compared.cells:
        statuses = ", ".join(dict.fromkeys(row.status for row in cell.rows))
        told = [cell.settings.get(key, "-") for key in compared.varied]
        columns.append([*told, *([statuses] if failed else []), *(_said(cell.spread(key), key) for key in named)])
    return heads, columns


def _said(spread: Spread | None, key: str) -> str:
    if spread is None:
        return "-"
    unit = "s" if key in _SECONDS else _UNITS.get(key.partition(".")[0], "")
    if not unit and spread.deviation == 0 and spread.mean == int(spread.mean):
        return f"{int(spread.mean):,}"
    return spread.said(unit)


def document(compared: Compared) -> Mapping[str, Any]:
    """Return the document for programs: every run with its settings and figures."""
    runs = [
        {
            "run": row.run,
            "cell": cell.name,
            "repeat": row.repeat or None,
            "seed": row.seed or None,
            "status": row.status,
            "settings": dict(cell.settings),
            "figures": plain_figures(row),
            "error": row.error or None,
        }
        for cell in compared.cells
        for row in cell.rows
    ]
    return {"schema_version": 1, "differ": list(compared.varied), "metrics": compared.metrics, "runs": runs}
