"""Leaves: the children of one node that have none themselves, simulated as one group.

    server ─ Node ── LeafLink ── Leaves ── Together          a group of a thousand, and one invocation of it

To its parent, a member of a group is a child like any other: it has two links, takes frames and sends contributions
that the parent's own code checks, accepts and folds; it goes and comes back under a higher epoch.  What a group saves
is a node a member, its tasks and its interpreter.  It runs slices that receive, load, compute and send, over codecs
that keep nothing; for others the fleet has nodes.
"""

from __future__ import annotations

import asyncio
import functools
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from tierfed.backends.simulated.together import Together
from tierfed.codecs import link_codec
from tierfed.codecs.rules import Rules
from tierfed.compiler.slices import Compiled, Compute, Load, Receive, Send, Slice
from tierfed.data import ALONE, MemberInfo, crowd_told, fetch, provider
from tierfed.errors import ProtocolError, TierfedError
from tierfed.node.channel import Channel
from tierfed.node.direct_transport import Inbox, sealed_of, size_of
from tierfed.node.hello import Hello
from tierfed.node.keepers import states
from tierfed.node.programs import Programs
from tierfed.topology.assignment import NodeAssignment
from tierfed.wire.frame import Sealed

Ways = tuple[Channel, Channel]
_UNREAD: dict[str, Any] = {}


def simple(part: Slice) -> bool:
    """Return whether a group can run this slice: every step in turn, nothing kept from one invocation to another."""
    return all(isinstance(step, Receive | Load | Compute | Send) for step in part.steps)


def plain(one: NodeAssignment) -> bool:
    """Return whether the codecs of a member's link keep nothing and agree on nothing."""
    return not any(states(spec) or agrees(spec) for spec in (one.codec_up, one.codec_down))


@functools.lru_cache(maxsize=64)  # asked of every member
def agrees(spec: str) -> bool:
    """Return whether those who send under this codec agree on something before."""
    coder = link_codec(spec)
    return any(one.agrees for one in (coder.codecs if isinstance(coder, Rules) else (coder,)))


class LeafLink(Inbox):
    """The parent's end of one of a member's two links."""

    __slots__ = ("_bulk", "_epoch", "_group", "_member")

    sent_bytes = 0  # what a member receives is counted by its group

    def __init__(self, group: Leaves, member: int, epoch: int, *, bulk: bool) -> None:
        super().__init__()
        self._group = group
        self._member = member
        self._epoch = epoch
        self._bulk = bulk

    @property
    def name(self) -> str:
        """The member's name."""
        return self._group.members[self._member].name

    @property
    def peer(self) -> Hello:
        """What the member says of itself: made when it is asked for, which is when it comes and goes."""
        one = self._group.members[self._member]
        return Hello(*self._group.proof, one.name, one.placement, "bulk" if self._bulk else "control", self._epoch)

    @property
    def info(self) -> dict[str, Any]:
        """What the parent's welcome said beside its name: a member does not look at it."""
        return _UNREAD

    def welcomed(self, info: dict[str, Any]) -> None:
        """The parent has let the member in."""

    def _landed(self, header: dict[str, Any], sealed: Sealed) -> memoryview:
        """Return the payload of a frame: of a whole small message, the memory that the member wrote and left."""
        if header.get("seq") == 0 and "end" in header and len(sealed) == 1:
            return memoryview(sealed[0])
        return super()._landed(header, sealed)

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

    def send_now(self, header: dict[str, Any]) -> bool:
        """Send one tiny frame; return whether it is sent."""
        if self._ended:
            return False
        self._group.sent(self._member, header, sealed_of(()))
        return True

    def post(self, header: dict[str, Any]) -> None:
        """Send one tiny frame."""
        if not self._ended:
            self._group.posted(self._member, header)

    def _open(self) -> None:
        if self._ended:
            raise ProtocolError("the link is closed", where=self.name, mend="leave this peer out")


