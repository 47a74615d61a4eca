"""Cohort checks: what a file must not say of cohorts, and what is left when it does not.

    placements.SERVER.cohort: a cohort is drawn of a parent's children, and SERVER is the root; remove it
    placements.CLIENTS.cohort.weights: c-03 has no label 'size'; write labels: {size: …} at it, a number above 0

A cohort is drawn of all children that a parent has in a placement, so it stands at the placement alone: a
member cannot have one of its own.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tierfed.topology.checks import holders
from tierfed.topology.cohort import Cohort
from tierfed.topology.graph import Grown
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Problems
from tierfed.topology.settle import origin
from tierfed.topology.spec import TopologySpec

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)


def cohorts(spec: TopologySpec, document: Document, grown: Grown | None, problems: Problems) -> dict[str, Cohort]:
    """Return the cohort of each placement that has one, and add a problem for each that cannot be drawn."""
    found: dict[str, Cohort] = {}
    for path, settings in holders(spec):
        of = settings.cohort
        if of is None:
            continue
        at: Path = (*path, "cohort")
        if path[0] != "placements" or len(path) > 2:
            below = (name for name, p in spec.placements.items() if p is not None and p.parent is not None)
            whose = path[1] if path[0] == "placements" else next(below, "CLIENTS")
            told = "a cohort is drawn of all children that a parent has in a placement; "
            problems.add(document.key(at), at, f"{told}write it at placements.{whose}.cohort")
            continue
        name = str(path[1])
        holder = spec.placements[name]
        if (holder is None or holder.parent is None) and not problems.at_or_above((*path, "parent")):
            told = f"a cohort is drawn of a parent's children, and {name} is the root; remove it"
            problems.add(document.key(at), at, told)
            continue
        cohort = Cohort(of.select, of.over, of.weights)
        found[name] = replace(cohort, origin=origin(document, at))
        if of.weights is not None and grown is not None:
            _weighed(name, of.weights, document, grown, problems)
    return found


def _weighed(name: str, label: str, document: Document, grown: Grown, problems: Problems) -> None:
    """Add a problem for the first member of a placement whose weight is no number."""
    at: Path = ("placements", name, "cohort", "weights")
    for member in grown.members.get(name, ()):
        value = member.labels.get(label)
        if value is None:
            told = f"{member.name} has no label '{label}'; write labels: {{{label}: …}} at it, a number above 0"
        elif not _NUMBER.fullmatch(value) or float(value) == 0:
            told = f"label '{label}' of {member.name} is {value!r}; write a number above 0, such as 3 or \"2.5\""
        else:
            continue
        problems.add(document.value(at), at, told)
        return
