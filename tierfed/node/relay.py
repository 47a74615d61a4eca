"""Relay: a broadcast of what the parent has just sent goes on frame by frame, while the rest is still on its way.

    receive arg 1.0 · compute v1 = arg · broadcast v1 to CLIENTS 2.0        arg and v1 are one message twice

    parent ─ frame 3 ─▶ reader ─ frame 2 ─▶ c-0          each child at its own pace
                               ─ frame 0 ─▶ c-1

A broadcast is relayed if it sends just the slots of the receive before it, in its order, with no other message
between the two and outside loops, and if the children's codec is the node's own, one that loses nothing and keeps
nothing (none, zstd, auto; no rules).  Coding again would give the same bytes, so payloads are passed on as they
came.  Only the identity, the slots' names and the digest are the node's own.

The value is decoded if another step reads it.  If none does, a frame is forgotten when the last child has taken it,
and while more than 64 MB wait for the slowest the parent is read no further: then the others wait for it too, until
it is lost to the round, or has had the message's `patience`.  From then on all go at their own pace, and what waits is
at most the message, coded.  What is kept to be decoded makes nobody wait.

Sound because each frame's CRC32C and place are checked before it is passed on, and the last one not before the
digest of them all holds: where it does not, the invocation ends here, no child has a whole message, and each is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tierfed.codecs import Codec
from tierfed.compiler.slices import Broadcast, Compute, Fold, Loop, Receive, Scatter, Send, Site, Slice, Step
from tierfed.ir.nodes import Reference
from tierfed.node.run_slice import uses
from tierfed.node.uploads import codec
from tierfed.topology.assignment import NodeAssignment
from tierfed.wire.frame import Sealed, frame_bytes
from tierfed.wire.heading import digest_of
from tierfed.wire.plain import Header, pack
from tierfed.wire.reader import MessageReader

ROOM = 64 << 20  # bytes that wait for the slowest child before the parent is read no further

_Taken = Callable[[int, int], None]  # called with the bytes of a frame, and with those that it has under `none`


@dataclass(frozen=True, slots=True)
class Relayed:
    """A broadcast that is relayed; `kept` says whether the slice reads the value too."""

    broadcast: Broadcast
    kept: bool


def relayed(part: Slice, me: NodeAssignment) -> tuple[Slice, dict[Site, Relayed]]:
    """Return the slice of a node without the broadcasts that are relayed, and these by the site of their receive."""
    steps = list(part.steps)
    found: dict[Site, Relayed] = {}
    for receive in [s for s in part.steps if isinstance(s, Receive)]:
        at = steps.index(receive)
        between = next((i for i in range(at + 1, len(steps)) if isinstance(steps[i], _MESSAGES)), None)
        broadcast = None if between is None else steps[between]
        if not isinstance(broadcast, Broadcast) or not _as_it_came(me, broadcast):
            continue
        copies = {s.slot.name: s for s in steps[at + 1 : between] if isinstance(s, Compute) and _copied(s)}
        sent = [(_origin(s.name, copies), s.type, s.many) for s in broadcast.slots]
        if sent != [(s.name, s.type, s.many) for s in receive.slots]:
            continue
        steps.remove(broadcast)
        for copy in reversed(copies.values()):
            if copy.slot.name not in _read(steps):
                steps.remove(copy)
        kept = any(s.name in _read(steps) for s in receive.slots)
        found[receive.site] = Relayed(broadcast, kept)
    return (Slice(part.placement, tuple(steps)) if found else part), found


_MESSAGES = Receive | Broadcast | Scatter | Fold | Send | Loop


def _as_it_came(me: NodeAssignment, broadcast: Broadcast) -> bool:
    """Return whether all children of a broadcast have the node's own codec, and it may be passed on."""
    specs = {c.codec_down for c in me.children if c.placement == broadcast.to.name}
    coder = codec(me.codec_down)
    plain = isinstance(coder, Codec) and not coder.lossy and coder.state == "none" and not coder.agrees
    return plain and specs == {me.codec_down}


def _copied(step: Compute) -> str | None:
    """Return what a step gives another name, None if it computes something."""
    e = step.expression
    return e.name if isinstance(e, Reference) and e.type == step.slot.type else None


def _origin(name: str, copies: Mapping[str, Compute]) -> str:
    while name in copies:
        name = _copied(copies[name]) or ""
    return name


