"""Placements: the roles of participants that a program names.

    EDGE = tierfed.placement("EDGE_AGGREGATORS")     # {float32}@EDGE_AGGREGATORS

A placement is a name, whether it has exactly one member (a *singleton*), and a
description.  It does not know its rank: the order of tiers comes from a
`Hierarchy`, so one program runs on a flat tree, on three tiers or on six.

Being a singleton is declared, never observed: a tier that merely has one member
still types as `{T}@P`, or a program's meaning would depend on its topology.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from tierfed.errors import PlacementError
from tierfed.user_line import at_user_line


@dataclass(frozen=True, slots=True)
class Placement:
    """A role; equal to another by name alone.  Made by `placement`."""

    name: str
    singleton: bool = field(default=False, compare=False)
    description: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name


_NAME = re.compile(r"[^\W\d]\w*\Z")  # Python's identifiers allow more, such as a combining accent
_declared: dict[str, Placement] = {}
_mentioned: set[str] = set()  # known by name only, so far: from a topology, or from notation
_lock = threading.Lock()


def placement(name: str, singleton: bool | None = None, description: str = "") -> Placement:
    """Return the placement called `name`, declared on first use.

    `singleton` says that it has exactly one member (default: no).  Declaring the
    same placement again gives the same value.

    A placement does not know its rank: one program runs over any hierarchy that has its placements.
    `SERVER`, a singleton, and `CLIENTS` are declared already.

    Raises PlacementError if `name` is not an identifier, or was declared with
    another `singleton`.

    >>> EDGE = tierfed.placement("EDGE_AGGREGATORS")
    >>> EDGE == tierfed.placement("EDGE_AGGREGATORS"), EDGE.singleton, tierfed.SERVER.singleton
    (True, False, True)
    """
    if not is_name(name):
        raise PlacementError(
            f"{name!r} is not an identifier",
            where=at_user_line("placement"),
            mend="use letters, digits and underscores, as in EDGE_AGGREGATORS",
        )
    with _lock:
        known = _declared.get(name)
        if known is None:
            known = _declared[name] = Placement(name, bool(singleton), description)
        elif name in _mentioned:
            # one value for everybody who has it already; trees check their singletons when they are used
            object.__setattr__(known, "singleton", bool(singleton))
            object.__setattr__(known, "description", description)
            _mentioned.discard(name)
        elif singleton is not None and known.singleton != singleton:
            raise PlacementError(
                f"{name} was declared with singleton={known.singleton}, and again with singleton={singleton}",
                where=at_user_line("placement"),
                mend="declare it once and import that value, or use another name",
            )
    return known


def mentioned(name: str) -> Placement:
    """Return the placement called `name`; unless somebody has declared it, a declaration may still follow."""
    if name not in _declared:
        placement(name)
        _mentioned.add(name)
    return _declared[name]


def is_name(name: object) -> bool:
    """Return whether `name` may name a placement: an identifier of letters, digits and underscores."""
    return isinstance(name, str) and name.isidentifier() and _NAME.match(name) is not None


def declared_as(uri: str) -> tuple[Placement, ...]:
    """Return the declared placements whose name in lower case is `uri`."""
    return tuple(p for name, p in tuple(_declared.items()) if name.lower() == uri)


def declared(name: str) -> Placement | None:
    """Return the placement called `name` if somebody has declared it."""
    return _declared.get(name)


SERVER = placement("SERVER", singleton=True, description="the centre, where a computation ends")
CLIENTS = placement("CLIENTS", singleton=False, description="the devices, which hold the data")
