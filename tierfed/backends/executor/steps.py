"""Steps: what an executor was told to make, before any of it is computed.

    s = call(f, struct(x, y))        c = s[1]

is a graph: what was given, constants (functions, placements, operators), calls, structs and
selections.  Each step knows its type, and is checked when it is made, so a mistake is told where
it is made.  Only calls compute anything; a call keeps its result, so it is computed once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from tierfed.errors import TypeMismatch
from tierfed.ir.check import check
from tierfed.ir.nodes import Call, Lambda, Node, Reference, Selection, Struct, shortened
from tierfed.types import FunctionType, StructType, Type

_HOLDING = threading.Lock()  # steps are made in any thread


class Missing:
    """The result of a call that has not been computed."""


MISSING = Missing()


@dataclass(eq=False, slots=True)
class Step:
    """The root of the classes of steps."""

    type: Type


@dataclass(eq=False, slots=True)
class Given(Step):
    """A held value."""

    held: Any


@dataclass(eq=False, slots=True)
class Constant(Step):
    """A closed node that is a function or a placement."""

    node: Node


@dataclass(eq=False, slots=True, weakref_slot=True)
class Called(Step):
    """A call; `holders` are the values in users' hands and the other calls that need its result."""

    function: Step | None
    argument: Step | None
    result: Any = MISSING
    holders: WeakSet[Any] = field(default_factory=WeakSet)
    running: Any = None

    def settle(self, result: Any) -> None:
        """Keep `result`, and let go of what it was made of, or a loop would hold all of its rounds."""
        self.result = result
        release(calls_of(self), self)
        self.function = self.argument = None

    def is_needed_outside(self, now: Container[Step]) -> bool:
        """Return whether anything but the calls in `now` needs the result."""
        with _HOLDING:
            return any(h not in now for h in self.holders)


def hold(calls: Iterable[Called], holder: Any) -> None:
    """Note that `holder` needs the results of `calls`."""
    with _HOLDING:
        for called in calls:
            called.holders.add(holder)


def release(calls: Iterable[Called], holder: Any) -> None:
    """Note that `holder` needs them no more."""
    with _HOLDING:
        for called in calls:
            called.holders.discard(holder)


@dataclass(eq=False, slots=True)
class Structured(Step):
    """A struct; its names are its type's."""

    parts: tuple[Step, ...]


@dataclass(eq=False, slots=True)
class Selected(Step):
    """An element, by position."""

    source: Step
    index: int


def call(function: Step, argument: Step | None) -> Called:
    """Return a call of `function`; raises TypeMismatch where a program with that call would be wrong."""
    names: dict[str, Type] = {}
    node = Call(_sketch(function, names), None if argument is None else _sketch(argument, names))
    check(node, names)
    made = Called(node.type, function, argument)
    hold(calls_of(made), made)
    return made


def struct(elements: Iterable[tuple[str | None, Step]], container: Any) -> Structured:
    """Return a struct of `elements`; raises TypeMismatch for names that cannot be."""
    rows = tuple(elements)
    return Structured(StructType([(n, s.type) for n, s in rows], container), tuple(s for _, s in rows))


def select(source: Step, key: int | str) -> Step:
    """Return the element of `source` at a position, or of a name; raises TypeMismatch if there is none."""
    t = source.type
    if isinstance(key, str) and isinstance(t, StructType):
        found = t.index(key)
        if found is None:
            named = ", ".join(n for n in t.names if n is not None) or "none is named"
            raise TypeMismatch(f"{t} has no element called {key}", where="create_selection", mend=f"it has: {named}")
        key = found
    if isinstance(key, str):
        raise TypeMismatch(f"a value of {t} has no elements", where="create_selection", mend="select from a struct")
    node = Selection(Reference("x", t), key)  # checks the position
    if isinstance(source, Structured):
        return source.parts[key]
    if t.contains(FunctionType):  # no program returns such a struct, so the part is a call of its own
        return call(Constant(FunctionType(t, node.type), Lambda("x", t, node)), source)
    return Selected(node.type, source, key)


def _sketch(step: Step, names: dict[str, Type]) -> Node:
    """Return the node of a step in which calls and given values are names, put into `names` with their types."""
    match step:
        case Constant(node=node):
            return node
        case Structured(type=StructType() as t, parts=parts):
            return Struct(tuple((n, _sketch(p, names)) for n, p in zip(t.names, parts, strict=True)), t.container)
        case Selected(source=source, index=index):
            return Selection(_sketch(source, names), index)
    name = f"value{len(names)}"
    names[name] = step.type
    return Reference(name, step.type)


def node_of(step: Step, known: Mapping[Step, Node]) -> Node:
    """Return the node of a step, given those of its calls and of what was given."""
    match step:
        case Constant(node=node):
            return node
        case Structured(type=StructType() as t, parts=parts):
            return Struct(tuple((n, node_of(p, known)) for n, p in zip(t.names, parts, strict=True)), t.container)
        case Selected(source=source, index=index):
            return Selection(node_of(source, known), index)
    return known[step]


def value_of(step: Step, constant: Callable[[Node], Any]) -> Any:
    """Return the held value of a step whose calls have been computed; `constant` gives that of a closed node."""
    match step:
        case Given(held=held):
            return held
        case Constant(node=node):
            return constant(node)
        case Called(result=result):
            return result
        case Structured(parts=parts):
            return tuple(value_of(p, constant) for p in parts)
        case Selected(source=source, index=index):
            return value_of(source, constant)[index]
    raise AssertionError(type(step))


def inputs(step: Step) -> Iterator[Step]:
    """Yield the calls and the given values that a step is put together from."""
    match step:
        case Given() | Called():
            yield step
        case Structured(parts=parts):
            for part in parts:
                yield from inputs(part)
        case Selected(source=source):
            yield from inputs(source)


def calls_in(step: Step) -> list[Called]:
    """Return the calls that a step is put together from, each once."""
    return list(dict.fromkeys(s for s in inputs(step) if isinstance(s, Called)))


def arguments_of(called: Called) -> list[Step]:
    """Return what a call takes its function and its argument from."""
    return [s for part in (called.function, called.argument) if part is not None for s in inputs(part)]


def calls_of(called: Called) -> list[Called]:
    """Return the calls that a call takes its function and its argument from."""
    return [s for s in arguments_of(called) if isinstance(s, Called)]


def uncomputed(wanted: Iterable[Called]) -> list[Called]:
    """Return the calls to be computed for `wanted`, each after those that it needs."""
    order: dict[Called, None] = {}
    stack = [(c, False) for c in reversed(list(wanted))]
    while stack:
        called, ready = stack.pop()
        if called.result is not MISSING or called in order:
            continue
        if ready:
            order[called] = None
            continue
        stack.append((called, True))
        stack.extend((s, False) for s in calls_of(called))
    return list(order)


def described(step: Step) -> str:
    """Return a step in words, for an error."""
    return shortened(step.node) if isinstance(step, Constant) else f"a value of {step.type}"
