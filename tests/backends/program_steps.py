"""The steps that random programs are made of.

Every step says two things: how it is written with the public `tierfed.` names (`write`), and
what it means in plain numpy (`means`).  So each random program comes with an oracle that knows
nothing of the interpreter, the compiler or the daemons.  The type that a step has is compared
with the one that tracing finds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import program_leaves as leaves
from oracle import At, Oracle, each, zeros
from program_functions import BINARY, Folding, Function, as_value

import tierfed
from tierfed.language.computation import Computation
from tierfed.placements import Placement
from tierfed.types import FederatedType, Type
from tierfed.types.values import Rows


@dataclass(frozen=True)
class Step:
    """One operation: `t` is the type of its value, numbers stand for earlier steps."""

    t: Type

    def write(self, v: list[Any]) -> Any:
        """Write it with the public names; `v` are the traced values so far."""
        raise NotImplementedError

    def means(self, v: list[Any], world: Oracle) -> Any:
        """Compute it; `v` are the oracle's values so far."""
        raise NotImplementedError

    def uses(self) -> tuple[int, ...]:
        """The earlier steps that it works on; what its functions capture is not among them."""
        named = (getattr(self, name, None) for name in ("x", "left", "right", "weight", "zero"))
        return (*(i for i in named if i is not None), *getattr(self, "parts", ()))

    @property
    def whole(self) -> bool:
        """Whether it is only there for the parts that later steps take of it."""
        return False

    @property
    def at(self) -> Placement | None:
        """Where its value is."""
        return self.t.placement if isinstance(self.t, FederatedType) else None


@dataclass(frozen=True)
class Argument(Step):
    """A parameter of the program, or a part of one."""

    path: tuple[int, ...]

    def write(self, v: list[Any]) -> Any:
        raise AssertionError("arguments are given")


@dataclass(frozen=True)
class Constant(Step):
    """A numpy value written in the program."""

    value: Any

    def write(self, v: list[Any]) -> Any:
        return self.value

    def means(self, v: list[Any], world: Oracle) -> Any:
        def bare(x: Any) -> Any:
            return tuple(map(bare, x.values() if isinstance(x, dict) else x)) if isinstance(x, dict | tuple) else x

        return bare(self.value)


@dataclass(frozen=True)
class Zero(Step):
    """generic_zero of a type."""

    def write(self, v: list[Any]) -> Any:
        return tierfed.generic_zero(self.t)

    def means(self, v: list[Any], world: Oracle) -> Any:
        return zeros(self.t)


@dataclass(frozen=True)
class Place(Step):
    """federated_value of something unplaced."""

    x: int

    def write(self, v: list[Any]) -> Any:
        return tierfed.federated_value(v[self.x], self.t.placement)

    def means(self, v: list[Any], world: Oracle) -> Any:
        return world.everywhere(str(self.at), v[self.x])


@dataclass(frozen=True)
class Eval(Step):
    """federated_eval of a leaf, or of a function that captures something unplaced."""

    x: int | None

    def write(self, v: list[Any]) -> Any:
        return tierfed.federated_eval(leaves.seven if self.x is None else lambda: v[self.x], self.t.placement)

    def means(self, v: list[Any], world: Oracle) -> Any:
        return world.everywhere(str(self.at), np.int32(7) if self.x is None else v[self.x])


@dataclass(frozen=True)
class Data(Step):
    """federated_data: what `program_leaves.told_apart` tells each member."""

    uri: str

    def write(self, v: list[Any]) -> Any:
        return tierfed.federated_data(self.uri, self.t.member, self.t.placement)

    def means(self, v: list[Any], world: Oracle) -> Any:
        found = {name: leaves.told_apart(self.uri, None, _Named(name)) for name in world.members[str(self.at)]}
        return At(str(self.at), {n: Rows(x) if isinstance(x, list) else x for n, x in found.items()})


@dataclass(frozen=True)
class _Named:
    name: str


