"""Random programs, the trees that they run on, and what they are given.

    @given(cases())        case.program, case.tree, case.arguments

A program is a list of steps (`program_steps`), each on results of earlier ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle
import program_leaves as leaves
from hypothesis import assume
from hypothesis import strategies as st
from oracle import Oracle, each, zeros
from program_functions import (
    BINARY,
    COUNTED,
    FIRST,
    FLOATS,
    INT32,
    LAST,
    NOTED,
    NUMBERS,
    STR,
    added_up,
    affine,
    functions,
    of_numbers,
    on_sequences,
    taken_away,
    tensors_in,
)
from program_steps import (
    Argument,
    Arithmetic,
    Broadcast,
    Collect,
    Constant,
    Data,
    Eval,
    Fold,
    Given,
    Keyed,
    Local,
    Loop,
    Map,
    Part,
    Place,
    Program,
    Select,
    Step,
    UserFold,
    Zero,
    Zip,
)
from program_trees import HIERARCHIES, argument, few_of, held, is_struct_of_placed, sampled, trees

from tierfed.placements import Hierarchy, Placement, Tree
from tierfed.types import FederatedType, SequenceType, StructType, TensorType, Type

numbers = st.builds(
    TensorType, st.sampled_from(NUMBERS), st.sampled_from([(), (), (3,), (2, 2), (0,)])
) | st.sampled_from([INT32, INT32, TensorType("float32"), TensorType("float32", (3,))])
values: st.SearchStrategy[Type] = st.one_of(
    numbers,
    numbers,
    st.lists(numbers, min_size=1, max_size=3).map(lambda ts: StructType(ts, tuple)),
    st.lists(numbers, min_size=1, max_size=2).map(
        lambda ts: StructType([(f"n{i}", t) for i, t in enumerate(ts)], dict)
    ),
    st.tuples(numbers, numbers).map(lambda p: StructType([StructType(p, tuple), p[0]], tuple)),
    st.sampled_from([STR, TensorType("bool"), TensorType("int32", (None,)), SequenceType(np.int32)]),
    st.sampled_from([TensorType("float32", (None,)), INT32, StructType([("a", INT32), ("b", STR)], dict)]).map(
        SequenceType
    ),
)
constants = values.filter(lambda t: isinstance(t, TensorType) and t.is_static)
zeroes = values.filter(of_numbers).filter(lambda t: all(p.is_static for p in tensors_in(t)))
measures = numbers | numbers.filter(lambda t: of_numbers(t, FLOATS))
turns = st.integers(0, 3).map(np.int32)


class _Drafted:
    """A program as it is drawn: its steps so far.  Inside a loop, those around it come first."""

    def __init__(self, draw: st.DrawFn, hierarchy: Hierarchy, at: Placement, around: _Drafted | None = None) -> None:
        self.draw = draw
        self.hierarchy = hierarchy
        self.placements = [p for p in hierarchy.placements if at in hierarchy.path_to_root(p)]
        self.depth = 0 if around is None else around.depth + 1
        self.steps: list[Step] = [] if around is None else list(around.steps)
        self.weights: list[int] = [] if around is None else around.weights  # arguments that are never negative
        self.few: list[int] = [] if around is None else around.few  # arguments that are numbers of turns
        self.must: list[int] = []  # what may turn out to be over nobody: it has to be looked at

    def add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def unplaced(self) -> dict[int, Type]:
        return {i: s.t for i, s in enumerate(self.steps) if s.at is None and not (isinstance(s, Constant) or s.whole)}

    def pick(self, fits: Callable[[Step], bool]) -> int | None:
        """A step that fits; later ones come first, so that programs get deep."""
        found = [i for i, s in enumerate(self.steps) if self._here(s) and fits(s)]
        return None if not found else self.draw(sampled(found[::-1]))

    def _here(self, s: Step) -> bool:
        return (s.at is None or s.at in self.placements) and not s.whole

    def placed(self, fits: Callable[[Type], bool] = lambda t: True) -> int | None:
        return self.pick(lambda s: s.at is not None and fits(s.t.member))

    def lower(self, p: Placement) -> list[Placement]:
        return [q for q in self.placements if q != p and p in self.hierarchy.path_to_root(q)]

    def higher(self, p: Placement) -> list[Placement]:
        return [q for q in self.hierarchy.path_to_root(p)[1:] if q in self.placements]

    def place(self) -> Placement:
        return self.draw(sampled(self.placements))

    # -- one method a kind of step: the index of what was added, None if nothing fits

    def constant(self) -> int | None:
        t = self.draw(constants)
        return self.add(Place(FederatedType(t, self.place(), True), self.add(Constant(t, self.draw(held(t))))))

    def zero(self) -> int | None:
        t = self.draw(zeroes)
        return self.add(Zero(t))

    def value(self) -> int | None:
        x = self.pick(lambda s: s.at is None)
        return None if x is None else self.add(Place(FederatedType(self.steps[x].t, self.place(), True), x))

    def eval(self) -> int | None:
        p = self.place()
        x = self.pick(lambda s: s.at is None) if self.draw(st.booleans()) else None
        t = INT32 if x is None else self.steps[x].t
        return self.add(Eval(FederatedType(t, p, p.singleton), x))

    def data(self) -> int | None:
        uri, t = self.draw(sampled([("rows", leaves.ROWS), ("vector", TensorType("float32", (3,))), ("number", INT32)]))
        return self.add(Data(FederatedType(t, self.place(), False), uri))

    def map(self) -> int | None:
        x = self.placed()
        if x is None:
            return None
        t = self.steps[x].t
        fn = self.draw(functions(t.member, self.unplaced()))
        apply = t.placement.singleton and self.draw(st.booleans())
        gives = FederatedType(fn.gives, t.placement, t.all_equal or apply)
        captures = any(word.strip(",").isdigit() for word in fn.name.split())
        inner = not captures and self.draw(st.booleans())
        lifted = fn.lifts and not apply and not inner and self.draw(st.booleans())
        return self.add(Map(gives, fn, x, apply, inner, lifted))

    def sequence(self) -> int | None:
        x = self.placed(lambda t: isinstance(t, SequenceType))
        x = self.collect() if x is None else x
        if x is None:
            return None
        t = self.steps[x].t
        fn = self.draw(on_sequences(t.member, self.unplaced()))
        return self.add(Map(FederatedType(fn.gives, t.placement, t.all_equal), fn, x, lifted=self.draw(st.booleans())))

    def local(self) -> int | None:
        x = self.pick(lambda s: s.at is None and not isinstance(s, Constant))
        if x is None:
            return None
        fn = self.draw(functions(self.steps[x].t, self.unplaced(), deep=False))
        return self.add(Local(fn.gives, fn, x))

    def select(self) -> int | None:
        x = self.placed(lambda t: isinstance(t, StructType))
        if x is None:
            return None
        t = self.steps[x].t
        index = self.draw(st.integers(0, len(t.member) - 1))
        return self.add(Select(FederatedType(t.member[index], t.placement, t.all_equal), x, index))

    def arithmetic(self) -> int | None:
        left = self.pick(lambda s: of_numbers(s.t.member if s.at else s.t) and not isinstance(s, Constant))
        if left is None:
            return None
        a = self.steps[left]
        member = a.t.member if a.at else a.t
        right = self.pick(
            lambda s: (
                (s.at is None or a.at is None or s.at == a.at)
                and (s.t.member if s.at else s.t) == member
                and not isinstance(s, Constant)
            )
        )
        names = [*BINARY, "divide"] if of_numbers(member, FLOATS) else list(BINARY)[:3]
        name = self.draw(sampled(names))
        called = self.draw(st.booleans())
        b = self.steps[right]
        p = a.at or b.at
        if p is None:
            t: Type = member
        elif a.at and b.at:
            t = FederatedType(member, p, p.singleton)  # zipped first
        else:
            t = FederatedType(member, p, (a if a.at else b).t.all_equal)
        return self.add(Arithmetic(t, name, left, right, called))

    def zip(self) -> int | None:
        x = self.placed()
        if x is None:
            return None
        p = self.steps[x].at
        rest = [i for i, s in enumerate(self.steps) if s.at == p]
        parts = (x, *self.draw(few_of(0, 2, *rest)))
        form = self.draw(sampled(["tuple", "dict", "nested"]))
        types = [self.steps[i].t.member for i in parts]
        if form == "dict":
            t = StructType([(f"e{i}", e) for i, e in enumerate(types)], dict)
        elif form == "nested":
            t = StructType([types[0], StructType(types, tuple)], tuple)
        else:
            t = StructType(types, tuple)
        return self.add(Zip(FederatedType(t, p, p.singleton), form, parts))

    def broadcast(self) -> int | None:
        x = self.pick(lambda s: s.at is not None and bool(self.lower(s.at)))
        if x is None:
            return None
        t = self.steps[x].t
        to = self.draw(sampled(self.lower(t.placement)))
        return self.add(Broadcast(FederatedType(t.member, to, t.all_equal), x))

    def rising(self, fits: Callable[[Type], bool] = lambda t: True) -> tuple[int, Placement] | None:
        def far(s: Step) -> bool:
            return s.at is not None and len(self.higher(s.at)) > nearest and fits(s.t.member)

        nearest = self.draw(sampled([1, 0]))  # over several tiers, if anything is
        x = self.pick(far)
        return None if x is None else (x, self.draw(sampled(self.higher(self.steps[x].at)[::-1])))

    def static(self, t: Type, names: Sequence[str] = NUMBERS) -> bool:
        return of_numbers(t, names) and all(p.is_static for p in tensors_in(t))

    def sum(self) -> int | None:
        found = self.rising(self.static)
        if found is None:
            return None
        x, to = found
        return self.add(Fold(FederatedType(self.steps[x].t.member, to, to.singleton), "sum", x))

    def extremum(self) -> int | None:
        found = self.rising(lambda t: self.static(t, [n for n in NUMBERS if n != "complex64"]))
        if found is None:
            return None
        x, to = found
        name = self.draw(sampled(["min", "max"]))
        self.must.append(self.add(Fold(FederatedType(self.steps[x].t.member, to, to.singleton), name, x)))
        return self.must[-1]

    def mean(self) -> int | None:
        found = self.rising(lambda t: self.static(t, FLOATS))
        if found is None:
            return None
        x, to = found
        weights = [i for i in self.weights if self.steps[i].at == self.steps[x].at]
        weight = self.draw(sampled([None, *weights]))
        self.must.append(self.add(Fold(FederatedType(self.steps[x].t.member, to, to.singleton), "mean", x, weight)))
        return self.must[-1]

    def raw(self, i: int) -> bool:
        """Whether a step may hold what a member's data is; a leaf in between is not looked for."""
        step = self.steps[i]
        folded = isinstance(step, Fold | UserFold | Collect)
        return isinstance(step, Data | Given | Loop) or (not folded and any(map(self.raw, step.uses())))

    def collect(self) -> int | None:
        found = self.rising(lambda t: not t.contains(SequenceType))
        if found is None or self.raw(found[0]):
            return None
        x, to = found
        return self.add(Collect(FederatedType(SequenceType(self.steps[x].t.member), to, to.singleton), x))

    def keyed(self) -> int | None:
        table = self.pick(lambda s: s.at is not None and s.t.all_equal and bool(self.lower(s.at)))
        if table is None:
            return None
        t = self.steps[table].t
        fn = self.draw(functions(StructType([t.member, INT32], tuple), self.unplaced()))
        if fn.gives.contains(SequenceType):
            return None
        below = self.lower(t.placement)
        x = self.pick(lambda s: s.at in below and s.t.member == INT32)
        p = self.draw(sampled(below)) if x is None else self.steps[x].at
        return self.add(Keyed(FederatedType(SequenceType(fn.gives), p, p.singleton), fn, x, (table,)))

    def fold(self) -> int | None:
        own = self.unplaced()
        kind = self.draw(sampled(["own", "own", "affine", "noted", "counted"]))
        fits: dict[str, Callable[[Type], bool]] = {
            "own": lambda t: t in own.values() and not isinstance(t, SequenceType),
            "affine": self.static,
            "noted": lambda t: t == INT32,
            "counted": lambda t: True,
        }
        found = self.rising(fits[kind])
        if found is None:
            return None
        x, to = found
        t = self.steps[x].t.member
        match kind:
            case "own":  # the zero is of the value's own type, and given: no unit of anything
                sums = [added_up(t), taken_away(t)] * 2 if self.static(t) else []
                fold, zero = self.draw(sampled([FIRST, LAST, *sums])), t
            case "affine":
                fold, zero = affine(t), StructType([("a", t), ("b", t)], dict)
            case "noted":
                fold, zero = NOTED, STR
            case _:
                fold, zero = COUNTED, INT32
        starts = [i for i, u in own.items() if u == zero]
        k = self.draw(sampled(starts)) if kind == "own" or (starts and self.draw(st.booleans())) else None
        if k is None:
            k = self.add(Constant(zero, unit(zero)))
        reduce = self.draw(st.booleans())
        report = self.draw(st.none() | functions(zero, self.unplaced())) if not reduce else None
        one_hop = len(self.hierarchy.path(self.steps[x].at, to)) == 2
        itself = one_hop or fold.name in ("added up", "taken away", "last")  # op serves as merge, or there is none
        merges = not (reduce and itself and self.draw(st.booleans()))
        gives = FederatedType(zero if report is None else report.gives, to, to.singleton)
        return self.add(UserFold(gives, fold, x, k, report, reduce, merges))

    # -- loops

    def loop(self) -> int | None:
        """A loop at some tier; one of its turns is other than the one before, if anything can be made of the state."""
        if self.depth > 1:
            return None
        where = self.place()
        inner = _Drafted(self.draw, self.hierarchy, where, self)
        here = [i for i, s in enumerate(self.steps) if s.at in inner.placements]
        if not here:
            return None
        static = [i for i in here if self.static(self.steps[i].t.member)]
        talks = [i for i in static if inner.lower(self.steps[i].t.placement)]
        first = self.draw(sampled([*talks, *talks, *(static or here)][::-1]))
        parts = [first, *self.draw(few_of(0, 2, *here))]
        data = self.draw(few_of(0, 2, *here))
        known, shown = len(self.steps), len(parts)
        for i in parts:
            t = self.steps[i].t
            inner.add(Given(FederatedType(t.member, t.placement, t.placement.singleton)))
        for i in data:
            inner.add(Given(self.steps[i].t))
        inner.there_and_back(known, self.draw(st.integers(0, 2)))
        for _ in range(self.draw(st.integers(0, 4))):
            getattr(inner, self.draw(sampled(_KINDS)))()
        if self.draw(st.integers(0, 3)) == 3:
            inner.loop()
        ends = [inner.end(known + k) for k in range(shown)]
        for i in inner.must:  # whoever may be nobody is part of the state, from zero on
            t = inner.steps[i].t
            parts.append(self.add(Place(FederatedType(t.member, t.placement, True), self.add(Zero(t.member)))))
            ends.append(i)
        types = [inner.steps[known + k].t for k in range(shown)] + [inner.steps[i].t for i in inner.must]
        form = self.draw(sampled(["tuple", "dict"] if len(parts) > 1 else ["one", "one", "tuple"]))
        named = [(f"s{k}", t) for k, t in enumerate(types)]
        whole = types[0] if form == "one" else StructType(named, dict) if form == "dict" else StructType(types, tuple)
        count = self.draw(sampled([None, *self.few]))
        loop = Loop(
            whole,
            where,
            form,
            tuple(parts),
            tuple(data),
            known,
            shown,
            tuple(inner.steps[known + shown + len(data) :]),
            tuple(ends),
            self.draw(sampled([2, 3, 1, 0])),
            count,
        )
        x = self.add(loop)
        found = [self.add(Part(t, x, k, form == "one")) for k, t in enumerate(types)]
        if inner.must:
            self.must.append(found[shown])
        return found[0]

    def there_and_back(self, state: int, most: int) -> None:
        """Send a part of the state down, add something of those below to it, and sum it up where it was."""
        t = self.steps[state].t
        if not self.static(t.member):
            return
        here = FederatedType(t.member, t.placement, t.placement.singleton)
        for to in self.draw(st.permutations(self.lower(t.placement)))[:most]:
            sent = self.add(Broadcast(FederatedType(t.member, to, t.all_equal), state))
            own = [i for i, s in enumerate(self.steps) if s.at == to and s.t.member == t.member]
            mixed = FederatedType(t.member, to, to.singleton)
            y = self.add(Arithmetic(mixed, "plus", sent, self.draw(sampled(own)), False))
            name = self.draw(sampled(["plus", "minus"]))
            self.add(Arithmetic(here, name, self.add(Fold(here, "sum", y)), state, False))

    def end(self, state: int) -> int:
        """What a part of the state is in the next turn."""
        t = self.steps[state].t
        fits = [i for i, s in enumerate(self.steps) if s.at == t.placement and s.t.member == t.member]
        new = [i for i in fits if i > state and not isinstance(self.steps[i], Given)]
        if not new and of_numbers(t.member):
            new = [self.add(Arithmetic(t, "multiply", state, self.draw(sampled(fits)), False))]
        return self.draw(sampled(new[::-1] or fits))


