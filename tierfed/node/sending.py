"""Sending: the messages of one invocation, on their way to the children and to the parent.

    broadcast v1 to CLIENTS     coded once for all who share a codec, as they take it (coded.py)
    what the parent has just sent      passed on frame by frame (relay.py)
    scatter x over CLIENTS      each child's own part
    send v2                     to the parent, with who stands behind it

Messages to one child are begun in the order of the slice.  Only so many are under way to a child:
then the slice waits for the slowest that still takes part.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tierfed.codecs import LinkCodec, Stream
from tierfed.codecs.delta import BASE
from tierfed.compiler.slices import Broadcast, Scatter, Send, Site, Slot
from tierfed.node.bases import Base
from tierfed.node.coded import Coded
from tierfed.node.collection import Order
from tierfed.node.keepers import MessageKeeper, Place, added_up, slot_in, states
from tierfed.node.relay import Relay, Relayed
from tierfed.node.summary import Summary
from tierfed.node.uploads import INLINE, codec
from tierfed.placements import Placement
from tierfed.topology.assignment import ChildAssignment
from tierfed.types.values import nbytes
from tierfed.wire.message import Message, encode_message
from tierfed.wire.packing import Agreed
from tierfed.wire.reader import MessageReader

if TYPE_CHECKING:
    from tierfed.node.invocation import Invocation

_UNDER_WAY = 8  # messages on their way to one child
_MOST_PATIENCE = 0.5  # seconds that a parent is held for the slowest child, in all of a message
_REMEMBERED = 64  # messages that went upwards

_Frames = list[tuple[dict[str, Any], Any]]


class Sending:
    """See the module docstring; `moved` is set when a message has left, or a child may be lost."""

    def __init__(self, invocation: Invocation) -> None:
        self.moved = asyncio.Event()
        self._invocation = invocation
        self._going_down = asyncio.Lock()
        self._under_way: Counter[str] = Counter()  # messages to each child
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # one message to a child at a time
        self._relays: dict[Site, Relay] = {}  # by the site of the parent's message
        self._coded: set[Coded] = set()
        self.sent: deque[Order] = deque(maxlen=_REMEMBERED)  # where messages went upwards

    async def down(self, step: Broadcast | Scatter, site: Site, values: list[Any]) -> None:
        """Begin to send to every child that takes part; the slice goes on meanwhile, unless one is far behind."""
        inv = self._invocation
        inv.spawn(self._down(step, site, values))
        await self._begun()

    async def _begun(self) -> None:
        await asyncio.sleep(0)  # let the sending begin
        while any(n >= _UNDER_WAY and self._takes_part(child) for child, n in self._under_way.items()):
            self.moved.clear()
            await self.moved.wait()

    async def pass_on(self, step: Relayed, site: Site, reader: MessageReader) -> None:
        """Begin to relay the parent's message of `site`, which `reader` takes, as `down` would begin to send it."""
        self._invocation.spawn(self._pass_on(step, site, reader))
        await self._begun()

    async def _pass_on(self, step: Relayed, site: Site, reader: MessageReader) -> None:
        inv = self._invocation
        async with self._going_down:
            to, own = step.broadcast.to.name, step.broadcast.site
            children = [c.name for c in inv.members if c.placement == to and self._takes_part(c.name)]
            ident = {"m": "down", "inv": inv.name, "att": inv.attempt, "site": str(own)}
            holder = f"{inv.name} passes on {site}"
            parent, traffic = inv.node.parent, inv.node.traffic

            def taken(wire: int, raw: int) -> None:
                traffic.add(to, "down", wire * len(children))
                traffic.add(to, "raw_down", raw * len(children))

            traffic.add(to, "messages_down", len(children))
            patience = min(_MOST_PATIENCE, inv.budget / 20)  # within what a parent's deadline has for the way
            hold, let = (functools.partial(way, holder) for way in (parent.hold, parent.let))
            relay = Relay(reader, ident, step, children, hold, let, taken, patience)
            self._relays[site] = relay
            self._let_go(site)
            for child in children:
                self._under_way[child] += 1
                inv.message("sent", str(own), "down", child)
                inv.spawn(self._passed_to(child, site, relay))

    def came(self, site: Site) -> None:
        """A frame of the parent's message of `site` is here."""
        if site in self._relays:
            self._relays[site].moved()
            self._let_go(site)

    def _let_go(self, site: Site) -> None:
        if site in self._relays and self._relays[site].over:
            del self._relays[site]

    def look(self) -> None:
        """The round has moved: nobody waits for a child that is lost to it."""
        self.moved.set()
        for relay in tuple(self._relays.values()):
            for child in relay.children:
                if not self._takes_part(child):
                    relay.leave(child)
        for coded in tuple(self._coded):
            for child in coded.children:
                if not self._takes_part(child):
                    coded.leave(child)

    def close(self) -> None:
        """The invocation is over: what is relayed holds nobody up."""
        for relay in tuple(self._relays.values()):
            relay.close()

    async def _down(self, step: Broadcast | Scatter, site: Site, values: list[Any]) -> None:
        inv = self._invocation
        async with self._going_down:  # messages are begun in the order of the slice
            children = [c for c in inv.members if c.placement == step.to.name and self._takes_part(c.name)]
            ident = {"m": "down", "inv": inv.name, "att": inv.attempt, "site": str(site)}
            if isinstance(step, Broadcast):
                groups: dict[str, list[ChildAssignment]] = {}
                for child in children:
                    groups.setdefault("none" if site.asks else child.codec_down, []).append(child)
                for spec, sharing in groups.items():  # coded once, for all who share the codec
                    await self._broadcast(step, site, values, ident, spec, sharing)
                return
            rows = zip(step.slots, values, strict=True)
            parts = [_split(slot, value, inv.node.me.children) for slot, value in rows]
            for child in children:
                own = [part[child.name] for part in parts]
                slots = tuple(Slot(s.name, s.type, _still_many(s.many, child)) for s in step.slots)
                keeper = self._keeper(child.codec_down, f"> {child.name}", site, [s.name for s in slots if not s.many])
                coder = codec(child.codec_down)
                message = _message(ident, slots, own, coder, self.stream(site, child.name), keeper)
                self._send_to(child, message, await self._encoded(message, slots, own))
                self._done(keeper)

    async def _broadcast(
        self,
        step: Broadcast,
        site: Site,
        values: list[Any],
        ident: dict[str, Any],
        spec: str,
        children: list[ChildAssignment],
    ) -> None:
        """Send one message to children who share a codec; if it has a base, another to those who have not got that."""
        inv = self._invocation
        coder, slots = codec(spec), step.slots
        added = [s.name for s in slots if s.many is None]
        key = (inv.compiled.hash, str(step.site), spec)
        base = inv.node.keeping.sent.get(inv.id, key) if BASE in states(spec) else None
        have = [c for c in children if base is not None and c.name in base.holders]
        lack = [c for c in children if base is None or c.name not in base.holders]
        made: Base | None = None
        for sharing, relative in ((have, base), (lack, None)):
            if sharing:
                keeper = self._keeper(spec, f"> {spec}", site, added, relative, made)
                message = _message(ident, slots, values, coder, self.stream(site), keeper)
                if keeper is None and _size(slots, values) > INLINE:
                    self._send_as_coded(message, step, site, [c.name for c in sharing])
                    continue
                frames = await self._encoded(message, slots, values)
                self._done(keeper)
                if keeper is not None and keeper.based and made is None:  # before anybody has it, and may answer
                    large = sum(array.nbytes for array in keeper.based.values()) > INLINE
                    made = await inv.node.apart(keeper.new_base) if large else keeper.new_base()
                    made.holders |= {c.name for c in children if inv.began.get(c.name) == inv.node.epoch(c.name)}
                    inv.node.keeping.sent.put(inv.id, key, made)
                for child in sharing:
                    self._send_to(child, message, frames)

    def _send_as_coded(self, message: Message, step: Broadcast, site: Site, children: list[str]) -> None:
        """Begin to send a message to children who share a codec, which is coded as they take it."""
        inv, to = self._invocation, step.to.name
        traffic = inv.node.traffic

        def taken(wire: int, raw: int) -> None:
            traffic.add(to, "down", wire * len(children))
            traffic.add(to, "raw_down", raw * len(children))

        async def apart(work: Callable[[], Any]) -> Any:
            with inv.span("encode", ", ".join(s.name for s in step.slots)):
                return await inv.node.apart(work)

        traffic.add(to, "messages_down", len(children))
        coded = Coded(message, children, apart, taken, min(_MOST_PATIENCE, inv.budget / 20))
        self._coded.add(coded)
        for child in children:
            self._under_way[child] += 1
            inv.message("sent", str(site), "down", child)
            inv.spawn(self._coded_to(child, coded))

    async def _coded_to(self, child: str, coded: Coded) -> None:
        try:
            async with self._turns[child], contextlib.aclosing(coded.frames(child)) as frames:
                await self._invocation.node.pass_to_child(child, frames)
        finally:
            coded.leave(child)
            if coded.over:
                self._coded.discard(coded)
            self._under_way[child] -= 1
            self.moved.set()

    def _keeper(
        self,
        spec: str,
        link: str,
        site: Site,
        added: list[str],
        relative: Base | None = None,
        exactly: Base | None = None,
    ) -> MessageKeeper | None:
        """Return what codes a message where its codec has state, and adds what was lost before to the slots `added`."""
        if not states(spec):
            return None
        inv = self._invocation
        place = Place(inv.id, inv.compiled.hash, link, str(site.written), inv.order(site))
        residuals = inv.node.keeping.residuals
        arrays = None if exactly is None else exactly.arrays
        return MessageKeeper(place, residuals, lambda path: slot_in(path, added), relative, arrays)

    def _done(self, keeper: MessageKeeper | None) -> None:
        if keeper is not None and not self._invocation.over:
            keeper.done()

    def _takes_part(self, child: str) -> bool:
        """Return whether a child is there, and not lost to this invocation."""
        inv = self._invocation
        return inv.node.connected(child) and not inv.round.lost(child)

    async def _encoded(self, message: Message, slots: tuple[Slot, ...], values: list[Any]) -> _Frames:
        """Return the frames of a message, coded off the loop if that takes long."""
        inv = self._invocation
        size = _size(slots, values)
        with inv.span("encode", ", ".join(s.name for s in slots)):
            if size <= INLINE:
                return list(message)
            frames: _Frames = await inv.node.apart(lambda: list(message))
            return frames

    def _send_to(self, child: ChildAssignment, message: Message, frames: _Frames) -> None:
        inv = self._invocation
        inv.node.traffic.add(child.placement, "down", message.wire_bytes)
        inv.node.traffic.add(child.placement, "raw_down", message.raw_bytes)
        inv.node.traffic.add(child.placement, "messages_down", 1)
        self._under_way[child.name] += 1
        inv.message("sent", frames[0][0]["ident"]["site"], "down", child.name)
        inv.spawn(self._sent_to(child.name, frames))

    async def _sent_to(self, child: str, frames: _Frames) -> None:
        inv = self._invocation
        try:
            async with self._turns[child]:
                await inv.node.send_to_child(child, frames)
        finally:
            self._under_way[child] -= 1
            self.moved.set()

    async def _passed_to(self, child: str, site: Site, relay: Relay) -> None:
        try:
            async with self._turns[child], contextlib.aclosing(relay.frames(child)) as frames:
                await self._invocation.node.pass_to_child(child, frames)
        finally:
            relay.leave(child)
            self._let_go(site)
            self._under_way[child] -= 1
            self.moved.set()

    async def up(self, step: Send, site: Site, values: list[Any], summary: Summary) -> None:
        """Send to the parent; it has left when this returns."""
        inv = self._invocation
        me = inv.node.me
        keeper = None
        if me.parent is not None and not site.asks and states(me.codec_up):
            keeper = self._keeper(me.codec_up, f"< {me.parent}", site, added_up(inv.compiled, site.written))
        coder = await inv.agreement.codec(step, site, values, summary, keeper)
        self.sent.append(inv.order(site))
        ident = {
            "m": "up",
            "inv": inv.name,
            "att": inv.attempt,
            "site": str(site),
            "member": me.name,
            "summary": summary.to_dict(),
            "traffic": inv.node.traffic.take(),
        }
        message = _message(ident, step.slots, values, coder, self.stream(site), keeper)
        frames = await self._encoded(message, step.slots, values)
        self._done(keeper)
        if inv.node.history is not None and message.digest is not None:
            now = asyncio.get_running_loop().time()
            inv.node.history.sent(inv.name, inv.attempt, site, message.digest.hex(), summary, now)
        inv.message("sent", site, "up", me.name)
        await inv.node.send_to_parent(frames)

    def stream(self, site: Site, receiver: str = "") -> Stream:
        """Return the random numbers of a message that this node sends at `site`; to all who share its bytes if to none.

        Of the invocation's name only its number within the session is used, so that a run's seed
        replays the run, and of attempts nothing: a retry sends the bytes that were sent.
        """
        me = self._invocation.node.me
        return stream_of(me.seed, self._invocation.name, site, me.name, receiver)


