"""Topology: which members there are, who is whose parent, and what is set for each.

A file (`load_topology`) or a call (`tree`) becomes a checked, immutable `Topology`, and that the
`NodeAssignment`s that nodes are told.  Daemons import `assignment` alone, so this package
imports nothing until a name of it is used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tierfed.topology.assignment import ChildAssignment, NodeAssignment
    from tierfed.topology.fan_out import of_tree, tree
    from tierfed.topology.load import load_topology, parse_topology
    from tierfed.topology.model import Job, Node, Topology
    from tierfed.topology.told import assignments, each_assignment

_HOME = {
    "ChildAssignment": "assignment",
    "Job": "model",
    "Node": "model",
    "NodeAssignment": "assignment",
    "Topology": "model",
    "assignments": "told",
    "each_assignment": "told",
    "load_topology": "load",
    "of_tree": "fan_out",
    "parse_topology": "load",
    "tree": "fan_out",
}

__all__ = [
    "ChildAssignment",
    "Job",
    "Node",
    "NodeAssignment",
    "Topology",
    "assignments",
    "each_assignment",
    "load_topology",
    "of_tree",
    "parse_topology",
    "tree",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
