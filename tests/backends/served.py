"""Trees of daemons in this process: on the transport in memory, and on real loopback sockets.

    in_memory(tree, work, delay=…)     runs `work(driver)` on a virtual clock, deterministically
    with on_sockets(tree) as context:  the tree's daemons on a thread, a NativeContext to them

The daemons are `serve_nodes`, with the links, rounds and slices of any other run.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from tierfed.backends.native.context import NativeContext
from tierfed.backends.native.driver import Driver
from tierfed.node.daemon import serve_nodes
from tierfed.node.memory_transport import Leg, MemoryTransport
from tierfed.node.node import Membership
from tierfed.node.virtual_clock import VirtualLoop
from tierfed.placements import Tree
from tierfed.topology.assignment import NodeAssignment
from tierfed.topology.fan_out import of_tree
from tierfed.topology.told import assignments

T = TypeVar("T")

MEMBERSHIP = Membership("agreement", "a token of the test's")
DATA = {"provider": "program_leaves:told_apart"}


Codecs = Mapping[str, Mapping[str, str]]
"""By placement, the codecs of its members' links, up and down."""


def assigned(tree: Tree, codecs: Codecs | None = None) -> list[NodeAssignment]:
    """What each node of `tree` is told, without addresses; where there are no `codecs` they are `none`."""
    below = [str(p) for p in tree.hierarchy.placements if p != tree.hierarchy.root]
    told = {p: (codecs or {}).get(p, {"up": "none", "down": "none"}) for p in below}
    job = {"program": "program_leaves:no_job"}
    return assignments(of_tree(tree, codec=told, job=job, data=DATA))


def in_memory(
    tree: Tree,
    work: Callable[[Driver], Coroutine[Any, Any, T]],
    delay: Callable[[Leg], float] = lambda leg: 0.0,
    codecs: Codecs | None = None,
) -> T:
    """Return what `work` returns, given a driver of `tree`, whose messages take `delay` seconds, under `codecs`."""

    async def main() -> T:
        net = MemoryTransport(delay=delay)
        nodes = assigned(tree, codecs) if codecs else assigned(tree)
        listeners = {a.name: net.listener() for a in nodes if a.listens}
        ready = asyncio.Event()
        async with _serving(nodes, {n: s.address for n, s in listeners.items()}, listeners, ready.set, net):
            await ready.wait()
            driver = Driver()
            await driver.connect(listeners[tree.root.name].address, MEMBERSHIP, over=net)
            result = await work(driver)
            await driver.close()
            return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@contextlib.asynccontextmanager
async def _serving(
    nodes: list[NodeAssignment],
    addresses: dict[str, tuple[str, int]],
    listeners: dict[str, Any],
    on_ready: Callable[[], None],
    net: Any,
) -> Any:
    """Serve `nodes`; `on_ready` is called once all are connected."""
    waiting = {a.name for a in nodes}

    def one_ready(name: str) -> None:
        waiting.discard(name)
        if not waiting:
            on_ready()

    known = [a if a.parent is None else a.at(addresses[a.parent]) for a in nodes]
    over = {} if net is None else {"over": net}
    serving = asyncio.create_task(serve_nodes(known, listeners, MEMBERSHIP, on_ready=one_ready, **over))
    try:
        yield
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


@contextlib.contextmanager
def on_sockets(tree: Tree, **settings: Any) -> Iterator[NativeContext]:
    """Serve `tree` on loopback sockets from a thread; a context with these settings that is connected to its root."""
    nodes = assigned(tree)
    listeners = {a.name: socket.create_server(("127.0.0.1", 0)) for a in nodes if a.listens}
    addresses = {name: s.getsockname()[:2] for name, s in listeners.items()}
    ready = threading.Event()
    stop: list[Callable[[], Any]] = []

    async def main() -> None:
        over = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        loop = asyncio.get_running_loop()
        async with _serving(nodes, addresses, listeners, ready.set, None):
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="daemons")
    thread.start()
    try:
        assert ready.wait(30), "the daemons did not connect"
        context = NativeContext(tree, addresses[tree.root.name], MEMBERSHIP, **settings)
        try:
            yield context
        finally:
            context.close()
    finally:
        for end in stop:
            end()
        thread.join(30)
        for s in listeners.values():
            s.close()
        assert not thread.is_alive()
