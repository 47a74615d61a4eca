"""Scaled: the same topology with another number of clients.

    load_topology("three_tier.yaml", clients=100_000)       64 clients under 2 edges become 50,000 under each

The placement at the leaves gets a `count` dealt one by one, whatever gave it its members before; all that the file says
of it and of the tiers above stays.  Members that are written out have settings of their own that no
other number of them could have, so they are not scaled.
"""

from __future__ import annotations

from typing import Any

from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Place, Problems

_SHAPE = ("per_parent", "count", "fan_in", "distribute")


def scale(document: Document, clients: int, problems: Problems) -> None:
    """Give the leaves of `document` so many members in all; a problem if there are none, or several to choose from."""
    place = Place(0, 0, f"clients={clients}")
    placements = document.data.get("placements")
    if not isinstance(placements, dict):
        return  # which is told by those who read it
    if clients < 1:
        problems.add(place, (), "a fleet has at least one client")
        return
    parents = {_of(holder).get("parent") for holder in placements.values()}
    leaves = [name for name in placements if name not in parents and _of(placements[name]).get("parent") is not None]
    if len(leaves) != 1:
        told = (
            f"there are {len(leaves)} placements without children, {', '.join(leaves)}" if leaves else "there are none"
        )
        problems.add(place, (), f"{told}; --set the count of one")
        return
    [name] = leaves
    holder = placements[name]
    path: Path = ("placements", name)
    if holder.get("members") is not None:
        at = (*path, "members")
        problems.add(
            document.key(at), at, f"members are written out and cannot be {clients}; write count, or per_parent"
        )
        return
    for key in _SHAPE:
        holder.pop(key, None)
    holder |= {"count": clients, "distribute": "round_robin"}
    for key in ("count", "distribute"):
        document.keys[*path, key] = document.values[*path, key] = place


def _of(holder: Any) -> dict[str, Any]:
    return holder if isinstance(holder, dict) else {}
