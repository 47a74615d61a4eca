"""Daemons: the nodes of a setting, one process each, over shaped links.

    with Tree(setting) as tree:
        tree.driven(work)                  in a process beside the root: `await driver.invoke(...)`

A node runs `tierfed.node.daemon.run_process`, as the zygote's children do: listener, links, history and spool are the
daemon's own.  All that differs is the network that it is in.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.network.delay import carry, ways_of
from benchmarks.network.namespaces import Namespace, ended, started
from benchmarks.network.settings import Setting, Tier
from benchmarks.network.shaping import CONGESTION, Link
from tierfed.errors import NotReady
from tierfed.node.daemon import run_process
from tierfed.node.node import Membership
from tierfed.topology import Topology, assignments, parse_topology
from tierfed.topology.assignment import NodeAssignment
from tierfed.topology.links.profile import LinkProfile

PORT = 4000
MEMBERSHIP = Membership("a run", "a token")
_PATIENCE = 60.0  # seconds to come up
_FOLDERS = "tierfed-network-"  # and whose they are


class Tree:
    """The network and the nodes of a setting; `nodes=False`: the network alone."""

    def __init__(self, setting: Setting, *, nodes: bool = True, congestion: str = CONGESTION) -> None:
        self.topology: Topology = parse_topology(setting.text(links=False), f"{setting.name}.yaml")
        self.links: dict[str, Link] = {}  # by child
        self.tier_of: dict[str, str] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.addresses: dict[str, str] = {}
        self.parents: dict[str, str] = {}
        self._interfaces: dict[str, Link] = {}  # by parent
        self._pids: list[int] = []
        self._stack = contextlib.ExitStack()
        try:
            self._lay(setting, congestion)
            if nodes:
                self._start()
        except BaseException:
            self.close()
            raise

    def _lay(self, setting: Setting, congestion: str) -> None:
        """Make namespaces and links, and have packets carried."""
        tiers = {tier.name: tier for tier in setting.tiers}
        nodes = assignments(self.topology)
        for number, one in enumerate(nodes):
            self.addresses[one.name] = f"127.1.0.{number + 1}"
            self.namespaces[one.name] = Namespace()
        self.root = nodes[0].name
        self.namespaces[self.root].run("ip", "addr", "add", f"{self.addresses[self.root]}/32", "dev", "lo")
        for one in nodes:
            if one.children:
                self._connect(one, tiers[one.children[0].placement], congestion)
        ways = [way for link in (*self.links.values(), *self._interfaces.values()) for way in ways_of(link)]
        self._pids.append(started("network-delay", lambda: carry(ways), urgent=True))

    def _connect(self, parent: NodeAssignment, tier: Tier, congestion: str) -> None:
        """Make the links of a parent's children.

        An interface that they share is a link of its own, to a gateway at which theirs begin.
        """
        own = self.addresses[parent.name]
        below = [self.addresses[child.name] for child in parent.children]
        at, begins, above = self.namespaces[parent.name], own, []
        if (interface := tier.interface()) is not None:
            at, begins, above = self._stack.enter_context(Namespace()), own.replace("127.1.0.", "127.1.1."), [own]
            self._interfaces[parent.name] = self._stack.enter_context(
                Link(
                    self.namespaces[parent.name],
                    at,
                    "shared",
                    (own, begins),
                    LinkProfile(rate_up=interface.rate_up, rate_down=interface.rate_down),
                    congestion,
                    ([], below),
                )
            )
        for number, child in enumerate(parent.children):
            self.tier_of[child.name], self.parents[child.name] = child.placement, parent.name
            self.links[child.name] = Link(
                at,
                self.namespaces[child.name],
                f"d{number}",
                (begins, below[number]),
                tier.profile(),
                congestion,
                (above, []),
            )

    def _start(self) -> None:
        _sweep()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{_FOLDERS}{os.getpid()}-")))
        reading, writing = os.pipe()
        self._stack.callback(os.close, reading)
        names = set()
        try:
            for one in assignments(self.topology):
                names.add(one.name)
                run = functools.partial(self._node, one, folder, writing)
                self._pids.append(started(one.name, run, self.namespaces[one.name]))
        finally:
            os.close(writing)
        _wait_for(names, reading)

    def _node(self, one: NodeAssignment, folder: Path, ready: int) -> None:
        """Be a daemon, in the process and namespace of its own."""
        listeners = {}
        if one.children:
            listeners[one.name] = socket.create_server((self.addresses[one.name], PORT)).detach()
        at = (self.addresses[one.parent], PORT) if one.parent is not None else None
        context = {"run": MEMBERSHIP.run, "token": MEMBERSHIP.token, "run_dir": str(folder / one.name)}
        Path(context["run_dir"]).mkdir()
        run_process([one.at(at)], listeners, context, ready)

    def beside(self, name: str, work: Callable[[], Any], *, timeout: float) -> Any:
        """Return what `work` returns, as JSON has it, run in a process of its own in the namespace of node `name`."""
        reading, writing = os.pipe()

        def report() -> None:
            with os.fdopen(writing, "w") as out:
                json.dump(work(), out)

        pid = started("network-driver", report, self.namespaces[name])
        os.close(writing)
        try:
            text = _read(reading, timeout)
            if text is None:
                raise NotReady(f"no answer within {timeout:g} s", where=f"network, beside {name}")
            os.waitpid(pid, 0)  # it may have an error to print
        finally:
            os.close(reading)
            ended(pid)
        if not text:
            raise NotReady("an error, printed above", where=f"network, beside {name}")
        return json.loads(text)

    def counted(self) -> dict[str, list[int]]:
        """Return the bytes of packets sent up and down so far, by tier."""
        total: dict[str, list[int]] = {}
        for name, link in self.links.items():
            up, down = link.counted()
            tier = total.setdefault(self.tier_of[name], [0, 0])
            tier[0] += up
            tier[1] += down
        return total

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the processes and remove the network."""
        ended(*self._pids)
        self._pids.clear()
        self._stack.close()
        for one in (*self.links.values(), *self.namespaces.values()):
            one.close()
        self.links.clear()
        self.namespaces.clear()


def _sweep() -> None:
    """Remove the folders of runs that were killed: the one thing of them that is left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}*-*"):
        pid = folder.name.removeprefix(_FOLDERS).split("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for(names: set[str], reading: int) -> None:
    """Wait until every node has said that it is connected."""
    until = time.monotonic() + _PATIENCE
    said = b""
    while missing := names - set(said.decode().split("\n")):
        ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
        more = os.read(reading, 65536) if ready else b""
        if not more:
            raise NotReady(f"not connected: {', '.join(sorted(missing))}", where="network", mend="see the lines above")
        said += more


def _read(reading: int, timeout: float) -> bytes | None:
    """Return all that comes until the other end is closed, or None if that takes longer."""
    until, said = time.monotonic() + timeout, b""
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        more = os.read(reading, 65536)
        if not more:
            return said
        said += more
