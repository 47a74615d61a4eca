"""Evaluate: what a node means, given the values of its free names.

The one evaluator of expressions: the reference interpreter gives it a `World`, so that
federated operators have their meaning; a daemon gives it none, and it evaluates the local
expressions of a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

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
from tierfed.types import FunctionType, StructType
from tierfed.user_line import tell_line


class Leaves(Protocol):
    """Where local computations are found."""

    def __call__(self, leaf: Compiled) -> Callable[..., Any]:
        """Return the leaf as a function of one held value (of none, if it takes none)."""


class DataWorld(World, Protocol):
    """A world that has data."""

    def data(self, node: Data) -> Any:
        """Return the held federated value that `node` names."""


class Function:
    """A function as a value: its node, and the values of the names around it."""

    __slots__ = ("_leaves", "_world", "names", "node")

    def __init__(self, node: Node, names: Mapping[str, Any], leaves: Leaves, world: DataWorld | None) -> None:
        self.node = node
        self.names = names
        self._leaves = leaves
        self._world = world

    def __call__(self, *argument: Any) -> Any:
        """Return the held result at a held argument, if the function takes one."""
        node = self.node
        if isinstance(node, Lambda):
            names = self.names if node.parameter is None else {**self.names, node.parameter: argument[0]}
            return evaluate(node.body, names, self._leaves, self._world)
        if isinstance(node, Intrinsic):
            return _apply(node.uri, node.of, argument, self._world)
        assert isinstance(node, Compiled)
        return self._leaves(node)(*argument)


def evaluate(node: Node, names: Mapping[str, Any], leaves: Leaves, world: DataWorld | None = None) -> Any:
    """Return the held value of `node`, its free names being `names`."""
    return _MEANINGS[type(node)](node, names, leaves, world)


_Names: TypeAlias = Mapping[str, Any]
_World: TypeAlias = DataWorld | None


def _struct(node: Struct, names: _Names, leaves: Leaves, world: _World) -> Any:
    return tuple([evaluate(e, names, leaves, world) for _, e in node.elements])


def _block(node: Block, names: _Names, leaves: Leaves, world: _World) -> Any:
    inner = dict(names)
    for name, value in node.bindings:
        inner[name] = evaluate(value, inner, leaves, world)
    return evaluate(node.result, inner, leaves, world)


def _call(node: Call, names: _Names, leaves: Leaves, world: _World) -> Any:
    function, argument = node.function, node.argument
    if not isinstance(function, Intrinsic):
        f = evaluate(function, names, leaves, world)
        return f() if argument is None else f(evaluate(argument, names, leaves, world))
    values = () if argument is None else (evaluate(argument, names, leaves, world),)
    try:
        return _apply(function.uri, function.of, values, world)
    except CompileError as bad:  # a program that does not fit its tree
        tell_line(bad, node.line)
        raise


def _data(node: Data, names: _Names, leaves: Leaves, world: _World) -> Any:
    if world is None:
        raise TypeMismatch(f"{node} is placed, and has no value in a local expression", where="evaluate")
    return world.data(node)


_MEANINGS: Mapping[type[Node], Callable[[Any, _Names, Leaves, _World], Any]] = {
    Reference: lambda node, names, leaves, world: names[node.name],
    Struct: _struct,
    Selection: lambda node, names, leaves, world: evaluate(node.source, names, leaves, world)[node.index],
    Literal: lambda node, names, leaves, world: node.value,
    Block: _block,
    Call: _call,
    Lambda: Function,
    Intrinsic: Function,
    Compiled: Function,
    Data: _data,
    PlacementLiteral: lambda node, names, leaves, world: node.placement,
}


def _apply(uri: str, t: FunctionType, values: tuple[Any, ...], world: World | None) -> Any:
    """Return the meaning of an intrinsic at its packed argument."""
    op = operator(uri)
    if len(op.parameters) > 1 and isinstance(t.parameter, StructType) and len(t.parameter) > 1:
        values = values[0]
    return op.meaning(world, values, t)
