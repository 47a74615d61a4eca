"""Crowd: what a split may know of all members of a placement, beside how many they are.

    regions   (("edge-eu", 16), ("edge-us", 16))      whose subtree each member is in, in member order
    labels    {"subject": (("07", 1), ("08", 1))}     what each sees of a label that is called like a column

Member order is depth-first, so members of one subtree stand together and a run a region tells all.  Every node works
the whole split out for itself, so it is told this of the others; it is gathered only for a split that asks (`Need`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

from tierfed.errors import ProtocolError
from tierfed.placements import Member, Placement, Tree

Runs: TypeAlias = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Need:
    """What a split asks for: the members of which placement are its regions ("" for the parents), and which labels."""

    regions: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Crowd:
    """See the module docstring; without regions or labels if nobody asked for them, or there are none."""

    regions: Runs = ()
    labels: tuple[tuple[str, Runs], ...] = ()

    def label(self, column: str) -> list[str]:
        """Return what each member sees of a label, "" where there is none; nothing if no member has it."""
        runs = dict(self.labels).get(column, ())
        return [value for value, number in runs for _ in range(number)]

    def to_dict(self) -> dict[str, Any]:
        """Return the crowd as plain data."""
        return {"regions": self.regions, "labels": dict(self.labels)}


ALONE = Crowd()


def crowd_told(data: Mapping[str, Any]) -> Crowd:
    """Return the crowd that `to_dict` wrote, nothing for nothing.  Raises ProtocolError for anything else."""
    match data:
        case {"regions": regions, "labels": dict() as labels}:
            return Crowd(_runs(regions), tuple((str(name), _runs(runs)) for name, runs in labels.items()))
    if data:
        raise ProtocolError(f"{data!r} is no crowd", where="assignment.crowd")
    return ALONE


def crowd_of(tree: Tree, placement: Placement, need: Need, labels: Callable[[str], Mapping[str, str]]) -> Crowd:
    """Return what `need` asks for of the members of a placement; `labels` gives what a member sees.

    Without regions if the placement that is named for them is not above.
    """
    members = tree.members(placement)
    regions = [_region(tree, member, need.regions) for member in members]
    seen = [labels(member.name) for member in members] if need.columns else []
    found = {column: [str(of.get(column, "")) for of in seen] for column in need.columns}
    return Crowd(
        _run(regions) if all(regions) else (),
        tuple((name, _run(values)) for name, values in found.items() if any(values)),
    )


def _region(tree: Tree, member: Member, placement: str) -> str:
    """Return the name of the ancestor of `placement`, of the parent if none is named; "" if there is none."""
    above = tree.parent(member.name)
    if not placement:
        return above.name if above is not None else member.name
    while above is not None and str(above.placement) != placement:
        above = tree.parent(above.name)
    return above.name if above is not None else ""


def _run(values: Iterable[str]) -> Runs:
    return tuple((value, sum(1 for _ in same)) for value, same in groupby(values))


def _runs(data: object) -> Runs:
    try:
        runs = tuple((value, number) for value, number in data)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"{data!r} are no runs", where="assignment.crowd") from error
    if not all(isinstance(value, str) and type(number) is int and number > 0 for value, number in runs):
        raise ProtocolError(f"{data!r} are no runs", where="assignment.crowd")
    return runs
