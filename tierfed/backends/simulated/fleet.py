"""A fleet: the nodes of a topology, all in this process, on a virtual clock.

    fleet = Fleet(topology)
    fleet.context(on_record=…)              what `NativeContext` is to daemons, from the same class

Each node is the daemon's own `Node`, with its round, its slice interpreter, its codecs and their state; the driver is
the daemons' driver.  Only the links are others (node/direct_transport.py), and the clock.

Members are connected while their hours say that they are there (presence.py), and gone at the moment these end.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tierfed.backends.native.context import NativeContext
from tierfed.backends.simulated.agenda import Agenda
from tierfed.backends.simulated.faults import Faults
from tierfed.backends.simulated.heard import heard_of
from tierfed.backends.simulated.leaves import Leaves, plain
from tierfed.backends.simulated.presence import Hours, Presence
from tierfed.backends.simulated.virtual_thread import VirtualThread
from tierfed.compiler.slices import Compiled
from tierfed.errors import TierfedError
from tierfed.node.channel import Channel
from tierfed.node.direct_transport import DirectTransport
from tierfed.node.history import History
from tierfed.node.node import Membership, Node
from tierfed.node.pulse import Pulse
from tierfed.node.receive_buffers import ReceiveBuffers
from tierfed.node.ways import Ways
from tierfed.topology import NodeAssignment, Topology, assignments
from tierfed.topology.faults import Fault
from tierfed.topology.link_words import LinkChange
from tierfed.topology.links.energy import joules
from tierfed.wire.frame import aligned

_QUIET = Pulse(beat=1e9, silence=float("inf"))  # whose link is lost is told so: nobody has to listen for signs of life
_EVERY = 64  # uploads between two looks at this machine's clock
_SHOWN = 64  # nodes of which all are reported
_WATCHED = 0.5  # of its seconds between two reports
_NO_LIMIT = 1 << 62  # bytes: what waits for its turn waits in this process, whoever it is for


class _Heap(ReceiveBuffers):
    """Memory for what is received, taken and given back like any other."""

    def allocate(self, header: dict[str, Any], nbytes: int) -> memoryview:
        """Return memory for `nbytes` bytes."""
        return aligned(nbytes)


class Fleet:
    """See the module docstring.

    Histories of aggregators are written to `histories`, for the checker, if given; what codecs keep is saved in
    `checkpoints`.
    """

    def __init__(self, topology: Topology, *, histories: Path | None = None, checkpoints: Path | None = None) -> None:
        self.topology = topology
        self.thread = VirtualThread("tierfed fleet")
        self.nodes: dict[str, Node] = {}
        self._membership = Membership("simulated", "simulated")
        self._histories = histories
        self._checkpoints = checkpoints
        self._groups: list[Leaves] = []
        self._on_progress: Callable[[Mapping[str, Any]], None] = lambda report: None
        self._uploads = 0
        self._looked = 0.0
        self._leaves = ThreadPoolExecutor(1)  # never asked: the loop computes in place
        self._buffers = _Heap(_NO_LIMIT, Path(tempfile.gettempdir()))
        self._given = {f.node: topology.node(f.node).link for f in topology.faults if f.link is not None}
        self._ways = Ways(changing=self._given)
        self._net = DirectTransport(self._channels)
        self._root = ("", 0)
        self._preparing = asyncio.Lock()
        self._quiet = asyncio.Event()  # no invocation is under way
        self._quiet.set()
        self._under_way = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._parents: dict[str, str] = {}  # of those who may be away
        self._grouped: dict[str, tuple[Leaves, int]] = {}  # those of them who are in a group
        self._held: Counter[str] = Counter()
        self._hours: dict[str, Hours] = {}
        self.agenda = Agenda()
        self.presence = Presence(self._detach, self._attach, self._explain)
        self.faults = Faults(self, topology)
        try:
            self.thread.run(self._begin())
        except BaseException:
            self.thread.close()
            raise

    async def _begin(self) -> None:
        """Make the nodes, and wait until all are connected."""
        told = assignments(self.topology)
        parents = {one.name for one in told if one.children or one.parent is None}
        groups: dict[tuple[str, str, str, str], list[NodeAssignment]] = {}
        for one in told:
            self._ways.add(one)
            if one.parent is not None and (one.available is not None or one.name in self.faults.concerned):
                self._parents[one.name] = one.parent
            if one.name not in parents and plain(one):
                groups.setdefault((one.parent or "", one.placement, one.codec_up, one.codec_down), []).append(one)
                continue
            self._keep_hours(one)
            self._make(one)
            if one.name in parents:
                await asyncio.sleep(0)  # it listens before its children dial
        for members in groups.values():
            self._join(members)
        await self._connected(self.nodes)

    async def _connected(self, names: Iterable[str]) -> None:
        """Wait until these nodes are connected, but for who is away; raises what ends one of them."""
        for name in names:
            if self.presence.why(name) is not None:
                continue
            waiting = asyncio.ensure_future(self.nodes[name].ready.wait())
            await asyncio.wait([waiting, self._running[name]], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                error = self._running[name].exception()
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                raise error or TierfedError(f"{name} ended", where=self.topology.name)

    def _make(self, one: NodeAssignment, epoch: int = 0) -> None:
        """Make a node of its own, which dials its parent, at first under `epoch`."""
        history = History.open(self._histories, one.name) if self._histories and one.children else None
        self.nodes[one.name] = node = Node(
            one.at(None if one.parent is None else (one.parent, 0)),
            self._membership,
            self._net,
            self._leaves,
            history,
            buffers=self._buffers,
            pulse=_QUIET,
            checkpoints=self._checkpoints,
            epoch=epoch,
        )
        if one.parent is None:
            self._root = (one.name, 0)
        listener = (one.name, 0) if one.children or one.parent is None else None
        self._running[one.name] = asyncio.get_running_loop().create_task(node.run(listener))

    def _join(self, members: list[NodeAssignment]) -> None:
        """Connect a group of leaves to their parent."""
        group = Leaves(members, self._look)
        self._groups.append(group)
        for i, one in enumerate(members):
            if one.name in self._parents:
                self._grouped[one.name] = group, i
            self._admit(group, i)
            self._keep_hours(one)

    def _admit(self, group: Leaves, member: int) -> None:
        """Connect a member of a group to its parent."""
        one, (run, token) = group.members[member], (self._membership.run, self._membership.token)
        assert one.parent is not None
        for link in group.join(member, run, token, self._channels(one.name, "bulk")):
            self._net.admit((one.parent, 0), link)

    # -- who is there

    def _keep_hours(self, one: NodeAssignment) -> None:
        """Let a member go and come by its hours, if it has some; it may be away from the start."""
        if one.available is not None and one.parent is not None:
            self._hours[one.name] = Hours(self.agenda, self.presence, one.name, one.available)

    def _detach(self, name: str, reason: TierfedError) -> None:
        """A member goes."""
        if name in self._grouped:
            group, member = self._grouped[name]
            group.lose(member, reason)
        else:
            self._net.bar(name, reason)
        self._explain(name, reason)

    def _attach(self, name: str) -> None:
        """A member is back."""
        if name in self._grouped:
            self._admit(*self._grouped[name])
        else:
            self._net.unbar(name)

    def _explain(self, name: str, reason: TierfedError) -> None:
        """Let a member's parent know why it is not there."""
        self.nodes[self._parents[name]].child(name).why_not = reason.what

    # -- what goes wrong on purpose

    def round_begins(self, number: int) -> None:
        """A round of the job, counted from 1, begins; called from the job's thread."""
        self.thread.run(self.faults.round(number, self.thread.now))

    def relink(self, name: str, change: LinkChange | None) -> None:
        """Change a member's link to its parent, None: to what the file says."""
        self._ways.change(name, self._given[name] if change is None else change.on(self._ways.figures(name)))

    def _channels(self, child: str, plane: str) -> tuple[Channel, Channel] | None:
        """Return the channels of a new link; one that is to change has some, if nothing is modelled of it yet."""
        return self._ways.of(child, plane, always=child in self._given)

    def hold(self, name: str) -> None:
        """Let nothing arrive over a member's link to its parent, either way, until `release`."""
        self._held[name] += 1
        if self._held[name] == 1:
            if name in self._grouped:
                group, member = self._grouped[name]
                group.hold(member)
            else:
                self._net.hold(name)

    def release(self, name: str) -> None:
        """Let arrive what was held."""
        self._held[name] -= 1
        if not self._held[name]:
            if name in self._grouped:
                group, member = self._grouped[name]
                group.release(member)
            else:
                self._net.release(name)

    def end(self, name: str) -> None:
        """End a node: nothing is left of what it kept.  Whoever is in a group keeps nothing."""
        if name in self.nodes:
            self._running[name].cancel()

    def begin_again(self, name: str) -> None:
        """Make a node that was ended anew; it listens in a moment."""
        if name in self.nodes and self._running[name].done():
            self._make(self.nodes[name].me, self.nodes[name].own_epoch + 1)

    # -- programs

    @contextlib.asynccontextmanager
    async def _prepared(self, compiled: Compiled) -> AsyncIterator[None]:
        """Have the tree ready for an invocation of this program while it lasts."""
        async with self._preparing:
            await self._prepare(compiled)
            self._under_way += 1
            self._quiet.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    async def _prepare(self, compiled: Compiled) -> None:
        """Make nodes of those leaves that cannot run this program together, from now on.

        What others have under way at them is over before.
        """
        if all(group.runs(compiled) for group in self._groups):
            return
        await self._quiet.wait()
        apart = [group for group in self._groups if not group.runs(compiled)]
        self._groups = [group for group in self._groups if group not in apart]
        for group in apart:
            group.leave()
            for one, epoch in zip(group.members, group.epochs, strict=True):
                self._grouped.pop(one.name, None)
                if self._held[one.name]:
                    self._net.hold(one.name)
                if (why := self.presence.why(one.name)) is not None:
                    self._net.bar(one.name, why)
                self._make(one, epoch)
        await asyncio.sleep(0)
        await self._connected([one.name for group in apart for one in group.members])

    def _look(self) -> None:
        """Tell whoever watches how far the folds are, twice a second of theirs: the nodes know virtual ones."""
        self._uploads += 1
        if self._uploads % _EVERY or time.monotonic() - self._looked < _WATCHED:
            return
        self._looked = time.monotonic()
        root = self.nodes[self._root[0]]
        upper = (root.me.name, *(child for child in root.children if child in self.nodes))
        for name in self.nodes if len(self.nodes) <= _SHOWN else upper:
            for report in self.nodes[name].progress():
                self._on_progress(report)
        heard = None if root.under_way is None else heard_of(self._above_leaves(), root.under_way)
        if heard is not None:
            self._on_progress(heard)

    def _above_leaves(self) -> Iterator[Node]:
        """Yield the nodes that have children."""
        return (node for node in self.nodes.values() if node.children)

    def joules(self) -> dict[str, float]:
        """Return what the modelled devices of each placement have used so far, while they were there."""
        spent: dict[str, float] = {}
        now = self.thread.now
        for one, computing, sent, received in self._worked():
            if one.device is not None and one.device.uses_energy:
                there = now - self._hours[one.name].away(now) if one.name in self._hours else now
                used = joules(one.device, there, computing, sent, received)
                spent[one.placement] = spent.get(one.placement, 0.0) + used
        return spent

    def _worked(self) -> Iterator[tuple[NodeAssignment, float, int, int]]:
        """Yield every member, the seconds that it has computed, and the bytes that it has sent and received."""
        for node in self.nodes.values():
            yield node.me, node.computed, *node.parent.moved()
        for group in self._groups:
            yield from group.worked()

    def context(
        self, *, on_fault: Callable[[Fault, bool], None] = lambda fault, over: None, **told: Any
    ) -> NativeContext:
        """Return the context that runs computations on this fleet; it owns the fleet's thread.

        `on_fault` is told of what goes wrong on purpose from now on, and of what is over.
        """
        self.thread.run(self.faults.begin(on_fault))
        self._on_progress = told.get("on_progress", self._on_progress)
        return NativeContext(
            self.topology.tree,
            self._root,
            self._membership,
            prepare=self._prepared,
            loop=self.thread,
            over=self._net,
            pulse=_QUIET,
            session=f"{self.topology.seed % 2**32:08x}",  # the same run again has the same names
            **told,
        )
