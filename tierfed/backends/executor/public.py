"""Executors as federated-language asks for them, so that its own contexts run on any tree.

    factory = tierfed.executor_factory(tree, for_="federated-language")
    fl.framework.set_default_context(fl.framework.SyncExecutionContext(executor_fn=factory))
    get_average_temperature([68.5, 70.3, 69.8])          # written with fl, run on the tree's daemons

The interface is the same on both sides, value by value.  What differs is the vocabulary: types and
computations come as that package's objects and are read from their serialized form, placements go
by name, and structs are its `Struct` on the way in and out.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from tierfed.backends.executor.interface import Executor, ExecutorFactory, ExecutorValue
from tierfed.errors import TypeMismatch
from tierfed.ir.proto import type_from_bytes
from tierfed.placements import Placement
from tierfed.types import FederatedType, SequenceType, StructType, Type
from tierfed.types.values import Struct


class PublicFactory:
    """Wraps the executors of a factory, each once."""

    def __init__(self, factory: ExecutorFactory) -> None:
        self._factory = factory
        self._structure = _structure()

    def create_executor(self, cardinalities: Mapping[Any, int]) -> PublicExecutor:
        """Return the executor of so many members at each of its placements."""
        return PublicExecutor(self._factory.create_executor(_named(cardinalities)), self._structure)

    def clean_up_executor(self, cardinalities: Mapping[Any, int]) -> None:
        """Close the executor of these cardinalities."""
        self._factory.clean_up_executor(_named(cardinalities))

    def clean_up_executors(self) -> None:
        """Close every executor."""
        self._factory.clean_up_executors()


class PublicExecutor:
    """An executor that is told types and computations in the other package's words."""

    def __init__(self, executor: Executor, structure: Any) -> None:
        self._executor = executor
        self._structure = structure

    async def create_value(self, value: Any, type_spec: Any = None) -> PublicValue:
        """Return `value` embedded; a computation stands for itself."""
        if hasattr(value, "to_building_block"):
            data = value.to_building_block().to_proto().SerializeToString()
            return self._made(await self._executor.create_value(data), value.type_signature)
        if type_spec is None:
            raise TypeMismatch("a value without its type", where="create_value", mend="pass type_spec")
        t = type_from_bytes(type_spec.to_proto().SerializeToString())
        return self._made(await self._executor.create_value(self._taken(value, t), t), type_spec)

    async def create_call(self, comp: PublicValue, arg: PublicValue | None = None) -> PublicValue:
        """Return the call of `comp`."""
        called = await self._executor.create_call(comp.inner, None if arg is None else arg.inner)
        return self._made(called, comp.type_signature.result)

    async def create_struct(self, elements: Any) -> PublicValue:
        """Return the struct of what a `Struct`, a mapping or a sequence has."""
        rows = self._structure.to_elements(self._structure.from_container(elements))
        made = await self._executor.create_struct([(name, value.inner) for name, value in rows])
        return self._made(made, _type_of([(n, v.type_signature) for n, v in rows]))

    async def create_selection(self, source: PublicValue, index: int) -> PublicValue:
        """Return the element of `source` at `index`."""
        return self._made(await self._executor.create_selection(source.inner, index), source.type_signature[index])

    def close(self) -> None:
        """Let go of every value."""
        self._executor.close()

    def _made(self, inner: ExecutorValue, type_spec: Any) -> PublicValue:
        return PublicValue(inner, type_spec, self._structure)

    def _taken(self, value: Any, t: Type) -> Any:
        """Return a value with that package's structs as ours."""
        match t:
            case FederatedType() if t.all_equal:
                return self._taken(value, t.member)
            case FederatedType(member=part) | SequenceType(element=part) if isinstance(value, list | tuple):
                return [self._taken(v, part) for v in value]
            case StructType() if isinstance(value, self._structure.Struct):
                rows = self._structure.to_elements(value)
                names = t.names if all(n is None for n, _ in rows) else tuple(n for n, _ in rows)
                return Struct(names, tuple(self._taken(v, e) for (_, v), e in zip(rows, t.parts(), strict=True)))
            case StructType() if isinstance(value, list | tuple) and type(value) in (list, tuple):
                if len(value) == len(t):
                    return type(value)(self._taken(v, e) for v, e in zip(value, t.parts(), strict=True))
        return value


class PublicValue:
    """A value in such an executor: `type_signature` is that package's."""

    def __init__(self, inner: ExecutorValue, type_spec: Any, structure: Any) -> None:
        self.inner = inner
        self._type = type_spec
        self._structure = structure

    @property
    def type_signature(self) -> Any:
        """The type of the value, in that package's words."""
        return self._type

    @property
    def reference(self) -> ExecutorValue:
        """The value that this stands for."""
        return self.inner

    async def compute(self) -> Any:
        """Return the value, with structs as that package's `Struct`."""
        return self._given(await self.inner.compute(), self.inner.type_signature)

    def _given(self, value: Any, t: Type) -> Any:
        match t:
            case FederatedType() if t.all_equal:
                return self._given(value, t.member)
            case FederatedType(member=part) | SequenceType(element=part):
                return [self._given(v, part) for v in value]
            case StructType():
                parts = list(value.values()) if isinstance(value, dict) else list(value)
                rows = zip(t.names, parts, t.parts(), strict=True)
                return self._structure.Struct([(n, self._given(v, e)) for n, v, e in rows])
        return value


def _named(cardinalities: Mapping[Any, int]) -> dict[Placement | str, int]:
    return {placement.name: count for placement, count in cardinalities.items()}


def _structure() -> Any:
    """Return that package's module of structs; raises TypeMismatch if it is not installed."""
    try:
        return importlib.import_module("federated_language.common_libs.structure")
    except ImportError as missing:
        raise TypeMismatch(
            f"federated-language cannot be imported here: {missing}",
            where="executor_factory",
            mend="pip install 'tierfed[interop]'",
        ) from missing


def _type_of(rows: list[tuple[str | None, Any]]) -> Any:
    return importlib.import_module("federated_language").StructType(
        [t if name is None else (name, t) for name, t in rows]
    )
