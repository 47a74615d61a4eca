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
from tierfed.report.page.svg import WIDE, Drawing, shape, shortened, shortened_name, text, width_of
from tierfed.types.html import Html

_BOXES = 60  # that are drawn
_GAP = 10.0
_DEEP = 12  # tiers
_ON_LINKS = 3  # tiers up to which there is room beside a link for what is said of it; beyond, it stands in the box


@dataclass(slots=True)
class _Box:
    name: str
    tier: str
    count: int
    link: list[str]
    facts: list[str]
    depth: int
    below: list[_Box] = field(default_factory=list)
    y: float = 0.0

    @property
    def ways(self) -> list[str]:
        """What is said of its link: rate, delay and loss, and below it the codecs."""
        codecs = [one for one in self.link if one.startswith(("up ", "down "))]
        return [" ".join(one for one in self.link if one not in codecs), " ".join(codecs)]

    def all(self) -> list[_Box]:
        """Return it, and all below it."""
        return [self, *(one for child in self.below for one in child.all())]


def drawing(tree: Mapping[str, Any] | None) -> Drawing | None:
    """Return the drawing of what `tree.json` says, None if it says none."""
    root = mapping((tree or {}).get("root"))
    if not root:
        return None
    top = _box(root, 0, _BOXES)
    boxes = top.all()
    tiers = max(box.depth for box in boxes) + 1
    beside = tiers <= _ON_LINKS
    wide = min(150.0, (WIDE - 20) / (1.55 * tiers - 0.55)) if beside else (WIDE - 26 * (tiers - 1) - 6) / tiers
    tall = 46.0 if beside else 70.0
    step = (WIDE - wide - 6) / max(1, tiers - 1)
    height = _place(top, 6.0, tall) - _GAP + 4
    parts: list[Html] = []
    for box in boxes:
        for child in box.below:
            parts += _link(1 + step * box.depth + wide, box.y + tall / 2, 1 + step * child.depth, child, tall, beside)
    for box in boxes:
        parts += _drawn(box, 1 + step * box.depth, wide, tall, beside)
    note = "Siblings that are alike are one box, ×N. "
    note += "On a link" if beside else "In a box, of its link upwards"
    note += ": rate, delay and loss, and codecs."
    if left_out := _nodes(root) - sum(box.count for box in boxes):
        note += f" {left_out:,} more nodes are not drawn."
    return Drawing("tree", "the tree", WIDE, height, tuple(parts), note)


def _link(start: float, y: float, end: float, child: _Box, tall: float, beside: bool) -> list[Html]:
    """Return the line from a box, whose right side is at (start, y), to one below it, and what is said of it."""
    at = child.y + tall / 2
    bend = start + min(14.0, (end - start) / 2)
    parts = [shape("path", d=f"M{start:.1f} {y:.1f}H{bend:.1f}V{at:.1f}H{end:.1f}", fill="none", stroke="axis")]
    for said, dy in zip(child.ways, (-4.0, 12.0), strict=True):
        if said and beside:
            parts.append(
                _words(said, bend + 4, at + dy, end - bend - 6, 10, told=f"{child.name}: {' '.join(child.link)}")
            )
    return parts


def _drawn(box: _Box, x: float, wide: float, tall: float, beside: bool) -> list[Html]:
    """Return a box, as a stack if it stands for several, and its lines."""
    back = 4.0 if box.count > 1 else 0.0
    frames = [(x + shift, box.y - shift) for shift in ((4.0, 2.0, 0.0) if back else (0.0,))]
    of = {"width": wide - back, "height": tall, "rx": 4, "fill": "panel", "stroke": "axis"}
    parts = [shape("rect", x=left, y=top, **of) for left, top in frames]
    inner = wide - back - 12
    times = f" ×{box.count:,}" if back else ""
    name = shortened_name(box.name, inner - width_of(times) * 1.05, 11.5) + times
    parts.append(text(shortened(box.tier, inner, 9.5), x + 7, box.y + 12, size=9.5, colour="muted"))
    named = Html(shape("tspan", name) + shape("title", f"{box.name}{times}"))
    parts.append(text(named, x + 7, box.y + 27, size=11.5, font_weight="600"))
    lines = [" ".join(box.facts), *([] if beside else box.ways)]
    for at, said in enumerate(one for one in lines if one):
        parts.append(_words(said, x + 7, box.y + 40 + 12 * at, inner, 9.5, told=said))
    return parts


def _words(said: str, x: float, y: float, room: float, size: float, told: str) -> Html:
    """Return a muted text that fits, and shows all of it when it is pointed at."""
    inner = Html(shape("tspan", shortened(said, room, size)) + shape("title", told))
    return text(inner, x, y, size=size, colour="muted")


def _box(plain: Mapping[str, Any], depth: int, room: int) -> _Box:
    """Return a node with what is below it, in at most `room` boxes, which its children share evenly."""
    name, tier, count = str(plain.get("name")), str(plain.get("tier")), plain.get("count")
    box = _Box(name, tier, count if isinstance(count, int) else 1, _list(plain, "link"), _list(plain, "facts"), depth)
    below = plain.get("below")
    kept = below[: room - 1] if isinstance(below, list) and depth + 1 < _DEEP else []
    room -= 1
    for at, child in enumerate(kept):
        box.below.append(_box(mapping(child), depth + 1, room // (len(kept) - at)))
        room -= len(box.below[-1].all())
    return box


def _list(plain: Mapping[str, Any], key: str) -> list[str]:
    found = plain.get(key)
    return [str(one) for one in found] if isinstance(found, list) else []


def _nodes(plain: Mapping[str, Any]) -> int:
    """Return how many nodes there are, drawn or not."""
    below, count, more = plain.get("below"), plain.get("count"), plain.get("more")
    inner = sum(_nodes(mapping(one)) for one in below) if isinstance(below, list) else 0
    return (count if isinstance(count, int) else 1) + inner + (more if isinstance(more, int) else 0)


def _place(box: _Box, y: float, tall: float) -> float:
    """Give `box` and those below it their heights from `y` on; return where the next one may be."""
    box.y = y
    if not box.below:
        return y + tall + _GAP
    at = y
    for child in box.below:
        at = _place(child, at, tall)
    box.y = (box.below[0].y + box.below[-1].y) / 2
    return at
