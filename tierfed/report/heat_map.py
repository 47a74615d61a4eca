"""Heat map: who has how much of which class, one member a line.

              0 1 2 3 4 5 6 7 8 9   examples  bits  away
    c-eu-00   · ░ · ░ ▒ ░ ░ ░ ░ ▒        96   2.81  0.24
    c-eu-01   · ░ · ▒ ▒ ░ ░ ░ ░ ▒       133   2.89  0.22

A cell is darker, the larger the class's part of the member's examples.  `bits` is the entropy of its mix (ten classes
in equal parts have 3.32), `away` how far the mix is from that of all examples: half the sum of the differences, 0
for the same mix.  Where there are more classes or members than fit, those that stand side by side are taken together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tierfed.report.fold import folded

SHADES, PLAIN = "·░▒▓█", ".:+#@"
_BOUNDS = (0.0, 0.1, 0.3, 0.6)  # a cell has the shade of the first that its part is not above
_ROWS = 64  # lines of members
_WIDE = 100  # columns where there is no terminal
_NAME, _STATS = 24, 24  # columns


def entropy(counts: np.ndarray[Any, Any]) -> float:
    """Return the entropy of a mix in bits."""
    parts = counts[counts > 0] / max(counts.sum(), 1)
    return float(max(0.0, -(parts * np.log2(parts)).sum()))


def away(counts: np.ndarray[Any, Any], whole: np.ndarray[Any, Any]) -> float:
    """Return the total variation distance of a mix to that of the whole."""
    return float(np.abs(counts / max(counts.sum(), 1) - whole / max(whole.sum(), 1)).sum() / 2)


def figures(members: Mapping[str, np.ndarray[Any, Any]]) -> list[dict[str, Any]]:
    """Return what is told of each member."""
    whole = np.sum(list(members.values()), axis=0)
    return [
        {
            "name": name,
            "examples": int(of.sum()),
            "counts": of.tolist(),
            "bits": round(entropy(of), 4),
            "away": round(away(of, whole), 4),
        }
        for name, of in members.items()
    ]


def drawn(
    members: Mapping[str, np.ndarray[Any, Any]], labels: Sequence[str], width: int | None, shades: str = SHADES
) -> str:
    """Return the map in at most `width` columns, if they are forty or more, with a line on what it shows."""
    whole = np.sum(list(members.values()), axis=0)
    rows = _together(members)
    beside = max((width or _WIDE) - _STATS, 12)
    room = min(_NAME, max(map(len, rows)), max(beside // 2, 8))
    columns = max(beside - room, 4)
    cell = 2 if 2 * len(labels) <= columns else 1
    each = -(-len(labels) * cell // columns)  # classes a cell
    starts = range(0, len(labels), each)
    heads = "".join(f"{at % 10:<{cell}}" for at in range(len(starts)))
    lines = [f"{'':<{room}}  {heads}  examples  bits  away"]
    for name, counts in rows.items():
        parts = np.add.reduceat(counts, list(starts)) / max(counts.sum(), 1)
        cells = "".join(f"{shades[sum(float(p) > b for b in _BOUNDS)]:<{cell}}" for p in parts)
        figures = f"{int(counts.sum()):>8,} {entropy(counts):>5.2f} {away(counts, whole):>5.2f}"
        lines.append(f"{_cut(name, room):<{room}}  {cells}  {figures}")
    return "\n".join(
        [*lines, *(folded(line, width) for line in _legend(labels, each, shades, len(members), len(rows)))]
    )


def stats(members: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Return the line of sizes, entropies and distances: least, median and most."""
    whole = np.sum(list(members.values()), axis=0)
    sizes = [int(of.sum()) for of in members.values()]
    bits = [entropy(of) for of in members.values()]
    far = [away(of, whole) for of in members.values()]
    return (
        f"examples {min(sizes):,} / {int(np.median(sizes)):,} / {max(sizes):,} · "
        f"bits {min(bits):.2f} / {np.median(bits):.2f} / {max(bits):.2f} of {entropy(whole):.2f} · "
        f"away {min(far):.2f} / {np.median(far):.2f} / {max(far):.2f}"
    )


def _together(members: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the lines of the map: members, or runs of neighbours added up."""
    names, run = list(members), -(-len(members) // _ROWS)
    if run == 1:
        return dict(members)
    return {
        f"{names[at]} … {names[min(at + run, len(names)) - 1]}": np.sum(
            [members[n] for n in names[at : at + run]], axis=0
        )
        for at in range(0, len(names), run)
    }


def _legend(labels: Sequence[str], each: int, shades: str, members: int, rows: int) -> list[str]:
    none, some = shades[0], shades[1:]
    said = ["up to 10%", "30%", "60%", "more"]
    lines = [f"{none} none  " + "  ".join(f"{shade} {text}" for shade, text in zip(some, said, strict=True))]
    if each > 1:
        lines[0] += f" · {each} classes a column, {labels[0]} to {labels[-1]}"
    elif list(labels) != [str(at) for at in range(len(labels))]:
        lines.append(" · ".join(f"{at} {name}" for at, name in enumerate(labels)))
    if rows < members:
        lines.append(f"{-(-members // _ROWS)} of {members:,} members a line; --json has each")
    return lines


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else name[: room - 1] + "…"
