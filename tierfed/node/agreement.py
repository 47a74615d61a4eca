"""Agreement: the two messages before the sends of a link whose codec's senders agree (codecs/agreeing.py).

    child    offer ──▶ 2.0?                   answer ──▶ codes ──▶ 2.0
    parent             fold the offers ──▶ 2.0? ┘                  fold the codes

Offers are collected at a site of their own, just before that of the codes, like any other message: the round
decides who is in, a member lost there is out of the codes too, with its reason.  The answer goes down to those
who are in.  Nobody waits who would not anyway: the parent is at this fold, and the child at this send.

Sites of one phase share their contributors, so a parent settles the agreements of all of them, in order,
before it folds the first; a child comes to them in the same order.

One deadline holds for both: the offers have three quarters of a fold's time, the codes what is left.

    children that begin get       handed_down(¾ of this node's time)

Sound because both ends find out from the program and the codec alone which slots are agreed on
(wire/terms.py), and codes are read with the answer of their own site and turn, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tierfed.codecs import LinkCodec
from tierfed.codecs.stage import Array
from tierfed.compiler.slices import (
    Broadcast,
    Compiled,
    Fold,
    FoldSlot,
    Receive,
    Send,
    Site,
    Slice,
    Slot,
    added,
    incoming,
)
from tierfed.errors import ProtocolError
from tierfed.node.accumulator import Contribution
from tierfed.node.keepers import MessageKeeper
from tierfed.node.run_slice import Turns
from tierfed.node.summary import Summary
from tierfed.node.uploads import INLINE, codec, expected_of
from tierfed.topology.assignment import ChildAssignment, NodeAssignment
from tierfed.types.values import nbytes
from tierfed.wire.message import MessageReader
from tierfed.wire.packing import Agreed
from tierfed.wire.reader import Expected
from tierfed.wire.terms import Terms, may_agree

if TYPE_CHECKING:
    from tierfed.node.invocation import Invocation

OFFERS = 0.75  # of the time of a fold
_OFFER, _ANSWER = "offer", "answer"
_Group = tuple[int, str, tuple[Site, ...]]


class Folding(Protocol):
    """What children's messages are folded into, in member order."""

    def fold(self, contribution: Contribution) -> None:
        """Fold one child's whole message in.  May be called off the event loop."""


class Topics:
    """On what a node agrees in a program: with its children, and with its siblings by way of the parent."""

    def __init__(
        self, part: Slice, loops: Mapping[Site, tuple[Site, ...]], compiled: Compiled, me: NodeAssignment
    ) -> None:
        self.terms: dict[Site, Terms] = {}  # with the children, by the site of the codes
        self.own: dict[Site, Terms] = {}  # with the siblings
        self.groups: dict[_Group, list[Fold]] = {}  # those that are settled together
        self.group: dict[Site, _Group] = {}
        self.loops: dict[Site, tuple[Site, ...]] = {}  # around each site of offers and answers
        for step in part.walk():
            if isinstance(step, Fold):
                self.group[step.site] = key = (step.site.phase, step.source.name, loops[step.site])
                terms = _with_children(step, me)
                if terms is not None:
                    self.terms[step.site] = terms
                    self.groups.setdefault(key, []).append(step)
                    self.loops[step.site.before] = loops[step.site]
            elif isinstance(step, Send):
                terms = _with_siblings(step, compiled, me)
                if terms is not None:
                    self.own[step.site] = terms
                    self.loops[step.site.before] = loops[step.site]
        steps = [step for group in self.groups.values() for step in group]
        self.folds = {step.site.before: _collecting(step, self.terms[step.site]) for step in steps}
        """The collecting of offers, by site."""
        self.receives = {s.before: Receive(s.before, (Slot(_ANSWER, t.answer_type),)) for s, t in self.own.items()}
        """The answers to be had from the parent, by site."""

    @property
    def share(self) -> float:
        """How much of a node's time its children may take to be heard."""
        return OFFERS if self.terms else 1.0


