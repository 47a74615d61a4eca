"""What is asked of a program before it runs, asked once: the placements that it names, and whether it has leaves.

A program is called many times and never changes, so what a walk over it finds is kept for the programs
that were called last, found again by identity: to compare two programs is itself a walk.
"""

from __future__ import annotations

from dataclasses import dataclass

from tierfed.ir.intrinsics.secure import refuse_secure
from tierfed.ir.nodes import Node
from tierfed.leaves import leaves_of
from tierfed.placements import Placement
from tierfed.types import FederatedType

_KEPT = 256  # programs


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program that may be interpreted, and what is known of it."""

    program: Node
    placements: frozenset[Placement]
    has_leaves: bool


_prepared: dict[int, Prepared] = {}  # by the identity of a program, which it keeps alive


def prepare(program: Node) -> Prepared:
    """Return what is known of `program`; raises UnsupportedError for one that no backend may run."""
    found = _prepared.get(id(program))
    if found is None:
        refuse_secure(program)
        types = {node.type for node in program.walk()}
        placed = (t.placement for of in types for t in of.walk() if isinstance(t, FederatedType))
        found = Prepared(program, frozenset(placed), bool(leaves_of(program)))
        if len(_prepared) >= _KEPT:
            _prepared.pop(next(iter(_prepared)), None)
        _prepared[id(program)] = found
    return found
