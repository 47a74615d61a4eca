"""Tables: rows of text in columns that are as wide as they must be.

    TIER     NODE              STATE  PID
    SERVER   server            ready  4711
    CLIENTS  c-eu-[00-15] ×16  ready  4714 4715

Where the terminal is too narrow for that, each row is a paragraph: its first two cells, and below
them the others with their heads.

    CLIENTS  c-eu-[00-15] ×16
      state ready  pid 4714 4715
"""

from __future__ import annotations

from collections.abc import Sequence

_TITLE = 2  # cells of a paragraph's first line


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Return `rows` under `heads`, in at most `width` columns if they go; empty columns are left out."""
    used = [at for at in range(len(heads)) if any(row[at] for row in rows)]
    lines = [[line[at] for at in used] for line in (heads, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(used))]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        return "\n".join(_paragraph(lines[0], line) for line in lines[1:])
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _paragraph(heads: list[str], cells: list[str]) -> str:
    rest = [f"{head.lower()} {cell}" for head, cell in list(zip(heads, cells, strict=True))[_TITLE:] if cell]
    title = "  ".join(cells[:_TITLE])
    return title + ("\n  " + "  ".join(rest) if rest else "")