class Agreement:
    """The agreements of one invocation at one node."""

    def __init__(self, invocation: Invocation, topics: Topics) -> None:
        self._invocation = invocation
        self._topics = topics
        self._agreed: dict[Site, tuple[Turns, Agreed]] = {}  # with the children, the latest
        self._expected: dict[Site, Expected] = {}  # of the children that agree on nothing

    # -- as the parent

    def reader(self, child: ChildAssignment, step: Fold, site: Site, where: str) -> MessageReader:
        """Return the reader of a child's message.  Raises ProtocolError for codes that come before the answer."""
        if site.asks:
            return _OfferReader(self._topics.terms[Site(site.phase, site.index)], where)
        terms = self._topics.terms.get(site.written)
        if terms is None:
            if (expected := self._expected.get(site.written)) is None:
                expected = self._expected[site.written] = expected_of(incoming(step.folds))
            return MessageReader(expected, codec(child.codec_up), where=where)
        turns, agreed = self._agreed.get(site.written, (None, None))
        if turns is None or agreed is None or site.turns > turns:
            raise ProtocolError(
                f"{child.name} sends what is to be agreed on before it was answered",
                where=where,
                mend="run one version of tierfed in the whole tree",
            )
        if site.turns < turns:
            agreed = terms.blank()  # that turn is over: what comes is refused
        return MessageReader([(s.name, s.type, s.many is not None) for s in incoming(step.folds)], agreed, where=where)

    async def settle(self, step: Fold, turns: Turns) -> float:
        """Settle all agreements of a fold's phase; return until when the fold may wait."""
        inv = self._invocation
        now = asyncio.get_running_loop().time()
        for other in self._topics.groups.get(self._topics.group[step.site], ()):
            if self._agreed.get(other.site, (None,))[0] != turns:
                await self._settle(other, turns, now + OFFERS * inv.budget)
        return now + inv.budget

    async def _settle(self, step: Fold, turns: Turns, deadline: float) -> None:
        inv, terms = self._invocation, self._topics.terms[step.site]
        site = step.site.at(turns)
        offers = _Offers(terms)
        await inv.collected(site.before, offers, deadline)
        stream = inv.sending.stream(site)
        if offers.total is None:
            self._agreed[step.site] = turns, terms.blank()
            return
        total = offers.total

        def answered() -> tuple[Array, Agreed]:
            answer = terms.answer(total)
            return answer, terms.agreed(answer, stream)

        answer, agreed = answered() if total.nbytes <= INLINE else await inv.node.apart(answered)
        self._agreed[step.site] = turns, agreed
        down = Broadcast(step.site.before, step.source, (Slot(_ANSWER, terms.answer_type),))
        await inv.sending.down(down, site.before, [answer])

    # -- as a child

    async def codec(
        self,
        step: Send,
        site: Site,
        values: list[Any],
        summary: Summary,
        keeper: MessageKeeper | None,
    ) -> LinkCodec | Agreed:
        """Return the codec of a message to the parent, once its senders have agreed, if they have to."""
        inv = self._invocation
        terms = self._topics.own.get(step.site)
        if terms is None or site.asks:
            return codec(inv.node.me.codec_up if inv.node.me.parent is not None and not site.asks else "none")
        stream = inv.sending.stream(site)
        given = {slot.name: value for slot, value in zip(step.slots, values, strict=True)}
        rows = [given[name] for name, _ in terms.slots]
        if keeper is not None:
            keeper.begin(terms.tensors())

        def offered() -> Array:
            return terms.offer(rows, stream, None if keeper is None else keeper.given)

        size = sum(nbytes(value, t) for value, (_, t) in zip(rows, terms.slots, strict=True))
        offer = offered() if size <= INLINE else await inv.node.apart(offered)
        asking = Send(site.before, (Slot(_OFFER, terms.offer_type),))
        await inv.sending.up(asking, site.before, [offer], summary)
        (answer,) = await inv.receive(self._topics.receives[step.site.before], site.turns)
        return terms.agreed(answer, stream)


class _OfferReader(MessageReader):
    """Reads a child's offer; what no sender offers is refused when it is verified."""

    def __init__(self, terms: Terms, where: str) -> None:
        super().__init__([(_OFFER, terms.offer_type)], codec("none"), where=where)
        self._terms = terms

    def verify(self) -> None:
        super().verify()
        self._terms.check(self.decode()[0])


class _Offers:
    """The offers of the children, put together in member order; `total` is None as long as there is none."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.total: Array | None = None

    def fold(self, contribution: Contribution) -> None:
        """Put another child's offer to the others."""
        offer = contribution.values[_OFFER]
        if self.total is None:
            self.total = offer
        else:
            self._terms.combine(self.total, offer)


def _collecting(step: Fold, terms: Terms) -> Fold:
    slot = Slot(_OFFER, terms.offer_type)
    return Fold(step.site.before, step.source, (FoldSlot(slot, "gather", slot),))


def _rows(slots: tuple[Slot, ...]) -> tuple[tuple[str, Any], ...]:
    return tuple((s.name, s.type) for s in slots)


def _with_children(step: Fold, me: NodeAssignment) -> Terms | None:
    specs = {c.codec_up: c.name for c in me.children if c.placement == step.source.name}
    if not any(may_agree(codec(spec)) for spec in specs):
        return None
    if len(specs) > 1:
        (one, first), (other, second), *_ = specs.items()
        raise ProtocolError(
            f"{first} sends in {one}, {second} in {other}: they cannot agree",
            where=f"{me.name}, site {step.site}",
            mend=f"give all {step.source} of one parent one codec",
        )
    return Terms.of(_rows(added(step.folds)), codec(next(iter(specs))))


def _with_siblings(step: Send, compiled: Compiled, me: NodeAssignment) -> Terms | None:
    if me.parent is None or not may_agree(codec(me.codec_up)):
        return None
    fold = compiled.fold_of(step.site, me.placement)
    return None if fold is None else Terms.of(_rows(added(fold.folds)), codec(me.codec_up))
