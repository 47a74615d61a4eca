"""What a benchmark returns: rows of a figure, its unit, and what it is held to.

A row without a target is context: the limit (memcpy, blocking sockets, numpy) that the others
are ratios of, measured in the same run.
"""

from __future__ import annotations

import operator
from typing import Any

Row = dict[str, Any]


def row(name: str, figure: float, unit: str, target: str = "") -> Row:
    """Return a row; `target` is written `>= 0.85` or `<= 5`, in the row's unit."""
    rounded = round(figure, 3)
    return {"name": name, "figure": rounded, "unit": unit, "target": target, "met": _met(rounded, target)}


def _met(figure: float, target: str) -> bool | None:
    if not target:
        return None
    sign, bound = target.split()
    return bool({">=": operator.ge, "<=": operator.le}[sign](figure, float(bound)))


def markdown(rows: list[Row]) -> str:
    """Return rows as a table."""
    lines = ["| what | figure | target | |", "|---|---|---|---|"]
    for r in rows:
        mark = {True: "met", False: "**missed**", None: ""}[r["met"]]
        lines.append(f"| {r['name']} | {r['figure']:g} {r['unit']} | {r['target']} | {mark} |")
    return "\n".join(lines)


def between(text: str, begin: str, end: str, inner: str, where: str) -> str:
    """Return `text` with `inner` between the lines `begin` and `end`; `where` names it if they are not there."""
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise SystemExit(f"{where} has no lines {begin} and {end}")
    return f"{before}{begin}\n\n{inner}\n{end}{after}"
