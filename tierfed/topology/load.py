"""Load: a topology from its file.

    topology = load_topology("topologies/three_tier.yaml", sets=["CLIENTS.codec.up=int8"])

Problems name the file as the caller did, so that a terminal or an editor can open them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tierfed.topology.build import build
from tierfed.topology.model import Topology
from tierfed.topology.positions import read, read_text
from tierfed.topology.problems import Problems


def load_topology(path: str | os.PathLike[str], sets: Sequence[str] = (), *, clients: int | None = None) -> Topology:
    """Return the topology in the file at `path`, changed by `sets` (each `path=value`).

    With `clients`, the placement at the leaves has so many members in all, dealt one by one.

    Raises TopologyError naming every problem with its file, line and column, or
    UnsupportedError if all of them ask for what this version lacks.

    >>> regions = tierfed.load_topology("topologies/three_tier.yaml", ["CLIENTS.count=8", "CLIENTS.fan_in=4"])
    >>> regions.name, len(regions.tree.members(tierfed.CLIENTS))
    ('three-tier', 8)
    """
    file = Path(path)
    problems = Problems()
    return build(read(file, problems), problems, name=_title(file), source=file.resolve(), sets=sets, clients=clients)


def parse_topology(
    text: str, label: str = "topology.yaml", sets: Sequence[str] = (), *, clients: int | None = None
) -> Topology:
    """Return the topology written in `text`; `label` names it in problems.  Raises as `load_topology`."""
    problems = Problems()
    return build(read_text(text, label, problems), problems, name=_title(Path(label)), sets=sets, clients=clients)


def _title(file: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_. -]", "-", file.stem).lstrip("_. -")[:63] or "topology"
