"""From a program and a hierarchy to slices: normalise, expand, climb, fuse, slice.

Each pass is a function of its own, `(program, hierarchy) -> program`, and the whole is checked
again after each.
"""

from __future__ import annotations

from tierfed.compiler.climb import climb
from tierfed.compiler.expand import expand
from tierfed.compiler.fit import fit_tiers
from tierfed.compiler.fuse import fuse
from tierfed.compiler.normalise import normalise
from tierfed.compiler.serialize import slices_hash
from tierfed.compiler.slice import slice_program
from tierfed.compiler.slices import Compiled, Slice
from tierfed.errors import CompileError
from tierfed.ir.check import check
from tierfed.ir.intrinsics.secure import refuse_secure
from tierfed.ir.nodes import Lambda, Node
from tierfed.language.computation import Computation
from tierfed.placements import Hierarchy
from tierfed.user_line import tell_line

__all__ = ["Compiled", "Slice", "climbed", "compile", "lowered"]


def climbed(program: Node, hierarchy: Hierarchy) -> Lambda:
    """Return `program` in normal form and made of hops, which means the same on any tree of `hierarchy`."""
    refuse_secure(program)
    flat = check(normalise(program))
    fit_tiers(flat, hierarchy)
    expanded = check(normalise(check(expand(flat))))
    hops = check(normalise(check(climb(expanded, hierarchy))))
    assert isinstance(hops, Lambda)
    return hops


def lowered(program: Node, hierarchy: Hierarchy) -> Lambda:
    """Return `program` as it is sliced: made of hops, and its neighbouring maps fused."""
    fused = check(fuse(climbed(program, hierarchy), hierarchy))
    assert isinstance(fused, Lambda)
    return fused


def compile(
    program: Computation | Node,
    hierarchy: Hierarchy,
    *,
    recalled: frozenset[str] = frozenset(),
    keep: bool = True,
) -> Compiled:
    """Return `program` sliced for `hierarchy`; `str` of it shows the slices.

    Results placed below the root stay there, unless `keep` is off: then they are brought to the
    root.  `recalled` names arguments, `arg.0`, that stayed at their members after an earlier
    call, and `arg.0.default` for one with a default.

    Raises CompileError where the program does not fit the hierarchy.

    >>> @tierfed.federated_computation("{int32}@CLIENTS")
    ... def total(x):
    ...     return tierfed.federated_sum(x)
    >>> compiled = tierfed.compile(total, tierfed.Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS"))
    >>> [str(p) for p in compiled.slices]
    ['SERVER', 'EDGE_AGGREGATORS', 'CLIENTS']
    """
    node = program.node if isinstance(program, Computation) else program
    try:
        hops = lowered(node, hierarchy)
        slices = slice_program(hops, hierarchy, recalled, keep)
    except CompileError as bad:  # a call tells its own line; what is of no call, the program's
        tell_line(bad, program.line if isinstance(program, Computation) else None)
        raise
    return Compiled(hops, hierarchy, slices, slices_hash(hierarchy, slices))
