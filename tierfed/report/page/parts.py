"""Parts of a page: sections, figures, tables, tiles, and the document around them.

    section("Bytes by tier", figure(drawing), table(("tier", "up"), [("CLIENTS", "33 MB")], numbers=(1,)))

Text is escaped where it becomes a part; what is `Html` is one already.  The document allows itself styles and nothing
else, by a content security policy: were a text of a file to become markup, it could still neither run nor load.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Iterable, Sequence

from tierfed.report.page.style import CSS
from tierfed.report.page.svg import Drawing, plain
from tierfed.types.html import Html

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def text(what: object) -> Html:
    """Return `what` escaped, unless it is HTML."""
    return what if isinstance(what, Html) else Html(plain(what))


def tag(name: str, *parts: object, kind: str = "") -> Html:
    """Return an element of `parts`."""
    return Html(f"<{name}{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{''.join(map(text, parts))}</{name}>")


def anchor(title: str) -> str:
    """Return the id of the section of that title."""
    return "tf-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in title.lower())


def section(title: str, *parts: object) -> Html:
    """Return a section under a title."""
    return Html(f'<section><h2 id="{anchor(title)}">{plain(title)}</h2>{"".join(map(text, parts))}</section>')


def contents(titles: Iterable[str]) -> Html:
    """Return links to sections."""
    return tag("nav", *(Html(f'<a href="#{anchor(title)}">{plain(title)}</a> ') for title in titles))


def figure(drawing: Drawing) -> Html:
    """Return a drawing under its caption."""
    note = tag("span", drawing.note) if drawing.note else ""
    caption = tag("figcaption", tag("b", drawing.title), note)
    return tag(
        "figure", caption, tag("div", drawing.inline(), kind="tf-scroll"), kind="tf-wide" if drawing.wide else ""
    )


def figures(drawings: Iterable[Drawing]) -> Html:
    """Return drawings: the narrow ones beside each other, then the wide ones; what several say alike is said once."""
    every = list(drawings)
    narrow = [one for one in every if not one.wide]
    same = {one.note for one in narrow} if len(narrow) > 1 else set()
    said = next(iter(same)) if len(same) == 1 else ""
    shown = (figure(dataclasses.replace(one, note="") if said else one) for one in narrow)
    beside = Html((missing(said) if said else "") + (tag("div", *shown, kind="tf-figures") if narrow else ""))
    return Html(beside + "".join(figure(one) for one in every if one.wide))


def table(heads: Sequence[object], rows: Iterable[Sequence[object]], numbers: Collection[int] = ()) -> Html:
    """Return a table; the columns in `numbers` are flush right."""

    def row(name: str, cells: Sequence[object]) -> Html:
        return tag("tr", *(tag(name, cell, kind="n" if at in numbers else "") for at, cell in enumerate(cells)))

    whole = tag("table", tag("thead", row("th", heads)), tag("tbody", *(row("td", cells) for cells in rows)))
    return tag("div", whole, kind="tf-scroll")


def tiles(figures: Iterable[tuple[str, str, str]]) -> Html:
    """Return figures that are read first: name, value, and what is said in small below it."""
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", value, tag("small", small) if small else ""))
            for name, value, small in figures
        ),
    )


def folded(summary: str, *parts: object) -> Html:
    """Return `parts` behind a line that opens them."""
    return tag("details", tag("summary", summary), *parts)


def commands(lines: Iterable[Sequence[str]], folder: str = "") -> Html:
    """Return commands as a shell takes them."""
    told = [f"cd {shlex.quote(folder)}"] if folder else []
    return tag("pre", "\n".join([*told, *(shlex.join(words) for words in lines)]), kind="tf-command")


def missing(what: str) -> Html:
    """Return a line about what is not on record."""
    return tag("p", what, kind="tf-muted")


def document(title: str, body: Html) -> str:
    """Return the whole file."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{plain(_POLICY)}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        '<meta name="color-scheme" content="light dark"/>\n'
        f"<title>{plain(title)}</title>\n<style>html,body{{margin:0}}{_PAGE}{CSS}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


_PAGE = "@media (prefers-color-scheme:dark){html{background:#16181b}}@media print{html{background:#fff}}"


def inline(body: Html) -> Html:
    """Return what stands in a notebook."""
    return Html(f"<style>{CSS}</style>{body}")
