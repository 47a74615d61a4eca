"""Climb and descend: whatever crosses several tiers becomes hops between neighbours.

With the hierarchy SERVER > EDGE > CLIENTS,

    federated_aggregate[SERVER](x,zero,accumulate,merge,report)

becomes

    map[report](hop_merge[SERVER](hop_accumulate[EDGE](x,zero,accumulate),zero,merge))

and a broadcast from SERVER to CLIENTS a broadcast from EDGE of a broadcast from SERVER.
After this pass no operation skips a tier, so `slice` can cut the program between any two
tiers, and each node talks to its parent alone.

Sound because a fold along a tree *is* these hops, in this order: `fold_up`, which says what
an aggregate means, recurses tier by tier.
"""

from __future__ import annotations

from tierfed.errors import CompileError, PlacementError
from tierfed.ir.build import apply_intrinsic, is_identity, unpack
from tierfed.ir.intrinsics.reduce import needs_merge
from tierfed.ir.nodes import Call, Intrinsic, Node, transformed
from tierfed.placements import Hierarchy, Placement
from tierfed.types import FederatedType


def climb(program: Node, hierarchy: Hierarchy) -> Node:
    """Return `program` with every aggregate and broadcast split at the tiers it crosses.

    The type of the program is unchanged, and climbing twice is climbing once.

    Raises CompileError if something names a tier outside `hierarchy`, an aggregate does not
    rise, or a broadcast does not descend.
    """
    outside = [
        (node, t.placement)
        for node in program.walk()
        for t in node.type.walk()
        if isinstance(t, FederatedType) and t.placement not in hierarchy
    ]
    for node, placement in sorted(outside, key=lambda found: not _operates(found[0])):
        raise CompileError(
            f"no tier {placement} in the hierarchy {hierarchy}",
            where=_named(node, placement),
            mend=f"add {placement} to `placements:` in the topology, or use a tier it lists",
        )

    def hops(node: Node) -> Node:
        if not (isinstance(node, Call) and isinstance(node.function, Intrinsic)):
            return node
        match node.function.uri:
            case "federated_aggregate":
                return _aggregate(node, hierarchy)
            case "federated_reduce":
                return _reduce(node, hierarchy)
            case "federated_broadcast":
                return _broadcast(node, hierarchy)
        return node

    return transformed(program, hops)


def _operates(node: Node) -> bool:
    """Return whether `node` is an operation, which an error names rather than the program around it."""
    return isinstance(node, Call) and isinstance(node.function, Intrinsic)


def _named(node: Node, placement: Placement) -> str:
    """Return what to call `node` in an error: the operation, what it takes, where it goes."""
    if isinstance(node, Call) and isinstance(node.function, Intrinsic):
        taken = next((t for t in node.children()[-1].type.walk() if isinstance(t, FederatedType)), None)
        return f"{node.function.uri}{f' of {taken}' if taken else ''} to {placement}"
    return f"a value of {node.type}"


def _way(node: Call, source: FederatedType, to: Placement, hierarchy: Hierarchy) -> tuple[Placement, ...]:
    assert isinstance(node.function, Intrinsic)
    try:
        return hierarchy.path(source.placement, to)
    except PlacementError:
        raise CompileError(
            f"{to} is not above {source.placement} in {hierarchy}",
            where=f"{node.function.uri} of {source} to {to}",
            mend="an aggregate rises: name a placement above its source with to=",
        ) from None


def _ends(node: Call) -> tuple[FederatedType, FederatedType]:
    source = next(t for t in node.children()[-1].type.walk() if isinstance(t, FederatedType))
    assert isinstance(node.type, FederatedType)
    return source, node.type


def _aggregate(node: Call, hierarchy: Hierarchy) -> Node:
    source, result = _ends(node)
    way = _way(node, source, result.placement, hierarchy)
    x, zero, accumulate, merge, report = unpack(node.argument, 5)
    partial: Node = apply_intrinsic("hop_accumulate", (x, zero, accumulate), to=way[1])
    for above in way[2:]:
        partial = apply_intrinsic("hop_merge", (partial, zero, merge), to=above)
    return partial if is_identity(report) else apply_intrinsic("federated_map", (report, partial))


def _reduce(node: Call, hierarchy: Hierarchy) -> Node:
    """A reduce that `expand` left as it is cannot merge partials, and may cross one hop only."""
    source, result = _ends(node)
    _way(node, source, result.placement, hierarchy)
    bad = needs_merge(hierarchy, source.placement, result.placement)
    if bad is not None:
        raise bad
    return apply_intrinsic("hop_accumulate", unpack(node.argument, 3), to=result.placement)


def _broadcast(node: Call, hierarchy: Hierarchy) -> Node:
    source, result = _ends(node)
    try:
        way = hierarchy.path(result.placement, source.placement)
    except PlacementError:
        raise CompileError(
            f"{result.placement} is not below {source.placement} in {hierarchy}",
            where=f"federated_broadcast of {source} to {result.placement}",
            mend="a broadcast descends: name a placement below its source with to=",
        ) from None
    value: Node = unpack(node.argument, 1)[0]
    for below in reversed(way[:-1]):
        value = apply_intrinsic("hop_broadcast", (value,), to=below)
    return value
