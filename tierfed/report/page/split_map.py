"""The split: how many examples of each label each member has, as a map.

    c-eu-00   ░ █ . ▒ .       a row a member, a column a label; the darker, the more, and numbers where they go in

`split.json` of a run's folder: {"rule": "dirichlet(alpha=0.3)", "seed": 7, "labels": ["shirt", …],
"members": {"c-eu-00": [12, 0, …], …}}.  Where there are too many members for rows of their own, those with one parent,
or neighbours, share one and are added up, which is said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierfed.report.page.stored_run import StoredRun, json_of, mapping
from tierfed.report.page.svg import WIDE, Drawing, shape, shortened, shortened_name, text, width_of
from tierfed.topology.collapse import collapsed
from tierfed.types.html import Html

NAME = "split.json"
_ROWS, _COLUMNS = 40, 40
_LEFT = 150.0


@dataclass(frozen=True, slots=True)
class Split:
    """What `split.json` says."""

    rule: str
    seed: str
    labels: Sequence[str]
    members: Mapping[str, Sequence[float]]


def read(run: StoredRun) -> Split | None:
    """Return the split of a run, None if none is on record."""
    found = mapping(json_of(run.path / NAME))
    labels = found.get("labels")
    if not isinstance(labels, list) or not labels:
        return None
    members = {
        str(name): [float(c) for c in counts]
        for name, counts in mapping(found.get("members")).items()
        if _fits(counts, labels)
    }
    return (
        Split(_said(found.get("rule")), str(found.get("seed")), [str(one) for one in labels], members)
        if members
        else None
    )


def _said(rule: Any) -> str:
    """Return a rule as one says it: `{"dirichlet": {"alpha": 0.3}}` is dirichlet(alpha=0.3)."""
    if isinstance(rule, dict) and len(rule) == 1:
        [(name, options)] = rule.items()
        if isinstance(options, dict):
            return f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})"
        return f"{name}({options})"
    return rule if isinstance(rule, str) else json.dumps(rule, default=str)


def _fits(counts: Any, labels: Sequence[Any]) -> bool:
    return (
        isinstance(counts, list)
        and len(counts) == len(labels)
        and all(isinstance(c, int | float) and not isinstance(c, bool) and math.isfinite(c) and c >= 0 for c in counts)
    )


def drawing(split: Split) -> Drawing:
    """Return the map."""
    rows, grouped = _rows(split.members)
    columns = min(len(split.labels), _COLUMNS)
    labels = (
        [*split.labels[: columns - 1], f"{len(split.labels) - columns + 1} more"]
        if len(split.labels) > columns
        else list(split.labels)
    )
    cells = [
        (name, [*counts[: columns - 1], math.fsum(counts[columns - 1 :])] if len(counts) > columns else list(counts))
        for name, counts in rows
    ]
    total_room = 62.0
    cell = min((WIDE - _LEFT - total_room) / columns, 70.0)
    tall, small = (20.0, 10.0) if len(cells) <= 24 else (15.0, 9.0)
    most = max((c for _, counts in cells for c in counts), default=0) or 1
    slanted = max(width_of(one, 10.5) for one in labels) > cell - 3
    top = 14 + (min(70.0, max(width_of(shortened(one, 90, 10.5), 10.5) for one in labels) * 0.72) if slanted else 10)
    parts: list[Html] = []
    for at, one in enumerate(labels):
        middle = _LEFT + cell * (at + 0.5)
        said = shortened(one, 90 if slanted else cell, 10.5)
        turn = f"rotate(-45 {middle:.1f} {top - 6:.1f})" if slanted else None
        anchor = "start" if slanted else "middle"
        parts.append(text(said, middle, top - 6, anchor=anchor, size=10.5, colour="muted", transform=turn))
    parts.append(text("in all", _LEFT + cell * columns + 56, top - 6, anchor="end", size=10.5, colour="muted"))
    for row, (name, counts) in enumerate(cells):
        y = top + tall * row
        parts.append(text(shortened_name(name, _LEFT - 10, small + 0.5), 0, y + tall / 2 + 3, size=small + 0.5))
        for at, count in enumerate(counts):
            share = count / most
            told = shape("title", f"{name}, {labels[at]}: {count:g}")
            paint = {"fill": "heat", "fill_opacity": round(share, 3)} if count else {"fill": "none"}
            parts.append(
                shape(
                    "rect",
                    told,
                    x=_LEFT + cell * at,
                    y=y,
                    width=cell - 1,
                    height=tall - 1,
                    stroke="grid",
                    stroke_width=0.5,
                    **paint,
                )
            )
            said = f"{count:.0f}" if count < 1e5 else f"{count:.0e}"
            if count and width_of(said, small) < cell - 3:
                colour = "surface" if share > 0.55 else "ink"
                place = _LEFT + cell * (at + 0.5)
                parts.append(text(said, place, y + tall / 2 + 3, anchor="middle", size=small, colour=colour))
        whole = f"{math.fsum(counts):,.0f}"
        parts.append(
            text(whole, _LEFT + cell * columns + 56, y + tall / 2 + 3, anchor="end", size=small + 0.5, colour="muted")
        )
    legend = top + tall * len(cells) + 10
    parts.append(text("0", _LEFT, legend + 9, size=10.5, colour="muted"))
    for at in range(6):
        parts.append(
            shape(
                "rect",
                x=_LEFT + 12 + 18 * at,
                y=legend,
                width=17,
                height=11,
                fill="heat",
                fill_opacity=at / 5,
                stroke="grid",
            )
        )
    parts.append(text(f"{most:,.0f} examples", _LEFT + 126, legend + 9, size=10.5, colour="muted"))
    note = f"Examples of each label at each member: {split.rule}, seed {split.seed}."
    if grouped:
        note += f" {len(split.members):,} members: {grouped} of them share a row and are added up."
    return Drawing("split", "examples by member and label", WIDE, legend + 18, tuple(parts), note)


def _rows(members: Mapping[str, Sequence[float]]) -> tuple[list[tuple[str, list[float]]], int]:
    """Return the rows, and how many members share one; nought if each has its own."""
    names = list(members)
    if len(names) <= _ROWS:
        return [(name, list(members[name])) for name in names], 0
    each = math.ceil(len(names) / _ROWS)
    rows = []
    for begin in range(0, len(names), each):
        together = names[begin : begin + each]
        summed = [math.fsum(column) for column in zip(*(members[name] for name in together), strict=True)]
        rows.append((f"{collapsed(together)} ×{len(together)}", summed))
    return rows, each
