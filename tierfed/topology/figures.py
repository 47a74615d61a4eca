"""Figures: what a file must not say of links and devices, and what it probably does not mean.

    placements.SERVER.link: a link belongs to the child, and SERVER is the root; remove it
    placements.CLIENTS.interface: CLIENTS is a leaf, and no links meet there; write it at EDGES
    placements.CLIENTS.link.jitter: clients-00 has 10ms of jitter and no delay, …      a note

An error is about one field and needs no members.  A note is about figures that have an effect together only, after
all that may set them: it names the first member where that is so.
"""

from __future__ import annotations

from collections.abc import Mapping

from tierfed.topology.checks import holders
from tierfed.topology.devices import Key
from tierfed.topology.graph import Grown
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Problems
from tierfed.topology.settle import Settled
from tierfed.topology.spec import Settings, TopologySpec

_OF_A_LINK = ("link", "available")


def check_devices(spec: TopologySpec, document: Document, problems: Problems) -> None:
    """Add a problem for each link of a root, interface of a leaf, and mapping without a figure."""
    above = {p.parent for p in spec.placements.values() if p is not None}
    for path, settings in holders(spec):
        _empty(path, settings, document, problems)
        if path[0] != "placements":
            continue
        name = str(path[1])
        placement = spec.placements[name]
        parent = placement.parent if placement is not None else None
        for field in _OF_A_LINK if parent is None and not problems.at_or_above((*path[:2], "parent")) else ():
            if getattr(settings, field) is not None:
                at: Path = (*path, field)
                told = f"a link belongs to the child, and {name} is the root; remove it"
                told = told if field == "link" else f"{name} is the root, without which there is no run; remove it"
                problems.add(document.key(at), at, told)
        if settings.interface is not None and name not in above:
            at = (*path, "interface")
            mend = f"write it at {parent}" if parent else "remove it"
            problems.add(document.key(at), at, f"{name} is a leaf, and no links meet there; {mend}")


def _empty(path: Path, settings: Settings, document: Document, problems: Problems) -> None:
    for field in ("link", "interface", "compute", "energy"):
        of = getattr(settings, field)
        rate = getattr(of, "rate", None)
        for at, said in (((*path, field), of), ((*path, field, "rate"), rate)):
            if said is not None and not said.model_fields_set and not problems.at_or_below(at):
                fields = list(type(said).model_fields)
                mend = f"one of {', '.join(fields)}" if len(fields) > 1 else fields[0]
                problems.add(document.key(at), at, f"sets nothing; write {mend}, or remove it")


_JITTER: Key = ("link", "jitter")
_NEEDS: tuple[tuple[Key, Key, str], ...] = (
    (_JITTER, ("link", "delay"), "{0} of jitter about no delay, and none can be less than 0; add link.delay"),
    (("link", "distribution"), _JITTER, "a {0} distribution and no jitter to be drawn from it; add link.jitter"),
    (("link", "correlation"), _JITTER, "a correlation of {0} and no jitter that has it; add link.jitter"),
    (
        ("compute", "speed"),
        ("compute", "time"),
        "a speed of {0} and no time that it would change; add compute.time, what a leaf call takes at speed 1",
    ),
    (
        ("energy", "computing"),
        ("compute", "time"),
        "{0} while it computes, which takes no time; add compute.time, what a leaf call takes at speed 1",
    ),
)


def note_idle(settled: Mapping[str, Settled], grown: Grown, document: Document, problems: Problems) -> None:
    """Note the figures that have no effect, each once a placement."""
    for placement, members in grown.members.items():
        seen: set[int] = set()
        told: set[Key] = set()
        for member in members:
            of = settled[member.name]
            if id(of) in seen:
                continue
            seen.add(id(of))
            figures = of.modelled.figures
            for key, needed, why in _NEEDS:
                if key in figures and needed not in figures and key not in told:
                    told.add(key)
                    path = _written(placement, member.name, key, document)
                    problems.note(document.value(path), path, f"{member.name} has {why.format(figures[key])}")


def _written(placement: str, member: str, key: Key, document: Document) -> Path:
    """Return the path of what most likely set `key` of a member."""
    of = ("placements", placement)
    above: tuple[Path, ...] = ((*of, "members", member), of, ("defaults",))
    said = (key, ("compute", "profile"))  # which says some of them
    return next((path for start in above for k in said if (path := (*start, *k)) in document.values), (*of, *key))