def stream_of(seed: int, invocation: str, site: Site, sender: str, receiver: str = "") -> Stream:
    """Return the random numbers of a message; see `Sending.stream`."""
    words = (seed, invocation.rpartition("-")[2], str(site))
    return Stream.of(*words, sender, receiver).beside(Stream.of(*words))


def _message(
    ident: dict[str, Any],
    slots: tuple[Slot, ...],
    values: list[Any],
    coder: LinkCodec | Agreed,
    stream: Stream,
    keeper: MessageKeeper | None,
) -> Message:
    many = {s.name for s in slots if s.many is not None}
    rows = [(s.name, s.type, v) for s, v in zip(slots, values, strict=True)]
    return encode_message(ident, rows, coder, many=many, stream=stream, keeper=keeper)


def _size(slots: tuple[Slot, ...], values: list[Any]) -> int:
    """Return the bytes of values as they are held."""
    return sum(
        sum(nbytes(v, s.type) for v in value) if s.many is not None else nbytes(value, s.type)
        for s, value in zip(slots, values, strict=True)
    )


def _split(slot: Slot, value: Any, children: tuple[ChildAssignment, ...]) -> dict[str, Any]:
    """Return each child's part of a list over the members of a placement, in member order."""
    assert slot.many is not None
    parts: dict[str, Any] = {}
    at = 0
    for child in children:
        count = child.members_below.get(slot.many.name, 0)
        parts[child.name] = value[at] if child.placement == slot.many.name else value[at : at + count]
        at += count
    return parts


def _still_many(many: Placement | None, child: ChildAssignment) -> Placement | None:
    return None if many is None or child.placement == many.name else many