def unit(t: Type) -> Any:
    """The unit of `COUNTED`, `NOTED` or `affine`, as a user writes it."""
    if isinstance(t, StructType):
        of = t["a"]
        return {"a": _user(of, each(of, np.ones_like, zeros(of))), "b": _user(of, zeros(of))}
    return "" if t == STR else np.int32(0)


def _user(t: Type, x: Any) -> Any:
    """A held value in containers that a user would write."""
    if isinstance(t, StructType):
        parts = [_user(e, v) for e, v in zip(t.parts(), x, strict=True)]
        return dict(zip(t.names, parts, strict=True)) if None not in t.names else tuple(parts)
    return x


_KINDS = (
    ["map"] * 5
    + ["broadcast", "fold"] * 5
    + ["sum", "zip", "arithmetic"] * 3
    + ["mean"] * 4
    + ["loop"] * 3
    + ["extremum", "select", "data", "collect", "keyed", "sequence"] * 2
    + ["value", "eval", "constant", "local", "zero"]
)


def unused(steps: Sequence[Step]) -> list[int]:
    """The steps that no other uses, but for parameters and constants."""
    used = {i for step in steps for i in step.uses()}
    return [i for i, s in enumerate(steps) if i not in used and not (isinstance(s, Argument | Constant) or s.whole)]


