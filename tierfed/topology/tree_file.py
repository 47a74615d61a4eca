"""The tree of a run, in its folder: `topology.resolved.yaml` to load it from, `tree.json` to draw it from.

    {"schema_version": 1, "topology": "three-tier", "tiers": {"SERVER": 1, "EDGES": 2, "CLIENTS": 32},
     "root": {"name": "server", "tier": "SERVER", "count": 1, "link": [], "facts": ["quorum 100%"], "below": [
       {"name": "edge-eu", "tier": "EDGES", "count": 1, "link": ["up bf16"], "facts": […], "below": [
          {"name": "c-eu-[00-15]", "tier": "CLIENTS", "count": 16, "link": ["up int8"], "facts": [], "below": []}]}]}}

Siblings that are alike are one, as in the drawings of `tierfed show`, so a regular tree of a hundred thousand clients
takes a line a tier, and no topology must be loaded again to draw it.  Of children that all differ the first few are
written, and `more` says how many nodes are not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tierfed.topology.bundles import Bundle, bundles
from tierfed.topology.collapse import collapsed
from tierfed.topology.draw import box_facts, link_facts
from tierfed.topology.model import Topology

RESOLVED = "topology.resolved.yaml"
NAME = "tree.json"
SCHEMA_VERSION = 1
_MOST = 12  # children, or bundles of them, below one node


def write(run_dir: Path, topology: Topology) -> None:
    """Write the tree of `topology` into the folder of its run."""
    (run_dir / RESOLVED).write_text(topology.to_yaml(), encoding="utf-8")
    (run_dir / NAME).write_text(json.dumps(document(topology), separators=(",", ":")) + "\n", encoding="utf-8")


def document(topology: Topology) -> dict[str, Any]:
    """Return what `tree.json` holds."""
    return {
        "schema_version": SCHEMA_VERSION,
        "topology": topology.name,
        "tiers": {str(p): len(topology.members(p)) for p in topology.hierarchy.placements},
        "root": _plain(bundles(topology)),
    }


def _plain(bundle: Bundle) -> dict[str, Any]:
    kept = bundle.below[:_MOST]
    plain: dict[str, Any] = {
        "name": collapsed([m.name for m in bundle.members]),
        "tier": bundle.first.placement,
        "count": len(bundle.members),
        "link": link_facts(bundle.first),
        "facts": box_facts(bundle.first),
        "below": [_plain(one) for one in kept],
    }
    if len(kept) < len(bundle.below):
        shown = sum(len(one.members) for one in kept)
        plain["more"] = sum(len(one.members) for one in bundle.below) - shown
    return plain
