"""Random graphs of steps: the reference, programs composed of them, and daemons give the same bits; and the page."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_trees import EDGE, HIERARCHIES
from served import on_sockets
from test_agreement import grown

import tierfed
from tierfed import CLIENTS, SERVER, FederatedType, TypeMismatch
from tierfed.backends.executor import Executor, ExecutorValue, executor_factory
from tierfed.backends.native.context import NativeContext

program = tierfed.federated_computation
TREE = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [2], "CLIENTS": [2, 1]})
F32 = np.float32
X = FederatedType(F32, CLIENTS)


@tierfed.py_computation(F32, returns=F32)
def halved(v: Any) -> Any:
    """Return a half."""
    return v / F32(2)


FUNCTIONS = [
    program(X)(tierfed.federated_sum),
    program(X)(lambda x: tierfed.federated_sum(x, to=EDGE)),
    program(FederatedType(F32, EDGE))(lambda x: (tierfed.federated_max(x), tierfed.federated_broadcast(x))),
    program(FederatedType(F32, SERVER))(tierfed.federated_broadcast),
    program(X)(lambda x: tierfed.federated_map(halved, x)),
    program(X, X)(lambda x, w: {"p": x * w, "q": tierfed.federated_mean(x)}),
    program(F32)(lambda v: v + v),
    program(F32)(lambda v: tierfed.federated_value(v, CLIENTS)),
    program(tierfed.to_type("<p={float32}@CLIENTS,q=float32@SERVER>"))(lambda s: (s.q, s.p)),
]
GIVEN: list[tuple[Any, str]] = [
    ([0.1, 0.7, -3e7], "{float32}@CLIENTS"),
    (0.3, "float32@CLIENTS"),
    (1e9, "float32@SERVER"),
    ([5, 0.1], "{float32}@EDGE_AGGREGATORS"),
    (2.5, "float32"),
    ({"x": [1, 2, 3], "w": 0.5}, "<x={float32}@CLIENTS,w=float32@CLIENTS>"),
]
moves = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "call", "struct", "select", "compute", "dispose"]), st.integers(0, 2**16)
    ),
    min_size=3,
    max_size=14,
)


class Graph:
    """The values made so far, by the moves that were possible."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.values: list[ExecutorValue] = []
        self.told: list[Any] = []

    async def play(self, moves: list[tuple[str, int]]) -> list[Any]:
        """Return what the moves gave: types, refusals and values."""
        functions = [await self.executor.create_value(f) for f in FUNCTIONS]
        self.values = [await self.executor.create_value(v, t) for v, t in GIVEN]
        for move, number in moves:
            if self.values:
                await self.move(move, number, functions)
        for value in self.values:
            self.told.append(await value.compute())
        return self.told

    async def move(self, move: str, number: int, functions: list[ExecutorValue]) -> None:
        """Make one more value of those that there are, or take one away."""
        one = self.values[number % len(self.values)]
        other = self.values[number // 7 % len(self.values)]
        try:
            match move:
                case "call":
                    fitting = []
                    for f in functions:
                        taken = f.type_signature.parameter  # type: ignore[attr-defined]
                        fitting += [(f, v) for v in self.values if taken.is_assignable_from(v.type_signature)]
                    f, v = fitting[number % len(fitting)] if fitting and number % 5 else (functions[number % 9], one)
                    self.values.append(await self.executor.create_call(f, v))
                case "struct" if number % 2:
                    self.values.append(await self.executor.create_struct([one, other]))
                case "struct":
                    self.values.append(await self.executor.create_struct({"p": one, "q": other}))
                case "select":
                    self.values.append(
                        await self.executor.create_selection(one, "p" if number % 5 == 0 else number % 3)
                    )
                case "compute":
                    self.told.append(await one.compute())
                case "dispose":
                    self.values.remove(one)
                    self.executor.dispose(one)
        except TypeMismatch as refused:
            self.told.append(str(refused))
        else:
            self.told.append([str(v.type_signature) for v in self.values[-1:]])


@pytest.fixture(scope="module")
def native() -> Iterator[NativeContext]:
    """The tree as daemons over sockets."""
    with on_sockets(TREE) as context:
        yield context


def played(on: Any, moves: list[tuple[str, int]]) -> str:
    """Return what the moves give there, down to the bits."""

    async def main() -> list[Any]:
        factory = executor_factory(on)
        try:
            return await Graph(factory.create_executor({})).play(moves)
        finally:
            factory.clean_up_executors()

    def bits(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: bits(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(bits(v) for v in value)
        return (value.dtype.name, value.tobytes()) if isinstance(value, np.generic | np.ndarray) else value

    return repr(bits(asyncio.run(main())))


@given(moves)
@settings(max_examples=60, deadline=None)
def test_composed_is_the_reference(moves: list[tuple[str, int]]) -> None:
    """Types, refusals and values are those of the reference, bit for bit."""
    assert played(tierfed.local(topology=TREE), moves) == played(TREE, moves)


@given(moves)
@settings(max_examples=20, deadline=None)
def test_daemons_are_the_reference(native: NativeContext, moves: list[tuple[str, int]]) -> None:
    """And so they are on daemons."""
    assert played(native, moves) == played(TREE, moves)


def test_the_page(native: NativeContext) -> None:
    """What docs/executor.md shows runs as it stands, and on daemons too."""
    page = (Path(__file__).parents[2] / "docs" / "executor.md").read_text("utf-8")
    (listing,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(listing, "docs/executor.md", "exec"), names)
    assert np.allclose(asyncio.run(names["main"](tierfed.executor_factory())), 69.53333)
    assert np.allclose(asyncio.run(names["main"](tierfed.executor_factory(native))), 69.53333)
