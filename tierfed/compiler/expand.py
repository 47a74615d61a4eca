"""Expand: derived intrinsics become the few that `climb` knows.

    federated_mean[SERVER](x)

becomes

    mean_report of federated_aggregate[SERVER](map[mean_prepare](x), zero, plus, plus, identity)

Each derived intrinsic carries its own expansion, beside its meaning, in its file.  Sound
because every expansion computes, operation by operation, what its intrinsic means; the
property tests hold both to the same bits.
"""

from __future__ import annotations

from tierfed.ir.build import unpack
from tierfed.ir.intrinsics import operator
from tierfed.ir.nodes import Call, Intrinsic, Node, transformed, written_at


def expand(program: Node) -> Node:
    """Return `program` without derived intrinsics; expanding twice is expanding once."""
    return transformed(program, _expanded)


def _expanded(node: Node) -> Node:
    if not (isinstance(node, Call) and isinstance(node.function, Intrinsic)):
        return node
    op = operator(node.function.uri)
    if op.expand is None:
        return node
    arguments = unpack(node.argument, len(op.unpacked(node.function.of.parameter)))
    written = op.expand(arguments, node.function.of)
    return node if written == node else transformed(written_at(written, node.line), _expanded)