class Leaves:
    """A group: children of one node, of one placement and with the same codecs.

    `on_frame` is called with each beginning that comes and each frame that leaves.
    """

    def __init__(self, members: Sequence[NodeAssignment], on_frame: Callable[[], None] = lambda: None) -> None:
        self.on_frame = on_frame
        self.members = members
        self.proof = "", ""  # the run and its token
        self._ways: list[Ways | None] = [None] * len(members)
        self._programs = Programs()
        self._invocations: dict[tuple[str, int], Together] = {}
        self._control: list[LeafLink | None] = [None] * len(members)
        self._bulk: list[LeafLink | None] = [None] * len(members)
        self._held: dict[int, list[Callable[[], None]]] = {}  # what awaits members over whose links nothing arrives
        self._provider: Any = None
        self._crowd = ALONE
        self._sized: tuple[dict[str, Any], int] = {}, 0  # what was sent last, and its size
        self.epochs = array("q", bytes(8 * len(members)))  # of the next connection
        self.computed = array("d", bytes(8 * len(members)))  # seconds, by member
        self._sent = array("q", bytes(8 * len(members)))  # bytes, over links that are gone
        self._received = array("q", bytes(8 * len(members)))

    def join(self, member: int, run: str, token: str, ways: Ways | None) -> tuple[LeafLink, LeafLink]:
        """Return new links of a member, control before bulk, for the parent to admit.

        `ways` are its channels, where they are modelled.
        """
        self.proof = run, token
        epoch = self.epochs[member]
        self.epochs[member] += 1
        control = LeafLink(self, member, epoch, bulk=False)
        bulk = LeafLink(self, member, epoch, bulk=True)
        self._ways[member], self._control[member], self._bulk[member] = ways, control, bulk
        if member in self._held:
            self.hold(member)
        return control, bulk

    def lose(self, member: int, reason: TierfedError) -> None:
        """A member is gone at this moment: what is on its way to it or from it is lost, and it does no more."""
        links = self._control[member], self._bulk[member]
        self._control[member] = self._bulk[member] = None
        if member in self._held:
            self._held[member].clear()
        for channel in self._ways[member] or ():
            channel.clear()
        for link in links:
            if link is not None:
                link.lost = True
                link.end(reason)
        if links[1] is not None:
            self._sent[member] += links[1].received_bytes
        for invocation in tuple(self._invocations.values()):
            invocation.end(member)

    def hold(self, member: int) -> None:
        """Let nothing arrive at a member, or from it, until `release`."""
        self._held.setdefault(member, [])
        for link in (self._control[member], self._bulk[member]):
            if link is not None:
                link.hold()

    def release(self, member: int) -> None:
        """Let arrive what was held."""
        held = self._held.pop(member)
        for link in (self._control[member], self._bulk[member]):
            if link is not None:
                link.release()
        for then in held:
            then()

    def holds(self, member: int, then: Callable[[], None]) -> bool:
        """Return whether `then`, something that arrives at a member, has to wait."""
        if member in self._held:
            self._held[member].append(then)
            return True
        return False

    def runs(self, compiled: Compiled) -> bool:
        """Return whether the members can run this program together."""
        placement = self.members[0].placement
        part = next((s for p, s in compiled.slices.items() if p.name == placement), None)
        return part is None or simple(part)

    def worked(self) -> Iterator[tuple[NodeAssignment, float, int, int]]:
        """Yield each member, the seconds that it has computed, and the bytes that it has sent and received."""
        for i, one in enumerate(self.members):
            link = self._bulk[i]
            sent = self._sent[i] + (link.received_bytes if link is not None else 0)
            yield one, self.computed[i], sent, self._received[i]

    def leave(self) -> None:
        """Say goodbye: nodes take the members' places."""
        for link in (*self._control, *self._bulk):
            if link is not None:
                link.end(None)
        self._invocations.clear()

    # -- from the parent

    def posted(self, member: int, header: dict[str, Any]) -> None:
        """A small frame is on its way to a member; only the end of an invocation matters to one that keeps nothing."""
        if header.get("kind") == "end":
            way = self._ways[member]
            delay = 0.0 if way is None else way[1].way.profile.delay
            asyncio.get_running_loop().call_later(delay, self._end, member, header["inv"], header["att"])

    def sent(self, member: int, header: dict[str, Any], sealed: Sealed) -> None:
        """A frame is on its way to a member."""
        kind, then = header.get("kind"), None
        if kind == "deploy":
            if self._programs.get(header["hash"]) is None:
                self._programs.add(b"".join(bytes(b) for b in sealed), header["hash"], self.members[member].name)
        elif kind == "begin":
            for name, attempt, _ in header.get("ended", ()):  # what it is told of those before
                self._end(member, name, attempt)
            invocation = self._began(header)
            if invocation is not None:
                self.on_frame()  # in a large fleet beginning takes its time too
                invocation.expect(member)
                then = partial(invocation.begun, member)
        elif kind == "save":  # it has nothing to save
            then = partial(self.tell, member, {"kind": "saved", "round": header["round"]})
        elif kind is None:
            ident = header["ident"]
            invocation = self._invocations.get((ident["inv"], ident["att"]))
            if invocation is not None:
                then = invocation.taken(member, header, sealed)
        way = self._ways[member]
        if way is not None or self.members[member].device is not None:
            if header is not self._sized[0]:  # most are sent to one member after the other
                self._sized = header, size_of(header, sealed)
            nbytes = self._sized[1]
            self._received[member] += nbytes
        if way is not None:
            way[1].push(nbytes, then or _nothing)
        elif then is not None:
            asyncio.get_running_loop().call_soon(then)

    def _end(self, member: int, name: str, attempt: int) -> None:
        """A member has heard that an invocation is over."""
        invocation = self._invocations.get((name, attempt))
        if invocation is not None and not self.holds(member, partial(self._end, member, name, attempt)):
            invocation.end(member)

    def _began(self, header: dict[str, Any]) -> Together | None:
        key = header["inv"], header["att"]
        if key not in self._invocations:
            known = self._programs.get(header["hash"])
            if known is None:
                raise ProtocolError(f"program {header['hash'][:12]} was never deployed", where=self.members[0].name)
            self._invocations[key] = Together(self, *key, known.compiled)
        return self._invocations[key]

    def over(self, invocation: Together) -> None:
        """Nobody takes part in an invocation any more."""
        self._invocations.pop(invocation.key, None)

    # -- to the parent

    def link(self, member: int) -> LeafLink | None:
        """Return the link that a member's contributions go over, None while it is away."""
        return self._bulk[member]

    def modelled(self, member: int) -> bool:
        """Return whether a member's messages take time by their size."""
        return self._ways[member] is not None

    def upload(self, member: int, link: LeafLink, header: dict[str, Any], sealed: Sealed, nbytes: int) -> None:
        """Send a frame of a member's contribution, which has `nbytes` on a socket, over its channel."""
        way = self._ways[member]
        assert way is not None
        way[0].push(nbytes, partial(link.come, header, sealed, nbytes))

    def tell(self, member: int, header: dict[str, Any]) -> None:
        """Post a small frame to the parent."""
        link = self._control[member]
        if link is None:
            return
        way = self._ways[member]
        delay = 0.0 if way is None else way[0].way.profile.delay
        there = partial(link.come, header, sealed_of(()), size_of(header, sealed_of(())))
        asyncio.get_running_loop().call_later(delay, there)

    def data(self, member: int, step: Load) -> Any:
        """Return what a member has under the URI of `step`; raises as its provider does."""
        one = self.members[member]
        if self._provider is None:
            self._provider = provider(one.data)
            self._crowd = crowd_told(one.crowd)  # all are of one placement
        me = MemberInfo(one.name, one.placement, one.index, one.count, one.labels, one.seed, self._crowd)
        return fetch(self._provider, step.uri, step.slot.type, me)


def _nothing() -> None:
    """What a frame that changes nothing does when it is there."""
