"""Fan out: a topology without a file.

    tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3})         1 server, 2 edges, 6 clients
    tree({"CLIENTS": 8}, codec={"CLIENTS": {"up": "int8"}}, colocate={"CLIENTS": 4}, seed=7)
    of_tree(any_tree)                                           the members and parents of a `Tree`

The order of the dict is the chain under SERVER.  Settings are those of the file, and are
checked as a file's are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tierfed.placements import SERVER, Tree
from tierfed.topology.build import build
from tierfed.topology.model import Topology
from tierfed.topology.positions import Document
from tierfed.topology.problems import Place, Problems
from tierfed.topology.suggest import did_you_mean


def tree(
    fan_out: Mapping[str, int],
    *,
    name: str = "tree",
    seed: int = 0,
    codec: Mapping[str, Any] | None = None,
    collect: Mapping[str, Any] | None = None,
    colocate: Mapping[str, int] | None = None,
    cohort: Mapping[str, Any] | None = None,
    job: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Topology:
    """Return a topology of SERVER and the placements of `fan_out`, each with so many members a parent.

    `codec`, `collect`, `colocate` and `cohort` map a placement to what a file would say there; `job` is
    as in a file, and `data` stands for its `data:`.  Raises TopologyError as `load_topology`.

    >>> three = tierfed.tree({"EDGE_AGGREGATORS": 2, "CLIENTS": 3}, codec={"CLIENTS": {"up": "int8+zstd"}})
    >>> three.hierarchy, len(three.nodes)
    (<Hierarchy SERVER > EDGE_AGGREGATORS > CLIENTS>, 9)
    """
    above = SERVER.name
    placements: dict[str, Any] = {above: {}}
    for below, each in fan_out.items():
        placements[str(below)] = {"parent": above, "per_parent": each}
        above = str(below)
    return _built(placements, "tree()", name, seed, codec, collect, colocate, cohort, job, data)


def of_tree(
    shape: Tree,
    *,
    name: str = "tree",
    seed: int = 0,
    codec: Mapping[str, Any] | None = None,
    collect: Mapping[str, Any] | None = None,
    colocate: Mapping[str, int] | None = None,
    cohort: Mapping[str, Any] | None = None,
    job: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Topology:
    """Return a topology with the members of `shape`, in its order; the settings are as in `tree`."""
    placements: dict[str, Any] = {}
    for placement in shape.hierarchy.placements:
        parent = shape.hierarchy.parent(placement)
        members: dict[str, Any] = {}
        for member in shape.members(placement):
            over = shape.parent(member.name)
            members[member.name] = {"parent": over.name} if over is not None else {}
        placements[str(placement)] = {"members": members} | ({"parent": str(parent)} if parent is not None else {})
    return _built(placements, "of_tree()", name, seed, codec, collect, colocate, cohort, job, data)


def _built(
    placements: dict[str, Any],
    label: str,
    name: str,
    seed: int,
    codec: Mapping[str, Any] | None,
    collect: Mapping[str, Any] | None,
    colocate: Mapping[str, int] | None,
    cohort: Mapping[str, Any] | None,
    job: Mapping[str, Any] | None,
    data: Mapping[str, Any] | None,
) -> Topology:
    problems = Problems()
    place = Place(0, 0, label)
    settings = (("codec", codec), ("collect", collect), ("colocate", colocate), ("cohort", cohort))
    for setting, values in settings:
        if not isinstance(values, Mapping | None):
            problems.add(
                place, (setting,), f"expected a mapping from placements, as in {{'CLIENTS': …}}, got {values!r}"
            )
            continue
        for placement, value in (values or {}).items():
            if str(placement) in placements:
                placements[str(placement)][setting] = value
            else:
                told = f"no placement '{placement}'; {did_you_mean(str(placement), placements)}"
                problems.add(place, (setting,), told)
    whole: dict[str, Any] = {"apiVersion": "tierfed/v1", "kind": "Topology", "name": name, "seed": seed}
    whole["placements"] = placements
    if job is not None:
        whole["job"] = job if data is None else {**job, "data": data}
    elif data is not None:
        problems.add(place, ("data",), "data for no job; add job={'program': 'module:function'}")
    return build(_document(whole, label), problems, name=name)


def _document(data: Any, label: str) -> Document:
    """Return a document of data that stands in no file: every path of it is at the call."""
    document = Document(label)
    place = Place(0, 0, label)

    def copied(value: Any, path: tuple[str | int, ...]) -> Any:
        document.keys[path] = document.values[path] = place
        if isinstance(value, Mapping):
            return {str(key): copied(inner, (*path, str(key))) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [copied(inner, (*path, at)) for at, inner in enumerate(value)]
        return value

    document.data = copied(data, ())
    return document
