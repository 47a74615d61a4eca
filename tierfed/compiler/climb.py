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

from tierfed.compiler.fit import called_uri, ends_of, fit_tiers
from tierfed.ir.build import apply_intrinsic, is_identity, unpack
from tierfed.ir.nodes import Call, Node, transformed, written_at
from tierfed.placements import Hierarchy


def climb(program: Node, hierarchy: Hierarchy) -> Node:
    """Return `program` with every aggregate and broadcast split at the tiers it crosses.

    The type of the program is unchanged, and climbing twice is climbing once.

    Raises CompileError as `fit_tiers` does.
    """
    fit_tiers(program, hierarchy)

    def hops(node: Node) -> Node:
        split = _SPLIT.get(called_uri(node))
        if split is None or not isinstance(node, Call):
            return node
        return written_at(split(node, hierarchy), node.line)

    return transformed(program, hops)


def _aggregate(node: Call, hierarchy: Hierarchy) -> Node:
    source, result = ends_of(node)
    way = hierarchy.path(source.placement, result.placement)
    x, zero, accumulate, merge, report = unpack(node.argument, 5)
    partial: Node = apply_intrinsic("hop_accumulate", (x, zero, accumulate), to=way[1])
    for above in way[2:]:
        partial = apply_intrinsic("hop_merge", (partial, zero, merge), to=above)
    return partial if is_identity(report) else apply_intrinsic("federated_map", (report, partial))


def _reduce(node: Call, hierarchy: Hierarchy) -> Node:
    """A reduce that `expand` left as it is cannot merge partials, and may cross one hop only."""
    return apply_intrinsic("hop_accumulate", unpack(node.argument, 3), to=ends_of(node)[1].placement)


def _broadcast(node: Call, hierarchy: Hierarchy) -> Node:
    source, result = ends_of(node)
    way = hierarchy.path(result.placement, source.placement)
    value: Node = unpack(node.argument, 1)[0]
    for below in reversed(way[:-1]):
        value = apply_intrinsic("hop_broadcast", (value,), to=below)
    return value


_SPLIT = {
    "federated_aggregate": _aggregate,
    "federated_reduce": _reduce,
    "federated_broadcast": _broadcast,
}
