"""A fleet: the nodes of a topology, all in this process, on a virtual clock.

    fleet = Fleet(topology)
    fleet.context(on_record=…)              what `NativeContext` is to daemons, from the same class

Each node is the daemon's own `Node`, with its round, its slice interpreter, its codecs and their state; the driver is
the daemons' driver.  Only the links are others (node/direct_transport.py), and the clock.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from tierfed.backends.native.context import NativeContext
from tierfed.backends.simulated.leaves import Leaves, plain
from tierfed.backends.simulated.virtual_thread import VirtualThread
from tierfed.compiler.slices import Compiled
from tierfed.node.channel import Channel, Wire
from tierfed.node.direct_transport import DirectTransport
from tierfed.node.history import History
from tierfed.node.node import Membership, Node
from tierfed.node.pulse import Pulse
from tierfed.node.receive_buffers import ReceiveBuffers
from tierfed.topology import NodeAssignment, Topology, assignments
from tierfed.topology.links.profile import InterfaceProfile, LinkProfile
from tierfed.topology.links.tcp import Path as LinkPath

_QUIET = Pulse(beat=1e9, silence=float("inf"))  # whose link is lost is told so: nobody has to listen for signs of life
_NO_LIMIT = 1 << 62  # bytes: what waits for its turn waits in this process, whoever it is for


class Fleet:
    """See the module docstring.

    Histories of aggregators are written to `histories`, for the checker, if given.
    """

    def __init__(self, topology: Topology, *, histories: Path | None = None) -> None:
        self.topology = topology
        self.thread = VirtualThread("tierfed fleet")
        self.nodes: dict[str, Node] = {}
        self._membership = Membership("simulated", "simulated")
        self._histories = histories
        self._groups: list[Leaves] = []
        self._buffers = ReceiveBuffers(_NO_LIMIT, Path("/nonexistent"))
        self._ways = Ways(topology.seed)
        self._net = DirectTransport(self._ways.of)
        self._root = ("", 0)
        self._running: list[asyncio.Task[None]] = []
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
            if one.name in parents:
                self._make(one)
                await asyncio.sleep(0)  # it listens before its children dial
            elif plain(one):
                groups.setdefault((one.parent or "", one.placement, one.codec_up, one.codec_down), []).append(one)
            else:
                self._make(one)
        for members in groups.values():
            self._join(members)
        for node in self.nodes.values():
            await node.ready.wait()

    def _make(self, one: NodeAssignment) -> None:
        """Make a node of its own, which dials its parent."""
        history = History.open(self._histories, one.name) if self._histories and one.children else None
        self.nodes[one.name] = node = Node(
            one.at(None if one.parent is None else (one.parent, 0)),
            self._membership,
            self._net,
            None,  # the loop computes in place
            history,
            buffers=self._buffers,
            pulse=_QUIET,
        )
        if one.parent is None:
            self._root = (one.name, 0)
        listener = (one.name, 0) if one.children or one.parent is None else None
        self._running.append(asyncio.get_running_loop().create_task(node.run(listener)))

    def _join(self, members: list[NodeAssignment]) -> None:
        """Connect a group of leaves to their parent."""
        parent = members[0].parent
        assert parent is not None
        group = Leaves(members, [self._ways.of(one.name, "bulk") for one in members])
        self._groups.append(group)
        for link in group.links(self._membership.run, self._membership.token):
            self._net.admit((parent, 0), link)

    async def _prepare(self, compiled: Compiled) -> None:
        """Make nodes of those leaves that cannot run this program together, from now on."""
        apart = [group for group in self._groups if not group.runs(compiled)]
        if not apart:
            return
        self._groups = [group for group in self._groups if group not in apart]
        for group in apart:
            group.leave()
            for one in group.members:
                self._make(one)
        await asyncio.sleep(0)
        for group in apart:
            for one in group.members:
                await self.nodes[one.name].ready.wait()

    def context(self, **told: Any) -> NativeContext:
        """Return the context that runs computations on this fleet; it owns the fleet's thread."""
        return NativeContext(
            self.topology.tree,
            self._root,
            self._membership,
            prepare=self._prepare,
            loop=self.thread,
            over=self._net,
            pulse=_QUIET,
            **told,
        )


class Ways:
    """The channels of modelled links, made as their nodes dial."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._links: dict[str, tuple[LinkProfile | None, str]] = {}
        self._interfaces: dict[str, InterfaceProfile | None] = {}
        self._wires: dict[str, tuple[Wire, Wire]] = {}

    def add(self, one: NodeAssignment) -> None:
        """Learn of a node's children."""
        interface = getattr(one, "interface", None)
        self._interfaces[one.name] = interface
        for child in one.children:
            link = getattr(child, "link", None)
            if link is not None or interface is not None:
                self._links[child.name] = (link, one.name)

    def of(self, child: str, plane: str) -> tuple[Channel, Channel] | None:
        """Return the ways up and down of a child, None if its link is not modelled."""
        if child not in self._links:
            return None
        link, parent = self._links[child]
        profile = link or LinkProfile()
        if plane == "control":  # small frames on a connection of their own: they take the time of the way, and no room
            wires = Wire(float("inf")), Wire(float("inf"))
        else:
            wires = self._wires.get(parent) or self._wires.setdefault(parent, self._made(parent))
        ways = []
        for wire, rises in zip(wires, (True, False), strict=True):
            seed = f"{self._seed}/{child}/{plane}/{'up' if rises else 'down'}"
            ways.append(Channel(wire, LinkPath(profile, rises, random.Random(seed))))
        return ways[0], ways[1]

    def _made(self, parent: str) -> tuple[Wire, Wire]:
        profile = self._interfaces[parent] or InterfaceProfile()
        return Wire(profile.rate_up), Wire(profile.rate_down)
