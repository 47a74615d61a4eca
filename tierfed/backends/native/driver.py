"""Driver: the root's parent, in the process of whoever calls.

It deploys a program to the root, begins invocations, sends the arguments and receives the
result, over the same two links and in the same frames as any parent and child.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tierfed.codecs import codec
from tierfed.compiler.normalise import bindings_of, result_of
from tierfed.compiler.serialize import compiled_to_bytes
from tierfed.compiler.slices import Compiled, Receive, Send, Slot
from tierfed.errors import ProtocolError, RoundFailed, TierfedError
from tierfed.ir.evaluate import evaluate
from tierfed.ir.nodes import free_names
from tierfed.leaves import load
from tierfed.node import transport
from tierfed.node.hello import Hello
from tierfed.node.link import Link
from tierfed.node.node import DRIVER, DRIVER_PLACEMENT, Membership
from tierfed.node.reception import Transport
from tierfed.types import FederatedType, Type
from tierfed.wire.frame import Frame
from tierfed.wire.message import MessageReader, encode_message

log = logging.getLogger("tierfed.driver")

_FOREVER = 1e9  # seconds: the root's own deadlines are shorter


@dataclass(slots=True)
class Record:
    """What is known of one invocation when it has ended.

    `counts`: members behind the result, by placement.  `lost`: members that are not, with the
    reason.  `traffic`: bytes and messages by tier, see `node.traffic`.
    """

    name: str
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    traffic: dict[str, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Pending:
    done: asyncio.Future[Any]
    reader: MessageReader


class Driver:
    """A connection to the root of a running tree; `on_progress` is told what the aggregators report."""

    def __init__(self, on_progress: Callable[[Mapping[str, Any]], None] = lambda report: None) -> None:
        self._on_progress = on_progress
        self._bulk: Link | None = None
        self._control: Link | None = None
        self._pending: dict[str, _Pending] = {}
        self._deployed: set[str] = set()
        self._session = uuid.uuid4().hex[:8]
        self._numbers = itertools.count(1)

    async def connect(
        self, address: tuple[str, int], membership: Membership, *, timeout: float = 10.0, over: Transport = transport
    ) -> None:
        """Dial the root at `address`; raises NotReady or the root's own error."""
        epoch = time.monotonic_ns()
        deadline = asyncio.get_running_loop().time() + timeout
        links = []
        for plane in ("control", "bulk"):
            hello = Hello(membership.run, membership.token, DRIVER, DRIVER_PLACEMENT, plane, epoch)
            links.append(await over.dial(address, hello, deadline=deadline))
        self._control, self._bulk = links
        self._control.start(self._from_control)
        self._bulk.start(self._from_bulk)
        for link in links:
            link.closed.add_done_callback(lambda done: self._lost(done.result()))

    async def close(self) -> None:
        """Say goodbye."""
        links = [link for link in (self._control, self._bulk) if link is not None]
        self._control = self._bulk = None
        for link in links:
            link.close()
        if links:
            await asyncio.wait([link.closed for link in links])

    async def invoke(self, compiled: Compiled, argument: Any) -> tuple[Any, Record]:
        """Return the held result of a program at a held argument, and the record of its invocation.

        Raises the error that the invocation ended with.
        """
        bulk, control = self._bulk, self._control
        if bulk is None or control is None:
            raise _gone(None)
        record = Record(f"{self._session}-{next(self._numbers)}")
        steps = compiled.slices[compiled.hierarchy.root].steps
        outcome = next(s for s in reversed(steps) if isinstance(s, Send))
        reader = MessageReader(_slots(outcome.slots), codec("none"), where="the result")
        pending = _Pending(asyncio.get_running_loop().create_future(), reader)
        self._pending[record.name] = pending
        start = time.monotonic()
        try:
            await self._begin(bulk, compiled, record.name, argument)
            values: dict[str, Any] = await pending.done
        except asyncio.CancelledError:
            control.post({"kind": "end", "inv": record.name, "att": 1, "committed": False, "reason": "cancelled"})
            raise
        finally:
            del self._pending[record.name]
        record.seconds = time.monotonic() - start
        ident = reader.ident
        said = ident["summary"]
        record.counts, record.lost, record.traffic = said["counts"], said["lost"], ident["traffic"]
        control.post({"kind": "end", "inv": record.name, "att": 1, "committed": True, "reason": ""})
        return _outcome(compiled, outcome.slots, values), record

    async def _begin(self, bulk: Link, compiled: Compiled, name: str, argument: Any) -> None:
        frames: list[tuple[dict[str, Any], Any]] = []
        if compiled.hash not in self._deployed:
            self._deployed.add(compiled.hash)
            frames.append(({"kind": "deploy", "hash": compiled.hash}, [compiled_to_bytes(compiled)]))
        begin = {"kind": "begin", "inv": name, "att": 1, "hash": compiled.hash, "budget": _FOREVER}
        await bulk.send_all([*frames, (begin, ())])
        first = compiled.slices[compiled.hierarchy.root].steps[0]
        if isinstance(first, Receive) and first.site.phase == 0:
            rows = [(s.name, s.type, _part(argument, s.name)) for s in first.slots]
            many = {s.name for s in first.slots if s.many is not None}
            ident = {"m": "down", "inv": name, "att": 1, "site": str(first.site)}
            await bulk.send_all(encode_message(ident, rows, codec("none"), many=many))

    def _from_control(self, frame: Frame) -> None:
        header = frame.header
        match header.get("kind"):
            case "failed":
                pending = self._pending.get(str(header.get("inv")))
                if pending is not None and not pending.done.done():
                    pending.done.set_exception(TierfedError.from_dict(header["error"]))
            case "progress":
                self._on_progress(header)
            case "beat":
                pass
            case kind:
                log.warning("the root sent a %r", kind)

    def _from_bulk(self, frame: Frame) -> None:
        pending = self._pending.get(str(frame.header.get("ident", {}).get("inv")))
        if pending is None or pending.done.done():
            return
        try:
            if pending.reader.feed(frame):
                pending.done.set_result(pending.reader.values())
        except TierfedError as error:
            pending.done.set_exception(error)

    def _lost(self, reason: TierfedError | None) -> None:
        for pending in self._pending.values():
            if not pending.done.done():
                pending.done.set_exception(_gone(reason))


def _gone(reason: TierfedError | None) -> TierfedError:
    if isinstance(reason, ProtocolError) or reason is None:
        what = "the root is gone" + (f": {reason.what}" if reason is not None else "")
        return RoundFailed(
            what, where="driver", mend="see the root's log: `tierfed logs`, then bring the tree up again"
        )
    return reason


def _slots(slots: tuple[Slot, ...]) -> list[tuple[str, Type, bool]]:
    return [(s.name, s.type, s.many is not None) for s in slots]


def _part(argument: Any, name: str) -> Any:
    """Return the part of a held argument that the slot `arg.0.1` stands for."""
    for index in name.split(".")[1:]:
        argument = argument[int(index)]
    return argument


def _outcome(compiled: Compiled, slots: tuple[Slot, ...], values: Mapping[str, Any]) -> Any:
    """Return the program's result, put together from the values that the root sent."""
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
        names[slot.name] = value
    for name in types:
        if name not in names:  # constants stay with the driver
            names[name] = _constant(compiled, name)
    return evaluate(result, names, load)


def _constant(compiled: Compiled, name: str) -> Any:
    known = dict(bindings_of(compiled.program))
    names = {n: _constant(compiled, n) for n in free_names(known[name])}
    return evaluate(known[name], names, load)
