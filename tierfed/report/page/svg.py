"""Drawings: shapes as SVG, for a page that is light or dark, and for a paper that is neither.

    line = shape("line", x1=0, y1=0, x2=9, y2=0, stroke="axis")      colours are names: see COLOURS
    Drawing("front", "Accuracy against bytes", 360, 240, (line,)).inline()

On a page a colour is a variable of the page's style sheet, so that one drawing suits both themes; `standalone`
writes the light one out, in inches, with text that stays text, which is what LaTeX and editors want.  Nothing has
an id, refers to anything, or runs, so any number of drawings stand in one document.

Text and attributes are escaped here, and nowhere else.  Colours: those of Okabe and Ito, "Color universal
design" (2008), darkened until they stand on white; every series has a marker and a dash as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from tierfed.types.html import Html

COLUMN, PAGE = 3.3, 7.0  # inches: a column of a paper, and both
NARROW, WIDE = 360, 760  # units of a drawing that is as wide; text of 12 is then 8 pt
SIZE = 12  # of text
_TAIL = 5  # characters of the end of a name: an index, and what is before it

COLOURS = {  # light, dark
    "surface": ("#ffffff", "#16181b"),
    "ink": ("#1c1d1f", "#ececea"),
    "muted": ("#5f6368", "#a5a8ad"),
    "axis": ("#8b8f94", "#74787e"),
    "grid": ("#e4e5e7", "#2d3035"),
    "panel": ("#f6f7f8", "#1e2125"),
    "heat": ("#0b5394", "#7ab8f5"),
    "s0": ("#0b65b0", "#6cb2f2"),
    "s1": ("#c24d00", "#ff9d5c"),
    "s2": ("#00795a", "#35c79d"),
    "s3": ("#a13a7d", "#ec92c6"),
    "s4": ("#8a6a00", "#e0b93f"),
    "s5": ("#5b4bb7", "#ada1f7"),
}
SERIES = tuple(name for name in COLOURS if re.fullmatch(r"s\d", name))
DASHES = ("", "6 3", "2 2", "8 3 2 3", "1 3", "10 4")
_PAINTS = ("fill", "stroke")
_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
_VARIABLE = re.compile(r"var\(--tf-(\w+)\)")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")  # which XML has no place for


def plain(what: object) -> str:
    """Return `what` as text of a document, escaped."""
    return escape(_UNPRINTABLE.sub("\ufffd", str(what)))


def shape(tag: str, content: object = "", **attributes: object) -> Html:
    """Return an element; `x_y=` is the attribute x-y, None leaves it out, and a paint is a name of COLOURS."""
    written = "".join(f' {_name(key)}="{_value(key, value)}"' for key, value in attributes.items() if value is not None)
    inner = content if isinstance(content, Html) else plain(content)
    return Html(f"<{tag}{written}>{inner}</{tag}>" if inner else f"<{tag}{written}/>")


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(key: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if key in _PAINTS and value in COLOURS:
        return f"var(--tf-{value})"
    return plain(value)


def group(parts: Iterable[Html], **attributes: object) -> Html:
    """Return `parts` as one element."""
    return shape("g", Html("".join(parts)), **attributes)


def text(
    what: object, x: float, y: float, *, anchor: str = "start", colour: str = "ink", size: float = SIZE, **more: object
) -> Html:
    """Return a line of text, its baseline at `y`."""
    plain_anchor = None if anchor == "start" else anchor
    return shape(
        "text", what, x=float(x), y=float(y), text_anchor=plain_anchor, fill=colour, font_size=float(size), **more
    )


def width_of(what: str, size: float = SIZE) -> float:
    """Return about how wide `what` is drawn, in units."""
    return sum(_wide(c) for c in what) * size


def _wide(c: str) -> float:
    """Return the width of a character of Helvetica, or its like, in its sizes, rounded up."""
    if c in "iljtfr.,:;|'!/[]()I ":
        return 0.34
    return 0.9 if c in "mwMW@%" or ord(c) > 0x2E80 else 0.74 if c.isupper() else 0.58


def shortened(what: object, width: float, size: float = SIZE) -> str:
    """Return as much of `what` as goes into `width`, its end replaced by … where that is not all."""
    whole = " ".join(str(what).split())
    if width_of(whole, size) <= width:
        return whole
    while whole and width_of(whole + "…", size) > width:
        whole = whole[:-1]
    return whole.rstrip() + "…"


def shortened_name(name: object, width: float, size: float = SIZE) -> str:
    """Return as much of `name` as goes into `width`, from both ends: siblings' names differ in the last characters."""
    whole = " ".join(str(name).split())
    if width_of(whole, size) <= width:
        return whole
    tail = whole[-_TAIL:]
    head = shortened(whole[:-_TAIL] + "…", width - width_of(tail, size), size) if len(whole) > _TAIL else ""
    return head + tail if len(head) > 1 else shortened(whole, width, size)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the data of a path through `points`."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def marker(which: int, x: float, y: float, *, r: float = 4.0, colour: str = "", told: object = "") -> Html:
    """Return the mark of a series at a point, whose shape says which; `told` shows when it is pointed at."""
    colour = colour or SERIES[which % len(SERIES)]
    paint = {"fill": colour, "stroke": colour, "stroke_width": 1.5}
    inner = shape("title", told) if told else Html("")
    match which % 6:
        case 0:
            return shape("circle", inner, cx=float(x), cy=float(y), r=r, **paint)
        case 1:
            return shape("path", inner, d=_polygon(x, y, ((-1, -1), (1, -1), (1, 1), (-1, 1)), r * 0.9), **paint)
        case 2:
            return shape("path", inner, d=_polygon(x, y, ((0, -1.25), (1.15, 0.85), (-1.15, 0.85)), r), **paint)
        case 3:
            return shape("path", inner, d=_polygon(x, y, ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)), r), **paint)
        case 4:
            return shape("path", inner, d=_polygon(x, y, ((0, 1.25), (1.15, -0.85), (-1.15, -0.85)), r), **paint)
    cross = ((-1, -1), (0, -0.35), (1, -1), (0.35, 0), (1, 1), (0, 0.35), (-1, 1), (-0.35, 0))
    return shape("path", inner, d=_polygon(x, y, cross, r * 1.1), **paint)


