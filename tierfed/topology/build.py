"""Build: a document becomes a topology, or all of its problems.

    document -> sets -> shape (fields, types, units) -> checks -> graph -> settle -> Topology

Every stage adds to one list of problems and hands on what it could still make sense of, so
that the list is whole when it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tierfed.placements import Hierarchy, Member
from tierfed.topology.agreements import check_down, check_siblings
from tierfed.topology.checks import DEFAULT_HOST, check
from tierfed.topology.cohort_checks import cohorts
from tierfed.topology.collector import paused
from tierfed.topology.faults import check_faults, faults_of
from tierfed.topology.figures import check_devices, note_idle
from tierfed.topology.graph import Grown, grow
from tierfed.topology.model import Job, Topology
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path as DocumentPath
from tierfed.topology.problems import Problems
from tierfed.topology.scaled import scale
from tierfed.topology.sets import apply_sets
from tierfed.topology.settle import settle
from tierfed.topology.shape import shape
from tierfed.topology.spec import HostSpec, TopologySpec, plain
from tierfed.topology.traces import with_traces


def build(
    document: Document,
    problems: Problems,
    *,
    name: str,
    source: Path | None = None,
    sets: Sequence[str] = (),
    clients: int | None = None,
) -> Topology:
    """Return the topology that `document` describes, `name` being its name unless it says one.

    With `clients`, so many of them: see `scaled`.

    Raises TopologyError with every problem of the document and of `sets`.
    """
    with paused():
        return _built(document, problems, name=name, source=source, sets=sets, clients=clients)


def _built(
    document: Document,
    problems: Problems,
    *,
    name: str,
    source: Path | None,
    sets: Sequence[str],
    clients: int | None,
) -> Topology:
    written: list[DocumentPath] = []
    if isinstance(document.data, dict):
        written = apply_sets(document, sets, problems)
        if clients is not None:
            scale(document, clients, problems)
    spec = shape(document, problems)
    if spec is None:
        problems.raise_if_any()
        raise AssertionError("a document without a spec has a problem")
    check(spec, document, problems)
    check_down(spec, document, problems)
    check_devices(spec, document, problems)
    grown = grow(spec, document, problems)
    drawn = cohorts(spec, document, grown, problems)
    settings = settle(spec, document, grown, written, problems) if grown is not None else {}
    if grown is not None:
        settings = with_traces(settings, grown, Path() if source is None else _beside(source, document), problems)
        check_siblings(settings, grown, document, problems)
        note_idle(settings, grown, document, problems)
        check_faults(spec, grown, document, problems)
    problems.raise_if_any()
    if grown is None:
        raise AssertionError("a spec without members has a problem")
    hierarchy = _hierarchy(grown)
    return Topology(
        name=spec.name or name,
        seed=spec.seed,
        hierarchy=hierarchy,
        members=_members(grown, hierarchy),
        settings=settings,
        labels={m.name: m.own_labels for members in grown.members.values() for m in members},
        colocate={name: p.colocate for name, p in spec.placements.items() if p is not None and p.colocate},
        hosts=_hosts(spec),
        job=_job(spec),
        source=source,
        cohorts=drawn,
        clock=spec.clock,
        faults=faults_of(spec),
        notes=tuple(problems.notes),
    )


def _beside(source: Path, document: Document) -> Path:
    """Return the folder of the file, called as the caller called it."""
    named = Path(document.label)
    return named.parent if named.name == source.name else source.parent


def _hierarchy(grown: Grown) -> Hierarchy:
    root = next(name for name, above in grown.parents.items() if above is None)
    return Hierarchy({below: above for below, above in grown.parents.items() if above is not None}, root=root)


def _members(grown: Grown, hierarchy: Hierarchy) -> Member:
    """Return the root with all below it; the tree's order of placements and members."""
    below: dict[str, list[Member]] = {}
    depth = {p: at for at, p in enumerate(hierarchy.placements)}
    for placement in reversed(hierarchy.placements):  # children before their parents
        of: dict[str, list[Member]] = {}
        for sprout in grown.members[str(placement)]:
            # children of several placements come in their order, though the last of them was made first
            children = sorted(below.pop(sprout.name, ()), key=lambda child: depth[child.placement])
            member = Member(sprout.name, placement, tuple(children))
            if sprout.parent is None:
                return member
            of.setdefault(sprout.parent.name, []).append(member)
        for parent, members in of.items():
            below.setdefault(parent, []).extend(members)
    raise AssertionError("a tree has a root")


def _hosts(spec: TopologySpec) -> dict[str, dict[str, str]]:
    hosts = {name: host or HostSpec() for name, host in (spec.hosts or {DEFAULT_HOST: None}).items()}
    return {name: {"driver": host.driver, "bind": host.bind} for name, host in hosts.items()}


def _job(spec: TopologySpec) -> Job | None:
    if spec.job is None:
        return None
    data: dict[str, Any] | None = None
    if spec.job.data is not None:
        data = plain(spec.job.data)
        if data.get("split") == {"iid": {}}:
            data["split"] = "iid"
    return Job(spec.job.program, dict(spec.job.params), data)
