"""Evaluate: what a node means, given the values of its free names.

The one evaluator of expressions: the reference interpreter gives it a `World`, so that
federated operators have their meaning; a daemon gives it none, and it evaluates the local
expressions of a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tierfed.errors import CompileError, TypeMismatch
from tierfed.ir.intrinsics import operator
from tierfed.ir.intrinsics.operator import World
from tierfed.ir.nodes import (
    Block,
    Call,
    Compiled,
    Data,
    Intrinsic,
    Lambda,
    Literal,
    Node,
    PlacementLiteral,
    Reference,
    Selection,
    Struct,
)
from tierfed.types import FunctionType
from tierfed.user_line import tell_line


class Leaves(Protocol):
    """Where local computations are found."""

    def __call__(self, leaf: Compiled) -> Callable[..., Any]:
        """Return the leaf as a function of one held value (of none, if it takes none)."""


class DataWorld(World, Protocol):
    """A world that has data."""

    def data(self, node: Data) -> Any:
        """Return the held federated value that `node` names."""


def evaluate(node: Node, names: Mapping[str, Any], leaves: Leaves, world: DataWorld | None = None) -> Any:
    """Return the held value of `node`, its free names being `names`."""
    match node:
        case Reference(name=name):
            return names[name]
        case Struct(elements=elements):
            return tuple([evaluate(e, names, leaves, world) for _, e in elements])
        case Selection(source=source, index=index):
            return evaluate(source, names, leaves, world)[index]
        case Literal():
            return node.value
        case Block(bindings=bindings, result=result):
            inner = dict(names)
            for name, value in bindings:
                inner[name] = evaluate(value, inner, leaves, world)
            return evaluate(result, inner, leaves, world)
        case Call(function=Intrinsic(uri=uri, of=t), argument=argument, line=line):
            values = () if argument is None else (evaluate(argument, names, leaves, world),)
            try:
                return _apply(uri, t, values, world)
            except CompileError as bad:  # a program that does not fit its tree
                tell_line(bad, line)
                raise
        case Call(function=function, argument=argument):
            f = evaluate(function, names, leaves, world)
            return f() if argument is None else f(evaluate(argument, names, leaves, world))
        case Lambda(parameter=None, body=body):
            return lambda: evaluate(body, names, leaves, world)
        case Lambda(parameter=str(parameter), body=body):
            return lambda value: evaluate(body, {**names, parameter: value}, leaves, world)
        case Intrinsic(uri=uri, of=t):
            return lambda *values: _apply(uri, t, values, world)
        case Compiled():
            return leaves(node)
        case Data():
            if world is None:
                raise TypeMismatch(f"{node} is placed, and has no value in a local expression", where="evaluate")
            return world.data(node)
        case PlacementLiteral(placement=placement):
            return placement
    raise AssertionError(type(node))


def _apply(uri: str, t: FunctionType, values: tuple[Any, ...], world: World | None) -> Any:
    """Return the meaning of an intrinsic at its packed argument."""
    op = operator(uri)
    if values and len(op.unpacked(t.parameter)) > 1:
        values = values[0]
    return op.meaning(world, values, t)