@dataclass(frozen=True)
class Map(Step):
    """federated_map of a function, federated_apply where `apply`; inside a computation of its own where `inner`.

    Where `lifted` it is an operator on sequences, called with the placed value itself.
    """

    fn: Function
    x: int
    apply: bool = False
    inner: bool = False
    lifted: bool = False

    def write(self, v: list[Any]) -> Any:
        if self.lifted:
            return self.fn.write(v[self.x], v)
        operation = tierfed.federated_apply if self.apply else tierfed.federated_map
        if not self.inner:
            return operation(lambda x: self.fn.write(x, v), v[self.x])
        t = v[self.x].type_signature
        return tierfed.federated_computation(t)(lambda x: operation(lambda y: self.fn.write(y, v), x))(v[self.x])

    def means(self, v: list[Any], world: Oracle) -> Any:
        return v[self.x].map(lambda x: self.fn.means(x, v))


@dataclass(frozen=True)
class Local(Step):
    """A function of something unplaced, called as Python calls it."""

    fn: Function
    x: int

    def write(self, v: list[Any]) -> Any:
        return as_value(self.fn.write(v[self.x], v))  # Python's own + would join two tuples

    def means(self, v: list[Any], world: Oracle) -> Any:
        return self.fn.means(v[self.x], v)


@dataclass(frozen=True)
class Select(Step):
    """An element of placed structs."""

    x: int
    index: int

    def write(self, v: list[Any]) -> Any:
        name = v[self.x].type_signature.member.names[self.index]
        return v[self.x][self.index] if name is None else getattr(v[self.x], name)

    def means(self, v: list[Any], world: Oracle) -> Any:
        return v[self.x].map(lambda x: x[self.index])


@dataclass(frozen=True)
class Arithmetic(Step):
    """+ - * / of placed or unplaced values of one type; or the `generic_*` operation by name."""

    name: str
    left: int
    right: int
    called: bool

    def write(self, v: list[Any]) -> Any:
        left, right = v[self.left], v[self.right]
        if self.called:
            return getattr(tierfed, f"generic_{self.name}")(left, right)
        return {"plus": lambda: left + right, "minus": lambda: left - right, "multiply": lambda: left * right}.get(
            self.name, lambda: left / right
        )()

    def means(self, v: list[Any], world: Oracle) -> Any:
        left, right = v[self.left], v[self.right]
        if self.at is None:
            return each(self.t, BINARY[self.name], left, right)
        member = self.t.member
        sides = [s if isinstance(s, At) else world.everywhere(str(self.at), s) for s in (left, right)]
        return world.zipped(*sides).map(lambda p: each(member, BINARY[self.name], *p))


@dataclass(frozen=True)
class Zip(Step):
    """federated_zip of a tuple or a dict, or of a pair inside a tuple."""

    form: str
    parts: tuple[int, ...]

    def write(self, v: list[Any]) -> Any:
        parts = tuple(v[i] for i in self.parts)
        if self.form == "dict":
            return tierfed.federated_zip({f"e{i}": p for i, p in enumerate(parts)})
        return tierfed.federated_zip((parts[0], parts) if self.form == "nested" else parts)

    def means(self, v: list[Any], world: Oracle) -> Any:
        zipped = world.zipped(*(v[i] for i in self.parts))
        return zipped.map(lambda p: (p[0], p)) if self.form == "nested" else zipped


@dataclass(frozen=True)
class Broadcast(Step):
    """federated_broadcast."""

    x: int

    def write(self, v: list[Any]) -> Any:
        return tierfed.federated_broadcast(v[self.x], to=self.t.placement)

    def means(self, v: list[Any], world: Oracle) -> Any:
        return world.down(v[self.x], str(self.at))


@dataclass(frozen=True)
class Fold(Step):
    """federated_sum, _mean, _min, _max; a mean may have a weight."""

    name: str
    x: int
    weight: int | None = None

    def write(self, v: list[Any]) -> Any:
        operation = getattr(tierfed, f"federated_{self.name}")
        if self.weight is not None:
            return operation(v[self.x], weight=v[self.weight], to=self.t.placement)
        return operation(v[self.x], to=self.t.placement)

    def means(self, v: list[Any], world: Oracle) -> Any:
        x, to, t = v[self.x], str(self.at), self.t.member
        match self.name:
            case "sum":
                return world.sum(x, to, t)
            case "mean":
                return world.mean(x, None if self.weight is None else v[self.weight], to, t)
        return world.extremum(x, to, t, np.minimum if self.name == "min" else np.maximum)


