"""Leaves: the children of one node that have none themselves, simulated together.

    begin ─▶ c-0 … c-999            each begins when its frame is there
    v1 ────▶ decoded once           what all are sent is one message
             computed in a batch    (batch.py)
    c-417 ─▶ v2                     each uploads when it is done, over its own channel

To its parent, a member of a group is a child like any other: it has two links, takes frames and sends contributions
that the parent's own code checks, accepts and folds.  What a group saves is a node, its tasks and its interpreter a member.
It runs slices that receive, load, compute and send, over codecs that keep nothing; for others the fleet has nodes.

A member goes through the steps of its slice in its own time: it waits for its frames, computes for as long
as its device takes, and sends.  Values are computed for all members whose messages are on their way when the first needs
them; since they are functions of what came, when that happens makes no difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from tierfed.backends.simulated.batch import Batch, Each, Missing, Same, among, evaluated
from tierfed.compiler.slices import Compiled, Compute, Load, Receive, Send, Site, Slice
from tierfed.data import MemberInfo, fetch, provider
from tierfed.errors import ProtocolError, TierfedError
from tierfed.ir.nodes import Compiled as Leaf
from tierfed.node.channel import Channel
from tierfed.node.direct_transport import Inbox, landed, sealed_of, size_of
from tierfed.node.hello import Hello
from tierfed.node.programs import Programs
from tierfed.node.run_slice import uses
from tierfed.node.sending import stream_of
from tierfed.node.summary import Summary
from tierfed.node.telling import told
from tierfed.node.uploads import codec, reader_of
from tierfed.topology.assignment import NodeAssignment
from tierfed.wire.frame import Frame, Sealed
from tierfed.wire.message import MessageReader, encode_message

Ways = tuple[Channel, Channel]


def simple(part: Slice) -> bool:
    """Return whether a group can run this slice: every step in turn, nothing kept from one invocation to another."""
    return all(isinstance(step, Receive | Load | Compute | Send) for step in part.steps)


def plain(one: NodeAssignment) -> bool:
    """Return whether the codecs of a member's link keep nothing and agree on nothing."""
    return all(codec(spec).state == "none" and not codec(spec).agrees for spec in (one.codec_up, one.codec_down))


