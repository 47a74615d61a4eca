"""Slots: whose large message is read, while there is not memory for all of them at once.

    budget 4, messages of 1, turn of c-0     c-0 c-1 c-2 are read · c-3 … c-63 wait
    c-0 folded, turn of c-1                  c-1 c-2 c-3 are read · c-4 … c-63 wait

The first frame of a message says how much follows.  If that, what follows of others and what is lent do not fit the
budget, its sender's link is read no further: the network holds it up.  Room is kept for the member whose turn it is,
and what is folded makes room for the next, in member order.  A message of one frame is here before it could wait.

Sound because nobody waits for someone who waits: the link of a member whose turn it is, of any invocation, is read,
with or without room, unless a fold is under way, which ends by itself.  And because waiting costs little: all are let
on, to the spool file, when that member sends nothing for a second (ten, where messages of 400 MB have to be made) or
a tenth of the fold's time, and each for itself after a tenth of the time that was left when it was held.  So a member
that keeps silent or trickles delays nobody for longer, and nobody misses a deadline who would have had a tenth of the
time to spare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tierfed.node.peer import Peer
from tierfed.node.receive_buffers import ReceiveBuffers, default_budget, rounded
from tierfed.wire.frame import aligned

if TYPE_CHECKING:
    from tierfed.node.invocation import Invocation
    from tierfed.node.uploads import Upload

_HOLDER = "for a slot"  # beside the names of invocations
_SILENCE = 1.0  # seconds, at most
_MAKING = 40e6  # bytes a second at which a large message is made where many share a machine: so long it may be silent
_SHARE = 10  # of the time that is left
_LEAST = 0.001  # seconds between two looks


@dataclass(frozen=True, slots=True)
class _Held:
    upload: Upload
    coming: int  # bytes
    until: float


class Slots:
    """See the module docstring; with `grows`, the budget is raised to the default for what the program says is sent."""

    def __init__(
        self,
        buffers: ReceiveBuffers,
        invocations: Mapping[str, Invocation],
        children: Mapping[str, Peer],
        *,
        grows: bool,
    ) -> None:
        self._buffers = buffers
        self._invocations = invocations
        self._children = children
        self._order = {name: i for i, name in enumerate(children)}
        self._grows = grows
        self._left: dict[Upload, int] = {}  # of those who are read: bytes that are still to be lent
        self._coming = 0  # their sum
        self._held: dict[str, _Held] = {}
        self._before: object = None
        self._stalled: object = None  # how far the rounds were when all were let on
        self._timer: asyncio.TimerHandle | None = None
        self._looking = False

    @property
    def held(self) -> frozenset[str]:
        """Return the children that wait."""
        return frozenset(self._held)

    def memory(self, upload: Upload, header: dict[str, Any], nbytes: int) -> memoryview:
        """Return memory for the payload of the next frame of `upload`, which is admitted.

        If it is the first, and there is no room for the others, its sender is read no further.
        Raises StorageError as `ReceiveBuffers.allocate` does.
        """
        if self.offered(upload):
            return aligned(nbytes)  # of which nothing is touched until it is read on
        left = self._left.get(upload, 0)
        took = min(left, rounded(nbytes))
        if took:
            self._left[upload] = left - took
            self._coming -= took
        return self._buffers.allocate(header, nbytes)

    def offered(self, upload: Upload) -> bool:
        """Give a slot to an upload that has begun, or hold its sender; return whether it is held from now on."""
        if upload in self._left or upload.member in self._held:
            return False
        coming = upload.reader.payload_bytes(rounded)
        return coming is not None and not self._taken(upload, coming)

    def done(self, upload: Upload) -> None:
        """Nothing more is wanted of `upload`: it is whole, refused or let go of."""
        self._coming -= self._left.pop(upload, 0)
        held = self._held.get(upload.member)
        if held is not None and held.upload is upload:
            self._let(upload.member)
        self.look()

    def look(self) -> None:
        """Let on whom there is room for, soon: something has changed."""
        if self._held and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._settle)

    def begun(self) -> None:
        """An invocation has begun, whose time may be shorter than that of the others."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._watch()

    def _taken(self, upload: Upload, coming: int) -> bool:
        """Return whether there is a slot for `upload`; hold its sender if not."""
        if self._grows and not upload.reader.sender_sized:
            self._buffers.budget = max(self._buffers.budget, default_budget(coming))
        turn = upload.member in self._turns()
        stalled = self._stalled is not None and self._stalled == self._progress()
        if stalled or (self._fits(coming, turn=turn) and (turn or not self._held)):
            self._grant(upload, coming)
            return True
        self._held[upload.member] = _Held(upload, coming, asyncio.get_running_loop().time() + self._patience())
        self._children[upload.member].hold(_HOLDER)
        self._stalled = None
        if self._timer is None:
            self._before = self._progress()
            self._watch()
        return False

    def _grant(self, upload: Upload, coming: int) -> None:
        self._left[upload] = coming
        self._coming += coming

    def _fits(self, coming: int, *, turn: bool) -> bool:
        room = self._buffers.budget - self._buffers.in_use - self._coming
        return coming <= room or not self._folding() if turn else 2 * coming <= room

    def _folding(self) -> bool:
        return any(invocation.computing for invocation in self._invocations.values())

    def _turns(self) -> set[str]:
        """Return the members that a fold waits for."""
        found = set()
        for invocation in self._invocations.values():
            seen = set()
            for c in invocation.round.collections():
                if not c.frozen and c.placement not in seen:
                    seen.add(c.placement)
                    if c.reached:
                        found.add(c.members[c.cursor])
        return found

    def _settle(self) -> None:
        """Let on whom there is room for, those whose turn is next first."""
        self._looking = False
        turns = self._turns()
        start, count = min((self._order[m] for m in turns), default=0), len(self._order)
        for member in sorted(self._held, key=lambda m: (m not in turns, (self._order[m] - start) % count)):
            held = self._held[member]
            if not self._fits(held.coming, turn=member in turns):
                return
            self._go(member, held)

    def _go(self, member: str, held: _Held) -> None:
        self._grant(held.upload, held.coming)
        self._let(member)

    def _let(self, member: str) -> None:
        del self._held[member]
        if not self._held and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asyncio.get_running_loop().call_soon(self._read_on, member)  # what waits on its link is taken at once

    def _read_on(self, member: str) -> None:
        if member not in self._held:
            self._children[member].let(_HOLDER)

    # -- time

    def _patience(self) -> float:
        """Return for how many seconds somebody may be held: a tenth of what is left of the shortest fold."""
        now, left = asyncio.get_running_loop().time(), []
        for invocation in self._invocations.values():
            due = min((c.due for c in invocation.round.collections() if not c.frozen), default=float("inf"))
            left.append(min(invocation.budget, due - now))
        return max(min(left, default=0.0) / _SHARE, 0.0)

    def _progress(self) -> object:
        """Return how far those are who are waited for: the same again means that nothing moves."""
        cursors = [
            (invocation.name, invocation.attempt, c.order, c.cursor, *(f.done for f in c.folds.values()))
            for invocation in self._invocations.values()
            for c in invocation.round.collections()
        ]
        links = [(m, self._children[m].bulk) for m in sorted(self._turns())]
        return cursors, [(m, -1 if bulk is None else bulk.received_bytes) for m, bulk in links]

    def _watch(self) -> None:
        silence = max(_SILENCE, max((held.coming for held in self._held.values()), default=0) / _MAKING)
        wait = max(min(silence, self._patience()), _LEAST)
        self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._settle()
        now = asyncio.get_running_loop().time()
        progress = self._progress()
        silent = progress == self._before and not self._folding()
        if silent:
            self._stalled = progress
        self._before = progress
        latest = now + self._patience()
        for member, held in tuple(self._held.items()):
            if silent or held.until <= now:
                self._go(member, held)
            elif latest < held.until:
                self._held[member] = _Held(held.upload, held.coming, latest)
        if self._held and self._timer is None:
            self._watch()
