"""GraphExecutor: the Executor interface over anything that can settle calls.

It keeps the graph of steps and asks its engine for results, `reference` or `composed`.  Values
know their executor, and what is disposed of, belongs to another, or outlived its executor is
refused by name.  Steps are only ever added, so `create_*` needs no lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tierfed.backends.executor.embedding import copied, embedded
from tierfed.backends.executor.interface import ExecutorValue
from tierfed.backends.executor.steps import (
    Called,
    Step,
    call,
    calls_in,
    described,
    hold,
    release,
    select,
    struct,
    value_of,
)
from tierfed.errors import NoSuchRun, TypeMismatch, ValueMismatch
from tierfed.ir.evaluate import evaluate
from tierfed.language.placed import Placed
from tierfed.leaves import load
from tierfed.placements import Tree
from tierfed.types import FederatedType, FunctionType, StructType, Type
from tierfed.types.containers import contained, fields_of, names_of
from tierfed.types.values import Struct, present


class Engine(Protocol):
    """What computes."""

    async def settle(self, wanted: list[Called]) -> None:
        """Give each of these calls its result."""


class GraphValue:
    """A value of a `GraphExecutor`."""

    __slots__ = ("__weakref__", "_executor", "_step")

    def __init__(self, executor: GraphExecutor, step: Step) -> None:
        self._executor = executor
        self._step: Step | None = step
        hold(calls_in(step), self)

    @property
    def type_signature(self) -> Type:
        """The type of the value."""
        return self._executor.step_of(self, "type_signature").type

    async def compute(self) -> Any:
        """Return the value as users see it; see `ExecutorValue`."""
        return await self._executor.computed(self)

    def dispose(self) -> None:
        """Forget the step."""
        if self._step is not None:
            release(calls_in(self._step), self)
        self._step = None

    def __repr__(self) -> str:
        return f"<{'disposed of' if self._step is None else described(self._step)} in {self._executor!r}>"


class GraphExecutor:
    """See the module docstring; `tree` says how many members there are, `engine` computes."""

    def __init__(self, tree: Tree, engine: Engine) -> None:
        self.tree = tree
        self._engine = engine
        self._closed = False

    async def create_value(self, value: Any, type: Any = None) -> GraphValue:
        """Return `value` embedded, at `type`; see `Executor`."""
        self._check_open("create_value")
        return GraphValue(self, embedded(value, type, self.tree))

    async def create_call(self, function: ExecutorValue, argument: ExecutorValue | None = None) -> GraphValue:
        """Return the call of `function`; raises TypeMismatch if it does not take `argument`."""
        where = "create_call"
        return GraphValue(
            self, call(self.step_of(function, where), None if argument is None else self.step_of(argument, where))
        )

    async def create_struct(
        self, elements: Mapping[str, ExecutorValue] | Sequence[ExecutorValue | tuple[str | None, ExecutorValue]]
    ) -> GraphValue:
        """Return the struct of `elements`, which comes back in the container that they are given in."""
        rows, container = _rows(elements)
        return GraphValue(self, struct(((n, self.step_of(v, "create_struct")) for n, v in rows), container))

    async def create_selection(self, source: ExecutorValue, key: int | str) -> GraphValue:
        """Return the element of `source` at a position or of a name; raises TypeMismatch if there is none."""
        return GraphValue(self, select(self.step_of(source, "create_selection"), key))

    async def computed(self, value: ExecutorValue) -> Any:
        """Return what `value` is, as users see it; `value.compute()` is this."""
        step = self.step_of(value, "compute")
        if step.type.contains(FunctionType):
            raise TypeMismatch(
                f"a value of {step.type} is or holds a function, and is not computed",
                where="compute",
                mend="call it with create_call, and compute the call",
            )
        await self._engine.settle(calls_in(step))
        held = await _brought(value_of(step, lambda node: evaluate(node, {}, load)), step.type)
        return _presented(copied(held), step.type)

    def dispose(self, value: ExecutorValue) -> None:
        """Let go of `value`; what was made of it stays.  Disposing twice is disposing once."""
        self._own(value, "dispose").dispose()

    def close(self) -> None:
        """Let go of every value; the executor is used no more."""
        self._closed = True

    def step_of(self, value: ExecutorValue, where: str) -> Step:
        """Return the step that `value` stands for.

        Raises NoSuchRun once the executor is closed, ValueMismatch for a value of another executor
        or one that was disposed of.
        """
        self._check_open(where)
        step = self._own(value, where)._step
        if step is None:
            raise ValueMismatch("the value was disposed of", where=where, mend="dispose of it after its last use")
        return step

    def _own(self, value: ExecutorValue, where: str) -> GraphValue:
        if not isinstance(value, GraphValue):
            raise ValueMismatch(
                f"expected a value of this executor, got {type(value).__name__}",
                where=where,
                mend="embed it first: await executor.create_value(value, type)",
            )
        if value._executor is not self:
            raise ValueMismatch(
                f"the value belongs to another executor, {value._executor!r}",
                where=where,
                mend="compute it there, and embed the result here",
            )
        return value

    def _check_open(self, where: str) -> None:
        if self._closed:
            raise NoSuchRun("the executor is closed", where=where, mend="take another one: factory.create_executor(…)")

    def __repr__(self) -> str:
        return f"<executor on {self.tree!r}>"


async def _brought(held: Any, t: Type) -> Any:
    """Return a held value of `t` with what its handles stand for."""
    if isinstance(held, Placed):
        await held.afetch()
        return held.held()
    if isinstance(t, StructType) and t.contains(FederatedType):
        return tuple([await _brought(v, e) for v, e in zip(held, t.parts(), strict=True)])
    return held


def _presented(held: Any, t: Type) -> Any:
    """Return a held value of `t` as it was given, or might have been: a list for `{T}@P`."""
    if isinstance(t, FederatedType):
        return present(held, t.member) if t.all_equal else [present(v, t.member) for v in held]
    if isinstance(t, StructType) and t.contains(FederatedType):
        parts = [_presented(v, e) for v, e in zip(held, t.parts(), strict=True)]
        return contained(t.names, parts, t.container)
    return present(held, t)


def _rows(elements: Any) -> tuple[list[tuple[str | None, ExecutorValue]], Any]:
    """Return names, values and the container of what was given as a struct."""
    if isinstance(elements, Mapping):
        return list(elements.items()), type(elements)
    if isinstance(elements, Struct):
        return list(zip(names_of(elements), elements, strict=True)), None
    if (fields := fields_of(type(elements))) is not None:
        return [(f, getattr(elements, f)) for f in fields], type(elements)
    if not isinstance(elements, list | tuple):
        raise TypeMismatch(
            f"a {type(elements).__name__} makes no struct",
            where="create_struct",
            mend="pass a list, a tuple, a dict, or (name, value) pairs",
        )
    if elements and all(isinstance(e, tuple) and len(e) == 2 for e in elements):
        return list(elements), None
    return [(None, e) for e in elements], type(elements)
