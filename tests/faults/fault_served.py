"""Nodes served in this process, and members that the test plays itself.

    async with served(net, topology, absent=["c-2"]) as tree:
        evil = await tree.joined("c-2")                both links of a member, spoken by hand
        asked = tree.ask(program, values)
        begin = await evil.begun()
        await evil.send(evil.upload(begin, value))
        result, record = await asked

`net` is the module `tierfed.node.transport`, over real sockets, or a `MemoryTransport` on a
virtual clock (`virtually`), where nothing waits and a silence of a minute takes no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from history_checker import check, load

import tierfed
from tierfed.backends.native.driver import Driver
from tierfed.codecs import codec
from tierfed.compiler.slices import Send
from tierfed.language.arguments import hold_arguments
from tierfed.node.hello import Hello
from tierfed.node.history import History
from tierfed.node.link import Link
from tierfed.node.live_links import LiveLinks
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.node import Membership, Node
from tierfed.node.pulse import PULSE, Pulse
from tierfed.node.receive_buffers import ReceiveBuffers
from tierfed.node.summary import Summary
from tierfed.node.virtual_clock import virtually as virtually  # for the tests
from tierfed.topology import Topology, assignments
from tierfed.types import TensorType
from tierfed.wire.frame import Frame
from tierfed.wire.message import encode_message

T = TypeVar("T")
PATIENCE = 30.0  # seconds, real or virtual
RUN = Membership("a run", "a token")


def mean_over(count: int, *, name: str = "CLIENTS") -> Any:
    """A program: the mean of `count` float32 that each client is passed."""
    placement = tierfed.placement(name) if name != "CLIENTS" else tierfed.CLIENTS

    @tierfed.federated_computation(tierfed.FederatedType((np.float32, [count]), placement))
    def mean(values: Any) -> Any:
        return tierfed.federated_mean(values)

    return mean


class Member:
    """A member that the test plays: both links, what came over them, and messages made by hand."""

    def __init__(self, name: str, placement: str, epoch: int) -> None:
        self.name, self.placement, self.epoch = name, placement, epoch
        self.bulk: Link
        self.control: Link
        self.told: list[dict[str, Any]] = []  # what came over the control link, without beats
        self.came: list[Frame] = []  # what came over the bulk link
        self._begun: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._news = asyncio.Condition()

    def hello(self, plane: str, membership: Membership = RUN) -> Hello:
        """What it says when it dials."""
        return Hello(membership.run, membership.token, self.name, self.placement, plane, self.epoch)

    def start(self) -> None:
        """Listen."""
        self.control.start(self._control)
        self.bulk.start(self._bulk)

    def _control(self, frame: Frame) -> None:
        if frame.header["kind"] != "beat":
            self.told.append(frame.header)

    def _bulk(self, frame: Frame) -> None:
        self.came.append(frame)
        if frame.header.get("kind") == "begin":
            self._begun.put_nowait(frame.header)

    async def begun(self) -> dict[str, Any]:
        """Return the next beginning of an invocation."""
        async with asyncio.timeout(PATIENCE):
            return await self._begun.get()

    async def answer(self, **said: Any) -> dict[str, Any]:
        """Wait for a word on the control link that says this."""
        return await until(lambda: next((h for h in self.told if said.items() <= h.items()), None))

    async def closed(self) -> tierfed.TierfedError | None:
        """Return why the other end has closed the bulk link."""
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self.bulk.closed)

    def upload(
        self, program: Any, begin: dict[str, Any], value: Any, **changes: Any
    ) -> list[tuple[dict[str, Any], list[Any]]]:
        """Return the frames of its contribution to a mean: the slots as compiled, or as `changes` say.

        `dtype` is another element type, `site` another site, `summary` another claim, `codec` another codec.
        """
        part = next(s for p, s in program.slices.items() if p.name == self.placement)
        (send,) = [step for step in part.steps if isinstance(step, Send)]
        (slot,) = send.slots
        array = np.asarray(value, changes.get("dtype", np.float32))
        t = slot.type
        if "dtype" in changes:
            t = tierfed.StructType(
                [("sum", TensorType(str(array.dtype), array.shape)), *list(t.elements)[1:]]  # type: ignore[union-attr]
            )
        ident = {
            "m": "up",
            "inv": begin["inv"],
            "att": begin["att"],
            "site": changes.get("site", str(send.site)),
            "member": self.name,
            "summary": changes.get("summary", Summary({self.placement: 1}).to_dict()),
            "traffic": {},
        }
        held = (array, np.float64(1), np.int64(1))
        frames = encode_message(ident, [(slot.name, t, held)], codec(changes.get("codec", "none")))
        return [(header, [bytes(b) for b in buffers]) for header, buffers in frames]

    async def send(self, frames: Sequence[tuple[dict[str, Any], Any]]) -> None:
        """Send frames over the bulk link."""
        await self.bulk.send_all(frames)

    def leave(self) -> None:
        """Say goodbye."""
        self.control.close()
        self.bulk.close()


class Served:
    """The nodes that run here, and a driver."""

    def __init__(self, net: Any, topology: Topology) -> None:
        self.net = net
        self.topology = topology
        self.nodes: dict[str, Node] = {}
        self.live: dict[str, LiveLinks] = {}
        self.addresses: dict[str, tuple[str, int]] = {}
        self.driver = Driver()
        self._asked: set[asyncio.Task[Any]] = set()

    @property
    def root(self) -> str:
        """The root's name."""
        return self.topology.tree.root.name

    def compiled(self, program: Any) -> Any:
        """Compile for this tree."""
        return tierfed.compile(program, self.topology.hierarchy, keep=False)

    def ask(self, program: Any, *args: Any, driver: Driver | None = None) -> asyncio.Task[Any]:
        """Begin a round; the task gives the held result and the record."""
        argument = hold_arguments(program.type_signature, args, {})
        work = (driver or self.driver).invoke(self.compiled(program), argument)
        task = asyncio.create_task(asyncio.wait_for(work, 120))
        self._asked.add(task)
        return task

    async def failure(self, asked: asyncio.Task[Any]) -> tierfed.TierfedError:
        """Return the error that a round ends with."""
        try:
            await asked
        except tierfed.TierfedError as error:
            return error
        raise AssertionError("it gave a result")

    async def joined(self, name: str, epoch: int = 0) -> Member:
        """Dial the parent of `name` as that member, on both planes."""
        member = Member(name, str(self.topology.node(name).placement), epoch)
        for plane in ("control", "bulk"):
            setattr(member, plane, await self.dialled(member, plane))
        member.start()
        return member

    async def dialled(self, member: Member, plane: str, membership: Membership = RUN, to: str | None = None) -> Link:
        """Return one link of a member that the test plays."""
        address = self.addresses[to or self.topology.node(member.name).parent or ""]
        deadline = asyncio.get_running_loop().time() + PATIENCE
        return await self.net.dial(address, member.hello(plane, membership), deadline=deadline)  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def served(
    net: Any,
    topology: Topology,
    *,
    absent: Sequence[str] = (),
    histories: Path | None = None,
    buffers: dict[str, ReceiveBuffers] | None = None,
    pulse: Pulse = PULSE,
    complete: bool = True,
) -> AsyncIterator[Served]:
    """Run the nodes of `topology` but the `absent` ones; at the end the histories have to hold."""
    tree = Served(net, topology)
    tree.driver = Driver(pulse=pulse)
    listeners = {}
    for one in assignments(topology):
        if one.listens and (one.children or one.name not in absent):
            memory = isinstance(net, MemoryTransport)
            listeners[one.name] = net.listener() if memory else socket.create_server(("127.0.0.1", 0))
            tree.addresses[one.name] = listeners[one.name].getsockname()[:2]
    tasks = []
    for one in assignments(topology):
        if one.name not in absent:
            node = Node(
                one.at(tree.addresses[one.parent]) if one.parent is not None else one,
                RUN,
                net,
                None,  # type: ignore[arg-type]  # the loop's own threads, or none
                History.open(histories, one.name) if histories is not None and one.children else None,
                buffers=(buffers or {}).get(one.name),
                pulse=pulse,
                live=tree.live.setdefault(one.name, LiveLinks(one)) if one.children else None,
            )
            tree.nodes[one.name] = node
            tasks.append(asyncio.create_task(node.run(listeners.get(one.name))))
    try:
        for node in tree.nodes.values():
            ready = asyncio.ensure_future(node.ready.wait())
            await asyncio.wait([ready, *tasks], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            assert ready.done(), [task.exception() for task in tasks if task.done()]
        await tree.driver.connect(tree.addresses[tree.root], RUN, over=net)
        yield tree
        await tree.driver.close()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if histories is not None:
        assert check(load(histories), complete=complete) == []


async def until(look: Callable[[], Any]) -> Any:
    """Look at every turn of the loop until there is something to see, and return it."""
    async with asyncio.timeout(PATIENCE):
        while not (seen := look()):
            await asyncio.sleep(0.001)
    return seen
