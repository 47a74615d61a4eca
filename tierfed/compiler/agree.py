"""Agree: do the slices of a hierarchy fit together?

    SERVER    broadcast v1:float32 to CLIENTS   phase 1.0
    CLIENTS   receive   v2:float32              phase 1.0

What the compiler cuts does; what comes off a socket is asked here, before any of it runs:

- every message has its sender and its receiver, on neighbouring tiers, with equal names and types;
- every expression is a program over the names that were bound before it, once, of its slot's type;
- in every slice phases never fall, and within a phase nothing is sent after a receive;
- a loop has the same turns in all slices that it stands in: the expression is one, and its names
  come from the slice above that has the loop too; inside it all of this holds again;
- the root takes the arguments first, if there are any, and sends the result last.

Sound against deadlock: order the messages by phase; a node waits for a message of phase k
only after it has sent its own of phase k, so the lowest phase that anybody waits in has all
its senders ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from tierfed.compiler.slices import (
    Broadcast,
    Compute,
    Fold,
    FoldSlot,
    Keep,
    Load,
    Loop,
    Recall,
    Receive,
    Scatter,
    Send,
    Site,
    Slice,
    Slot,
    Step,
    incoming,
    walk,
)
from tierfed.errors import ProtocolError, TypeMismatch
from tierfed.ir.check import check
from tierfed.ir.nodes import Node, free_names
from tierfed.placements import Hierarchy, Placement
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type

_Message: TypeAlias = tuple[str, Site, Placement, tuple[Site, ...]]
"""`up` or `down`, its site, the placement below, the loops around it."""
_Ends: TypeAlias = dict[_Message, tuple[str, tuple[Slot, ...]]]  # the step at one end, and its slots
_MEND = "compile the program again"


def check_slices(hierarchy: Hierarchy, slices: Mapping[Placement, Slice]) -> None:
    """Return if `slices` fit together; raises ProtocolError or TypeMismatch, naming the step, if not."""
    sent: _Ends = {}
    received: _Ends = {}
    turns: dict[Site, tuple[Node, tuple[Site, ...]]] = {}
    for placement in hierarchy.placements:
        above = hierarchy.parent(placement)
        shared = set() if above is None else {s.site for s in slices[above].walk() if isinstance(s, Loop)}
        reader = _Slice(hierarchy, placement, sent, received, turns, shared)
        if above is None:
            reader.faces_the_driver(slices[placement].steps)
        for step in slices[placement].steps:
            reader.step(step)
    for direction, site, below, _ in sorted(sent.keys() ^ received.keys(), key=str):
        raise ProtocolError(
            f"the message {site} {direction} between {below} and {hierarchy.parent(below)} has one end only",
            where="slices",
            mend=_MEND,
        )
    for message, (verb, slots) in sent.items():
        _same_message(message, verb, slots, received[message][1])


def _same_message(message: _Message, verb: str, sent: tuple[Slot, ...], received: tuple[Slot, ...]) -> None:
    _, site, below, _ = message
    if verb == "send":
        fits = sent == received
    else:
        fits = len(sent) == len(received) and all(
            (s.name, s.type) == (r.name, r.type) and r.many == (None if s.many == below else s.many)
            for s, r in zip(sent, received, strict=True)
        )
    if not fits:
        raise ProtocolError(
            f"the message {site} is sent as {_shown(sent)} and received as {_shown(received)}",
            where=f"slice of {below}",
            mend=_MEND,
        )


def _shown(slots: tuple[Slot, ...]) -> str:
    return "<" + ",".join(f"{s.name}={s.type}" + (f" of each of {s.many}" if s.many else "") for s in slots) + ">"


def _listed(loops: tuple[Site, ...]) -> str:
    return "the loops " + ", ".join(map(str, loops)) if loops else "no loop"


class _Slice:
    """One slice as its steps are gone through."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        placement: Placement,
        sent: _Ends,
        received: _Ends,
        all_turns: dict[Site, tuple[Node, tuple[Site, ...]]],
        shared: set[Site],
    ) -> None:
        self.hierarchy = hierarchy
        self.placement = placement
        self.bound: dict[str, Slot] = {}
        self.sent = sent
        self.received = received
        self.at = (-1, 0, 0)
        self.loops: tuple[Site, ...] = ()
        self.all_turns = all_turns
        self.shared = shared  # the loops of the slice above
        self.delivered: set[str] = set()  # the names that came from there

    def fail(self, what: str) -> ProtocolError:
        return ProtocolError(what, where=f"slice of {self.placement}", mend=_MEND)

    def step(self, step: Step) -> None:
        root = self.placement == self.hierarchy.root
        match step:
            case Receive(site=site, slots=slots):
                self.message(self.received, "down", site, self.placement, ("receive", slots), 1, paired=not root)
                self.bind(*slots)
                self.delivered.update(slot.name for slot in slots)
            case Load(slot=slot):
                self.bind(slot)
            case Compute(slot=slot, expression=expression):
                self.value(expression, slot.type, slot.name)
                self.bind(slot)
            case Broadcast(site=site, to=to, slots=slots):
                self.message(self.sent, "down", site, self.child(to), ("broadcast", slots), 0)
                self.use(slots, many=False)
            case Scatter(site=site, to=to, slots=slots):
                self.message(self.sent, "down", site, self.child(to), ("scatter", slots), 0)
                self.use(slots, many=True)
            case Fold(site=site, source=source, folds=folds):
                self.message(self.received, "up", site, self.child(source), ("fold", incoming(folds)), 1)
                for fold in folds:
                    self.fold(fold, source)
                self.bind(*(fold.slot for fold in folds))
            case Send(site=site, slots=slots):
                self.message(self.sent, "up", site, self.placement, ("send", slots), 0, paired=not root)
                self.use(slots)
            case Keep(slot=slot):
                self.in_no_loop("keep", slot)
                self.use((slot,), many=False)
            case Recall(slot=slot, default=default):
                self.in_no_loop("recall", slot)
                if default is not None and self.bound.get(default) != Slot(default, slot.type):
                    raise self.fail(f"{default}, the default of {slot.name}, is not bound as {slot.type}")
                self.bind(slot)
            case Loop():
                self.loop(step)

    def loop(self, loop: Loop) -> None:
        """Check a loop: it begins after all of its phase, and its turns bind what they hand on."""
        turns, loops = self.all_turns.setdefault(loop.site, (loop.turns, self.loops))
        if turns != loop.turns:
            raise self.fail(f"the loop {loop.site} has {loop.turns} turns here, and {turns} elsewhere")
        if loops != self.loops:
            raise self.fail(f"the loop {loop.site} stands in {_listed(self.loops)} here, in {_listed(loops)} elsewhere")
        own = [name for name in free_names(loop.turns) if name not in self.delivered]
        if own and loop.site in self.shared:
            raise self.fail(f"the turns of loop {loop.site} depend on {own[0]}, which does not come from above")
        self.value(loop.turns, TensorType("int32"), f"turns of loop {loop.site}")
        if (loop.site.phase, 2, loop.site.index) <= self.at:
            raise self.fail(f"the loop {loop.site} comes too late, after phase {self.at[0]}")
        self.at = (loop.site.phase, 2, loop.site.index)
        around, delivered, at, loops = dict(self.bound), set(self.delivered), self.at, self.loops
        for carried in loop.carried:
            first = self.bound.get(carried.first)
            if first is None or first.many is not None or carried.slot.many is not None:
                raise self.fail(f"{carried.first}, which loop {loop.site} starts from, is not bound")
            if not carried.slot.type.is_assignable_from(first.type):
                raise self.fail(f"{carried.slot.name} is of type {carried.slot.type}, and starts as {first.type}")
        self.bind(*(carried.slot for carried in loop.carried))
        self.loops = (*loops, loop.site)
        for step in loop.steps:
            self.step(step)
        for carried in loop.carried:
            last = self.bound.get(carried.next)
            if last is None or last.many is not None or not carried.slot.type.is_assignable_from(last.type):
                raise self.fail(f"{carried.next}, which loop {loop.site} hands on, is not bound as {carried.slot.type}")
        self.bound, self.delivered, self.at, self.loops = around, delivered, at, loops
        self.bind(*(carried.slot for carried in loop.carried))

    def message(
        self,
        of: _Ends,
        direction: str,
        site: Site,
        below: Placement,
        end: tuple[str, tuple[Slot, ...]],
        order: int,
        paired: bool = True,
    ) -> None:
        """Note one end of a message; the driver's end, at the root, is in no slice."""
        if (site.phase, order, 0) < self.at or (self.loops and site.phase <= self.loops[-1].phase):
            raise self.fail(f"the message {site} comes too late, after phase {self.at[0]}")
        self.at = (site.phase, order, 0)
        key = (direction, site, below, self.loops)
        if key in of:
            raise self.fail(f"the message {site} stands twice")
        if paired:
            of[key] = end

    def faces_the_driver(self, steps: tuple[Step, ...]) -> None:
        """Check that the root's first and last step are its only ones with the driver."""
        if not steps or not isinstance(steps[-1], Send) or any(isinstance(s, Send) for s in walk(steps[:-1])):
            raise self.fail("the result is not sent once, as the last step")
        if any(isinstance(s, Receive) for s in walk(steps[1:])):
            raise self.fail("arguments are received after the first step")

    def in_no_loop(self, verb: str, slot: Slot) -> None:
        if self.loops:
            raise self.fail(f"{verb} {slot.name} stands in the loop {self.loops[-1]}")

    def child(self, placement: Placement) -> Placement:
        if placement not in self.hierarchy.children(self.placement):
            raise self.fail(f"{placement} is not just below {self.placement} in {self.hierarchy}")
        return placement

    def bind(self, *slots: Slot) -> None:
        for slot in slots:
            if slot.type.contains(FederatedType):
                raise self.fail(f"{slot.name} is a value of one member, and is of type {slot.type}")
            if slot.many is not None and slot.many not in self.hierarchy:
                raise self.fail(f"no tier {slot.many} in {self.hierarchy}")
            if slot.name in self.bound:
                raise self.fail(f"{slot.name} is bound twice")
            self.bound[slot.name] = slot

    def use(self, slots: tuple[Slot, ...], many: bool | None = None) -> None:
        for slot in slots:
            if self.bound.get(slot.name) != slot or (many is not None and (slot.many is not None) != many):
                raise self.fail(f"{slot.name} is not bound as {_shown((slot,))}")

    def value(self, expression: Node, t: Type, name: str) -> None:
        """Check an expression over what is bound here, and that it gives a value of `t`."""
        try:
            check(expression, {n: s.type for n, s in self.bound.items() if s.many is None})
        except TypeMismatch as bad:
            raise TypeMismatch(
                f"{bad.where}: {bad.what}" if bad.where else bad.what,
                where=f"slice of {self.placement}, {name}",
                mend=bad.mend,
            ) from None
        if not t.is_assignable_from(expression.type):
            raise self.fail(f"{name} is of type {t}, its expression of {expression.type}")

    def fold(self, fold: FoldSlot, source: Placement) -> None:
        name, u, x = fold.slot.name, fold.slot.type, fold.incoming.type
        if fold.kind == "gather":
            owner = fold.incoming.many or source
            if fold.zero is not None or fold.operator is not None or fold.plus:
                raise self.fail(f"{name} is gathered, and needs no zero or operator")
            if fold.slot.many != owner or u != x:
                raise self.fail(f"{name} does not hold what is gathered from {owner}")
            return
        if fold.zero is None or fold.operator is None:
            raise self.fail(f"{name} is folded without a zero and an operator")
        if fold.slot.many is not None or fold.incoming.many is not None or (fold.plus and u != x):
            raise self.fail(f"{name} cannot be folded from {_shown((fold.incoming,))}")
        self.value(fold.zero, u, f"zero of {name}")
        self.value(fold.operator, FunctionType(StructType((u, x)), u), f"operator of {name}")