@dataclass(frozen=True)
class Collect(Step):
    """federated_collect."""

    x: int

    def write(self, v: list[Any]) -> Any:
        return tierfed.federated_collect(v[self.x], to=self.t.placement)

    def means(self, v: list[Any], world: Oracle) -> Any:
        found = world.up(v[self.x], str(self.at), (), lambda rows, x: (*rows, x), lambda rows, more: rows + more)
        return found.map(Rows)


@dataclass(frozen=True)
class Keyed(Step):
    """federated_select by keys that `x`, or a leaf, decides, from the one of `parts`."""

    fn: Function
    x: int | None
    parts: tuple[int]

    def write(self, v: list[Any]) -> Any:
        (table,) = (v[i] for i in self.parts)
        above = table.type_signature.placement
        x = tierfed.federated_eval(leaves.seven, self.t.placement) if self.x is None else v[self.x]
        keys = tierfed.federated_map(leaves.keys_of, x)
        bound = tierfed.federated_value(np.int32(3), above)
        return tierfed.federated_select(keys, bound, table, lambda m, key: self.fn.write(as_value((m, key)), v))

    def means(self, v: list[Any], world: Oracle) -> Any:
        x = world.everywhere(str(self.at), np.int32(7)) if self.x is None else v[self.x]
        both = world.zipped(x, world.down(v[self.parts[0]], str(self.at)))
        keys_of = leaves.keys_of.python_function
        return both.map(lambda p: Rows(self.fn.means((p[1], key), v) for key in keys_of(p[0])))


@dataclass(frozen=True)
class UserFold(Step):
    """federated_aggregate of a user's own, whose operator does not commute; or federated_reduce, without a report."""

    fold: Folding
    x: int
    zero: int
    report: Function | None
    reduce: bool
    merges: bool = True

    def write(self, v: list[Any]) -> Any:
        to = self.t.placement
        if self.reduce:
            merge = {"merge": self.fold.merge} if self.merges else {}
            return tierfed.federated_reduce(v[self.x], v[self.zero], self.fold.accumulate, **merge, to=to)
        report = (lambda s: s) if self.report is None else (lambda s: self.report.write(s, v))
        return tierfed.federated_aggregate(
            v[self.x], v[self.zero], self.fold.accumulate, self.fold.merge, report, to=to
        )

    def means(self, v: list[Any], world: Oracle) -> Any:
        accumulate, merge = self.fold.in_numpy
        folded = world.up(v[self.x], str(self.at), v[self.zero], accumulate, merge)
        return folded if self.report is None else folded.map(lambda s: self.report.means(s, v))


@dataclass(frozen=True)
class Given(Step):
    """In the step of a loop: a part of its state, or of its data."""

    def write(self, v: list[Any]) -> Any:
        raise AssertionError("the loop gives it")


@dataclass(frozen=True)
class Loop(Step):
    """federated_iterate over `parts`, with `data`.

    Its step knows the first `known` steps around it, then `shown` parts of the state, then the
    data, then its own `body`; the next state is made of `ends`, which are numbered like that.
    The number of turns is written, or it is that of the step `count`.
    """

    where: Placement
    form: str
    parts: tuple[int, ...]
    data: tuple[int, ...]
    known: int
    shown: int
    body: tuple[Step, ...]
    ends: tuple[int, ...]
    turns: int
    count: int | None

    @property
    def whole(self) -> bool:
        return True

    @property
    def at(self) -> Placement | None:
        return None

    def uses(self) -> tuple[int, ...]:
        inside = (i for step in self.body for i in step.uses())
        counted = () if self.count is None else (self.count,)
        return tuple(i for i in (*self.parts, *self.data, *counted, *inside, *self.ends) if i < self.known)

    def _formed(self, parts: list[Any]) -> Any:
        if self.form == "one":
            return parts[0]
        return {f"s{i}": p for i, p in enumerate(parts)} if self.form == "dict" else tuple(parts)

    def write(self, v: list[Any]) -> Any:
        def step(state: Any, *data: Any) -> Any:
            parts = [state] if self.form == "one" else [state[i] for i in range(len(self.parts))]
            inner = [*v[: self.known], *parts[: self.shown], *data]
            for one in self.body:
                inner.append(written(one, inner))
            return self._formed([inner[i] for i in self.ends])

        state, turns = self._formed([v[i] for i in self.parts]), self.turns if self.count is None else v[self.count]
        match [v[i] for i in self.data]:
            case []:
                return tierfed.federated_iterate(lambda m: step(m), state, turns, at=self.where)
            case [one]:
                return tierfed.federated_iterate(lambda m, d: step(m, d), state, turns, data=one, at=self.where)
        data = tuple(v[i] for i in self.data)
        return tierfed.federated_iterate(
            lambda m, d: step(m, *(d[i] for i in range(len(data)))), state, turns, data=data, at=self.where
        )

    def means(self, v: list[Any], world: Oracle) -> Any:
        state = [v[i] for i in self.parts]
        for _ in range(self.turns if self.count is None else int(v[self.count])):
            inner = [*v[: self.known], *state[: self.shown], *(v[i] for i in self.data)]
            for step in self.body:
                inner.append(step.means(inner, world))
            state = [inner[i] for i in self.ends]
        return state


