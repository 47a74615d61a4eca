"""The reference engine: each call is computed by itself, by the meaning of its function.

    call(f, x)  is  f's value applied to x's value

There is no program: functions are held as callables, as the reference interpreter holds them, and
each call is one application, in the order in which calls need one another.  So it shares
nothing with `composed` but the steps, and the two are held to each other.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from tierfed.backends.executor.steps import Called, uncomputed, value_of
from tierfed.backends.local.blas import one_thread
from tierfed.backends.local.interpret import Interpreter, Provide
from tierfed.ir.evaluate import evaluate
from tierfed.ir.intrinsics.operator import per_member
from tierfed.ir.loosen import differs
from tierfed.ir.nodes import Node
from tierfed.language.arguments import brought
from tierfed.leaves import load
from tierfed.placements import Tree
from tierfed.types import FederatedType, FunctionType, StructType, Type


class Reference:
    """Computes by the reference interpreter on `tree`; `provide` gives what its members have."""

    def __init__(self, tree: Tree, provide: Provide | None = None) -> None:
        self._world = Interpreter(tree, provide)
        self._lock = threading.Lock()  # several threads may compute: each call is computed by one

    async def settle(self, wanted: list[Called]) -> None:
        """Give each of these calls its result, in a thread, so the loop goes on."""
        if uncomputed(wanted):
            await asyncio.to_thread(self._settle, wanted)

    def _settle(self, wanted: list[Called]) -> None:
        with self._lock, one_thread():
            for called in uncomputed(wanted):
                called.settle(self._applied(called))

    def _applied(self, called: Called) -> Any:
        assert called.function is not None
        t = called.function.type
        assert isinstance(t, FunctionType)
        function = value_of(called.function, self._meaning)
        if called.argument is None or t.parameter is None:
            return function()
        argument = brought(value_of(called.argument, self._meaning), called.argument.type)
        return function(_as(argument, called.argument.type, t.parameter, self._world.tree))

    def _meaning(self, node: Node) -> Any:
        return evaluate(node, {}, load, self._world)


def _as(value: Any, source: Type, target: Type, tree: Tree) -> Any:
    """Return a held value of `source` in the form that a value of `target` is held in."""
    if not differs(target, source):
        return value
    match source, target:
        case FederatedType(), FederatedType():
            return per_member(value, source, tree)
        case StructType(), StructType():
            parts = zip(value, source.parts(), target.parts(), strict=True)
            return tuple(_as(v, s, t, tree) for v, s, t in parts)
        case FunctionType(parameter=None), FunctionType():
            return lambda: _as(value(), source.result, target.result, tree)
        case FunctionType(parameter=Type() as taken), FunctionType(parameter=Type() as given):
            return lambda x: _as(value(_as(x, given, taken, tree)), source.result, target.result, tree)
    raise AssertionError(f"{target} <- {source}")
