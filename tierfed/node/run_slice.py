"""Run a slice: the steps of one placement, at one member, in one invocation.

    receive v1 · load v3 · compute v2 = local_update(<v1,v3>) · send v2

The interpreter knows steps and an environment of named, held values; what reaches beyond the
node is behind `Ports`, so the same code runs over sockets, in memory and under a virtual
clock.  A value is forgotten after its last use: a node holds one model, not one a step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from tierfed.compiler.slices import (
    Broadcast,
    Compute,
    Fold,
    Keep,
    Load,
    Loop,
    Recall,
    Receive,
    Scatter,
    Send,
    Slice,
    Slot,
    Step,
)
from tierfed.ir.evaluate import evaluate
from tierfed.ir.intrinsics import iterate
from tierfed.ir.nodes import Compiled, Node, free_names
from tierfed.leaves import load
from tierfed.types.values import nbytes

Env: TypeAlias = dict[str, Any]
Turns: TypeAlias = tuple[int, ...]
Uses: TypeAlias = Mapping[int, tuple[str, ...]]  # by the index of a step, the names that nothing after it reads
_NONE: frozenset[str] = frozenset()
_INLINE = 1 << 20  # bytes of operands up to which an expression without leaves is computed on the loop


class Ports(Protocol):
    """What a slice needs of its node.  `turns` are those of the loops around a step, the outermost first."""

    async def receive(self, step: Receive, turns: Turns) -> list[Any]:
        """Return the values of the parent's message."""

    async def send_down(self, step: Broadcast | Scatter, turns: Turns, values: list[Any]) -> None:
        """Begin to send `values` to the children; return when more may follow."""

    async def fold(self, step: Fold, turns: Turns, env: Mapping[str, Any]) -> Env:
        """Return the folded slots of the children's messages."""

    async def send(self, step: Send, turns: Turns, values: list[Any]) -> None:
        """Send `values` to the parent; return when they have left."""

    async def apart(self, work: Callable[[], Any], leaves: int = 0) -> Any:
        """Return what `work`, which calls so many leaves, returns, computed off the event loop."""

    def data(self, step: Load) -> Any:
        """Return what this member has under the URI of `step`, held; called off the loop."""

    async def keep(self, step: Keep, value: Any) -> None:
        """Keep a value for later invocations, if this one is committed."""

    async def recall(self, step: Recall, default: Any) -> Any:
        """Return what was kept of an earlier invocation; `default`, if the step has one, where nothing was."""

    def left(self, loop: Loop) -> None:
        """A loop that stands in no other has taken its last turn."""


def last_uses(part: Slice) -> Uses:
    """Return the names that nothing reads any more after a step of `part`."""
    return _last_uses(part.steps, _NONE)


async def run_slice(part: Slice, ports: Ports, last: Uses) -> None:
    """Run the steps of `part` in order; `last` are its `last_uses`.  Raises whatever a step raises."""
    await _run(part.steps, {}, ports, (), last)


async def _run(steps: tuple[Step, ...], env: Env, ports: Ports, turns: Turns, last: Uses) -> None:
    """Run steps over `env`, and forget after each what is in `last`."""
    at = 0
    while at < len(steps):
        step = steps[at]
        match step:
            case Compute() | Load():
                run: list[Compute | Load] = []
                while at < len(steps) and isinstance(one := steps[at], Compute | Load):
                    run.append(one)
                    at += 1
                await _compute(run, env, ports)
                for done in range(at - len(run), at):
                    _forget(env, last.get(done, ()))
                continue
            case Receive(slots=slots):
                env.update(zip((s.name for s in slots), await ports.receive(step, turns), strict=True))
            case Broadcast(slots=slots) | Scatter(slots=slots):
                await ports.send_down(step, turns, [env[s.name] for s in slots])
            case Fold():
                env.update(await ports.fold(step, turns, env))
            case Send(slots=slots):
                await ports.send(step, turns, [env[s.name] for s in slots])
            case Keep(slot=slot):
                await ports.keep(step, env[slot.name])
            case Recall(slot=slot, default=default):
                env[slot.name] = await ports.recall(step, None if default is None else env[default])
            case Loop():
                await _loop(step, env, ports, turns)
        _forget(env, last.get(at, ()))
        at += 1


