"""Driver: the root's parent, in the process of whoever calls.

It deploys a program to the root, begins invocations, sends the arguments and receives the
result, over the same two links and in the same frames as any parent and child.

It waits for ever for a result that is being computed, and not a moment for a root that is
gone: the root's own deadlines bound every fold, its signs of life (node/pulse.py) or the end of
its connection tell that it is there no more.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tierfed.codecs import codec
from tierfed.compiler.normal_form import bindings_of, result_of
from tierfed.compiler.serialize import compiled_to_bytes
from tierfed.compiler.slices import Compiled, Receive, Send, Slot
from tierfed.errors import NotReady, ProtocolError, RoundFailed, TierfedError
from tierfed.ir.evaluate import evaluate
from tierfed.ir.nodes import free_names
from tierfed.leaves import load
from tierfed.node import transport
from tierfed.node.fates import Words
from tierfed.node.hello import Hello
from tierfed.node.link import Link
from tierfed.node.node import ANOTHER_DRIVER, DRIVER, DRIVER_PLACEMENT, Membership
from tierfed.node.programs import Deployed
from tierfed.node.pulse import PULSE, Listening, Pulse
from tierfed.node.reception import Transport
from tierfed.node.telling import cut, heard
from tierfed.node.uploads import INLINE
from tierfed.types import FederatedType, StructType, Type
from tierfed.wire.frame import PAYLOAD_LIMIT, Frame
from tierfed.wire.message import MessageReader, encode_message

log = logging.getLogger("tierfed.driver")

_FOREVER = 1e9  # seconds: the root's own deadlines are shorter
_ATTEMPT = 1
_GIVING_WAY = 1.0  # seconds for the driver before us to be gone
_PAUSE = 0.02  # seconds between two questions whether it is


@dataclass(slots=True)
class Record:
    """What is known of one invocation when it has ended.

    `counts`: members behind the result, by placement.  `lost`: members that are not, with the
    reason.  `traffic`: bytes and messages by tier, see `node.traffic`.  `drawn`: where there are
    cohorts, members of them, by placement.
    """

    name: str
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    traffic: dict[str, list[int]] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptAt:
    """A part of a result that stayed at its members, and the key under which they have it."""

    key: str


@dataclass(slots=True)
class _Pending:
    done: asyncio.Future[None]
    reader: MessageReader


class Driver:
    """A connection to the root of a running tree.

    `on_progress` is told what the aggregators report, `on_raised` of each leaf that raised,
    also in rounds that did without it.  `session` begins the names of its invocations: no
    two drivers of a tree have the same.
    """

    def __init__(
        self,
        on_progress: Callable[[Mapping[str, Any]], None] = lambda report: None,
        on_raised: Callable[[TierfedError], None] = lambda error: None,
        pulse: Pulse = PULSE,
        session: str | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._on_raised = on_raised
        self._pulse = pulse
        self._root = "the root"
        self._bulk: Link | None = None
        self._control: Link | None = None
        self._open: set[Link] = set()  # whose connection is there, those that are closed and linger too
        self._why_not: TierfedError | None = None  # why there is no connection any more
        self._pending: dict[str, _Pending] = {}
        self._deployed = Deployed()
        self._ended = Words()
        self._heard = 0  # of them, by the root over the bulk link
        self._saving: dict[int, asyncio.Future[None]] = {}
        self._listening = Listening(pulse, 0.0)
        self._timer: asyncio.TimerHandle | None = None
        self._session = session or uuid.uuid4().hex[:8]
        self._numbers = itertools.count(1)

    async def connect(
        self, address: tuple[str, int], membership: Membership, *, timeout: float = 10.0, over: Transport = transport
    ) -> None:
        """Dial the root at `address`; raises NotReady, as when another driver is at work, or the root's own error."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _GIVING_WAY
        while True:
            try:
                links = await self._dial(address, membership, loop.time() + timeout, over)
                break
            except NotReady as error:  # one that has just left may not be gone yet
                if error.what != ANOTHER_DRIVER or loop.time() >= until:
                    raise
            await asyncio.sleep(_PAUSE)
        self._control, self._bulk = links
        self._root = links[0].peer.node if links[0].peer is not None else self._root
        self._listening.silent(loop.time())
        self._listening.heard(self._root, loop.time())
        self._timer = loop.call_later(self._pulse.beat, self._look)
        self._control.start(self._from_control)
        self._bulk.start(self._from_bulk)
        for link in links:
            link.closed.add_done_callback(lambda done: self._lost(done.result()))

    async def _dial(
        self, address: tuple[str, int], membership: Membership, deadline: float, over: Transport
    ) -> list[Link]:
        """Return the control link and the bulk link, both or none."""
        epoch = time.monotonic_ns()
        links: list[Link] = []
        try:
            for plane in ("control", "bulk"):
                hello = Hello(membership.run, membership.token, DRIVER, DRIVER_PLACEMENT, plane, epoch)
                links.append(await over.dial(address, hello, deadline=deadline))
                links[-1].stays_in(self._open)
        except BaseException:
            for link in links:
                link.close()
            raise
        return links

    async def close(self) -> None:
        """Say goodbye."""
        self._lost(None)
        if self._open:
            await asyncio.wait([link.gone for link in self._open])

    async def invoke(
        self,
        compiled: Compiled,
        argument: Any,
        recalled: Mapping[str, str] = MappingProxyType({}),
        defaults: Mapping[str, Any] = MappingProxyType({}),
        everyone: bool = False,
    ) -> tuple[Any, Record]:
        """Return the held result of a program at a held argument, and the record of its invocation.

        `recalled` names, by argument, the key of what its members kept; `defaults` has the held
        value for those that kept nothing.  What stays at its members is a `KeptAt` in the result.
        With `everyone` no cohorts are drawn: all take part who have what is recalled.

        Raises the error that the invocation ended with.
        """
        bulk, control = self._bulk, self._control
        if bulk is None or control is None:
            raise self._gone()
        record = Record(f"{self._session}-{next(self._numbers)}")
        steps = compiled.slices[compiled.hierarchy.root].steps
        sent = next(s for s in reversed(steps) if isinstance(s, Send))
        reader = MessageReader(_slots(sent.slots), codec("none"), where="the result")
        pending = _Pending(asyncio.get_running_loop().create_future(), reader)
        self._pending[record.name] = pending
        start = asyncio.get_running_loop().time()
        why = "cancelled"
        try:
            await self._begin(bulk, compiled, record.name, argument, recalled, defaults, everyone)
            await pending.done
            large = reader.raw_bytes > INLINE
            values = await asyncio.to_thread(reader.values) if large else reader.values()
            outcome = _outcome(compiled, sent.slots, values, record.name)
            why = ""
        except TierfedError as error:
            why = error.what
            if self._bulk is not bulk:  # the root is gone: that is what the sending ran into
                raise self._gone() from error
            raise
        finally:
            del self._pending[record.name]
            if pending.done.done() and not pending.done.cancelled():
                pending.done.exception()  # read: the sending may have failed before it was awaited
            end = {"kind": "end", "inv": record.name, "att": _ATTEMPT, "committed": not why, "reason": cut(why, 500)}
            control.post(end)
            self._ended.say((record.name, _ATTEMPT), not why)
        record.seconds = asyncio.get_running_loop().time() - start
        ident = reader.ident
        said = ident["summary"]
        record.counts, record.lost, record.traffic = said["counts"], said["lost"], ident["traffic"]
        record.drawn = said.get("drawn", {})
        return outcome, record

    def release(self, keys: Sequence[str]) -> None:
        """Nobody can ask any more for what is kept under `keys`."""
        if self._control is not None and keys:
            self._control.post({"kind": "release", "keys": list(keys)})

    async def save(self, round_number: int) -> None:
        """Have all nodes that are there save what they keep for their codecs, as it is after the rounds that ended."""
        if self._bulk is None:
            raise self._gone()
        ended = self._ended.after(self._heard)
        saved = self._saving.setdefault(round_number, asyncio.get_running_loop().create_future())
        await self._bulk.send_all([({"kind": "save", "round": round_number, "ended": ended}, ())])
        await asyncio.shield(saved)

    async def _begin(
        self,
        bulk: Link,
        compiled: Compiled,
        name: str,
        argument: Any,
        recalled: Mapping[str, str],
        defaults: Mapping[str, Any],
        everyone: bool,
    ) -> None:
        frames: list[tuple[dict[str, Any], Any]] = []
        if not self._deployed.has(compiled.hash):
            frames.append(({"kind": "deploy", "hash": compiled.hash}, [compiled_to_bytes(compiled, PAYLOAD_LIMIT)]))
        begin = {"kind": "begin", "inv": name, "att": _ATTEMPT, "hash": compiled.hash, "budget": _FOREVER}
        if recalled:
            begin["recalled"] = dict(recalled)
        if everyone:
            begin["everyone"] = True
        count = self._ended.count
        if ended := self._ended.after(self._heard):
            begin["ended"] = ended
        await bulk.send_all([*frames, (begin, ())])
        self._heard = max(self._heard, count)
        self._deployed.sent(compiled.hash)
        first = compiled.slices[compiled.hierarchy.root].steps[0]
        if isinstance(first, Receive) and first.site.phase == 0:
            t = compiled.program.parameter_type
            rows = [
                (s.name, s.type, defaults[s.name] if s.name in defaults else _part(argument, t, s)) for s in first.slots
            ]
            many = {s.name for s in first.slots if s.many is not None}
            ident = {"m": "down", "inv": name, "att": _ATTEMPT, "site": str(first.site)}
            await bulk.send_all(encode_message(ident, rows, codec("none"), many=many))

    def _from_control(self, frame: Frame) -> None:
        header = frame.header
        self._listening.heard(self._root, asyncio.get_running_loop().time())
        match header.get("kind"):
            case "failed":
                pending = self._pending.get(str(header.get("inv")))
                if pending is not None and not pending.done.done():
                    pending.done.set_exception(_shown(heard(header.get("error"), self._root)))
            case "raised":
                self._on_raised(_shown(heard(header.get("error"), self._root)))
            case "progress":
                self._on_progress(header)
            case "saved":
                saved = self._saving.pop(header.get("round", -1), None)
                if saved is not None and not saved.done():
                    saved.set_result(None)
            case "beat" | "accepted" | "rejected":
                pass
            case kind:
                log.warning("the root sent a %r", kind)

    def _from_bulk(self, frame: Frame) -> None:
        pending = self._pending.get(str(frame.header.get("ident", {}).get("inv")))
        if pending is None or pending.done.done():
            return
        try:
            if pending.reader.feed(frame):
                pending.done.set_result(None)
        except TierfedError as error:
            pending.done.set_exception(error)

    # -- the end of the connection

    def _look(self) -> None:
        """Cut a root that has given no sign of life for too long."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._pulse.beat, self._look)
        if self._listening.silent(loop.time()):
            self._lost(self._pulse.silent(self._root))

    def _lost(self, reason: TierfedError | None) -> None:
        """There is no connection any more: close what is left of it, and end what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        links, self._control, self._bulk = (self._control, self._bulk), None, None
        for link in links:
            if link is not None:
                link.close()
                self._why_not = reason
        for future in (*(pending.done for pending in self._pending.values()), *self._saving.values()):
            if not future.done():
                future.set_exception(self._gone())
                future.exception()  # read: nobody may be waiting for it
        self._saving.clear()

    def _gone(self) -> TierfedError:
        """Return why nothing can be invoked."""
        reason = self._why_not
        if reason is not None and not isinstance(reason, ProtocolError):
            return reason  # the root says what it has against us
        return RoundFailed(
            f"the root {self._root} is gone" + (f": {reason.what}" if reason is not None else ""),
            where="driver",
            mend=f"see `tierfed logs {self._root}`, then bring the tree up again",
            node=self._root,
        )


