"""Bytes by tier: what each tier's members have sent and been sent, beside what it would have been uncoded.

    CLIENTS  32 nodes · int8+zstd / none
    up ↑  33 MB of 131 MB, 4.0× less        ████████░░░░░░░░░░░░░░░░░░░
    down ↓  131 MB                          ███████████████████████████

The full bar is what went over the link, headers and all; its dashed outline is the same messages under the codec
`none`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tierfed.report.page.axes import label
from tierfed.report.page.stored_run import Tier
from tierfed.report.page.svg import NARROW, Drawing, shape, shortened, text, width_of
from tierfed.types.html import Html

_BAR = 11.0
_ROW = 31.0


def drawing(tiers: Mapping[str, Tier]) -> Drawing | None:
    """Return the drawing, the leaves first; None if nothing was moved."""
    found = [(name, of) for name, of in reversed(list(tiers.items())) if of.up or of.down]
    if not found:
        return None
    most = max(max(of.up, of.down, of.raw_up, of.raw_down) for _, of in found)
    room = NARROW - 4.0
    parts: list[Html] = []
    y = 14.0
    for name, of in found:
        called = shortened(name, 170)
        codec = " / ".join(dict.fromkeys(filter(None, (of.codec_up, of.codec_down))))
        nodes = f"{of.nodes:,} node{'s' if of.nodes != 1 else ''}" if of.nodes is not None else ""
        after = width_of(called) * 1.08 + 10
        said = shortened(" · ".join(filter(None, (nodes, codec))), NARROW - after, 10.5)
        parts += [text(called, 0, y, font_weight="600"), text(said, after, y, size=10.5, colour="muted")]
        y += 17
        for way, sent, raw in (("up ↑", of.up, of.raw_up), ("down ↓", of.down, of.raw_down)):
            parts += [text(way, 0, y, colour="muted", size=11), text(_said(sent, raw), 48, y, size=11)]
            if raw > sent:
                wide = room * raw / most
                edge = {"fill": "none", "stroke": "axis", "stroke_dasharray": "3 2"}
                parts.append(shape("rect", x=0.5, y=y + 5.5, width=wide - 1, height=_BAR - 1, **edge))
            told = shape("title", f"{name} {way}: {sent:,.0f} bytes, {raw:,.0f} uncoded")
            wide = max(room * sent / most, 1.0 if sent else 0.0)
            colour = "s0" if way.startswith("up") else "s2"
            parts.append(shape("rect", told, x=0.0, y=y + 5, width=wide, height=_BAR, fill=colour))
            y += _ROW
        y += 10
    note = "Full: over the link, headers included. Dashed: the same messages uncoded."
    return Drawing("bytes-by-tier", "bytes by tier", NARROW, y - 18, tuple(parts), note)


def _said(sent: float, raw: float) -> str:
    said = label(sent, "B")
    if raw > sent > 0:
        times = raw / sent
        said += f" of {label(raw, 'B')}" + (f", {times:.3g}× less" if times >= 1.05 else "")
    return said
