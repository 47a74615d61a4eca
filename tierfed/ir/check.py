"""The checker: is this a program?

Nodes check their own shape when they are made.  What needs more than one node is checked
here: every name is bound where it is used, at the type it is used at; every intrinsic is in
the table, at a type that its rule allows; no function given to an intrinsic touches anything
placed; no raw data rises one by one (`raw_data`).  It runs on whatever comes off a wire, and after every pass.

An error prints the neighbourhood of the failing node:

    in (let a=federated_map(…) in >>federated_sum[SERVER](a)<<): …
"""

from __future__ import annotations

from collections.abc import Mapping

from tierfed.errors import TypeMismatch
from tierfed.ir.build import closed
from tierfed.ir.intrinsics import operator
from tierfed.ir.nodes import Block, Call, Data, Intrinsic, Lambda, Node, Reference, Struct, first_placed, shortened
from tierfed.ir.raw_data import refuse_raw
from tierfed.types import FederatedType, Type

_MAX_DEPTH = 400


def check(program: Node, bound: Mapping[str, Type] | None = None) -> Node:
    """Return `program` if it is well formed, with the names in `bound` free.

    Raises TypeMismatch that shows the failing node between >> and << within its parent.
    """
    _check(program, dict(bound or {}), None, 0)
    refuse_raw(program)
    return program


def _check(node: Node, bound: dict[str, Type], parent: Node | None, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise TypeMismatch(f"a program nested deeper than {_MAX_DEPTH}", where="check", mend="name parts of it")
    try:
        _check_one(node, bound)
    except TypeMismatch as bad:
        if bad.where and bad.where.startswith("in "):
            raise
        what = bad.what if not bad.where else f"{bad.where}: {bad.what}"
        raise TypeMismatch(what, where=f"in {_neighbourhood(node, parent)}", mend=bad.mend) from None
    match node:
        case Lambda(parameter=str(name), parameter_type=t, body=body) if t is not None:
            _check(body, {**bound, name: t}, node, depth + 1)
        case Block(bindings=bindings, result=result):
            inner = dict(bound)
            for name, value in bindings:
                _check(value, inner, node, depth + 1)
                inner[name] = value.type
            _check(result, inner, node, depth + 1)
        case _:
            for child in node.children():
                _check(child, bound, node, depth + 1)


def _check_one(node: Node, bound: dict[str, Type]) -> None:
    match node:
        case Reference(name=name, of=t):
            if name not in bound:
                raise TypeMismatch(f"{name} is bound nowhere", mend="bind it with a let or a parameter around its use")
            if bound[name] != t:
                raise TypeMismatch(f"{name} is used as {t}, and bound as {bound[name]}", mend="use it as it is bound")
        case Data(of=t) if not isinstance(t, FederatedType):
            raise TypeMismatch(f"data of type {t} is placed nowhere", mend="say where it is: {T}@P")
        case Intrinsic(uri=uri, of=t):
            if not operator(uri).fits(t):
                raise TypeMismatch(f"{uri} cannot be of type {t}", mend=f"its signature is {operator(uri).signature}")
        case Call(function=Intrinsic(uri="federated_iterate" as uri), argument=Struct() as argument):
            closed(argument.children()[0], uri)
        case Call(function=Intrinsic(uri=uri), argument=argument) if argument is not None:
            for part in (argument, *argument.children()):
                placed = first_placed(part.body) if isinstance(part, Lambda) else None
                if placed is not None:
                    raise TypeMismatch(
                        f"the function given to {uri} contains {shortened(placed)} of type {placed.type}",
                        mend="a function given to an intrinsic works on one member's value",
                    )


def _neighbourhood(node: Node, parent: Node | None) -> str:
    """Return the parent's text with the failing node between >> and <<, cut to a line."""
    inner = shortened(node, 80)
    if parent is None:
        return f">>{inner}<<"
    whole = str(parent)
    at = whole.find(str(node))
    if at < 0:
        return f">>{inner}<<"
    before, after = whole[max(0, at - 40) : at], whole[at + len(str(node)) :][:40]
    return f"{'…' if at > 40 else ''}{before}>>{inner}<<{after}{'…' if len(after) == 40 else ''}"