class LeafLink(Inbox):
    """The parent's end of one of a member's two links."""

    __slots__ = ("_group", "_member")

    def __init__(self, group: Leaves, member: int, hello: Hello) -> None:
        super().__init__(hello.node, hello)
        self._group = group
        self._member = member

    @property
    def unread(self) -> int:
        """Return how many bytes have not left: a member reads what it is sent."""
        return 0

    async def send(self, header: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Send one frame."""
        self._open()
        self._group.sent(self._member, header, sealed_of(buffers))

    async def send_all(self, frames: Iterable[tuple[dict[str, Any], Sequence[Any]]]) -> None:
        """Send the frames of one message."""
        self._open()
        for header, buffers in frames:
            self._group.sent(self._member, header, sealed_of(buffers))

    def post(self, header: dict[str, Any]) -> None:
        """Send one tiny frame."""
        if not self.closed.done():
            self._group.posted(self._member, header)

    def _open(self) -> None:
        if self.closed.done():
            raise ProtocolError("the link is closed", where=self.name, mend="leave this peer out")


class Leaves:
    """A group: children of one node, of one placement and with the same codecs.  `ways` are their channels, if modelled."""

    def __init__(self, members: Sequence[NodeAssignment], ways: Sequence[Ways | None]) -> None:
        self.members = members
        self._ways = ways
        self._programs = Programs()
        self._invocations: dict[tuple[str, int], _Invocation] = {}
        self._bulk: list[LeafLink] = []
        self._control: list[LeafLink] = []
        self._provider: Any = None

    def links(self, run: str, token: str) -> list[LeafLink]:
        """Return new links of all members, control before bulk, for the parent to admit."""
        made: dict[str, list[LeafLink]] = {}
        for plane in ("control", "bulk"):
            made[plane] = [
                LeafLink(self, i, Hello(run, token, one.name, one.placement, plane, 0))
                for i, one in enumerate(self.members)
            ]
        self._control, self._bulk = made["control"], made["bulk"]
        return [link for pair in zip(self._control, self._bulk, strict=True) for link in pair]

    def runs(self, compiled: Compiled) -> bool:
        """Return whether the members can run this program together."""
        placement = self.members[0].placement
        part = next((s for p, s in compiled.slices.items() if p.name == placement), None)
        return part is None or simple(part)

    def leave(self) -> None:
        """Say goodbye: nodes take the members' places."""
        for link in (*self._control, *self._bulk):
            link.end(None)
        self._invocations.clear()

    # -- from the parent

    def posted(self, member: int, header: dict[str, Any]) -> None:
        """A small frame is on its way to a member; only the end of an invocation matters to one that keeps nothing."""
        if header.get("kind") == "end":
            invocation = self._invocations.get((header["inv"], header["att"]))
            if invocation is not None:
                way = self._ways[member]
                delay = 0.0 if way is None else way[1].way.delay
                asyncio.get_running_loop().call_later(delay, invocation.end, member)

    def sent(self, member: int, header: dict[str, Any], sealed: Sealed) -> None:
        """A frame is on its way to a member."""
        kind, then = header.get("kind"), None
        if kind == "deploy":
            if self._programs.get(header["hash"]) is None:
                self._programs.add(b"".join(bytes(b) for b in sealed), header["hash"], self.members[member].name)
        elif kind == "begin":
            invocation = self._began(header)
            if invocation is not None:
                invocation.expect(member)
                then = partial(invocation.begun, member)
        elif kind is None:
            ident = header["ident"]
            invocation = self._invocations.get((ident["inv"], ident["att"]))
            if invocation is not None:
                then = invocation.taken(member, header, sealed)
        way = self._ways[member]
        if way is not None:
            way[1].push(size_of(header, sealed), then or _nothing)
        elif then is not None:
            asyncio.get_running_loop().call_soon(then)

    def _began(self, header: dict[str, Any]) -> _Invocation | None:
        key = header["inv"], header["att"]
        if key not in self._invocations:
            known = self._programs.get(header["hash"])
            if known is None:
                raise ProtocolError(f"program {header['hash'][:12]} was never deployed", where=self.members[0].name)
            self._invocations[key] = _Invocation(self, *key, known[0])
        return self._invocations[key]

    def over(self, invocation: _Invocation) -> None:
        """Nobody takes part in an invocation any more."""
        self._invocations.pop(invocation.key, None)

    # -- to the parent

    def upload(self, member: int, header: dict[str, Any], buffers: Sequence[Any]) -> None:
        """Send a frame of a member's contribution."""
        sealed = sealed_of(buffers)
        nbytes = size_of(header, sealed)
        there = partial(self._bulk[member].come, header, sealed, nbytes)
        way = self._ways[member]
        if way is None:
            asyncio.get_running_loop().call_soon(there)
        else:
            way[0].push(nbytes, there)

    def tell(self, member: int, header: dict[str, Any]) -> None:
        """Post a small frame to the parent."""
        way = self._ways[member]
        delay = 0.0 if way is None else way[0].way.delay
        there = partial(self._control[member].come, header, sealed_of(()), size_of(header, sealed_of(())))
        asyncio.get_running_loop().call_later(delay, there)

    def data(self, member: int, step: Load) -> Any:
        """Return what a member has under the URI of `step`; raises as its provider does."""
        one = self.members[member]
        if self._provider is None:
            self._provider = provider(one.data)
        me = MemberInfo(one.name, one.placement, one.index, one.count, one.labels, one.seed)
        return fetch(self._provider, step.uri, step.slot.type, me)


def _nothing() -> None:
    """What a frame that changes nothing does when it is there."""


class _Message:
    """A message from the parent: one for all who are sent the same frames."""

    __slots__ = ("first", "reader", "values")

    def __init__(self, first: dict[str, Any], reader: MessageReader) -> None:
        self.first = first
        self.reader = reader
        self.values: list[Any] | None = None


class _Wave:
    """Members that have come equally far, and the values that their slices have by then."""

    __slots__ = ("done", "names", "rows")

    def __init__(self, rows: list[int], names: dict[str, Batch], done: int) -> None:
        self.rows = rows
        self.names = names
        self.done = done  # steps


class _Invocation:
    """One run of a program at all members of a group that take part."""

    def __init__(self, group: Leaves, name: str, attempt: int, compiled: Compiled) -> None:
        self.key = name, attempt
        self._group = group
        one = group.members[0]
        self._steps = next(s.steps for p, s in compiled.slices.items() if p.name == one.placement)
        self._leaves = [_leaves(step) for step in self._steps]
        self._receives = {s.site: s for s in self._steps if isinstance(s, Receive)}
        self._at: dict[int, int] = {}  # the step that each member is at, from when it begins
        self._wave: dict[int, tuple[_Wave, int]] = {}  # and the member's row in it
        self._members = 0
        self._new = _Wave([], {}, 0)
        self._messages: dict[tuple[Site, int], _Message] = {}  # by their first headers
        self._sent: dict[tuple[int, Site], _Message] = {}  # what each is being sent
        self._arrived: set[tuple[int, Site]] = set()
        self._out: set[int] = set()

    # -- what comes

    def expect(self, member: int) -> None:
        """A member's beginning is on its way."""
        self._members += 1
        self._wave[member] = self._new, len(self._new.rows)
        self._new.rows.append(member)

    def begun(self, member: int) -> None:
        """A member begins."""
        if member not in self._at and member not in self._out:
            self._at[member] = 0
            self._advance(member)

    def taken(self, member: int, header: dict[str, Any], sealed: Sealed) -> Any:
        """Take a frame that is on its way; return what happens when it is there."""
        site = Site.parse(header["ident"]["site"])
        if header["seq"] == 0:
            key = site, id(header)
            if key not in self._messages:
                one = self._group.members[member]
                reader = reader_of(self._receives[site].slots, one.codec_down, f"{one.name}, site {site}")
                self._messages[key] = _Message(header, reader)
            self._sent[member, site] = self._messages[key]
        message = self._sent[member, site]
        if message.reader.count == header["seq"] and message.values is None:  # the first who is sent it reads it
            payload = landed(header, sealed)
            if message.reader.feed(Frame(header, payload, sealed.crc, size_of(header, sealed))):
                message.values = message.reader.decode()
        return partial(self._there, member, site) if "end" in header else None

    def _there(self, member: int, site: Site) -> None:
        self._arrived.add((member, site))
        if member in self._at:
            self._advance(member)

    def end(self, member: int) -> None:
        """The parent says that it is over."""
        self._out.add(member)
        self._at.pop(member, None)
        if len(self._out) == self._members:
            self._group.over(self)

    # -- a member's way through its slice

    def _advance(self, member: int) -> None:
        while member in self._at and self._at[member] < len(self._steps):
            at = self._at[member]
            step = self._steps[at]
            if isinstance(step, Receive) and (member, step.site) not in self._arrived:
                return
            self._at[member] = at + 1
            if isinstance(step, Send):
                self._send(member, at, step)
            elif seconds := self._leaves[at] * self._seconds(member):
                asyncio.get_running_loop().call_later(seconds, self._advance, member)
                return

    def _seconds(self, member: int) -> float:
        """Return how long a leaf takes at a member."""
        device = getattr(self._group.members[member], "device", None)
        return 0.0 if device is None else device.seconds / device.speed

    def _send(self, member: int, at: int, step: Send) -> None:
        wave, row = self._computed(member, at)
        one = self._group.members[member]
        name, attempt = self.key
        try:
            rows = [(s.name, s.type, wave.names[s.name].of(row)) for s in step.slots]
            ident = {
                "m": "up",
                "inv": name,
                "att": attempt,
                "site": str(step.site),
                "member": one.name,
                "summary": Summary().and_self(one.placement).to_dict(),
                "traffic": {},
            }
            stream = stream_of(one.seed, name, step.site, one.name)
            frames = list(encode_message(ident, rows, codec(one.codec_up), stream=stream))
        except TierfedError as error:
            error.node = error.node or one.name
            self._at.pop(member, None)
            self._group.tell(member, {"kind": "failed", "inv": name, "att": attempt, "error": told(error)})
            return
        for header, buffers in frames:
            self._group.upload(member, header, buffers)

    # -- values

    def _computed(self, member: int, at: int) -> tuple[_Wave, int]:
        """Return the wave of a member once its values are those before step `at`, and its row there."""
        wave, row = self._wave[member]
        if wave.done < at:
            here = self._steps[wave.done : at]
            sites = [step.site for step in here if isinstance(step, Receive)]
            ready = [r for r, m in enumerate(wave.rows) if self._has(m, sites)]
            names = {name: among(batch, ready) for name, batch in wave.names.items()}
            ahead = _Wave([wave.rows[r] for r in ready], names, at)
            left = [r for r, m in enumerate(wave.rows) if not self._has(m, sites)]
            wave.names = {name: among(batch, left) for name, batch in wave.names.items()}
            wave.rows = [wave.rows[r] for r in left]
            for one in (ahead, wave):
                for r, m in enumerate(one.rows):
                    self._wave[m] = one, r
            for step in here:
                self._take(step, ahead)
            needed = {name for step in self._steps[at:] for name in uses(step)}
            ahead.names = {name: batch for name, batch in ahead.names.items() if name in needed}
        return self._wave[member]

    def _has(self, member: int, sites: Sequence[Site]) -> bool:
        messages = (self._sent.get((member, site)) for site in sites)
        return all(message is not None and message.values is not None for message in messages)

    def _take(self, step: Any, wave: _Wave) -> None:
        """Take a step, all of a wave at once."""
        match step:
            case Receive(site=site, slots=slots):
                came = [self._sent[member, site] for member in wave.rows]
                alike = all(message is came[0] for message in came)
                for i, slot in enumerate(slots):
                    values = [message.values[i] for message in came[: 1 if alike else None] if message.values is not None]
                    wave.names[slot.name] = Same(values[0]) if alike else Each(values)
            case Load(slot=slot):
                wave.names[slot.name] = Each([self._loaded(member, step) for member in wave.rows])
            case Compute(slot=slot, expression=expression):
                wave.names[slot.name] = evaluated(expression, wave.names, len(wave.rows))

    def _loaded(self, member: int, step: Load) -> Any:
        try:
            return self._group.data(member, step)
        except TierfedError as error:
            return Missing(error)


def _leaves(step: Any) -> int:
    """Return how many leaves a step calls."""
    return sum(isinstance(n, Leaf) for n in step.expression.walk()) if isinstance(step, Compute) else 0