async def _loop(loop: Loop, env: Env, ports: Ports, turns: Turns) -> None:
    """Take the turns of a loop; each has names of its own, beside those around it."""
    values = {c.slot.name: env[c.first] for c in loop.carried}
    last = _last_uses(loop.steps, frozenset(env) | {c.next for c in loop.carried})
    for turn in range(iterate.turns(evaluate(loop.turns, env, load))):
        await asyncio.sleep(0)  # a loop without messages is not to hold up the others
        inner, values = {**env, **values}, {}
        await _run(loop.steps, inner, ports, (*turns, turn), last)
        values = {c.slot.name: inner[c.next] for c in loop.carried}
    env.update(values)
    if not turns:
        ports.left(loop)


async def _compute(run: list[Compute | Load], env: Env, ports: Ports) -> None:
    """Compute neighbouring steps together: one hop to a thread for all of them, or none if they are light."""
    if all(isinstance(step, Compute) and _light(step.expression, env) for step in run):
        for step in run:
            assert isinstance(step, Compute)
            env[step.slot.name] = evaluate(step.expression, env, load)
        return

    def work() -> None:
        for step in run:
            env[step.slot.name] = (
                evaluate(step.expression, env, load) if isinstance(step, Compute) else ports.data(step)
            )

    await ports.apart(work, sum(leaves_of(step) for step in run))


def leaves_of(step: Step) -> int:
    """Return how many leaves a step calls."""
    return sum(isinstance(n, Compiled) for n in step.expression.walk()) if isinstance(step, Compute) else 0


def _light(expression: Node, env: Mapping[str, Any]) -> bool:
    if any(isinstance(n, Compiled) for n in expression.walk()):
        return False
    return sum(nbytes(env[name], t) for name, t in free_names(expression).items() if name in env) <= _INLINE


def uses(step: Step) -> tuple[str, ...]:
    """Return the names that `step` reads."""
    match step:
        case Compute(expression=expression):
            return tuple(free_names(expression))
        case Broadcast(slots=slots) | Scatter(slots=slots) | Send(slots=slots):
            return tuple(s.name for s in slots)
        case Fold(folds=folds):
            return tuple(n for f in folds for e in (f.zero, f.operator) if e is not None for n in free_names(e))
        case Keep(slot=slot):
            return (slot.name,)
        case Recall(default=str(default)):
            return (default,)
        case Loop(turns=turns, carried=carried, steps=steps):
            inside = (name for inner in steps for name in uses(inner))
            return (*free_names(turns), *(c.first for c in carried), *inside)
    return ()


def _last_uses(steps: tuple[Step, ...], kept: frozenset[str]) -> Uses:
    """Return, by the index of a step, the names not in `kept` that nothing after it reads."""
    last: dict[str, int] = {}
    for at, step in enumerate(steps):
        for name in (*_binds(step), *uses(step)):
            if name not in kept:
                last[name] = at
    found: dict[int, list[str]] = {}
    for name, at in last.items():
        found.setdefault(at, []).append(name)
    return {at: tuple(names) for at, names in found.items()}


def _binds(step: Step) -> tuple[str, ...]:
    slots: tuple[Slot, ...] = ()
    match step:
        case Receive(slots=slots):
            pass
        case Compute(slot=slot) | Load(slot=slot) | Recall(slot=slot):
            slots = (slot,)
        case Loop(carried=carried):
            slots = tuple(c.slot for c in carried)
        case Fold(folds=folds):
            slots = tuple(f.slot for f in folds)
    return tuple(s.name for s in slots)


def _forget(env: Env, names: tuple[str, ...]) -> None:
    for name in names:
        env.pop(name, None)