def _shown(error: TierfedError) -> TierfedError:
    """Return `error` with the traceback of its node where Python shows it: below its own."""
    if error.remote_traceback:
        error.add_note(f"\nThat was at {error.node}:\n{error.remote_traceback.rstrip()}")
    return error


def _slots(slots: tuple[Slot, ...]) -> list[tuple[str, Type, bool]]:
    return [(s.name, s.type, s.many is not None) for s in slots]


def _part(argument: Any, t: Type | None, slot: Slot) -> Any:
    """Return the part of a held argument of type `t` that the slot `arg.0.1` stands for."""
    for index in map(int, slot.name.split(".")[1:]):
        assert isinstance(t, StructType)
        argument, t = argument[index], t[index]
    return argument[0] if _is_list_of_one(t, slot) else argument


def _is_list_of_one(t: Type | None, slot: Slot) -> bool:
    """Return whether a slot is the root's own value of `{T}@SERVER`, which is held as a list."""
    return isinstance(t, FederatedType) and not t.all_equal and slot.many is None


def _outcome(compiled: Compiled, slots: tuple[Slot, ...], values: Mapping[str, Any], invocation: str) -> Any:
    """Return the program's result, put together from the values that the root sent and what stayed at its members."""
    result = result_of(compiled.program)
    types = free_names(result)
    names: dict[str, Any] = {}
    for slot in slots:
        value, t = values[slot.name], types[slot.name]
        if slot.many is not None:
            value = tuple(value)
            if isinstance(t, FederatedType) and t.all_equal:
                if not value:
                    raise RoundFailed(f"nobody at {slot.many} has the result", where="driver", mend="see the log")
                value = value[0]
        names[slot.name] = (value,) if _is_list_of_one(t, slot) else value
    for name, t in types.items():
        if name not in names:  # constants stay with the driver
            kept = isinstance(t, FederatedType) and t.placement != compiled.hierarchy.root
            names[name] = KeptAt(f"{invocation}:{name}") if kept else _constant(compiled, name)
    return evaluate(result, names, load)


def _constant(compiled: Compiled, name: str) -> Any:
    known = dict(bindings_of(compiled.program))
    names = {n: _constant(compiled, n) for n in free_names(known[name])}
    return evaluate(known[name], names, load)
