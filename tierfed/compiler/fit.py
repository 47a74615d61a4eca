"""Fit: does everything in a program go along its hierarchy?

    climate.py:8: federated_sum of {float32}@CLIENTS to REGION: no tier REGION in the hierarchy SERVER > CLIENTS

A program names placements, and a hierarchy says which stands above which; so what depends on
ranks shows only here.  Asked of the program as its user wrote it, before its operators are
expanded, and again by `climb`, which relies on it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from tierfed.errors import CompileError
from tierfed.ir.intrinsics import TABLE, iterate, operator
from tierfed.ir.intrinsics.reduce import merges_itself, needs_merge
from tierfed.ir.nodes import Call, Intrinsic, Node, PlacementLiteral, Struct
from tierfed.placements import Hierarchy, Placement
from tierfed.types import FederatedType, FunctionType
from tierfed.user_line import tell_line


def fit_tiers(program: Node, hierarchy: Hierarchy) -> None:
    """Raise CompileError, with the user's line, unless everything in `program` goes along `hierarchy`.

    It names no tier outside, aggregates rise, broadcasts descend, and a reduce over several
    hops can merge.  Told of the program as it was written, before its operators are expanded.
    """
    calls = [node for node in program.walk() if isinstance(node, Call) and isinstance(node.function, Intrinsic)]
    values = [node for node in program.walk() if not isinstance(node, Call) and isinstance(node.type, FederatedType)]
    for node in (*calls, *values, program):  # an operation says more than its value, and that more than the program
        try:
            _fit(node, hierarchy)
        except CompileError as bad:
            tell_line(bad, getattr(node, "line", None))
            raise


def _fit(node: Node, hierarchy: Hierarchy) -> None:
    named = (node.type,) if not isinstance(node, Call) or node.argument is None else (node.type, node.argument.type)
    for t in (part for whole in named for part in whole.walk()):
        if isinstance(t, FederatedType) and t.placement not in hierarchy:
            raise CompileError(
                f"no tier {t.placement} in the hierarchy {hierarchy}",
                where=_named(node),
                mend=_there(t.placement, hierarchy),
            )
    uri = called_uri(node)
    if not isinstance(node, Call) or uri not in TABLE:
        return
    op = operator(uri)
    if op.direction == "rises":
        source, result = ends_of(node)
        if not hierarchy.is_above(result.placement, source.placement):
            raise CompileError(
                f"{result.placement} is not above {source.placement} in {hierarchy}",
                where=_named(node),
                mend=f"to go down, use tierfed.federated_broadcast(value, to={result.placement})"
                if hierarchy.is_above(source.placement, result.placement)
                else _towards("an aggregate rises", "above", hierarchy.path_to_root(source.placement)[1:]),
            )
        types = op.unpacked(node.function.type.parameter) if isinstance(node.function.type, FunctionType) else ()
        if uri == "federated_reduce" and not merges_itself(types):
            bad = needs_merge(hierarchy, source.placement, result.placement)
            if bad is not None:
                raise bad
    elif uri == iterate.NAME:
        _within(node, hierarchy)
    elif uri == "federated_select":
        keys, above = op.unpacked(node.children()[-1].type)[:2]
        assert isinstance(keys, FederatedType) and isinstance(above, FederatedType)
        if not hierarchy.is_above(above.placement, keys.placement):
            raise CompileError(
                f"{above.placement} is not above {keys.placement} in {hierarchy}",
                where=_named(node),
                mend="select from what stands above the keys",
            )
    elif op.direction == "descends":
        source, result = ends_of(node)
        if not hierarchy.is_above(source.placement, result.placement):
            below = [p for p in hierarchy.placements if hierarchy.is_above(source.placement, p)]
            raise CompileError(
                f"{result.placement} is not below {source.placement} in {hierarchy}",
                where=_named(node),
                mend=f"to go up, use an aggregate, such as tierfed.federated_sum(value, to={result.placement})"
                if hierarchy.is_above(result.placement, source.placement)
                else _towards("a broadcast descends", "below", below),
            )


def _within(node: Call, hierarchy: Hierarchy) -> None:
    """Raise CompileError unless a loop mentions nothing but its tier and what is below it."""
    assert isinstance(node.argument, Struct)
    step, state, data, _, at = node.argument.children()
    assert isinstance(at, PlacementLiteral)
    if at.placement not in hierarchy:
        raise CompileError(
            f"no tier {at.placement} in the hierarchy {hierarchy}",
            where=iterate.NAME,
            mend=_there(at.placement, hierarchy),
        )
    for name, part in (("step", step), ("state", state), ("data", data)):
        iterate.stays_within(name, part, at.placement, hierarchy)


def _there(missing: Placement, hierarchy: Hierarchy) -> str:
    """Return what makes up for a tier that is not there."""
    near = difflib.get_close_matches(str(missing), [str(p) for p in hierarchy.placements], 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}add {missing} to `placements:` in the topology, or use a tier it lists"


def _towards(rule: str, side: str, tiers: Sequence[Placement]) -> str:
    """Return a mend that names the tiers that `to=` may name."""
    if not tiers:
        return f"{rule}, and there is no tier {side}: use the value where it is"
    return f"{rule}: name a placement {side} the value's with to=, here {' or '.join(map(str, tiers))}"


def called_uri(node: Node) -> str:
    """Return the intrinsic that `node` calls, nothing if it is no such call."""
    return node.function.uri if isinstance(node, Call) and isinstance(node.function, Intrinsic) else ""


def _named(node: Node) -> str:
    """Return what to call `node` in an error: the operation, what it takes, where it goes."""
    if not (isinstance(node, Call) and isinstance(node.function, Intrinsic)):
        return f"a value of {node.type}"
    taken = next((t for t in node.children()[-1].type.walk() if isinstance(t, FederatedType)), None)
    to = next((t.placement for t in node.type.walk() if isinstance(t, FederatedType)), None)
    moves = taken is not None and to is not None and taken.placement != to
    return f"{node.function.uri}{f' of {taken}' if taken else ''}{f' to {to}' if moves or not taken else ''}"


def ends_of(node: Call) -> tuple[FederatedType, FederatedType]:
    """Return the federated types that an aggregate or a broadcast goes from and to."""
    source = next(t for t in node.children()[-1].type.walk() if isinstance(t, FederatedType))
    assert isinstance(node.type, FederatedType)
    return source, node.type
