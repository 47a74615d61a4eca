"""Builders of nodes: what tracing and the passes write programs with."""

from __future__ import annotations

from tierfed.errors import TypeMismatch
from tierfed.ir.nodes import (
    Call,
    Intrinsic,
    Lambda,
    Node,
    Reference,
    Selection,
    Struct,
    first_placed,
    free_names,
)
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, StructType, Type


def pack(arguments: tuple[Node, ...]) -> Node | None:
    """Return the one node that carries `arguments`: none, the one, or a struct of them."""
    if not arguments:
        return None
    return arguments[0] if len(arguments) == 1 else Struct(tuple((None, a) for a in arguments))


def unpack(argument: Node | None, count: int) -> tuple[Node, ...]:
    """Return the `count` nodes that `pack` packed."""
    if argument is None:
        return ()
    if count == 1:
        return (argument,)
    if isinstance(argument, Struct):
        return argument.children()
    return tuple(Selection(argument, i) for i in range(count))


def apply_intrinsic(uri: str, arguments: tuple[Node, ...], to: Placement | None = None) -> Call:
    """Return the call of the intrinsic `uri`; its type rule and the rules for functions are checked.

    Raises TypeMismatch.
    """
    from tierfed.ir.intrinsics import operator  # the table's expansions are written with these builders

    for argument in arguments:
        if isinstance(argument.type, FunctionType):
            if uri == "federated_iterate":
                closed(argument, uri)
            else:
                _local_function(argument, uri, arguments)
    t = operator(uri).type_of(tuple(a.type for a in arguments), to)
    return Call(Intrinsic(uri, t), pack(arguments))


def _local_function(fn: Node, uri: str, arguments: tuple[Node, ...]) -> None:
    """Raise TypeMismatch if a function given to an intrinsic, one of its `arguments`, touches anything placed."""
    placed = first_placed(fn.body if isinstance(fn, Lambda) else fn)
    if placed is None:
        return
    name = argument_name(uri, arguments, fn)
    placed = _captured(fn) or placed
    while isinstance(placed, Struct):  # name what is placed, and not the struct that it was put in
        placed = next(found for part in placed.children() if (found := first_placed(part)) is not None)
    if isinstance(placed, Reference | Selection):
        called = "y" if isinstance(placed, Reference) or placed.name is None else placed.name
        here = next((a.type.placement for a in arguments if isinstance(a.type, FederatedType)), None)
        there = placed.type.placement if isinstance(placed.type, FederatedType) else None
        if here == there:
            moved = called
        else:  # which stands above is not known yet, but nothing stands above a singleton such as SERVER
            moved = f"an aggregate of {called}" if here and here.singleton else f"tierfed.federated_broadcast({called})"
        raise TypeMismatch(
            f"{name} works on one member's value, and captures {called}, which is placed: {placed.type}",
            where=uri,
            mend=f"make it part of the value, (value, {moved}), and a parameter of {name}",
        )
    inner = next((n for n in placed.walk() if isinstance(n, Intrinsic) and n.type.contains(FederatedType)), placed)
    raise TypeMismatch(
        f"{name} works on one member's value, and computes {inner.uri if isinstance(inner, Intrinsic) else 'a value'}, "
        f"which is placed: {placed.type}",
        where=uri,
        mend="compute it before, and make it part of the value: (value, tierfed.federated_broadcast(y))",
    )


def argument_name(uri: str, arguments: tuple[Node, ...], argument: Node) -> str:
    """Return what the callable of an intrinsic calls one of its arguments."""
    from tierfed.ir.intrinsics import TABLE

    names = [p.name for p in TABLE[uri].parameters]
    return names[next(i for i, a in enumerate(arguments) if a is argument)]


def closed(step: Node, uri: str) -> None:
    """Raise TypeMismatch if `step`, which may compute with placed values, uses one that is not its parameter's."""
    for name, t in free_names(step).items():
        if t.contains(FederatedType) and not isinstance(t, FunctionType):
            raise TypeMismatch(
                f"the step uses {name} from outside, which is placed: {t}", where=uri, mend="pass it as data="
            )


def _captured(fn: Node) -> Node | None:
    """Return the placed value from outside that `fn` selects from or computes with, as in `lambda v: v + y`.

    None if there is none, or if `fn` calls more of the placed operators than selection and arithmetic do.
    """
    parts = tuple(fn.walk())
    called = {n.uri for n in parts if isinstance(n, Intrinsic) and n.type.contains(FederatedType)}
    if not called <= {"federated_map", "federated_zip"}:
        return None
    free = free_names(fn)
    return next((n for n in parts if isinstance(n.type, FederatedType) and _root(n) in free), None)


def _root(node: Node) -> str | None:
    """Return the name that `node` selects from, None if it is no selection from a name."""
    while isinstance(node, Selection):
        node = node.source
    return node.name if isinstance(node, Reference) else None


def local(uri: str, t: FunctionType) -> Intrinsic:
    """Return a local operator as a function."""
    return Intrinsic(uri, t)


def generic(uri: str, t: Type) -> Intrinsic:
    """Return a binary `generic_*` operator at `t`, a function of `<t,t>`."""
    return Intrinsic(uri, FunctionType(StructType((t, t)), t))


def zero_node(t: Type) -> Call:
    """Return the zero of `t` as a node."""
    return Call(Intrinsic("generic_zero", FunctionType(None, t)))


def identity(t: Type) -> Lambda:
    """Return `(x -> x)` on `t`."""
    return Lambda("x", t, Reference("x", t))


def is_identity(fn: Node) -> bool:
    """Return whether `fn` is written `(x -> x)`."""
    return isinstance(fn, Lambda) and isinstance(fn.body, Reference) and fn.body.name == fn.parameter
