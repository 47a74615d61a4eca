"""Cut: where each value of a program lives, from which phase on, and what crosses the links.

    v1=hop_accumulate[EDGE](x,…)      at CLIENTS  send x            1
                                      at EDGE     v1 = fold x       1

Every value of the normal form lives at one placement; what has none is computed once, at the
root, and delivered to the tiers that use it.  What crosses a link is a *message*.  Its phase
is the longest chain of hops before it, and everything of one phase, direction and pair of
tiers travels together.

The step of a loop is cut by itself, with phases of its own that begin where the loop does; so
nothing inside travels with anything outside.  What it uses from around it is delivered first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tierfed.compiler.fit import called_uri
from tierfed.compiler.normal_form import bindings_of, one_member, part_of, path_of, placed_parts, references, result_of
from tierfed.compiler.slices import Carried, Compute, FoldSlot, Keep, Load, Recall, Slot, Step
from tierfed.errors import CompileError
from tierfed.ir.build import unpack
from tierfed.ir.intrinsics import iterate
from tierfed.ir.nodes import (
    Call,
    Compiled,
    Data,
    Intrinsic,
    Lambda,
    Node,
    PlacementLiteral,
    Reference,
    Selection,
    Struct,
    free_names,
    shortened,
    transformed,
)
from tierfed.placements import Hierarchy, Placement
from tierfed.types import FederatedType, StructType, Type

Phase = int
DownKey = tuple[Phase, str, Placement]  # phase, "broadcast" or "scatter", the placement below
UpKey = tuple[Phase, Placement]
_PLUS = "generic_plus"


@dataclass(slots=True)
class Looped:
    """A loop: its step, cut, from `start` on, and what goes from turn to turn at each placement."""

    inner: Cut
    turns: Node
    start: Phase
    carried: list[tuple[Placement, Carried]]
    number: int  # among the loops of its body


@dataclass(slots=True)
class Cut:
    """The state of one cutting.  `around`: the body that this one is the step of a loop in."""

    program: Lambda
    hierarchy: Hierarchy
    root: Placement
    around: Cut | None = None
    recalled: frozenset[str] = frozenset()
    nodes: dict[str, Node] = field(default_factory=dict)
    at: dict[tuple[Placement, str], Phase] = field(default_factory=dict)
    down: dict[DownKey, list[Slot]] = field(default_factory=dict)
    up: dict[UpKey, list[FoldSlot]] = field(default_factory=dict)
    steps: dict[Placement, list[tuple[Phase, Step | Looped]]] = field(default_factory=dict)
    arguments: list[Slot] = field(default_factory=list)
    constants: dict[str, Node] = field(default_factory=dict)
    loops: dict[str, Looped] = field(default_factory=dict)
    from_around: Phase = 0  # the phase, around, from which all that was used from there is where it is used

    def __post_init__(self) -> None:
        self.nodes = dict(bindings_of(self.program))
        self.steps = {p: [] for p in self.hierarchy.placements}
        if self.around is not None:
            self.constants = self.around.constants

    def run(self) -> None:
        """Place every binding."""
        for name, node in tuple(self.nodes.items()):
            self._bind(name, node)

    @property
    def last(self) -> Phase:
        """The last phase in which anything happens."""
        messages = [*(key[0] for key in self.down), *(key[0] for key in self.up)]
        ends = [loop.start + loop.inner.last for loop in self.loops.values()]
        return max([0, *messages, *ends, *(phase for steps in self.steps.values() for phase, _ in steps)])

    # -- bindings

    def _bind(self, name: str, node: Node) -> None:
        t = node.type
        path = path_of(node)
        if path is not None and path[0] == self.program.parameter:
            self._parameter(name, t)
        elif path is not None and path[0] in self.loops:
            assert isinstance(t, FederatedType)
            self._result_of_loop(name, t, self.loops[path[0]], path[1])
        elif called_uri(node) == iterate.NAME:
            assert isinstance(node, Call)
            self._loop(name, node)
        elif not isinstance(t, FederatedType):
            self._unplaced(name, node)
        elif isinstance(node, Data):
            self._do(0, t.placement, Load(Slot(name, t.member), node.uri), name)
        else:
            assert isinstance(node, Call) and isinstance(node.function, Intrinsic)
            self._operation(name, node, node.function.uri, t)

    def _do(self, phase: Phase, placement: Placement, step: Step, name: str) -> None:
        """Have a step bind `name` at a placement."""
        self.steps[placement].append((phase, step))
        self.at[placement, name] = phase

    def _parameter(self, name: str, t: Type) -> None:
        """A part of the parameter: of a program it comes to the root, of a step it is where it stands."""
        if self.around is not None:
            if isinstance(t, FederatedType):
                self.at[t.placement, name] = 0
            else:  # `<>`: no data
                self.constants[name] = Struct(())
            return
        if isinstance(t, FederatedType):
            apart = t.placement != self.root and not t.all_equal
            if apart and name in self.recalled:
                default = Slot(f"{name}.default", t.member)
                if default.name in self.recalled:
                    self.nodes[default.name] = Reference(default.name, t.member)
                    self.arguments.append(default)
                    self.at[self.root, default.name] = 0
                    phase = self.deliver(default.name, t.placement)
                    self._do(phase, t.placement, Recall(Slot(name, t.member), default.name), name)
                else:
                    self._do(0, t.placement, Recall(Slot(name, t.member), None), name)
                return
            self.arguments.append(Slot(name, t.member, t.placement if apart else None))
        else:
            self.arguments.append(Slot(name, t))
        self.at[self.root, name] = 0

    def _unplaced(self, name: str, node: Node) -> None:
        """A value without a placement: a constant is written where it is used, anything else computed at the root."""
        node = self.inlined(node)
        if not free_names(node) and not any(isinstance(n, Compiled) for n in node.walk()):
            self.constants[name] = node
            return
        self._compute(name, node, node.type, self.root)

    def _operation(self, name: str, node: Call, uri: str, t: FederatedType) -> None:
        match uri:
            case "federated_value":
                self._compute(name, unpack(node.argument, 1)[0], t.member, t.placement)
            case "federated_eval":
                self._compute(name, Call(unpack(node.argument, 1)[0]), t.member, t.placement)
            case "federated_map" | "federated_apply":
                fn, x = unpack(node.argument, 2)
                self._compute(name, Call(fn, one_member(x)), t.member, t.placement)
            case "federated_zip":
                self._compute(name, one_member(unpack(node.argument, 1)[0]), t.member, t.placement)
            case "hop_broadcast":
                self._broadcast(name, unpack(node.argument, 1)[0], t)
            case "hop_accumulate" | "hop_merge":
                self._fold(name, node, uri.removeprefix("hop_"), t)
            case _:
                raise CompileError(
                    f"{uri} is not run by daemons in this version",
                    where=shortened(node),
                    mend="use an intrinsic of the table in docs/language.md",
                )

    def _compute(self, name: str, expression: Node, t: Type, placement: Placement) -> None:
        expression = self.inlined(expression)
        self._do(self._needed(expression, placement), placement, Compute(Slot(name, t), expression), name)

    def _needed(self, expression: Node, placement: Placement) -> Phase:
        """Return the phase from which all that `expression` uses is at `placement`, delivering what is not."""
        return max((self.deliver(name, placement) for name in free_names(expression)), default=0)

    # -- what goes down

    def deliver(self, name: str, placement: Placement) -> Phase:
        """Return the phase from which `name` is at `placement`; it is sent there if it has to be."""
        found = self.at.get((placement, name))
        if found is not None:
            argument = next((a for a in self.arguments if a.name == name), None)
            if argument is None or argument.many is None or placement != self.root:
                return found
            raise AssertionError(f"{name} is used at the root, and is an argument of {argument.many}")
        if self.around is not None and name not in self.nodes:
            self.from_around = max(self.from_around, self.around.deliver(name, placement))
            self.at[placement, name] = 0
            return 0
        above = self.hierarchy.parent(placement)
        assert above is not None, f"{name} is nowhere above {placement}"
        argument = next((a for a in self.arguments if a.name == name and a.many is not None), None)
        if argument is not None and argument.many is not None:
            return self._scatter(argument, argument.many, placement)
        phase = self.deliver(name, above) + 1
        self.down.setdefault((phase, "broadcast", placement), []).append(Slot(name, self._type(name)))
        self.at[placement, name] = phase
        return phase

    def _scatter(self, argument: Slot, owner: Placement, placement: Placement) -> Phase:
        """Send each member of `owner` its own value, by way of `placement`."""
        found = self.at.get((placement, argument.name))
        if found is not None:
            return found
        above = self.hierarchy.parent(placement)
        assert above is not None
        phase = self._scatter(argument, owner, above) + 1
        self.down.setdefault((phase, "scatter", placement), []).append(argument)
        self.at[placement, argument.name] = phase
        return phase

    def _type(self, name: str) -> Type:
        t = self.nodes[name].type
        return t.member if isinstance(t, FederatedType) else t

    def _broadcast(self, name: str, x: Node, t: FederatedType) -> None:
        """One hop down: the value is sent under the name that it has, and gets its new one where it arrives."""
        assert isinstance(x, Reference) and isinstance(x.type, FederatedType)
        phase = self.deliver(x.name, x.type.placement) + 1
        if (t.placement, x.name) not in self.at:
            self.down.setdefault((phase, "broadcast", t.placement), []).append(Slot(x.name, t.member))
            self.at[t.placement, x.name] = phase
        self._compute(name, Reference(x.name, t.member), t.member, t.placement)

    # -- what goes up

    def _fold(self, name: str, node: Call, kind: str, t: FederatedType) -> None:
        x, zero, operator = unpack(node.argument, 3)
        assert isinstance(x, Reference) and isinstance(x.type, FederatedType)
        source = x.type.placement
        zero, operator = self.inlined(zero), self.inlined(operator)
        phase = max(
            self.deliver(x.name, source) + 1,
            self._needed(zero, t.placement),
            self._needed(operator, t.placement),
        )
        fold = FoldSlot(
            Slot(name, t.member),
            "accumulate" if kind == "accumulate" else "merge",
            Slot(x.name, x.type.member),
            zero,
            operator,
            plus=_is_plus(operator) and x.type.member == t.member,
        )
        self.up.setdefault((phase, source), []).append(fold)
        self.at[t.placement, name] = phase

    def gather(self, name: str, source: Placement) -> None:
        """Bring the values of `name` at `source` to the root, side by side."""
        phase = self.deliver(name, source)
        member = self._type(name)
        incoming = Slot(name, member)
        for below, above in itertools.pairwise(self.hierarchy.path(source, self.root)):
            phase += 1
            gathered = Slot(name, member, source)
            self.up.setdefault((phase, below), []).append(FoldSlot(gathered, "gather", incoming))
            incoming = gathered
            self.at[above, f"{name} of {source}"] = phase
        self.at[self.root, name] = phase

    def compute_at_root(self, name: str, of: str) -> None:
        """Give the value `of` at the root a second name there."""
        if (self.root, name) not in self.at:
            self._compute(name, Reference(of, self._type(of)), self._type(of), self.root)

    def keep(self, name: str, source: Placement) -> None:
        """Have the members of `source` keep their values of `name`, and say so: an empty message rises to the root."""
        phase = self.deliver(name, source)
        self.steps[source].append((phase, Keep(Slot(name, self._type(name)))))
        for below in self.hierarchy.path(source, self.root)[:-1]:
            phase += 1
            self.up.setdefault((phase, below), [])

    # -- loops

    def _loop(self, name: str, node: Call) -> None:
        """Cut the step of a loop, and have everything that it starts from where it is needed."""
        step, state, data, rounds, at = unpack(node.argument, 5)
        assert isinstance(step, Lambda) and isinstance(at, PlacementLiteral)
        inner = Cut(step, self.hierarchy, at.placement, around=self)
        inner.run()
        given = {p: n for n, b in inner.nodes.items() if (p := part_of(b, step.parameter)) is not None}
        start = 0
        carried: list[tuple[Placement, Carried]] = []
        ends = list(references(result_of(step)))
        parts = zip(placed_parts(state.type, (0,)), references(state), ends, strict=True)
        for i, ((path, t), first, end) in enumerate(parts):
            slot = Slot(given.get(path, f"{name}.{i}"), t.member)
            inner.deliver(end.name, t.placement)
            start = max(start, self.deliver(first.name, t.placement))
            carried.append((t.placement, Carried(slot, first.name, end.name)))
        for (path, t), value in zip(placed_parts(data.type, (1,)), references(data), strict=True):
            if path in given:
                start = max(start, self.deliver(value.name, t.placement))
                alias = Compute(Slot(given[path], t.member), Reference(value.name, t.member))
                inner.steps[t.placement].insert(0, (0, alias))
        turns = self.inlined(rounds)
        loop = Looped(inner, turns, 0, carried, len(self.loops))
        for placement in self.taking_part(loop):
            start = max(start, self._needed(turns, placement))
        loop.start = max(start, inner.from_around)
        self.loops[name] = loop
        for placement in self.taking_part(loop):
            self.steps[placement].append((loop.start, loop))
        if isinstance(node.type, FederatedType):
            self._result_of_loop(name, node.type, loop, ())

    def taking_part(self, loop: Looped) -> Iterator[Placement]:
        """Yield the placements in whose slices a loop stands."""
        inner = loop.inner
        received = {key[2] for key in inner.down} | {self.hierarchy.parent(key[2]) for key in inner.down}
        sent = {key[1] for key in inner.up} | {self.hierarchy.parent(key[1]) for key in inner.up}
        holding = {placement for placement, _ in loop.carried}
        return (p for p in self.hierarchy.placements if inner.steps[p] or p in received | sent | holding)

    def _result_of_loop(self, name: str, t: FederatedType, loop: Looped, path: tuple[int, ...]) -> None:
        state = loop.inner.program.parameter_type
        assert isinstance(state, StructType)
        place = [p for p, _ in placed_parts(state[0], ())].index(path)
        placement, carried = loop.carried[place]
        step = Compute(Slot(name, t.member), Reference(carried.slot.name, t.member))
        self._do(loop.start + loop.inner.last, placement, step, name)

    def inlined(self, node: Node) -> Node:
        """Return `node` with constants written out."""
        used = [name for name in free_names(node) if name in self.constants]
        if not used:
            return node

        def write(n: Node) -> Node:
            return self.constants.get(n.name, n) if isinstance(n, Reference) else n

        return transformed(node, write)


def _is_plus(operator: Node) -> bool:
    """Return whether `operator` is `generic_plus`, written so or as `(p -> generic_plus(<p[0],p[1]>))`."""
    match operator:
        case Intrinsic(uri=uri):
            return uri == _PLUS
        case Lambda(parameter=str(p), body=Call(function=Intrinsic(uri=uri), argument=Struct() as both)):
            sides = [n for n in both.children() if isinstance(n, Selection)]
            return (
                uri == _PLUS
                and [n.index for n in sides] == [0, 1]
                and all(isinstance(n.source, Reference) and n.source.name == p for n in sides)
            )
    return False
