"""Fold: lines broken to the width of a terminal, where they may be broken.

    ├─ edge-eu              up bf16              ├─ edge-eu  up bf16
    │  └─ c-eu-[00-15] ×16  up int8+zstd   ->    │  └─ c-eu-[00-15] ×16
                                                 │       up int8+zstd

A line that is too long goes on below, indented, within the branches of its tree.  Columns give way
before words do, and only a word longer than the terminal is cut in two.
"""

from __future__ import annotations

import re

_BRANCHES = re.compile(r"[ │├└─]*")
_GAP = re.compile(r" {2,}")
_CONTINUED = str.maketrans({"├": "│", "└": " ", "─": " "})
_NARROWEST = 10  # columns; no text is broken to less
_BAR = "  | "  # a traceback, which is code: its lines are left whole


def folded(text: str, width: int | None) -> str:
    """Return `text` with no line longer than `width` (any, if None)."""
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _fold(line, max(width, _NARROWEST)))


def _fold(line: str, width: int) -> list[str]:
    if len(line) <= width or line.startswith(_BAR):
        return [line]
    match = _BRANCHES.match(line)
    branches = match[0] if match else ""
    below = branches.translate(_CONTINUED) + "  "
    if len(below) > width // 2:  # too deep to go on within the tree
        below = "  "
    first, *rest = _GAP.split(line[len(branches) :])
    lines = [branches + first]
    for piece in rest:
        joined = f"{lines[-1]}  {piece}"
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(below + piece)
    return [part for one in lines for part in _break(one, below, width)]


def _break(line: str, below: str, width: int) -> list[str]:
    """Return `line` broken between words, the later ones after `below`."""
    lines = []
    while len(line) > width:
        at = line.rfind(" ", len(below) + 1, width + 1)
        if at <= len(below):
            at = width
        lines.append(line[:at].rstrip())
        line = below + line[at:].lstrip()
    return [*lines, line]
