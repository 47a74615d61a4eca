"""Tables: rows of text in columns that are as wide as they must be.

    TIER     NODE              STATE
    SERVER   server            ready
    CLIENTS  c-eu-[00-15] ×16  ready

Where the terminal is too narrow for that, the lines are folded like all others, under their
first column.
"""

from __future__ import annotations

from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return `rows` under `heads`, without the columns that are empty in every row."""
    used = [at for at in range(len(heads)) if any(row[at] for row in rows)]
    lines = [[line[at] for at in used] for line in (heads, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(used))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
