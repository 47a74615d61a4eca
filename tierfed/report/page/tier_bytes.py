"""Bytes by tier: what each tier's members have sent and been sent, beside what it would have been uncoded.

    CLIENTS  up    ████████░░░░░░░░░░░░   33 MB of 131 MB, 4.0× less
             down  ████████████████████   131 MB

The full bar is what went over the link, headers and all; its outline is the same messages under the codec `none`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tierfed.report.page.axes import label
from tierfed.report.page.stored_run import Tier
from tierfed.report.page.svg import WIDE, Drawing, shape, shortened, text
from tierfed.types.html import Html

_LEFT, _ROW, _BAR = 210.0, 24.0, 14.0
_SAID = 210.0  # units for what a bar comes to


def drawing(tiers: Mapping[str, Tier]) -> Drawing | None:
    """Return the drawing, the leaves first; None if nothing was moved."""
    found = [(name, of) for name, of in reversed(list(tiers.items())) if of.up or of.down]
    if not found:
        return None
    most = max(max(of.up, of.down, of.raw_up, of.raw_down) for _, of in found)
    room = WIDE - _LEFT - _SAID
    parts: list[Html] = []
    y = 6.0
    for name, of in found:
        parts.append(text(shortened(name, _LEFT - 66), 0, y + 12, font_weight="600"))
        codec = " / ".join(dict.fromkeys(filter(None, (of.codec_up, of.codec_down))))
        nodes = f"{of.nodes:,} node{'s' if of.nodes != 1 else ''}" if of.nodes is not None else ""
        parts.append(
            text(
                shortened(" · ".join(filter(None, (nodes, codec))), _LEFT - 56, 10.5),
                0,
                y + 12 + _ROW,
                size=10.5,
                colour="muted",
            )
        )
        for way, sent, raw in (("up ↑", of.up, of.raw_up), ("down ↓", of.down, of.raw_down)):
            parts.append(text(way, _LEFT - 8, y + 12, anchor="end", colour="muted"))
            told = f"{name} {way}: {sent:,.0f} bytes, {raw:,.0f} uncoded"
            wide = room * sent / most
            if raw > sent:
                outline = {"fill": "none", "stroke": "axis", "stroke_dasharray": "3 2"}
                parts.append(
                    shape("rect", x=_LEFT + 0.5, y=y + 1.5, width=room * raw / most, height=_BAR - 1, **outline)
                )
            colour = "s0" if way.startswith("up") else "s2"
            parts.append(
                shape(
                    "rect",
                    shape("title", told),
                    x=_LEFT,
                    y=y + 1,
                    width=max(wide, 1.0 if sent else 0.0),
                    height=_BAR,
                    fill=colour,
                )
            )
            reach = _LEFT + max(wide, room * raw / most if raw > sent else 0.0)
            parts.append(text(_said(sent, raw), reach + 8, y + 12))
            y += _ROW
        y += 10
    note = "Full: over the link, headers included. Dashed: the same messages uncoded."
    return Drawing("bytes-by-tier", "bytes by tier", WIDE, y, tuple(parts), note)


def _said(sent: float, raw: float) -> str:
    said = label(sent, "B")
    if raw > sent > 0:
        times = raw / sent
        said += f" of {label(raw, 'B')}" + (f", {times:.3g}× less" if times >= 1.05 else "")
    return said
