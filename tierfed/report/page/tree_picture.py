"""The picture of a tree: the root on the left, a box for alike siblings with their number, links with their codecs.

    ┌ SERVER ┐   up bf16          ┌ EDGES   ┐   4/20mbit  up int8+zstd   ┌ CLIENTS            ┐
    │ server ├────────────────────┤ edge-eu ├────────────────────────────┤ c-eu-[00-15]   ×16 │
    └────────┘                    └─────────┘                            └────────────────────┘

It is drawn from `tree.json` of the run's folder (topology/tree_file.py), where alike siblings are one already, so
a hundred thousand clients are a few boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tierfed.report.page.stored_run import mapping
from tierfed.report.page.svg import WIDE, Drawing, shape, shortened, text
from tierfed.types.html import Html

_BOXES = 60  # that are drawn
_TALL, _GAP = 46.0, 10.0
_DEEP = 12  # tiers


@dataclass(slots=True)
class _Box:
    name: str
    tier: str
    count: int
    link: str
    facts: str
    depth: int
    below: list[_Box] = field(default_factory=list)
    y: float = 0.0


def drawing(tree: Mapping[str, Any] | None) -> Drawing | None:
    """Return the drawing of what `tree.json` says, None if it says none."""
    root = mapping((tree or {}).get("root"))
    if not root:
        return None
    left_out = [0]
    top = _box(root, 0, [_BOXES], left_out)
    boxes = list(_all(top))
    tiers = max(box.depth for box in boxes) + 1
    wide = min(150.0, (WIDE - 20) / (tiers + 0.55 * (tiers - 1)))
    step = (WIDE - wide - 2) / max(1, tiers - 1) if tiers > 1 else 0.0
    height = _place(top, 4.0) - _GAP + 4
    parts: list[Html] = []
    for box in boxes:
        x = 1 + step * box.depth
        for child in box.below:
            start, end = x + wide, 1 + step * child.depth
            y1, y2 = box.y + _TALL / 2, child.y + _TALL / 2
            bend = start + 14 if end - start > 40 else (start + end) / 2
            line = f"M{start:.1f} {y1:.1f}H{bend:.1f}V{y2:.1f}H{end:.1f}"
            parts.append(shape("path", d=line, fill="none", stroke="axis"))
            room = end - bend - 6
            words = child.link.split("  ")
            codecs = [w for w in words if w.startswith(("up ", "down "))]
            link = " ".join(w for w in words if w not in codecs)
            told = shape("title", f"{child.name}: {' '.join(words)}")
            for said, dy in ((link, -4.0), (" ".join(codecs), 12.0)):
                if said and room > 30:
                    tspan = Html(shape("tspan", shortened(said, room, 10)) + told)
                    parts.append(text(tspan, bend + 4, y2 + dy, size=10, colour="muted"))
    for box in boxes:
        x = 1 + step * box.depth
        if box.count > 1:  # a stack
            for shift in (4.0, 2.0):
                parts.append(_frame(x + shift, box.y - shift, wide - shift, "panel"))
        parts.append(_frame(x, box.y, wide - (4.0 if box.count > 1 else 0.0), "panel"))
        inner = wide - 16
        times = f" ×{box.count:,}" if box.count > 1 else ""
        parts.append(text(shortened(box.tier, inner, 9.5), x + 7, box.y + 12, size=9.5, colour="muted"))
        name = shortened(box.name, inner - 7 * len(times), 12) + times
        parts.append(
            text(
                Html(shape("tspan", name) + shape("title", f"{box.name}{times}")), x + 7, box.y + 27, font_weight="600"
            )
        )
        if box.facts:
            said = Html(shape("tspan", shortened(box.facts, inner, 9.5)) + shape("title", box.facts))
            parts.append(text(said, x + 7, box.y + 40, size=9.5, colour="muted"))
    note = "Siblings that are alike are one box, ×N. On a link: its rate, delay and loss, and its codecs."
    if left_out[0]:
        note += f" {left_out[0]:,} more nodes are not drawn."
    return Drawing("tree", "the tree", WIDE, height, tuple(parts), note)


def _frame(x: float, y: float, wide: float, fill: str) -> Html:
    return shape("rect", x=x, y=y, width=wide, height=_TALL, rx=4, fill=fill, stroke="axis")


def _box(plain: Mapping[str, Any], depth: int, left: list[int], left_out: list[int]) -> _Box:
    left[0] -= 1

    def words(key: str) -> str:
        found = plain.get(key)
        return "  ".join(str(one) for one in found) if isinstance(found, list) else ""

    count = plain.get("count")
    box = _Box(
        str(plain.get("name")),
        str(plain.get("tier")),
        count if isinstance(count, int) else 1,
        words("link"),
        words("facts").replace("  ", " "),
        depth,
    )
    below = plain.get("below")
    for child in below if isinstance(below, list) else []:
        if left[0] > 0 and depth + 1 < _DEEP:
            box.below.append(_box(mapping(child), depth + 1, left, left_out))
        else:
            left_out[0] += _nodes(mapping(child))
    more = plain.get("more")
    left_out[0] += more if isinstance(more, int) else 0
    return box


def _nodes(plain: Mapping[str, Any]) -> int:
    below, count = plain.get("below"), plain.get("count")
    inner = sum(_nodes(mapping(one)) for one in below) if isinstance(below, list) else 0
    return (count if isinstance(count, int) else 1) + inner


def _all(box: _Box) -> list[_Box]:
    return [box, *(one for child in box.below for one in _all(child))]


def _place(box: _Box, y: float) -> float:
    """Give `box` and those below it their heights from `y` on; return where the next one may be."""
    box.y = y
    if not box.below:
        return y + _TALL + _GAP
    at = y
    for child in box.below:
        at = _place(child, at)
    box.y = (box.below[0].y + box.below[-1].y) / 2
    return at
