"""The reference interpreter: what a program means on a tree.

    interpret(program, argument, tree)

It evaluates the program as it was traced.  There are no slices, no codecs and no network,
so it is short enough to be believed, and every other backend is held to it.  It is a function
of program, argument, tree and data: it folds along the given tree, so float results on two
trees may differ by reassociation, and integer results do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from tierfed.backends.local.blas import one_thread
from tierfed.backends.local.prepared import prepare
from tierfed.errors import DataError
from tierfed.ir.evaluate import evaluate
from tierfed.ir.nodes import Data, Node
from tierfed.leaves import load
from tierfed.placements import Member, Tree
from tierfed.types import FederatedType, FunctionType, Type
from tierfed.types.values import check

Provide: TypeAlias = Callable[[str, Type, Member], Any]
"""What a member has under a URI, at a type; as the user's provider gives it."""


class Interpreter:
    """The world that federated operators have their meaning in."""

    def __init__(self, tree: Tree, provide: Provide | None = None) -> None:
        self._tree = tree
        self._provide = provide

    @property
    def tree(self) -> Tree:
        """The members."""
        return self._tree

    def data(self, node: Data) -> Any:
        """Return what each member has under the URI of `node`, in member order."""
        t = node.of
        assert isinstance(t, FederatedType)
        if self._provide is None:
            raise DataError(
                f"the program reads {node.uri!r} at {t.placement}, and no data was given",
                where="federated_data",
                mend="use `with tierfed.local(topology=…, data=…)`, or a topology whose job names its data",
            )
        values = tuple(
            check(self._provide(node.uri, t.member, m), t.member, f"data {node.uri!r} of {m.name}")
            for m in self.tree.members(t.placement)
        )
        return values[0] if t.all_equal else values


def interpret(program: Node, argument: Any, tree: Tree, provide: Provide | None = None) -> Any:
    """Return the held result of `program` at the held `argument` on `tree`."""
    t = program.type
    assert isinstance(t, FunctionType)
    world = Interpreter(tree, provide)
    if prepare(program).has_leaves:
        with one_thread():
            return _run(program, argument, t, world)
    return _run(program, argument, t, world)


def _run(program: Node, argument: Any, t: FunctionType, world: Interpreter) -> Any:
    f = evaluate(program, {}, load, world)
    return f() if t.parameter is None else f(argument)
