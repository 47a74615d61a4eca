"""Node: one logical member of the tree, its links up and down, and the invocations it takes part in.

A child dials its parent twice: the bulk link carries programs, beginnings and messages, in
order; the control link carries everything small that must not queue behind a tensor.

| bulk, down | `deploy` (a program, by hash) · `begin` · `save` · messages |
| bulk, up | messages |
| control, down | `accepted`, `rejected`, `end`, `beat` |
| control, up | `failed`, `progress`, `saved`, `beat` |

The driver dials the root as if the root were its parent, and then plays the root's parent
over that link: it deploys, begins, sends the arguments and receives the result.

A link that is lost takes its twin along, and what the child had under way counts as lost;
the child dials again, under a higher epoch, and is there for the next invocation.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import tempfile
import time
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierfed.data import MemberInfo, crowd_told, fetch, provider
from tierfed.errors import LeafError, NotReady, ProtocolError, TierfedError
from tierfed.node.backoff import Backoff
from tierfed.node.cohort import draws
from tierfed.node.collection import Collection
from tierfed.node.downwards import Downwards
from tierfed.node.fates import ended_of, said
from tierfed.node.fates import heard as heard_counted
from tierfed.node.having import Having
from tierfed.node.headers import ident_of, recalled_of, report_of, short
from tierfed.node.hello import Hello
from tierfed.node.history import History
from tierfed.node.invocation import Invocation
from tierfed.node.keepers import Keeping
from tierfed.node.kept import Kept
from tierfed.node.link import Link
from tierfed.node.live_links import LiveLinks
from tierfed.node.metrics import Vitals
from tierfed.node.peer import Away, Peer
from tierfed.node.programs import Programs
from tierfed.node.pulse import PULSE, Listening, Pulse
from tierfed.node.receive_buffers import ReceiveBuffers, default_budget
from tierfed.node.reception import Server, Transport
from tierfed.node.round_events import ENOUGH
from tierfed.node.slots import Slots
from tierfed.node.spans import Spans
from tierfed.node.telling import heard, told
from tierfed.node.traffic import Traffic
from tierfed.topology.assignment import ChildAssignment, NodeAssignment
from tierfed.types import Type
from tierfed.wire.frame import Frame, aligned

log = logging.getLogger("tierfed.node")

DRIVER = "driver"
DRIVER_PLACEMENT = "DRIVER"
ANOTHER_DRIVER = "another driver is at work"

_PROGRESS = 0.1  # seconds between two reports of one fold
_REMEMBERED = 1024  # invocations known to be over
_ROUNDS = 1_000_000  # that can be saved
_UNREAD = 64 * 1024  # bytes that the parent may be behind with before it is spared what is not needed
_GOODBYE = "it said goodbye"
_DIALLING = 60.0  # seconds until the log says that the parent does not answer


@dataclass(frozen=True, slots=True)
class Membership:
    """Which run a process belongs to, and what proves it."""

    run: str
    token: str


class Node:
    """See the module docstring.

    `leaves` is where computing happens, off the loop.  `buffers` are where contributions wait;
    without them, some of the default budget that spill to `spool`.  `metrics` tells of the whole process.
    What codecs keep is saved in the folder `checkpoints`, when a job says so.  `live` gives children's links
    the time of modelled ones, and changes them.  `epoch` is that of its first connection to its parent.
    """

    def __init__(
        self,
        me: NodeAssignment,
        membership: Membership,
        transport: Transport,
        leaves: Executor,
        history: History | None = None,
        enter: Callable[[], None] = lambda: None,
        spool: Path | None = None,
        buffers: ReceiveBuffers | None = None,
        pulse: Pulse = PULSE,
        metrics: Callable[[], bytes] = bytes,
        checkpoints: Path | None = None,
        live: LiveLinks | None = None,
        epoch: int = 0,
    ) -> None:
        self.me = me
        self.children: dict[str, ChildAssignment] = {c.name: c for c in me.children}
        self.history = history
        self.traffic = Traffic()
        self.spans = Spans()
        self.ready = asyncio.Event()
        self._membership = membership
        self._transport = transport
        self._leaves = leaves
        self._enter = enter
        self._links = {c.name: Peer(c.name) for c in me.children}
        self._driver = Peer(DRIVER)
        self._parent = self._driver if me.parent is None else Peer(me.parent)
        self._pulse = pulse
        self._metrics = metrics
        self._listening = Listening(pulse, 0.0)
        self._epoch = epoch
        self._server: Server | None = None
        self._uplinks: set[Link] = set()  # whose connection is there, those that are closed and linger too
        self._programs = Programs()
        self.kept = Kept()
        self.having = Having()
        self.keeping = Keeping()
        self.downwards = Downwards(self._links, self.keeping.fates, self.send_to_child)
        self._checkpoints = checkpoints
        self._live = live
        if live is not None:
            live.peers = self._links
        self.computed = 0.0  # seconds of the modelled device
        # what all children's links share: bound once, for there may be many
        self._on_control, self._on_bulk = self._control_from_child, self._bulk_from_child
        self._for_bulk, self._on_closed = self._memory_for_child, self._gone
        self._saving: set[asyncio.Task[None]] = set()
        self._unsaved: dict[int, set[str]] = {}  # by round: who has not saved yet
        self._invocations: dict[str, Invocation] = {}
        self._over: OrderedDict[tuple[str, int], None] = OrderedDict()  # attempts, the latest last
        self._told: dict[str, float] = {}
        self._provider: Any = None
        self._buffers = buffers or ReceiveBuffers(default_budget(0), spool or Path(tempfile.gettempdir()))
        self.slots = Slots(self._buffers, self._invocations, self._links, grows=buffers is None)
        self._random = random.Random(f"{me.seed}/{me.name}")

    # -- life

    async def run(self, listener: Any | None) -> None:
        """Serve children and stay connected to the parent, until cancelled."""
        self._enter()
        try:
            async with asyncio.TaskGroup() as group:
                if listener is not None:
                    hello = self._hello("bulk")
                    self._server = await self._transport.serve(
                        listener,
                        hello,
                        self._admit,
                        ready=self._why_not_ready,
                        metrics=self._metrics,
                        door=None if self._live is None else self._live.answer,
                    )
                if self.me.parent is None:
                    self.ready.set()
                else:
                    group.create_task(self._stay_connected())
                group.create_task(self._beat())
        finally:
            self._give_up(f"{self.me.name} is shutting down")
            self.downwards.flush()
            self._parent.drop("we are shutting down")
            if self._server is not None:
                await self._server.close()
            if self._uplinks:
                await asyncio.wait([link.gone for link in self._uplinks])
            if self.history is not None:
                self.history.close()
            self.spans.close()

    def _hello(self, plane: str) -> Hello:
        return Hello(self._membership.run, self._membership.token, self.me.name, self.me.placement, plane, self._epoch)

    def _why_not_ready(self) -> str | None:
        return None if self.ready.is_set() else f"{self.me.name} is not connected to its parent"

    async def _stay_connected(self) -> None:
        """Dial the parent, and dial it again, under a new epoch, whenever the connection is lost.

        Raises the parent's error if it refuses.
        """
        loop = asyncio.get_running_loop()
        backoff = Backoff(rng=self._random)
        parent, losses = self._parent, 0
        while True:
            try:
                control, bulk = await self._dial(loop.time() + _DIALLING, backoff)
            except NotReady as error:
                log.warning("%s", error.what)
                self._epoch += 1  # a link that was made alone is of the epoch before
                continue
            since = loop.time()
            parent.bulk, parent.control = bulk, control
            self._listening.heard(parent.name, since)
            control.start(self._control_from_parent)
            bulk.start(self._bulk_from_parent, self._memory_for_parent)
            self.ready.set()
            await asyncio.wait([bulk.closed, control.closed], return_when=asyncio.FIRST_COMPLETED)
            reason = (bulk.closed if bulk.closed.done() else control.closed).result()
            log.log(_level(reason), "the parent %s is gone: %s", parent.name, reason.what if reason else _GOODBYE)
            self.ready.clear()
            self._listening.forget(parent.name)
            parent.drop("its connection was lost", reason)
            self._epoch += 1
            self._give_up(f"{parent.name}, the parent of {self.me.name}, is gone")
            losses = losses + 1 if loop.time() - since < backoff.most else 0
            await asyncio.sleep(backoff.wait(losses))

    async def _dial(self, deadline: float, backoff: Backoff) -> tuple[Link, Link]:
        """Return the control link and the bulk link to the parent, both or none."""
        assert self.me.parent_address is not None
        links: list[Link] = []
        try:
            for plane in ("control", "bulk"):
                hello = self._hello(plane)
                link = await self._transport.dial(self.me.parent_address, hello, deadline=deadline, backoff=backoff)
                link.stays_in(self._uplinks)
                links.append(link)
        except BaseException:
            for link in links:
                link.close()
            raise
        return links[0], links[1]

    def _give_up(self, reason: str) -> None:
        """End every invocation, for want of whom they are for."""
        for invocation in tuple(self._invocations.values()):
            invocation.end(committed=False, reason=reason)

    async def _beat(self) -> None:
        """Give and watch for signs of life; a silent peer is cut, which is noticed like any loss.

        The driver is not watched: who is stopped by Ctrl-Z wants to go on.
        """
        loop = asyncio.get_running_loop()
        self._listening.silent(loop.time())
        peers = {peer.name: peer for peer in (*self._links.values(), self._parent)}
        while True:
            await asyncio.sleep(self._pulse.beat)
            for peer in peers.values():
                peer.post({"kind": "beat"})
            for name in self._listening.silent(loop.time()):
                if (control := peers[name].control) is not None:
                    control.close(self._pulse.silent(name))

    # -- children

    def _admit(self, link: Link) -> dict[str, Any] | None:
        """Let a child in, or the driver at the root, None who cannot be heard; called by the handshake."""
        peer = link.peer
        assert peer is not None
        if self.me.parent is None and (peer.node, peer.placement) == (DRIVER, DRIVER_PLACEMENT):
            return self._admit_driver(link, peer)
        expected = self.children.get(peer.node)
        if expected is None or expected.placement != peer.placement:
            raise ProtocolError(
                f"{peer.node} of {peer.placement} is no child of {self.me.name}",
                where=f"hello to {self.me.name}",
                mend="start nodes from one topology",
            )
        if self._live is not None and self._live.cut(peer.node):
            return None
        child = self._links[peer.node]
        if peer.epoch < child.epoch:
            raise ProtocolError(
                f"epoch {peer.epoch} of {peer.node}, which was here under {child.epoch}",
                where=f"hello to {self.me.name}",
                mend="stop the older process of that name",
            )
        if peer.epoch > child.epoch:
            if child.bulk is not None or child.control is not None:
                self._lost(child, f"it came back under epoch {peer.epoch}")
            child.epoch = peer.epoch
        self._attach(child, link)
        self._listening.heard(peer.node, asyncio.get_running_loop().time())
        return {"epoch": child.epoch}

    def _admit_driver(self, link: Link, peer: Hello) -> dict[str, Any]:
        """Let the driver in, one at a time: results go to whoever asked."""
        driver = self._driver
        if peer.epoch != driver.epoch:
            if driver.bulk is not None or driver.control is not None:
                raise NotReady(ANOTHER_DRIVER, where=f"hello to {self.me.name}", mend="wait for it, or end it")
            driver.epoch = peer.epoch
        self._attach(driver, link)
        return {"epoch": driver.epoch}

    def _attach(self, peer: Peer, link: Link) -> None:
        assert link.peer is not None
        name, plane = peer.name, link.peer.plane
        if peer is not self._driver and self._live is not None:
            link = self._live.shaped(link, name)
        if (peer.bulk if plane == "bulk" else peer.control) is not None:
            raise ProtocolError(
                f"a second {plane} link of {name}",
                where=f"hello to {self.me.name}",
                mend=f"stop the other process that is called {name}",
            )
        if plane == "control":
            peer.control = link
        else:
            peer.bulk = link
        match plane, peer is self._driver:
            case "control", True:
                link.start(self._control_from_parent)
            case "control", False:
                link.start_of(name, self._on_control)
            case _, True:
                link.start(self._bulk_from_parent, self._memory_for_parent)
            case _:
                link.start_of(name, self._on_bulk, self._for_bulk)
        peer.pay()
        link.when_closed(self._on_closed)

    def _gone(self, link: Link, reason: TierfedError | None) -> None:
        """A link of a child, or of the driver, is closed."""
        assert link.peer is not None
        for peer in (self._driver, self._links.get(link.peer.node)):
            known = () if peer is None else (peer.bulk, peer.control)
            if any(one is not None and one.closed is link.closed for one in known):  # else its loss was noticed before
                assert peer is not None
                self._lost(peer, _GOODBYE if reason is None else reason.what, reason)
                return

    def _lost(self, peer: Peer, why: str, reason: TierfedError | None = None) -> None:
        """A child, or the driver, is lost to what is under way."""
        epoch = peer.epoch
        peer.drop(why, reason)
        self.keeping.sent.forget(peer.name)
        for number in tuple(self._unsaved):
            self._saved(number, peer.name)
        self._listening.forget(peer.name)
        if peer is self._driver:
            self._give_up("the driver is gone")
            self._release({"keys": []})  # its handles went with it
            return
        log.log(
            _level(reason) if reason or why == _GOODBYE else logging.WARNING, "the child %s is gone: %s", peer.name, why
        )
        for invocation in tuple(self._invocations.values()):
            invocation.child_gone(peer.name, f"its connection was lost: {why}", epoch)

    def vitals(self) -> Vitals:
        """Return what metrics are read from."""
        peers = (*self._links.values(), self._parent)
        return Vitals(
            self.me.name,
            self.me.placement,
            peers,
            self.spans,
            self._buffers,
            len(self._invocations),
            self.ready.is_set(),
        )

    def epochs(self) -> dict[str, int]:
        """Return the epoch under which each child is connected; one that is still dialling is not."""
        return {name: child.epoch for name, child in self._links.items() if child.up}

    @property
    def own_epoch(self) -> int:
        """Return the epoch of this node's connection to its parent, or of the next one."""
        return self._epoch

    def epoch(self, member: str) -> int:
        """Return the epoch under which a child is connected."""
        return self._links[member].epoch

    def connected(self, member: str) -> bool:
        """Return whether both links of a child are up."""
        return self._links[member].up

    def child(self, member: str) -> Peer:
        """Return a child as it is connected."""
        return self._links[member]

    @property
    def parent(self) -> Peer:
        """Return the parent (the driver, at the root) as it is connected."""
        return self._parent

    def tell_child(self, member: str, header: dict[str, Any]) -> None:
        """Post a small frame on a child's control link, if there is one."""
        self._links[member].post(header)

    async def send_to_child(self, member: str, frames: list[tuple[dict[str, Any], Any]]) -> None:
        """Send a message to a child; a child that goes away meanwhile is noticed elsewhere."""
        link = self._links[member].bulk
        if link is not None:
            try:
                await link.send_all(frames)
            except ProtocolError as error:
                log.info("%s did not get a message: %s", member, error.what)

    async def pass_to_child(self, member: str, frames: AsyncIterator[tuple[dict[str, Any], Any]]) -> None:
        """Send a message to a child frame by frame, as they come; other messages may come between two of them."""
        link = self._links[member].bulk
        if link is not None:
            try:
                async for header, buffers in frames:
                    await link.send(header, buffers)
            except ProtocolError as error:
                log.info("%s did not get a message: %s", member, error.what)

    def _control_from_child(self, member: str, frame: Frame) -> None:
        header = frame.header
        self._listening.heard(member, asyncio.get_running_loop().time())
        match header.get("kind"):
            case "beat":
                pass
            case "failed":
                invocation = self._invocations.get(str(header.get("inv")))
                if invocation is not None and header.get("att") == invocation.attempt:
                    invocation.child_failed(member, heard(header.get("error"), member))
            case "progress":
                self.tell_in_passing(report_of(header, member))
            case "raised":
                self.tell_in_passing({"kind": "raised", "error": told(heard(header.get("error"), member))})
            case "saved":
                self._saved(header.get("round"), member)
            case kind:
                raise ProtocolError(
                    f"a {short(kind)} of a child", where=member, mend="run one version of tierfed in the whole tree"
                )

    def _memory_for_child(self, member: str, header: dict[str, Any], size: int) -> memoryview:
        """Return memory for the payload of a child's frame, once the frame is known to be wanted."""
        ident = ident_of(header, member)
        invocation = self._invocations.get(ident["inv"])
        if invocation is not None and invocation.attempt == ident["att"]:
            upload = invocation.uploads.of(member, self.children[member].placement, header)
            if upload is not None:
                try:
                    upload.reader.admit(header, size)
                    return self.slots.memory(upload, header, size)
                except TierfedError as error:
                    invocation.uploads.refuse(upload, error)
                    raise
        return aligned(size)

    def _bulk_from_child(self, member: str, frame: Frame) -> None:
        ident = ident_of(frame.header, member)
        placement = self.children[member].placement
        invocation = self._invocations.get(ident["inv"])
        if invocation is None or invocation.attempt != ident["att"]:
            if frame.header.get("seq") == 0:
                why = "ROUND_CLOSED" if (ident["inv"], ident["att"]) in self._over else "UNKNOWN_ROUND"
                answer = {"kind": "rejected", "inv": ident["inv"], "att": ident["att"], "site": ident["site"]}
                self.tell_child(member, {**answer, "why": why, "detail": f"{self.me.name} has no such round open"})
            return
        invocation.uploads.frame(member, placement, frame)

    # -- parent

    def tell_parent(self, header: dict[str, Any]) -> None:
        """Post a small frame on the control link to the parent (the driver, at the root)."""
        self._parent.post(header)

    def tell_in_passing(self, header: dict[str, Any]) -> None:
        """Tell the parent what is for people to see, unless it is behind with its reading."""
        if self._parent.control is not None and self._parent.control.unread < _UNREAD:
            self._parent.control.post(header)

    async def send_to_parent(self, frames: Sequence[tuple[dict[str, Any], Any]]) -> None:
        """Send a message to the parent (the driver, at the root)."""
        link = self._parent.bulk
        if link is None:
            raise ProtocolError(f"{self._parent.name} is gone", where=self.me.name, mend="see its log")
        await link.send_all(frames)

    def tell_progress(self, invocation: Invocation) -> None:
        """Tell the driver, by way of the parents, how far the folds here are."""
        now = asyncio.get_running_loop().time()
        last = self._told.setdefault(invocation.name, now)  # a round that is over at once is not reported
        if now - last < _PROGRESS:
            return
        self._told[invocation.name] = now
        for report in self._reports(invocation):
            self.tell_in_passing(report)

    def progress(self) -> Iterator[dict[str, Any]]:
        """Yield how far the folds here are, of every invocation."""
        for invocation in self._invocations.values():
            yield from self._reports(invocation)

    def collections(self, invocation: str) -> tuple[Collection, ...]:
        """Return what is collected here for an invocation, to be read; nothing if it is not under way here."""
        found = self._invocations.get(invocation)
        return () if found is None else found.round.collections()

    @property
    def under_way(self) -> str | None:
        """The invocation that has begun here last, None if none is under way."""
        return next(reversed(self._invocations), None)

    def _reports(self, invocation: Invocation) -> Iterator[dict[str, Any]]:
        for p in invocation.round.progress():
            yield {
                "kind": "progress",
                "inv": invocation.name,
                "node": self.me.name,
                "site": str(p.site),
                "whole": p.whole,
                "expected": p.expected,
                "lost": p.lost,
                "closed": p.closed,
                "awaits": ", ".join(self._awaited(*one) for one in p.awaited)[:250],
            }

    def _awaited(self, member: str, begun: bool) -> str:
        """Return a child that a fold waits for, and what it is about."""
        if not self.connected(member):
            return f"{member} (away)"
        inner = len(self.children[member].members_below) > 1
        return f"{member} ({'sending' if begun else 'collecting' if inner else 'computing'})"

    def _control_from_parent(self, frame: Frame) -> None:
        header = frame.header
        if self._parent is not self._driver:
            self._listening.heard(self._parent.name, asyncio.get_running_loop().time())
        match header.get("kind"):
            case "beat" | "accepted":
                pass
            case "rejected":
                late = str(header.get("detail")).endswith(ENOUGH)
                level = logging.INFO if late else logging.WARNING
                log.log(level, "the parent refuses: %s, %s", header.get("why"), header.get("detail"))
            case "release":
                self._release(header)
            case "end":
                self._end(str(header.get("inv")), header.get("att"), header)
            case kind:
                raise self._unexpected(kind)

    def _end(self, name: str, attempt: object, header: Mapping[str, Any]) -> None:
        """The parent says that an invocation is over: perhaps before its beginning, on the other link, is here."""
        invocation = self._invocations.get(name)
        committed, reason = header.get("committed") is True, str(header.get("reason"))
        counted = heard_counted(header.get("counted", committed), self.me.name)
        if invocation is not None and invocation.attempt == attempt:
            invocation.end(committed=committed, reason=reason, counted=counted)
        elif type(attempt) is int:
            self._is_over((name, attempt))
            for child, own in self.keeping.heard((name, attempt), counted).items():
                end = {"kind": "end", "inv": name, "att": attempt, "committed": own is True, "reason": reason}
                self.tell_child(child, {**end, "counted": said(own)})

    def _hear_again(self, header: Mapping[str, Any]) -> None:
        """Take what a frame on the bulk link says of attempts before: on the other link it may still be on its way."""
        for name, attempt, counted in ended_of(header, self.me.name):
            self._end(name, attempt, {"committed": counted is True, "counted": said(counted)})

    def _save(self, header: Mapping[str, Any]) -> None:
        """Save what is kept for codecs, beside the checkpoint of a job, and have the children do so."""
        number = header.get("round")
        if type(number) is not int or not 0 <= number < _ROUNDS:
            raise ProtocolError("a round that cannot be saved", where=self.me.name, mend="run one version of tierfed")
        self._hear_again(header)
        present = [child.name for child in self._links.values() if child.up]
        self._unsaved[number] = {self.me.name, *present}
        self._beside(self._write(number, self.keeping.saving(self._checkpoints, number, self.me.name)))
        for child in present:
            ended = self.keeping.fates.words(child).after(self._links[child].heard)
            again = {"kind": "save", "round": number, "ended": ended}
            self._beside(self.send_to_child(child, [(again, ())]))

    async def _write(self, number: int, write: Callable[[], None]) -> None:
        await self.apart(write)
        self._saved(number, self.me.name)

    def _saved(self, number: object, member: str) -> None:
        """A child, or this node, has saved; when all have, the parent is told."""
        if type(number) is not int or member not in self._unsaved.get(number, ()):
            return
        self._unsaved[number].discard(member)
        if not self._unsaved[number]:
            del self._unsaved[number]
            self.tell_parent({"kind": "saved", "round": number})

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    def _release(self, header: Mapping[str, Any]) -> None:
        """Nobody can ask any more for what is kept here, or below, under these keys; under any, if there are none."""
        keys = header.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ProtocolError("a release without keys", where=self.me.name, mend="run one version of tierfed")
        self.kept.release(keys or None)
        self.having.release(keys or None)
        for child in self._links.values():
            child.release(keys)

    def _unexpected(self, kind: object) -> ProtocolError:
        return ProtocolError(
            f"a {short(kind)} of a parent", where=self.me.name, mend="run one version of tierfed in the whole tree"
        )

    def _memory_for_parent(self, header: dict[str, Any], size: int) -> memoryview:
        """Return memory for the payload of the parent's frame: in the value that it is part of, where that can be."""
        if header.get("kind") is None:
            ident = ident_of(header, self._parent.name)
            invocation = self._invocations.get(ident["inv"])
            if invocation is not None and invocation.attempt == ident["att"]:
                reader = invocation.parent_reader(header)
                memory = None if reader is None else reader.memory(header, size)
                if memory is not None:
                    return memory
        return aligned(size)

    def _bulk_from_parent(self, frame: Frame) -> None:
        match frame.header.get("kind"):
            case "deploy":
                compiled = self._programs.add(bytes(frame.payload), frame.header.get("hash"), self.me.name)
                log.info("program %s deployed", compiled.hash[:12])
            case "begin":
                self._begin(frame.header)
            case "save":
                self._save(frame.header)
            case None:
                ident = ident_of(frame.header, self._parent.name)
                invocation = self._invocations.get(ident["inv"])
                if invocation is not None and invocation.attempt == ident["att"]:
                    invocation.parent_frame(frame)
            case kind:
                raise self._unexpected(kind)

    # -- invocations

    def _begin(self, header: Mapping[str, Any]) -> None:
        """Begin an invocation here, and at the children that take part in it."""
        name, attempt, budget = header.get("inv"), header.get("att"), header.get("budget")
        if not isinstance(name, str) or type(attempt) is not int or not isinstance(budget, int | float):
            raise ProtocolError("a beginning without its identity", where=self.me.name)
        recalled = recalled_of(header, self.me.name)
        everyone = header.get("everyone") is True
        self._hear_again(header)
        known = self._programs.get(header.get("hash"))
        if known is None:
            raise ProtocolError(f"program {short(header.get('hash'))} was never deployed", where=self.me.name)
        if (name, attempt) in self._over:
            return
        earlier = self._invocations.get(name)
        if earlier is not None:
            if earlier.attempt >= attempt:
                return
            earlier.end(committed=False, reason=f"attempt {attempt} has begun")
        own = min(self.me.deadline, float(budget)) if self.me.children else float(budget)
        try:
            having = self.having.of(known.compiled, recalled) if self.me.cohorts else None
            drawn = draws(self.me, name, self.epochs(), having, everyone=everyone) if self.me.cohorts else {}
            invocation = Invocation(self, name, attempt, known.part(self.me), own, recalled, drawn)
        except TierfedError as error:  # a program that is not of this tree
            error.node = error.node or self.me.name
            self.tell_parent({"kind": "failed", "inv": name, "att": attempt, "error": told(error)})
            return
        self._invocations[name] = invocation
        self.slots.begun()
        dead: dict[str, str] = {}
        below = handed_down(own * invocation.own.topics.share)
        begin: dict[str, Any] = {
            "kind": "begin",
            "inv": name,
            "att": attempt,
            "hash": known.compiled.hash,
            "budget": below,
        }
        if recalled:
            begin["recalled"] = dict(recalled)
        if everyone:
            begin["everyone"] = True
        for assigned in invocation.members:
            child = self._links[assigned.name]
            if child.up:
                self.downwards.begin(child, begin, known.data, invocation.spawn)
            else:
                dead[assigned.name] = f"it is not connected: {child.absence}"
        invocation.begin(dead)

    def forget(self, invocation: Invocation) -> None:
        """An invocation is over."""
        self._invocations.pop(invocation.name, None)
        self._told.pop(invocation.name, None)
        self._is_over(invocation.id)

    def _is_over(self, attempt: tuple[str, int]) -> None:
        self._over[attempt] = None
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)

    # -- what slices need

    async def apart(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, computed by the process's thread for leaves, on this node's behalf.

        Raises what `work` raises; what would end the process is an error of `work` alone.
        """
        context, asked = contextvars.copy_context(), time.monotonic()

        def begun() -> Any:
            self.spans.took("queue", "", "", asked, time.monotonic() - asked)
            return _contained(work)

        return await asyncio.get_running_loop().run_in_executor(self._leaves, context.run, begun)

    def data(self, uri: str, t: Type) -> Any:
        """Return what this member has under `uri`, held as a value of `t`."""
        if self._provider is None:
            self._provider = provider(self.me.data)
        me = self.me
        who = MemberInfo(me.name, me.placement, me.index, me.count, me.labels, me.seed, crowd_told(me.crowd))
        return fetch(self._provider, uri, t, who)


def _level(reason: TierfedError | None) -> int:
    """Return how much it matters that a connection has ended."""
    return logging.INFO if reason is None or isinstance(reason, Away) else logging.WARNING


def _contained(work: Callable[[], Any]) -> Any:
    """Return what `work` returns; user code may exit, or interrupt itself, also where it is imported."""
    try:
        return work()
    except Exception:
        raise
    except BaseException as problem:
        said = f": {problem}" if str(problem) else ""
        raise LeafError(
            f"raised {type(problem).__name__}{said}",
            where="leaf",
            mend="see the traceback",
            remote_traceback=traceback.format_exc(),
        ) from problem


def handed_down(budget: float) -> float:
    """Return how long a child may wait for its own children, so that its partial is here in time.

    A tenth of the budget, at most a second, is kept for the way.
    """
    return max(budget - min(1.0, budget / 10), 0.001)