def _polygon(x: float, y: float, corners: Iterable[tuple[float, float]], r: float) -> str:
    return path([(x + dx * r, y + dy * r) for dx, dy in corners]) + "Z"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing of `width` by `height` units: `name` is that of its file, `title` what it says in one line."""

    name: str
    title: str
    width: float
    height: float
    parts: tuple[Html, ...]
    note: str = ""  # of a caption: how it is read

    @property
    def wide(self) -> bool:
        """Whether it takes both columns of a paper, and the width of a page."""
        return self.width > (NARROW + WIDE) / 2

    def inline(self) -> Html:
        """Return the drawing for a page, whose style sheet has the colours."""
        return shape(
            "svg",
            Html("".join(self.parts)),
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            role="img",
            aria_label=self.title,
            font_family=_FONT,
            font_size=SIZE,
        )

    def __repr__(self) -> str:
        return f"<drawing {self.name} : {self.title}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the drawing on white, as in a paper, whatever the notebook's theme."""
        return f'<div style="display: inline-block; background: #ffffff; padding: 0.5em">{self.standalone()}</div>'

    def standalone(self) -> str:
        """Return the drawing as a file of its own: dark on white wherever it is shown, in inches, its text as text."""
        inches = PAGE if self.wide else COLUMN
        ground = shape("rect", width=self.width, height=self.height, fill="#ffffff")
        drawn = shape(
            "svg",
            Html(shape("title", self.title) + ground + "".join(self.parts)),
            xmlns="http://www.w3.org/2000/svg",
            width=f"{inches}in",
            height=f"{inches * self.height / self.width:.3f}in",
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            font_family=_FONT,
            font_size=SIZE,
        )
        return _VARIABLE.sub(lambda found: COLOURS[found[1]][0], drawn) + "\n"