@functools.cache
@st.composite
def programs(draw: st.DrawFn, hierarchy: Hierarchy, most: int = 10) -> Program:
    """A program for `hierarchy`."""
    drafted = _Drafted(draw, hierarchy, hierarchy.root)
    parameters = draw(_parameters(hierarchy))
    few = (len(parameters),) if len(parameters) < 4 and draw(st.booleans()) else ()
    parameters += [INT32 for _ in few]
    for i, t in enumerate(parameters):
        parts = [((i, j), e) for j, e in enumerate(t.parts())] if is_struct_of_placed(t) else [((i,), t)]
        for path, part in parts:
            at = drafted.add(Argument(part, path))
            if i in few:
                drafted.few.append(at)
            if isinstance(part, FederatedType) and isinstance(part.member, TensorType) and part.member.name in WEIGHTS:
                if part.member.shape == ():
                    drafted.weights.append(at)
    for _ in range(draw(st.integers(2, most))):
        getattr(drafted, draw(sampled(_KINDS)))()
    whole = [i for i, s in enumerate(drafted.steps) if not (isinstance(s, Constant) or s.whole)]
    shown = [i for i in unused(drafted.steps) if draw(sampled([True, True, True, False]))]  # some are dead code
    chosen = [*drafted.must, *shown, *draw(few_of(0 if shown else 1, 2, *whole))]
    results = tuple(dict.fromkeys(chosen))
    form = draw(sampled(["dict", "tuple", "one"] if len(results) == 1 else ["dict", "tuple"]))
    return Program(tuple(parameters), tuple(drafted.steps), results, form, few)


