"""Links that are cut at the parent, as `tierfed fault --do partition` does, and healed; on a virtual clock.

server ── edges ── clients       whose links are those of daemons that shape nothing
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from fault_served import mean_over, served, until, virtually

from tierfed.node.link import Link
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.node import Node
from tierfed.topology import Topology
from tierfed.topology import tree as fan_out

MANY = mean_over(60_000)
VALUES = [np.full(60_000, n, np.float32) for n in (1, 2, 3, 4)]


def three() -> Topology:
    """A server, two edges, two clients each."""
    collect = {tier: {"quorum": "50%", "deadline": "60s"} for tier in ("SERVER", "EDGE_AGGREGATORS")}
    return fan_out({"EDGE_AGGREGATORS": 2, "CLIENTS": 2}, collect=collect)


@pytest.mark.parametrize("tier", ["EDGE_AGGREGATORS", "CLIENTS"])
def test_a_short_cut_loses_nobody(tier: str, tmp_path: Path) -> None:
    """Cut for ten seconds in the middle of a round: the round is that much later, over everybody."""

    async def main() -> None:
        net, loop = MemoryTransport(delay=lambda leg: 0.01), asyncio.get_running_loop()
        async with served(net, three(), histories=tmp_path) as tree:
            node = next(n for n in tree.nodes.values() if n.me.placement == tier)
            live, request = tree.live[node.me.parent or ""], {"children": [node.me.name]}
            bare = node_link(tree.nodes[node.me.parent or ""], node.me.name)
            begun = loop.time()
            asked = tree.ask(MANY, VALUES)
            await asyncio.sleep(0.025)
            live.answer({"do": "cut", **request})
            await asyncio.sleep(10)
            assert not asked.done()
            live.answer({"do": "heal", **request})
            result, record = await asked
            assert result.tolist() == [2.5] * 60_000 and record.lost == {}
            assert 10 <= loop.time() - begun < 10.5
            assert isinstance(bare, Link)
            live.answer({"do": "heal", **request})
            result, record = await tree.ask(MANY, VALUES)
            assert result.tolist() == [2.5] * 60_000 and record.lost == {}

    virtually(main())


def test_a_long_cut_loses_one_until_it_is_healed(tmp_path: Path) -> None:
    """After 15 s both ends give the link up; the child dials in vain for minutes, and is back soon after."""

    async def main() -> None:
        net, loop = MemoryTransport(delay=lambda leg: 0.001), asyncio.get_running_loop()
        async with served(net, three(), histories=tmp_path) as tree:
            edge = next(n for n in tree.nodes.values() if n.me.placement == "EDGE_AGGREGATORS").me.name
            live, request = tree.live[tree.root], {"children": [edge]}
            live.answer({"do": "cut", **request})
            begun = loop.time()
            result, record = await tree.ask(MANY, VALUES)
            assert result.tolist() == [3.5] * 60_000 and 12 < loop.time() - begun <= 15 + 2 * 3
            assert "no sign of life for 15 s" in record.lost[edge]
            await asyncio.sleep(200)
            assert not tree.nodes[tree.root].connected(edge)
            result, record = await tree.ask(MANY, VALUES)
            assert list(record.lost) == [edge] and result.tolist() == [3.5] * 60_000
            live.answer({"do": "heal", **request})
            await until(lambda: tree.nodes[tree.root].connected(edge) and tree.nodes[edge].ready.is_set())
            assert type(node_link(tree.nodes[tree.root], edge)) is Link
            result, record = await tree.ask(MANY, VALUES)
            assert result.tolist() == [2.5] * 60_000 and record.lost == {}

    virtually(main())


@pytest.mark.parametrize("seed", range(3))
def test_rounds_are_right_while_links_change(seed: int, tmp_path: Path) -> None:
    """Ten rounds while every link gets, changes and loses its figures: nobody is lost, and the histories hold."""

    async def main() -> None:
        rng = np.random.default_rng(seed)
        net = MemoryTransport(delay=lambda leg: 0.001)
        async with served(net, three(), histories=tmp_path) as tree:

            async def change() -> None:
                while True:
                    await asyncio.sleep(float(rng.random()) / 5)
                    live = tree.live[list(tree.live)[rng.integers(len(tree.live))]]
                    children = [list(live.peers)[rng.integers(len(live.peers))]]
                    do = ("set", "none", "clear")[rng.integers(3)]
                    figures = {"delay": float(rng.random()) / 10, "rate_up": float(10 ** rng.integers(6, 9))}
                    live.answer({"do": do, "children": children} | ({"figures": figures} if do == "set" else {}))

            changing = asyncio.create_task(change())
            for _ in range(10):
                result, record = await tree.ask(MANY, VALUES)
                assert result.tolist() == [2.5] * 60_000 and record.lost == {}
            changing.cancel()

    virtually(main())


def node_link(parent: Node, child: str) -> Link | None:
    """The bulk link of a child, as its parent has it."""
    return parent.child(child).bulk
