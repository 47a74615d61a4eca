"""Node: one logical member of the tree, its links up and down, and the invocations it takes part in.

A child dials its parent twice: the bulk link carries programs, beginnings and messages, in
order; the control link carries everything small that must not queue behind a tensor.

| bulk, down | `deploy` (a program, by hash) · `begin` · messages |
| bulk, up | messages |
| control, down | `accepted`, `rejected`, `end`, `beat` |
| control, up | `failed`, `progress`, `beat` |

The driver dials the root as if the root were its parent, and then plays the root's parent
over that link: it deploys, begins, sends the arguments and receives the result.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierfed.compiler.serialize import compiled_from_bytes
from tierfed.compiler.slices import Compiled, Site
from tierfed.data import MemberInfo, fetch, provider
from tierfed.errors import NotReady, ProtocolError, TierfedError
from tierfed.node.backoff import Backoff
from tierfed.node.hello import Hello
from tierfed.node.history import History
from tierfed.node.invocation import Invocation
from tierfed.node.link import Link
from tierfed.node.receive_buffers import ReceiveBuffers, default_budget
from tierfed.node.reception import Server, Transport
from tierfed.node.traffic import Traffic
from tierfed.topology.assignment import ChildAssignment, NodeAssignment
from tierfed.types import Type
from tierfed.wire.frame import Frame, aligned

log = logging.getLogger("tierfed.node")

DRIVER = "driver"
DRIVER_PLACEMENT = "DRIVER"

_BEAT = 3.0  # seconds between two signs of life
_SILENCE = 15.0  # seconds without one after which a peer counts as dead
_PROGRESS = 0.1  # seconds between two reports of one fold
_REMEMBERED = 1024  # invocations known to be over
_PROGRAMS = 64  # programs kept


@dataclass(frozen=True, slots=True)
class Membership:
    """Which run a process belongs to, and what proves it."""

    run: str
    token: str


@dataclass(slots=True)
class _Child:
    """A child as it is connected: both links of one epoch, or fewer."""

    epoch: int = -1
    bulk: Link | None = None
    control: Link | None = None
    why_not: str = "never connected"
    heard: float = 0.0
    deployed: set[str] | None = None

    @property
    def up(self) -> bool:
        return self.bulk is not None and self.control is not None


class Node:
    """See the module docstring.  `leaves` is where computing happens, off the loop."""

    def __init__(
        self,
        me: NodeAssignment,
        membership: Membership,
        transport: Transport,
        leaves: Executor,
        history: History | None = None,
        enter: Callable[[], None] = lambda: None,
        spool: Path | None = None,
    ) -> None:
        self.me = me
        self.children: dict[str, ChildAssignment] = {c.name: c for c in me.children}
        self.history = history
        self.traffic = Traffic()
        self.ready = asyncio.Event()
        self._membership = membership
        self._transport = transport
        self._leaves = leaves
        self._enter = enter
        self._links = {c.name: _Child() for c in me.children}
        self._driver = _Child()
        self._parent_bulk: Link | None = None
        self._parent_control: Link | None = None
        self._parent_heard = 0.0
        self._epoch = 0
        self._server: Server | None = None
        self._programs: dict[str, tuple[Compiled, bytes]] = {}
        self._invocations: dict[str, Invocation] = {}
        self._over: deque[tuple[str, int]] = deque(maxlen=_REMEMBERED)
        self._told: dict[str, float] = {}
        self._provider: Any = None
        self._buffers = ReceiveBuffers(default_budget(0), spool or Path(tempfile.gettempdir()))
        self._random = random.Random(f"{me.seed}/{me.name}")

    # -- life

    async def run(self, listener: Any | None) -> None:
        """Serve children and stay connected to the parent, until cancelled."""
        self._enter()
        try:
            async with asyncio.TaskGroup() as group:
                if listener is not None:
                    hello = self._hello("bulk")
                    self._server = await self._transport.serve(listener, hello, self._admit, ready=self._why_not_ready)
                if self.me.parent is None:
                    self.ready.set()
                else:
                    group.create_task(self._stay_connected())
                group.create_task(self._beat())
        finally:
            for invocation in tuple(self._invocations.values()):
                invocation.end(committed=False, reason=f"{self.me.name} is shutting down")
            for link in (self._parent_bulk, self._parent_control):
                if link is not None:
                    link.close()
            if self._server is not None:
                await self._server.close()
            if self.history is not None:
                self.history.close()

    def _hello(self, plane: str) -> Hello:
        return Hello(self._membership.run, self._membership.token, self.me.name, self.me.placement, plane, self._epoch)

    def _why_not_ready(self) -> str | None:
        return None if self.ready.is_set() else f"{self.me.name} is not connected to its parent"

    async def _stay_connected(self) -> None:
        """Dial the parent, and dial it again, under a new epoch, whenever the connection is lost."""
        loop = asyncio.get_running_loop()
        while True:
            backoff = Backoff(rng=self._random)
            try:
                control = await self._dial("control", loop.time() + 60.0, backoff)
                bulk = await self._dial("bulk", loop.time() + 60.0, backoff)
            except NotReady as error:
                log.warning("%s", error.what)
                continue
            self._parent_bulk, self._parent_control = bulk, control
            self._parent_heard = loop.time()
            control.start(self._control_from_parent)
            bulk.start(self._bulk_from_parent, self._memory_for_parent)
            self.ready.set()
            await asyncio.wait([bulk.closed, control.closed], return_when=asyncio.FIRST_COMPLETED)
            reason = (bulk.closed if bulk.closed.done() else control.closed).result()
            log.warning("the parent %s is gone: %s", self.me.parent, "closed" if reason is None else reason.what)
            self.ready.clear()
            self._parent_bulk = self._parent_control = None
            bulk.close()
            control.close()
            self._epoch += 1
            for invocation in tuple(self._invocations.values()):
                invocation.end(committed=False, reason=f"{self.me.parent}, the parent of {self.me.name}, is gone")

    async def _dial(self, plane: str, deadline: float, backoff: Backoff) -> Link:
        assert self.me.parent_address is not None
        return await self._transport.dial(
            self.me.parent_address, self._hello(plane), deadline=deadline, backoff=backoff
        )

    async def _beat(self) -> None:
        """Give and watch for signs of life; a silent peer is cut, which is noticed like any loss."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(_BEAT)
            now = loop.time()
            stalled = now - last > 2 * _BEAT  # this process was stopped: others' silence says nothing
            last = now
            if self._parent_control is not None:
                self._parent_control.post({"kind": "beat"})
                if stalled:
                    self._parent_heard = now
                elif now - self._parent_heard > _SILENCE:
                    self._parent_control.close(_silent(self.me.parent))
            for name, child in self._links.items():
                if child.control is not None:
                    child.control.post({"kind": "beat"})
                    if stalled:
                        child.heard = now
                    elif now - child.heard > _SILENCE:
                        child.control.close(_silent(name))

    # -- children

    def _admit(self, link: Link) -> dict[str, Any]:
        """Let a child in, or the driver at the root; called by the handshake."""
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
        child = self._links[peer.node]
        if peer.epoch < child.epoch:
            raise ProtocolError(
                f"epoch {peer.epoch} of {peer.node}, which was here under {child.epoch}",
                where=f"hello to {self.me.name}",
                mend="stop the older process of that name",
            )
        if peer.epoch > child.epoch:
            self._drop(child, "a newer epoch came")
            child.epoch, child.deployed = peer.epoch, set()
        self._attach(child, link, lambda frame: self._control_from_child(peer.node, frame), peer.node)
        return {"epoch": child.epoch}

    def _attach(self, child: _Child, link: Link, on_control: Callable[[Frame], None], name: str) -> None:
        peer = link.peer
        assert peer is not None
        if (child.bulk if peer.plane == "bulk" else child.control) is not None:
            raise ProtocolError(
                f"a second {peer.plane} link of {name}", where=f"hello to {self.me.name}", mend="dial once"
            )
        child.heard = asyncio.get_running_loop().time()
        if peer.plane == "bulk":
            child.bulk = link
            if name == DRIVER:
                link.start(self._bulk_from_parent, self._memory_for_parent)
            else:
                link.start(
                    lambda frame: self._bulk_from_child(name, frame),
                    lambda header, size: self._memory_for_child(name, header, size),
                )
        else:
            child.control = link
            link.start(on_control)
        link.closed.add_done_callback(lambda done: self._gone(name, child, link, done.result()))

    def _gone(self, name: str, child: _Child, link: Link, reason: TierfedError | None) -> None:
        """A link of a child is closed: the child is lost to what is under way."""
        if link not in (child.bulk, child.control):
            return  # of an older epoch, dropped already
        why = "it said goodbye" if reason is None else reason.what
        epoch = child.epoch
        self._drop(child, why)
        if name == DRIVER:
            for invocation in tuple(self._invocations.values()):
                invocation.end(committed=False, reason="the driver is gone")
            return
        log.warning("the child %s is gone: %s", name, why)
        for invocation in tuple(self._invocations.values()):
            invocation.child_gone(name, f"its connection was lost: {why}", epoch)

    def _drop(self, child: _Child, why: str) -> None:
        links, child.bulk, child.control, child.why_not = (child.bulk, child.control), None, None, why
        for link in links:
            if link is not None:
                link.close()

    def _admit_driver(self, link: Link, peer: Hello) -> dict[str, Any]:
        if peer.epoch > self._driver.epoch or not (self._driver.bulk or self._driver.control):
            self._drop(self._driver, "a newer driver came")
            self._driver.epoch = peer.epoch
        elif peer.epoch < self._driver.epoch:
            raise ProtocolError("another driver is at work", where="hello to the root", mend="wait for it, or end it")
        self._attach(self._driver, link, self._control_from_parent, DRIVER)
        return {"epoch": self._driver.epoch}

    def epochs(self) -> dict[str, int]:
        """Return the epoch under which each child is connected."""
        return {name: c.epoch for name, c in self._links.items() if c.epoch >= 0}

    def epoch(self, member: str) -> int:
        """Return the epoch under which a child is connected."""
        return self._links[member].epoch

    def connected(self, member: str) -> bool:
        """Return whether both links of a child are up."""
        return self._links[member].up

    def tell_child(self, member: str, header: dict[str, Any]) -> None:
        """Post a small frame on a child's control link, if there is one."""
        child = self._links.get(member)
        if child is not None and child.control is not None:
            child.control.post(header)

    async def send_to_child(self, member: str, frames: list[tuple[dict[str, Any], Any]]) -> None:
        """Send a message to a child; a child that goes away meanwhile is noticed elsewhere."""
        link = self._links[member].bulk
        if link is not None:
            try:
                await link.send_all(frames)
            except ProtocolError as error:
                log.info("%s did not get a message: %s", member, error.what)

    def _control_from_child(self, member: str, frame: Frame) -> None:
        header = frame.header
        self._links[member].heard = asyncio.get_running_loop().time()
        match header.get("kind"):
            case "beat":
                pass
            case "failed":
                invocation = self._invocations.get(str(header.get("inv")))
                if invocation is not None and header.get("att") == invocation.attempt:
                    invocation.child_failed(member, _error(header.get("error"), member))
            case "progress":
                self.tell_parent(header)
            case kind:
                raise ProtocolError(f"a {kind!r} of a child", where=member, mend="run one version of tierfed")

    def _memory_for_child(self, member: str, header: dict[str, Any], size: int) -> memoryview:
        """Return memory for the payload of a child's frame, once the frame is known to be wanted."""
        ident = _ident(header, member)
        invocation = self._invocations.get(ident["inv"])
        if invocation is not None and invocation.attempt == ident["att"]:
            reader = invocation.reader_of(member, self.children[member].placement, header)
            if reader is not None:
                try:
                    reader.admit(header, size)
                    return self._buffers.allocate(header, size)
                except TierfedError as error:
                    invocation.refuse(member, Site.parse(ident["site"]), error)
                    raise
        return aligned(size)

    def _bulk_from_child(self, member: str, frame: Frame) -> None:
        ident = _ident(frame.header, member)
        placement = self.children[member].placement
        invocation = self._invocations.get(ident["inv"])
        if invocation is None or invocation.attempt != ident["att"]:
            if frame.header.get("seq") == 0:
                why = "ROUND_CLOSED" if (ident["inv"], ident["att"]) in self._over else "UNKNOWN_ROUND"
                answer = {"kind": "rejected", "inv": ident["inv"], "att": ident["att"], "site": ident["site"]}
                self.tell_child(member, {**answer, "why": why, "detail": f"{self.me.name} has no such round open"})
            return
        invocation.child_frame(member, placement, frame)

    # -- parent

    def tell_parent(self, header: dict[str, Any]) -> None:
        """Post a small frame on the control link to the parent (the driver, at the root)."""
        link = self._driver.control if self.me.parent is None else self._parent_control
        if link is not None:
            link.post(header)

    async def send_to_parent(self, frames: Sequence[tuple[dict[str, Any], Any]]) -> None:
        """Send a message to the parent (the driver, at the root)."""
        link = self._driver.bulk if self.me.parent is None else self._parent_bulk
        if link is None:
            raise ProtocolError(f"{self.me.parent or DRIVER} is gone", where=self.me.name, mend="see its log")
        await link.send_all(frames)

    def tell_progress(self, invocation: Invocation) -> None:
        """Tell the driver, by way of the parents, how far the folds here are."""
        now = asyncio.get_running_loop().time()
        progress = invocation.round.progress()
        last = self._told.setdefault(invocation.name, now)  # a round that is over at once is not reported
        if now - last < _PROGRESS:
            return
        self._told[invocation.name] = now
        for p in progress:
            self.tell_parent(
                {
                    "kind": "progress",
                    "inv": invocation.name,
                    "node": self.me.name,
                    "site": str(p.site),
                    "whole": p.whole,
                    "expected": p.expected,
                    "lost": p.lost,
                    "closed": p.closed,
                }
            )

    def _control_from_parent(self, frame: Frame) -> None:
        header = frame.header
        self._parent_heard = asyncio.get_running_loop().time()
        match header.get("kind"):
            case "beat" | "accepted":
                pass
            case "rejected":
                log.warning("the parent refuses: %s, %s", header.get("why"), header.get("detail"))
            case "end":
                name = str(header.get("inv"))
                invocation = self._invocations.get(name)
                if invocation is None:
                    self._over.append(
                        (name, int(header.get("att") or 0))
                    )  # it may end before its beginning, on the other link, is here
                elif invocation.attempt == header.get("att"):
                    invocation.end(committed=bool(header.get("committed")), reason=str(header.get("reason")))
            case kind:
                raise ProtocolError(f"a {kind!r} of a parent", where=self.me.name, mend="run one version of tierfed")

    def _memory_for_parent(self, header: dict[str, Any], size: int) -> memoryview:
        return aligned(size)

    def _bulk_from_parent(self, frame: Frame) -> None:
        match frame.header.get("kind"):
            case "deploy":
                self._deploy(frame)
            case "begin":
                self._begin(frame.header)
            case None:
                ident = _ident(frame.header, self.me.parent or DRIVER)
                invocation = self._invocations.get(ident["inv"])
                if invocation is not None and invocation.attempt == ident["att"]:
                    invocation.parent_frame(frame)
            case kind:
                raise ProtocolError(f"a {kind!r} of a parent", where=self.me.name, mend="run one version of tierfed")

    # -- programs and invocations

    def _deploy(self, frame: Frame) -> None:
        """Keep a program; its bytes go on to the children unchanged when they need it."""
        data = bytes(frame.payload)
        compiled = compiled_from_bytes(data)
        if compiled.hash != frame.header.get("hash"):
            raise ProtocolError(
                f"the program is {compiled.hash}, announced as {frame.header.get('hash')}", where=self.me.name
            )
        while len(self._programs) >= _PROGRAMS:
            self._programs.pop(next(iter(self._programs)))
        self._programs[compiled.hash] = compiled, data
        log.info("program %s deployed", compiled.hash[:12])

    def _begin(self, header: Mapping[str, Any]) -> None:
        """Begin an invocation here, and at the children that take part in it."""
        name, attempt, budget = header.get("inv"), header.get("att"), header.get("budget")
        known = self._programs.get(str(header.get("hash")))
        if not isinstance(name, str) or type(attempt) is not int or not isinstance(budget, int | float):
            raise ProtocolError("a beginning without its identity", where=self.me.name)
        if known is None:
            raise ProtocolError(f"program {header.get('hash')} was never deployed", where=self.me.name)
        if (name, attempt) in self._over:
            return
        earlier = self._invocations.get(name)
        if earlier is not None:
            if earlier.attempt >= attempt:
                return
            earlier.end(committed=False, reason=f"attempt {attempt} has begun")
        compiled, data = known
        own = min(self.me.deadline, float(budget)) if self.me.children else float(budget)
        invocation = Invocation(self, name, attempt, compiled, own)
        self._invocations[name] = invocation
        dead: dict[str, str] = {}
        for assigned in invocation.members:
            child = self._links[assigned.name]
            if not child.up or child.bulk is None or child.deployed is None:
                dead[assigned.name] = f"it is not connected: {child.why_not}"
                continue
            frames: list[tuple[dict[str, Any], Any]] = []
            if compiled.hash not in child.deployed:
                child.deployed.add(compiled.hash)
                frames.append(({"kind": "deploy", "hash": compiled.hash}, [data]))
            begin = {"kind": "begin", "inv": name, "att": attempt, "hash": compiled.hash, "budget": handed_down(own)}
            frames.append((begin, ()))
            invocation.send_soon(assigned.name, frames)
        invocation.begin(dead)

    def forget(self, invocation: Invocation) -> None:
        """An invocation is over."""
        self._invocations.pop(invocation.name, None)
        self._told.pop(invocation.name, None)
        self._over.append((invocation.name, invocation.attempt))

    # -- what slices need

    async def apart(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, computed by the process's thread for leaves, on this node's behalf."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._leaves, context.run, work)

    def data(self, uri: str, t: Type) -> Any:
        """Return what this member has under `uri`, held as a value of `t`."""
        if self._provider is None:
            self._provider = provider(self.me.data)
        me = self.me
        return fetch(self._provider, uri, t, MemberInfo(me.name, me.placement, me.index, me.count, me.labels, me.seed))


def handed_down(budget: float) -> float:
    """Return how long a child may wait for its own children, so that its partial is here in time.

    A tenth of the budget, at most a second, is kept for the way.
    """
    return max(budget - min(1.0, budget / 10), 0.001)


def _ident(header: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the identity of a message's frame; raises ProtocolError if it has none of the right form."""
    ident = header.get("ident")
    if (
        not isinstance(ident, dict)
        or not isinstance(ident.get("inv"), str)
        or type(ident.get("att")) is not int
        or not isinstance(ident.get("site"), str)
        or not _is_site(ident["site"])
    ):
        raise ProtocolError(
            "a frame without the identity of its message", where=where, mend="run one version of tierfed"
        )
    return ident


def _is_site(text: str) -> bool:
    phase, dot, index = text.partition(".")
    return dot == "." and all(part.isascii() and part.isdigit() and len(part) < 7 for part in (phase, index))


def _error(data: object, node: str) -> TierfedError:
    """Return the error that a peer told of; one of the wrong form is a plain one."""
    ok = isinstance(data, dict) and all(
        isinstance(k, str) and (v is None or isinstance(v, str)) for k, v in data.items()
    )
    error = TierfedError.from_dict(data) if ok else TierfedError("it failed and did not say why")  # type: ignore[arg-type]
    error.node = error.node or node
    return error


def _silent(name: str | None) -> ProtocolError:
    return ProtocolError(
        f"no sign of life for {_SILENCE:g} s", where=str(name), mend="see whether it hangs, and its log"
    )
