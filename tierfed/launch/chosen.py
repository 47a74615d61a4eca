"""Chosen: the links that a word on the command line is for, by the parents at which they end.

    chosen(run, "c-eu-03")            a node's link to its parent
    chosen(run, "CLIENTS")            those of a placement
    chosen(run, "c-*-0?")             of all nodes that a pattern fits, as a shell's
    chosen(run, "c-eu-[00-04,06]")    names together, as tables write them

The root has no link.  A pattern may fit it; named by itself, it is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tierfed.errors import NoSuchRun, TopologyError
from tierfed.launch.runs import Run
from tierfed.topology.suggest import closest

_RANGES = re.compile(r"\[([0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)\]")
_PIECE = re.compile(r"\*|\?|\[[^\]]*\]|[^*?\[]+|\[")
_LONGEST = 255  # letters of a pattern


def chosen(run: Run, who: str | None) -> dict[str, list[str]]:
    """Return the children that `who` (None: all) names, by parent, in the order of the manifest.

    Raises NoSuchRun if there are none, TopologyError if it is the root.
    """
    nodes: Mapping[str, Mapping[str, Any]] = run.manifest["nodes"]
    names = list(nodes) if who is None else _names(run, nodes, who)
    below: dict[str, list[str]] = {}
    for name in names:
        if (parent := nodes[name].get("parent")) is not None:
            below.setdefault(str(parent), []).append(name)
    if not below and who is not None:
        root = names[0]
        raise TopologyError(
            f"{root} is the root: it has no link",
            where=f"run {run.id}",
            mend="name a node or a placement below it; a link belongs to the child",
        )
    return below


def _names(run: Run, nodes: Mapping[str, Mapping[str, Any]], who: str) -> Sequence[str]:
    if who in nodes:
        return [who]
    tiers: dict[str, list[str]] = {}
    for name, row in nodes.items():
        tiers.setdefault(str(row.get("placement")), []).append(name)
    if who in tiers:
        return tiers[who]
    if set(who) & set("*?[") and len(who) <= _LONGEST:
        found = [name for name in nodes if fits(who, name)]
        if found:
            return found
        what, mend = f"no node fits '{who}'", f"`tierfed ps {run.id}` lists the nodes"
    else:
        near = closest(who, [*tiers, *nodes])
        what = f"no node and no placement '{who[:_LONGEST]}'"
        mend = f"did you mean '{near}'?" if near else f"its placements are {', '.join(tiers)}"
    raise NoSuchRun(what, where=f"run {run.id}", mend=mend)


def fits(pattern: str, name: str) -> bool:
    """Return whether a pattern stands for `name`."""
    return _fits(tuple(_PIECE.findall(pattern)), name)


def _fits(pieces: tuple[str, ...], name: str) -> bool:
    """Go through the pieces from left to right; `*` alone can be taken in more ways than one, and the last wins."""
    ends = {0}
    for piece in pieces:
        ends = {end for start in ends for end in _ends(piece, name, start)}
        if not ends:
            return False
    return len(name) in ends


def _ends(piece: str, name: str, start: int) -> list[int]:
    """Return where `piece` may end in `name` if it begins at `start`."""
    if piece == "*":
        return list(range(start, len(name) + 1))
    if piece == "?":
        return [start + 1] if start < len(name) else []
    if (ranges := _RANGES.fullmatch(piece)) is not None and len(piece) > len("[0]"):
        match = re.compile("[0-9]+").match(name, start)
        return [match.end()] if match is not None and _within(match.group(), ranges[1]) else []
    if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
        letters = piece[1:-1]
        return [start + 1] if start < len(name) and _one_of(name[start], letters) else []
    return [start + len(piece)] if name.startswith(piece, start) else []


def _within(digits: str, ranges: str) -> bool:
    """Return whether a number, written as wide as its range, is in one of them."""
    for one in ranges.split(","):
        first, _, last = one.partition("-")
        last = last or first
        wide = len(digits) == len(first) if len(first) == len(last) else not digits.startswith("0") or digits == "0"
        if wide and int(first) <= int(digits) <= int(last):
            return True
    return False


def _one_of(letter: str, letters: str) -> bool:
    ranges = re.findall(r".-.|.", letters)
    return any(one[0] <= letter <= one[-1] for one in ranges)
