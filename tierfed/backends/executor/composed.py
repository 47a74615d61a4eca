"""The composed engine: calls become one program, which a context runs.

    x, y given; s = call(f, <x,y>); c = call(g, s[0])        compute c:

    (arg -> (let v1=f(<arg[0],arg[1]>),v2=g(v1[0]) in <v2>))  invoked with x, y

What was given, and what has been computed before, are the program's arguments; so repeating the
same calls on other values is the same program, compiled and deployed once.  Calls on the way
that are needed elsewhere, by the user or by another call, are returned too: none is computed twice,
which matters where a leaf draws.  What stands below the root is returned as a handle and
stays there, until `compute` asks for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, Protocol

from tierfed.backends.executor.steps import (
    MISSING,
    Called,
    Given,
    Step,
    arguments_of,
    node_of,
    uncomputed,
)
from tierfed.ir.check import check
from tierfed.ir.loosen import loosened
from tierfed.ir.nodes import Block, Call, Lambda, Node, Reference, Selection, Struct
from tierfed.language.arguments import hold
from tierfed.language.computation import Computation
from tierfed.types import FunctionType, PlacementType, StructType


class Context(Protocol):
    """What runs programs: a local or native context, or a running tree."""

    async def ainvoke(self, computation: Computation, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation` at these arguments."""


class Composed:
    """Computes on what `context` runs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()  # guards which call is being computed by whom, over threads and loops

    async def settle(self, wanted: list[Called]) -> None:
        """Give each of these calls its result.

        Calls that are being computed already are waited for, so none is computed by two at once.
        """
        while True:
            with self._lock:
                order = uncomputed(wanted)
                if not order:
                    return
                other = next((c.running for c in order if c.running is not None), None)
                if other is None:
                    mine: Future[None] = Future()
                    for called in order:
                        called.running = mine
            if other is None:
                await self._compute(order, wanted, mine)
            else:
                await _over(other)

    async def _compute(self, order: list[Called], wanted: list[Called], mine: Future[None]) -> None:
        now = {*order}
        returned = [c for c in order if c in wanted or (_is_had(c) and c.is_needed_outside(now))]
        error: Exception | None = None
        try:
            program, arguments = composed(order, returned)
            results = await self._context.ainvoke(program, *arguments)
            for called, result in zip(returned, results, strict=True):
                called.settle(hold(result, called.type, "result"))
        except Exception as raised:
            error = raised
            raise
        finally:
            with self._lock:
                for called in order:
                    called.running = None
            if error is None:
                mine.set_result(None)  # cancelled ones too: whoever waits tries for itself
            else:
                mine.set_exception(error)


def _is_had(called: Called) -> bool:
    """Return whether a program can return the result of a call."""
    return not called.type.contains(FunctionType, PlacementType)


async def _over(running: Future[None]) -> None:
    """Return when what another computes is there; raises what it raised."""
    await asyncio.shield(asyncio.wrap_future(running))


def composed(order: Iterable[Called], returned: Iterable[Called]) -> tuple[Computation, list[Any]]:
    """Return the program that computes the calls in `order` and gives `returned`, with its arguments.

    Names and arguments are numbered as they come, so equal graphs make equal programs.
    """
    calls = list(order)
    inner = set(calls)
    outer = dict.fromkeys(s for c in calls for s in arguments_of(c) if s not in inner)
    t = StructType([s.type for s in outer])
    whole = Reference("arg", t)
    known: dict[Step, Node] = {s: Selection(whole, i) for i, s in enumerate(outer)}
    bindings: list[tuple[str, Node]] = []
    for number, called in enumerate(calls, 1):
        name = f"v{number}"
        bindings.append((name, _call(called, known)))
        known[called] = Reference(name, called.type)
    body = Block(tuple(bindings), Struct(tuple((None, known[c]) for c in returned), tuple))
    program = Lambda("arg", t, body) if outer else Lambda(None, None, body)
    return Computation(check(program), "executor"), [_held(s) for s in outer]


def _call(called: Called, known: dict[Step, Node]) -> Node:
    assert called.function is not None
    function = node_of(called.function, known)
    t = function.type
    assert isinstance(t, FunctionType)
    if called.argument is None or t.parameter is None:
        return Call(function)
    return Call(function, loosened(node_of(called.argument, known), t.parameter))


def _held(step: Step) -> Any:
    if isinstance(step, Given):
        return step.held
    assert isinstance(step, Called) and step.result is not MISSING
    return step.result
