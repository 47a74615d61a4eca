"""Slice: one program for each tier out of the program for all (endpoint projection).

    v1=hop_accumulate[EDGE](x,…)      at CLIENTS  send x                     1.0
                                      at EDGE     v1 = fold x of CLIENTS     1.0

Every value of the normal form lives at one placement; what has none is computed once, at the
root, and delivered to the tiers that use it.  What crosses a link is a *message*.  Its phase
is the longest chain of hops before it, and everything of one phase, direction and pair of
tiers travels together.

Sound because a step uses only what earlier phases brought: ordering every slice by (phase,
sends, receives, computations) respects all dependencies, and since each message of phase k
needs only messages of phases below k, no two nodes can wait for each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from tierfed.compiler.normalise import bindings_of, result_of
from tierfed.compiler.slices import (
    Broadcast,
    Compute,
    Fold,
    FoldSlot,
    Load,
    Receive,
    Scatter,
    Send,
    Site,
    Slice,
    Slot,
    Step,
    incoming,
)
from tierfed.errors import CompileError
from tierfed.ir.build import unpack
from tierfed.ir.nodes import (
    Call,
    Compiled,
    Data,
    Intrinsic,
    Lambda,
    Node,
    Reference,
    Selection,
    Struct,
    free_names,
    shortened,
    transformed,
)
from tierfed.placements import Hierarchy, Placement
from tierfed.types import FederatedType, Type

_PLUS = "generic_plus"
_Phase = int


@dataclass(slots=True)
class _Down:
    """What goes down one link in one phase, as the sender has it."""

    slots: list[Slot] = field(default_factory=list)

    def received(self, placement: Placement) -> tuple[Slot, ...]:
        """Return the slots as a member of `placement` gets them: of a list over its own placement, one value."""
        return tuple(Slot(s.name, s.type) if s.many == placement else s for s in self.slots)


@dataclass(slots=True)
class _Up:
    """What goes up one link in one phase."""

    folds: list[FoldSlot] = field(default_factory=list)


_DownKey = tuple[_Phase, str, Placement]  # phase, "broadcast" or "scatter", the placement below
_UpKey = tuple[_Phase, Placement]


class _Cut:
    """The state of one slicing: where each value is, from which phase on, and the messages so far."""

    def __init__(self, program: Lambda, hierarchy: Hierarchy) -> None:
        self.hierarchy = hierarchy
        self.root = hierarchy.root
        self.nodes = dict(bindings_of(program))
        self.at: dict[tuple[Placement, str], _Phase] = {}
        self.down: dict[_DownKey, _Down] = {}
        self.up: dict[_UpKey, _Up] = {}
        self.steps: dict[Placement, list[tuple[_Phase, Step]]] = {p: [] for p in hierarchy.placements}
        self.arguments: list[Slot] = []
        self.constants: dict[str, Node] = {}

    def bind(self, name: str, node: Node) -> None:
        """Place one binding of the normal form."""
        t = node.type
        if _is_argument(node):
            self._argument(name, t)
        elif not isinstance(t, FederatedType):
            self._unplaced(name, node)
        elif isinstance(node, Data):
            self.steps[t.placement].append((0, Load(Slot(name, t.member), node.uri)))
            self.at[t.placement, name] = 0
        else:
            assert isinstance(node, Call) and isinstance(node.function, Intrinsic)
            self._operation(name, node, node.function.uri, t)

    def _argument(self, name: str, t: Type) -> None:
        if isinstance(t, FederatedType):
            apart = t.placement != self.root and not t.all_equal
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
                self._compute(name, Call(fn, _one_member(x)), t.member, t.placement)
            case "federated_zip":
                self._compute(name, _one_member(unpack(node.argument, 1)[0]), t.member, t.placement)
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
        phase = self._needed(expression, placement)
        self.steps[placement].append((phase, Compute(Slot(name, t), expression)))
        self.at[placement, name] = phase

    def _needed(self, expression: Node, placement: Placement) -> _Phase:
        """Return the phase from which all that `expression` uses is at `placement`, delivering what is not."""
        return max((self.deliver(name, placement) for name in free_names(expression)), default=0)

    def deliver(self, name: str, placement: Placement) -> _Phase:
        """Return the phase from which `name` is at `placement`; it is sent there if it has to be."""
        found = self.at.get((placement, name))
        if found is not None:
            argument = next((a for a in self.arguments if a.name == name), None)
            if argument is None or argument.many is None or placement != self.root:
                return found
            raise AssertionError(f"{name} is used at the root, and is an argument of {argument.many}")
        above = self.hierarchy.parent(placement)
        assert above is not None, f"{name} is nowhere above {placement}"
        argument = next((a for a in self.arguments if a.name == name and a.many is not None), None)
        if argument is not None and argument.many is not None:
            return self._scatter(argument, argument.many, placement)
        phase = self.deliver(name, above) + 1
        slot = Slot(name, self._type(name))
        self.down.setdefault((phase, "broadcast", placement), _Down()).slots.append(slot)
        self.at[placement, name] = phase
        return phase

    def _scatter(self, argument: Slot, owner: Placement, placement: Placement) -> _Phase:
        """Send each member of `owner` its own value, by way of `placement`."""
        found = self.at.get((placement, argument.name))
        if found is not None:
            return found
        above = self.hierarchy.parent(placement)
        assert above is not None
        phase = self._scatter(argument, owner, above) + 1
        self.down.setdefault((phase, "scatter", placement), _Down()).slots.append(argument)
        self.at[placement, argument.name] = phase
        return phase

    def _type(self, name: str) -> Type:
        t = self.nodes[name].type
        return t.member if isinstance(t, FederatedType) else t

    def _broadcast(self, name: str, x: Node, t: FederatedType) -> None:
        """One hop down: the value gets its new name where it is, since a message has one name for both ends."""
        assert isinstance(x, Reference) and isinstance(x.type, FederatedType)
        source = x.type.placement
        phase = self.deliver(x.name, source)
        slot = Slot(name, t.member)
        self.steps[source].append((phase, Compute(slot, Reference(x.name, t.member))))
        self.down.setdefault((phase + 1, "broadcast", t.placement), _Down()).slots.append(slot)
        self.at[t.placement, name] = phase + 1

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
        self.up.setdefault((phase, source), _Up()).folds.append(fold)
        self.at[t.placement, name] = phase

    def gather(self, name: str, source: Placement) -> None:
        """Bring the values of `name` at `source` to the root, side by side."""
        phase = self.deliver(name, source)
        member = self._type(name)
        way = self.hierarchy.path(source, self.root)
        incoming = Slot(name, member)
        for below, above in itertools.pairwise(way):
            phase += 1
            gathered = Slot(name, member, source)
            self.up.setdefault((phase, below), _Up()).folds.append(FoldSlot(gathered, "gather", incoming))
            incoming = gathered
            self.at[above, f"{name} of {source}"] = phase
        self.at[self.root, name] = phase

    def inlined(self, node: Node) -> Node:
        """Return `node` with constants written out."""
        used = [name for name in free_names(node) if name in self.constants]
        if not used:
            return node

        def write(n: Node) -> Node:
            return self.constants.get(n.name, n) if isinstance(n, Reference) else n

        return transformed(node, write)

    def slices(self, outcome: tuple[Slot, ...]) -> dict[Placement, Slice]:
        """Return the slices, with every message given its site."""
        sites = self._sites()
        messages = [*(key[0] for key in self.down), *(key[0] for key in self.up)]
        last = max([0, *messages, *(phase for steps in self.steps.values() for phase, _ in steps)])
        return {p: Slice(p, self._ordered(p, sites, outcome, last)) for p in self.hierarchy.placements}

    def _sites(self) -> dict[_DownKey | _UpKey, Site]:
        """Return the site of each message: indices count within a phase, in the order of the tiers."""
        rank = {p: i for i, p in enumerate(self.hierarchy.placements)}
        down = sorted(self.down, key=lambda k: (k[0], rank[k[2]], k[1]))
        up = sorted(self.up, key=lambda k: (k[0], rank[k[1]]))
        found: dict[_DownKey | _UpKey, Site] = {}
        counts: dict[_Phase, int] = {}
        keys: list[_DownKey | _UpKey] = [*down, *up]
        for key in keys:
            index = counts.get(key[0], 0)
            counts[key[0]] = index + 1
            found[key] = Site(key[0], index)
        return found

    def _ordered(
        self, placement: Placement, sites: dict[_DownKey | _UpKey, Site], outcome: tuple[Slot, ...], last: _Phase
    ) -> tuple[Step, ...]:
        """Return the steps of one placement: by phase, in each phase sends, then receives, then computations."""
        rows: list[tuple[_Phase, int, int, Step]] = []
        here = set(self.hierarchy.children(placement))
        for key, down in self.down.items():
            phase, kind, below = key
            make: Callable[..., Step] = Broadcast if kind == "broadcast" else Scatter
            if below in here:
                rows.append((phase, 0, sites[key].index, make(sites[key], below, tuple(down.slots))))
            elif below == placement:
                rows.append((phase, 1, sites[key].index, Receive(sites[key], down.received(placement))))
        for up_key, up in self.up.items():
            phase, source = up_key
            site = sites[up_key]
            if source == placement:
                rows.append((phase, 0, site.index, Send(site, incoming(tuple(up.folds)))))
            elif source in here:
                rows.append((phase, 1, site.index, Fold(site, source, tuple(up.folds))))
        if placement == self.root:
            if self.arguments:
                rows.append((0, 1, 0, Receive(Site(0, 0), tuple(self.arguments))))
            rows.append((last + 1, 0, 0, Send(Site(last + 1, 0), outcome)))
        for order, (phase, step) in enumerate(self.steps[placement]):
            rows.append((phase, 2, order, step))
        return tuple(step for *_, step in sorted(rows, key=lambda row: row[:3]))


def slice_program(program: Lambda, hierarchy: Hierarchy) -> dict[Placement, Slice]:
    """Return the slices of `program`, which is in normal form and made of hops, by placement."""
    cut = _Cut(program, hierarchy)
    for name, node in bindings_of(program):
        cut.bind(name, node)
    outcome: list[Slot] = []
    for name, t in free_names(cut.inlined(result_of(program))).items():
        if isinstance(t, FederatedType) and t.placement != hierarchy.root:
            argument = next((a for a in cut.arguments if a.name == name), None)
            if argument is None:
                cut.gather(name, t.placement)
                outcome.append(Slot(name, t.member, t.placement))
            else:
                outcome.append(argument)
        else:
            cut.deliver(name, hierarchy.root)
            outcome.append(Slot(name, t.member if isinstance(t, FederatedType) else t))
    return cut.slices(tuple(outcome))


def _is_argument(node: Node) -> bool:
    """Return whether a binding names a part of the program's parameter."""
    while isinstance(node, Selection):
        node = node.source
    return isinstance(node, Reference) and node.name == "args"


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


def _one_member(x: Node) -> Node:
    """Return an argument of a map as one member sees it: names stand for that member's values."""

    def local(n: Node) -> Node:
        return Reference(n.name, n.type.member) if isinstance(n, Reference) and isinstance(n.type, FederatedType) else n

    return transformed(x, local)
