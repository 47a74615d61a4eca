"""What a notebook shows of a value: small pieces of HTML, made of text alone.

    titled("computation mean", code("({float32}@CLIENTS -> float32@SERVER)"), table(["tier", "nodes"], rows))

No script, no style sheet, nothing to load, and no colour: the notebook's own theme, light or dark, is
what it is read in.  Text is escaped here and nowhere else; what is made of pieces is a `Html`,
so it is not escaped twice and plain text is never taken for HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_LINES = 24  # of a text that is shown whole
_COLUMNS = 2000  # of all its lines together
_CELL = "text-align: left; vertical-align: top; padding: 0 1em 0.2em 0"
_PRE = (  # against what a notebook's own style sheet makes of a <pre>
    "margin: 0; padding: 0; background: none; color: inherit; font-family: monospace; word-break: normal; "
    "line-height: 1.35; overflow-x: auto; white-space: "
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(what: object) -> Html:
    """Return `what` as running text, escaped unless it is HTML."""
    return what if isinstance(what, Html) else Html(escape(str(what)))


def code(what: object, *, wrap: bool = False) -> Html:
    """Return `what` letter by letter in a fixed width; a long one shows its beginning, and the rest when asked to.

    `wrap` breaks lines that are too wide; without it they are scrolled, as a drawing must be.
    """
    whole = str(what)
    lines = whole.splitlines()
    if len(lines) <= _LINES and len(whole) <= _COLUMNS:
        return _pre(whole, wrap)
    beginning = "\n".join(lines[:_LINES])[:_COLUMNS]
    size = f"{len(lines)} lines" if len(lines) > 1 else f"{len(whole)} characters"
    return Html(f"{_pre(beginning + ' …', wrap)}<details><summary>all {size}</summary>{_pre(whole, wrap)}</details>")


def table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Return `rows` under `heads`, of which there may be none; a cell is text, or HTML."""
    head = _row("th", heads)
    body = "".join(_row("td", row) for row in rows)
    return Html(f"<table>{f'<thead>{head}</thead>' if heads else ''}<tbody>{body}</tbody></table>")


def _row(tag: str, cells: Iterable[object]) -> str:
    return "<tr>" + "".join(f'<{tag} style="{_CELL}">{text(cell)}</{tag}>' for cell in cells) + "</tr>"


def titled(title: object, *parts: Html) -> Html:
    """Return `parts` below each other, under a title."""
    return Html(f"<div><div><strong>{text(title)}</strong></div>{''.join(parts)}</div>")


def folded(summary: object, *parts: Html) -> Html:
    """Return `parts` behind a line that opens them."""
    return Html(f"<details><summary>{text(summary)}</summary>{''.join(parts)}</details>")


def _pre(what: str, wrap: bool) -> Html:
    how = "pre-wrap; overflow-wrap: anywhere" if wrap else "pre"
    return Html(f'<pre style="{_PRE}{how}">{escape(what)}</pre>')
