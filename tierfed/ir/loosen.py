"""Loosen: one value for all becomes one a member where such is expected.

    f : ({int32}@CLIENTS -> int32@SERVER)      x : int32@CLIENTS

`f(x)` is well typed, `{T}@P` being assignable from `T@P`.  But what is all-equal is held as one
value, and what is not as one a member, so a call means the right thing only with the
conversion written down:

    f(federated_map((p -> p[0]),federated_zip(<x>)))

which is what tracing writes, since a zip is never all-equal.  `loosen` writes it into a program
that was not traced here; a program without such calls stays as it is.
"""

from __future__ import annotations

import itertools

from tierfed.errors import TypeMismatch
from tierfed.ir.build import apply_intrinsic
from tierfed.ir.nodes import Block, Call, Lambda, Node, Reference, Selection, Struct, free_names, transformed
from tierfed.types import FederatedType, FunctionType, StructType, Type


def loosen(program: Node) -> Node:
    """Return `program` with the argument of every call held as the function that is called expects it.

    Raises TypeMismatch for a conversion that cannot be written.
    """
    return transformed(program, _call)


def _call(node: Node) -> Node:
    if not isinstance(node, Call) or node.argument is None:
        return node
    t = node.function.type
    assert isinstance(t, FunctionType) and t.parameter is not None
    argument = loosened(node.argument, t.parameter)
    return node if argument is node.argument else Call(node.function, argument)


def differs(target: Type, source: Type) -> bool:
    """Return whether a value of `source`, assignable to `target`, is held in another form than one of `target`."""
    match target, source:
        case FederatedType(), FederatedType():
            return target.all_equal != source.all_equal
        case StructType(), StructType():
            return any(differs(t, s) for t, s in zip(target.parts(), source.parts(), strict=True))
        case FunctionType(), FunctionType():
            taken = (
                target.parameter is not None
                and source.parameter is not None
                and differs(source.parameter, target.parameter)
            )
            return taken or differs(target.result, source.result)
    return False


def loosened(node: Node, target: Type) -> Node:
    """Return `node`, assignable to `target`, in the form that a value of `target` is held in.

    Raises TypeMismatch for `{T}@Q` at a singleton, where nothing makes such a value of a `T@Q`.
    """
    source = node.type
    if not differs(target, source):
        return node
    match target, source:
        case FederatedType(), FederatedType():
            return _spread(node, target)
        case StructType(), StructType() if isinstance(node, Struct):
            parts = (loosened(p, t) for p, t in zip(node.children(), target.parts(), strict=True))
            return Struct(tuple(zip(source.names, parts, strict=True)), node.container)
        case StructType(), StructType():
            whole = Reference("s", source)
            parts = (loosened(Selection(whole, i), t) for i, t in enumerate(target.parts()))
            return Block((("s", node),), Struct(tuple(zip(source.names, parts, strict=True)), source.container))
        case FunctionType(), FunctionType():
            return _wrapped(node, target, source)
    raise AssertionError(f"{target} <- {source}")


def _spread(node: Node, target: FederatedType) -> Node:
    if target.placement.singleton:
        raise TypeMismatch(
            f"a value of {node.type} stands where {target} is expected",
            where="call",
            mend=f"declare it all-equal, as what stands at {target.placement} is: {target.member}@{target.placement}",
        )
    alone = apply_intrinsic("federated_zip", (Struct(((None, node),)),))
    assert isinstance(alone.type, FederatedType)
    x = Reference("p", alone.type.member)
    return apply_intrinsic("federated_map", (Lambda("p", x.type, Selection(x, 0)), alone))


def _wrapped(node: Node, target: FunctionType, source: FunctionType) -> Node:
    """Return a function of `target` that calls `node`."""
    if target.parameter is None or source.parameter is None:
        return Lambda(None, None, loosened(Call(node), target.result))
    taken = free_names(node)
    name = next(n for i in itertools.count() if (n := f"p{i}") not in taken)
    called = Call(node, loosened(Reference(name, target.parameter), source.parameter))
    return Lambda(name, target.parameter, loosened(called, target.result))
