"""Space: what is varied, and each candidate as values that change the file.

    -s 'EDGE_AGGREGATORS.count=0,2,5'  -s 'CLIENTS.codec.up=none,int8,drive'

An axis is that of a sweep, with one thing more: the count of a tier between the root and the leaves may vary, and then
the members below it stay as many as they are and are dealt out among the new parents, one by one.  A count of 0
is the tree without that tier: what was below it goes to its parent, over both links in a row (`in_a_row`).

Without `-s`, `usual` says what is worth a try: a few codecs on the way up of each tier, half and twice as many members
of each tier in between, and, where the job is given `edge_rounds` and `kappa_1` or `local_epochs`, other ways to share
their product.

A candidate is a cell (`jobs.sweep.cells`); `sets` gives the `path=value`s that make it.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierfed.errors import SweepError, TopologyError
from tierfed.jobs.advise.in_a_row import in_a_row
from tierfed.jobs.sweep.cells import Cell, cells
from tierfed.jobs.sweep.grammar import Axis
from tierfed.topology import Topology, load_topology
from tierfed.topology.positions import read
from tierfed.topology.problems import Problems
from tierfed.topology.sets import apply_sets
from tierfed.topology.spec import TOP_LEVEL

CODECS = ("none", "int8", "eden(bits=4)", "drive")  # worth a try on a link: 32, 8, 4 and 1 bits a value
ROUNDS = "job.params.rounds"
_SHARES = 5  # ways to share a product of edge rounds and local steps that are tried
_COUNT = ".count"
_PLACEMENTS = "placements"
_SHAPE = ("parent", "count", "per_parent", "fan_in", "distribute", "members")  # fields of who is whose child


@dataclass(frozen=True)
class Space:
    """A file, its topology as it stands, and what is varied."""

    file: Path
    topology: Topology
    axes: tuple[Axis, ...]
    sets: tuple[str, ...] = ()

    def candidates(self, most: int, seed: int) -> tuple[Cell, ...]:
        """Return the file as it is and at most `most - 1` others, drawn by `seed` where there are more."""
        grid = cells(self.axes)
        own = Cell(1, {})
        others = [cell for cell in grid if not self._is_own(cell)]
        if len(others) > most - 1:
            drawn = random.Random(seed).sample(range(len(others)), most - 1)
            others = [others[at] for at in sorted(drawn)]
        return own, *(Cell(number, cell.values) for number, cell in enumerate(others, 2))

    def _is_own(self, cell: Cell) -> bool:
        """Return whether a cell says of everything what the file says."""
        return all(self._now(path) == value for path, value in cell.values.items())

    def _now(self, path: str) -> str | None:
        """Return what a path is in the file, as text: None where there is no single answer."""
        steps = path.removeprefix(f"{_PLACEMENTS}.").split(".")
        if steps[:2] == ["job", "params"] and len(steps) == 3 and self.topology.job is not None:
            value = self.topology.job.params.get(steps[2])
            return None if value is None else str(value)
        named = {str(p): p for p in self.topology.hierarchy.placements}
        if steps[0] not in named:
            return None
        members = self.topology.members(named[steps[0]])
        if steps[1:] == ["count"]:
            return str(len(members))
        if steps[1:] in (["codec", "up"], ["codec", "down"]):
            found = {m.codec_up if steps[2] == "up" else m.codec_down for m in members}
            return found.pop() if len(found) == 1 else None
        return None

    def counted(self, path: str) -> str | None:
        """Return the tier whose count `path` is, if it is one between root and leaves."""
        plain = path.removeprefix(f"{_PLACEMENTS}.")
        return plain.removesuffix(_COUNT) if plain.endswith(_COUNT) and plain[: -len(_COUNT)] in self.between else None

    @property
    def between(self) -> list[str]:
        """The tiers that have a parent and children."""
        h = self.topology.hierarchy
        return [str(p) for p in h.placements if p != h.root and h.children(p)]

    def made(self, cell: Cell) -> tuple[str, ...]:
        """Return the `path=value`s of a candidate; raises SweepError for a count that cannot be."""
        counts: dict[str, int] = {}
        for path, value in cell.values.items():
            tier = self.counted(path)
            if tier is not None:
                if not value.isdecimal():
                    raise SweepError(f"{value} is no count", where=f"-s {path}", mend="write whole numbers from 0")
                if value != self._now(path):
                    counts[tier] = int(value)
        plain = [f"{p}={v}" for p, v in cell.values.items() if self.counted(p) is None]
        if not counts:
            return *self.sets, *plain
        sets = (*self.sets, *plain)
        placements, moved = self._reshaped(counts, sets)
        others = [one for one in sets if not _of_placements(one)]
        kept = [one for one in sets if _of_placements(one) and _survives(one, placements, moved)]
        return *others, f"{_PLACEMENTS}={json.dumps(placements)}", *kept

    def _reshaped(self, counts: Mapping[str, int], sets: Sequence[str]) -> tuple[dict[str, Any], set[str]]:
        """Return the placements with other counts of some tiers, without those that have none, and who has moved up.

        `sets` are made first: a link that is varied is one of the links in a row.
        """
        written = self._written(sets)
        placements: dict[str, Any] = {name: dict(of or {}) for name, of in written[_PLACEMENTS].items()}
        usual = (written.get("defaults") or {}).get("link") or {}
        moved: set[str] = set()
        members = {str(p): len(self.topology.members(p)) for p in self.topology.hierarchy.placements}
        for tier, count in counts.items():
            own = placements[tier]
            if "members" in own and count:
                raise SweepError(
                    f"{tier} has members by name, so it has as many as it has",
                    where=f"-s {tier}.count",
                    mend="write `count:` instead of `members:`, or vary other things",
                )
            for name, below in placements.items():
                if below.get("parent") == tier:
                    _dealt(below, members[name], f"{name}.count")
                    if not count:
                        self._check_alike(tier, name)
                        below["parent"] = own["parent"]
                        below |= in_a_row({**usual, **(below.get("link") or {})}, {**usual, **(own.get("link") or {})})
                        moved.add(name)
            if count:
                _dealt(own, count, f"{tier}.count")
            else:
                del placements[tier]
        return placements, moved

    def _check_alike(self, *tiers: str) -> None:
        """Raise SweepError if members of one of `tiers` differ in their links: then no link is the two in a row."""
        for placement in self.topology.hierarchy.placements:
            links = {member.link for member in self.topology.members(placement)} if str(placement) in tiers else set()
            if len(links) > 1:
                raise SweepError(
                    f"members of {placement} have links of their own, so {tiers[0]} cannot go",
                    where=f"-s {tiers[0]}.count",
                    mend="write one link for all of them, or leave 0 out",
                )

    def _written(self, sets: Sequence[str]) -> Mapping[str, Any]:
        problems = Problems()
        read_document = read(self.file, problems)
        apply_sets(read_document, sets, problems)
        problems.raise_if_any()
        document: Mapping[str, Any] = read_document.data
        return document

    def check_axes(self) -> None:
        """Raise SweepError for a count that cannot be, and TopologyError for an axis of which no value can.

        A path is misspelt in all candidates alike; one value of several is left out later, with the reason.
        """
        for cell in cells(self.axes):
            if ROUNDS in cell.values:
                raise SweepError(
                    "rounds are what a search decides", where=f"-s {ROUNDS}", mend="say how many at most by --rounds"
                )
            self.made(cell)
        for axis in self.axes:
            for number, row in enumerate(axis.rows, 1):
                sets = self.made(Cell(1, {p: v for p, v in zip(axis.paths, row, strict=True) if v}))
                try:
                    load_topology(self.file, sets)
                    break
                except TopologyError:
                    if number == len(axis.rows):
                        raise


def _dealt(placement: dict[str, Any], count: int, where: str) -> None:
    if "members" in placement:
        raise SweepError(
            "members by name have the parents that they have", where=where, mend="write `count:` instead of `members:`"
        )
    for key in ("per_parent", "fan_in"):
        placement.pop(key, None)
    placement |= {"count": count, "distribute": "round_robin"}


def _steps(text: str) -> list[str]:
    """Return the steps of the path of a `path=value`, from a placement or a field of the file on."""
    return re.split(r"[.\[]", text.partition("=")[0].strip().removeprefix(f"{_PLACEMENTS}."))


def _of_placements(text: str) -> bool:
    first = _steps(text)[0]
    return first == _PLACEMENTS or first not in TOP_LEVEL


def _survives(text: str, placements: Mapping[str, Any], moved: set[str]) -> bool:
    """Return whether a `path=value` can be set once more when the tiers have changed, to outrank members' own values.

    What says who is whose child is in the placements by then, and so is the link of who has moved up.
    """
    tier, *of = _steps(text)
    return tier in placements and of[:1] != [] and of[0] not in _SHAPE and not (of[0] == "link" and tier in moved)


def usual(topology: Topology) -> tuple[Axis, ...]:
    """Return what is worth a try, as axes; none of it changes what the program is."""
    axes: list[Axis] = []
    hierarchy = topology.hierarchy
    for placement in reversed(hierarchy.placements):
        if placement == hierarchy.root:
            continue
        own = {m.codec_up for m in topology.members(placement)}
        codecs = tuple(dict.fromkeys([*(own if len(own) == 1 else ()), *CODECS]))
        axes.append(Axis((f"{placement}.codec.up",), tuple((codec,) for codec in codecs)))
    params = topology.job.params if topology.job is not None else {}
    edge = params.get("edge_rounds")
    for name in ("kappa_1", "local_epochs"):
        local = params.get(name)
        if isinstance(edge, int) and isinstance(local, int) and edge > 0 and edge * local > 1:
            rows = tuple((str(steps), str(rounds)) for steps, rounds in _shares(local, edge))
            axes.append(Axis((f"job.params.{name}", "job.params.edge_rounds"), rows))
            break
    return tuple(axes)


def _shares(local: int, edge: int) -> list[tuple[int, int]]:
    """Return whole numbers whose product is theirs, with edge rounds that are nearest to `edge`."""
    product = local * edge
    found = [(product // n, n) for n in range(1, product + 1) if product % n == 0]
    nearest = sorted(found, key=lambda pair: abs(math.log(pair[1] / edge)))[:_SHARES]
    return sorted(nearest, reverse=True)


def counts(space: Space) -> tuple[Axis, ...]:
    """Return axes for the counts of those tiers that can have others: half, as it is, twice; 0 where it can go."""
    axes: list[Axis] = []
    for tier in space.between:
        now = len(space.topology.members(next(p for p in space.topology.hierarchy.placements if str(p) == tier)))
        tried: Sequence[int] = sorted({max(1, now // 2), now, 2 * now, 0})
        possible = []
        for count in tried:
            try:
                load_topology(space.file, space.made(Cell(1, {f"{tier}{_COUNT}": str(count)})))
            except (SweepError, TopologyError):
                continue
            possible.append((str(count),))
        if len(possible) > 1:
            axes.append(Axis((f"{tier}{_COUNT}",), tuple(possible)))
    return tuple(axes)