WEIGHTS = ("uint8", "uint64")


@functools.cache
@st.composite
def _parameters(draw: st.DrawFn, hierarchy: Hierarchy) -> list[Type]:
    leaf = draw(sampled([p for p in hierarchy.placements if not hierarchy.children(p)]))
    first = draw(measures)
    found: list[Type] = [FederatedType(first, leaf, False)]
    if draw(st.booleans()):
        found.append(FederatedType(draw(sampled(["uint8", "uint64"])), leaf, False))
    if draw(sampled([True, True, False])):
        found.append(first)  # unplaced, and of a type that fits
    for _ in range(draw(st.integers(0, 4 - len(found)))):
        t = draw(values)
        kind = draw(sampled(["placed", "placed", "all-equal", "unplaced", "struct"]))
        p = draw(sampled(hierarchy.placements))
        if kind == "unplaced":
            found.append(t)
        elif kind == "struct":
            other = FederatedType(draw(values), draw(sampled(hierarchy.placements)), draw(st.booleans()))
            found.append(StructType([FederatedType(t, p, False), other], tuple))
        else:
            found.append(FederatedType(t, p, kind == "all-equal"))
    return found


@dataclass(frozen=True)
class Case:
    """A program, a tree of its hierarchy, and held arguments for it."""

    program: Program
    tree: Tree
    arguments: tuple[Any, ...]

    def __repr__(self) -> str:
        below = {m.name: [c.name for c in m.children] for m in self.tree.root.walk() if m.children}
        return f"{self.program}\n  on {below}\n  with {self.arguments}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # what hypothesis shows

    def expected(self) -> Any:
        """The parts of the result as the oracle folds them; Empty where there is nobody to fold."""
        try:
            return self.program.means(self.arguments, Oracle.of(self.tree))
        except oracle.Empty:
            return oracle.Empty


@st.composite
def cases(draw: st.DrawFn, on: Sequence[Hierarchy] = tuple(HIERARCHIES.values()), least: int = 0) -> Case:
    """A program on a tree, in which aggregators have `least` children, with arguments."""
    hierarchy = draw(sampled(list(on)))
    program = draw(programs(hierarchy))
    return draw(given_to(program, draw(trees(hierarchy, least))))


@st.composite
def given_to(draw: st.DrawFn, program: Program, tree: Tree) -> Case:
    """A case of this program on this tree; what the result has all-equal is somewhere."""
    shown = [program.steps[i].t for i in program.results]
    assume(all(tree.members(t.placement) for t in shown if isinstance(t, FederatedType) and t.all_equal))
    given = (turns if i in program.few else argument(t, tree) for i, t in enumerate(program.parameters))
    return Case(program, tree, tuple(map(draw, given)))