@dataclass(frozen=True)
class Part(Step):
    """A part of the state that a loop ends with."""

    x: int
    index: int
    alone: bool

    def write(self, v: list[Any]) -> Any:
        return v[self.x] if self.alone else v[self.x][self.index]

    def means(self, v: list[Any], world: Oracle) -> Any:
        return v[self.x][self.index]


def written(step: Step, v: list[Any]) -> Any:
    """Write a step; its type is what it was meant to be."""
    value = step.write(v)
    found = getattr(value, "type_signature", None)
    assert found is None or found == step.t, f"{step} is of type {found}"
    return value


@dataclass(frozen=True)
class Program:
    """Steps, of which the first are the parameters' parts, and the steps that the result is made of."""

    parameters: tuple[Type, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]
    form: str
    few: tuple[int, ...] = ()  # the parameters that are numbers of turns

    def computation(self) -> Computation:
        """The program, traced through the public names; each step's type is what it was meant to be."""
        made: Computation = tierfed.federated_computation(*self.parameters)(_takes(self._body, len(self.parameters)))
        return made

    def _body(self, *parameters: Any) -> Any:
        v: list[Any] = []
        for step in self.steps:
            if isinstance(step, Argument):
                value = parameters[step.path[0]]
                for index in step.path[1:]:
                    value = value[index]
                assert value.type_signature == step.t
            else:
                value = written(step, v)
            v.append(value)
        parts = [v[i] for i in self.results]
        if self.form == "one":
            return parts[0]
        return {f"r{i}": p for i, p in enumerate(parts)} if self.form == "dict" else tuple(parts)

    def means(self, arguments: tuple[Any, ...], world: Oracle) -> list[Any]:
        """What the parts of the result mean, in numpy."""
        v: list[Any] = []
        for step in self.steps:
            if isinstance(step, Argument):
                value = arguments[step.path[0]]
                for index in step.path[1:]:
                    value = value[index]
                v.append(_apart(value, step.t, world))
            else:
                v.append(step.means(v, world))
        return [v[i] for i in self.results]

    def __repr__(self) -> str:
        rows = [f"    {i}: {step}" for i, step in enumerate(self.steps)]
        return "\n".join([f"Program of {self.parameters} giving {self.results} as {self.form}", *rows])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # what hypothesis shows


def _apart(value: Any, t: Type, world: Oracle) -> Any:
    """A held argument as the oracle has it."""
    if not isinstance(t, FederatedType):
        return value
    if t.all_equal:
        return world.everywhere(str(t.placement), value)
    return At(str(t.placement), dict(zip(world.members[str(t.placement)], value, strict=True)))


def _takes(fn: Callable[..., Any], count: int) -> Callable[..., Any]:
    """`fn` as a function of so many parameters by name, which is what is decorated."""
    by_count: dict[int, Callable[..., Any]] = {
        0: lambda: fn(),
        1: lambda a: fn(a),
        2: lambda a, b: fn(a, b),
        3: lambda a, b, c: fn(a, b, c),
        4: lambda a, b, c, d: fn(a, b, c, d),
    }
    return by_count[count]