def _read(steps: Iterable[Step]) -> set[str]:
    """Return the names that steps read."""
    names: set[str] = set()
    for step in steps:
        names.update(uses(step))
        if isinstance(step, Loop):
            names.update(c.next for c in step.carried)
            names |= _read(step.steps)
    return names


class Relay:
    """The frames of one message that `reader` takes, renamed, for each of `children` at its own pace.

    `hold` and `let` stop the parent and let it go on, it is held for `patience` seconds in all; `taken` counts
    each frame once, when it is here.
    """

    def __init__(
        self,
        reader: MessageReader,
        ident: Header,
        step: Relayed,
        children: Iterable[str],
        hold: Callable[[], None],
        let: Callable[[], None],
        taken: _Taken,
        patience: float,
    ) -> None:
        self._reader = reader
        self._ident = ident
        self._step = step
        self._next = dict.fromkeys(children, 0)  # the frame that each child takes next
        self._headers: list[Header] = []
        self._hold, self._let, self._taken = hold, let, taken
        self._patience = patience
        self._since = 0.0
        self._holding: asyncio.TimerHandle | None = None  # which ends it
        self._gone = 0  # frames that are forgotten
        self._moved = asyncio.Event()
        self.moved()

    @property
    def children(self) -> tuple[str, ...]:
        """The children who have frames to take."""
        return tuple(self._next)

    @property
    def over(self) -> bool:
        """Whether the message is whole, and nobody has frames to take."""
        return self._reader.complete and not self._next

    @property
    def waiting(self) -> int:
        """Return the bytes that are kept for nothing but the slowest child."""
        return 0 if self._step.kept else self._reader.held_bytes

    def moved(self) -> None:
        """Another frame is here."""
        for seq in range(len(self._headers), self._reader.count):
            self._headers.append(header := self._header(seq))
            came = self._reader.frame(seq)
            size = frame_bytes(len(pack(header)), len(came.payload))
            self._taken(size, size + came.more_raw)
        self._settle()
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def leave(self, child: str) -> None:
        """A child takes part no more: nobody waits for it."""
        if self._next.pop(child, None) is not None:
            self._settle()

    def close(self) -> None:
        """Hold nobody up any more."""
        self._next.clear()
        self._settle()

    async def frames(self, child: str) -> AsyncGenerator[tuple[Header, Any], None]:
        """Yield the frames for a child; of one that takes part no more, those that are still here."""
        try:
            for seq in range(1 << 62):
                while seq >= len(self._headers):
                    if self._reader.complete:
                        return
                    await self._moved.wait()
                if seq < self._gone:
                    return
                found = self._reader.frame(seq)
                sealed = Sealed((found.payload,))
                sealed.crc = found.crc
                yield self._headers[seq], sealed
                if child in self._next:
                    self._next[child] = seq + 1
                    self._settle()
        finally:
            self.leave(child)

    def _header(self, seq: int) -> Header:
        header: Header = {"ident": self._ident, "seq": seq}
        if seq == 0:
            slots = zip(self._step.broadcast.slots, self._reader.first["slots"], strict=True)
            header = {**self._reader.first, "ident": self._ident, "slots": [[s.name, *told[1:]] for s, told in slots]}
            for key in ("end", "digest"):
                header.pop(key, None)
        if self._reader.complete and seq == self._reader.count - 1:
            first = header if seq == 0 else self._headers[0]
            header |= {"end": True, "digest": digest_of(first, self._reader.crcs)}
        return header

    def _settle(self) -> None:
        """Forget what every child has taken, and see whether the parent may send more."""
        if not self._step.kept:
            self._gone = max(self._gone, min(self._next.values(), default=len(self._headers)))
            self._reader.forget(self._gone)
        loop = asyncio.get_running_loop()
        if self._holding is None and self.waiting > ROOM and self._patience > 0:
            self._since = loop.time()
            self._holding = loop.call_later(self._patience, self._go_on)
            self._hold()
        elif self._holding is not None and self.waiting <= ROOM // 2:
            self._go_on()

    def _go_on(self) -> None:
        assert self._holding is not None
        self._holding.cancel()
        self._holding = None
        self._patience -= asyncio.get_running_loop().time() - self._since
        self._let()
