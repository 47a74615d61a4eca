"""The twin in memory: same bytes, any delay, any cut, and the same run each time."""

from __future__ import annotations

import asyncio
import math
import random

import pytest
from link_pairs import SERVER, Parent, child_hello, dial, listener, parent

from tierfed.errors import NotReady, ProtocolError
from tierfed.node import transport
from tierfed.node.backoff import Backoff
from tierfed.node.hello import Hello
from tierfed.node.link import LIMITS, Limits
from tierfed.node.memory_transport import Leg, MemoryTransport
from tierfed.node.reception import Transport
from tierfed.node.virtual_clock import virtually
from tierfed.wire.frame import frame_bytes


def test_a_delay_is_that_of_the_virtual_clock():
    """A frame takes the delay of its leg, down and up, and no real time."""

    async def main():
        net = MemoryTransport(delay=lambda leg: 30.0 if leg.rises else 5.0)
        loop = asyncio.get_running_loop()
        patient = Limits(handshake=100.0)
        async with parent(net, patient) as up:
            link, inbox = await dial(net, up, seconds=100.0, limits=patient)
            assert loop.time() == 35.0  # hello up, welcome down
            link.post({"kind": "up"})
            await asyncio.wait_for(up.inboxes["c0"]._frames.get(), None)
            assert loop.time() == 65.0
            up.links["c0"].post({"kind": "down"})
            await asyncio.wait_for(inbox._frames.get(), None)
            assert loop.time() == 70.0

    virtually(main())


def test_bytes_arrive_in_order_whatever_their_delays():
    """A write with a shorter delay does not overtake one before it."""

    async def main():
        rng = random.Random(3)
        net = MemoryTransport(delay=lambda leg: rng.uniform(0, 2))
        async with parent(net) as up:
            link, _ = await dial(net, up)
            await link.send_all(({"kind": i}, [bytes(rng.randrange(100_000))]) for i in range(100))
            assert await up.inboxes["c0"].kinds(100) == list(range(100))

    virtually(main())


def test_a_run_replays():
    """The same delays give the same events at the same times."""

    async def main(seed):
        rng = random.Random(seed)
        net = MemoryTransport(delay=lambda leg: rng.uniform(0, 0.1))
        loop = asyncio.get_running_loop()
        events = []
        async with parent(net) as up:
            children = [await dial(net, up, f"c{i}") for i in range(5)]
            for name, link in up.links.items():
                link.start(lambda frame, name=name: events.append((loop.time(), name, frame.header["kind"])))
            async with asyncio.TaskGroup() as group:
                for link, _ in children:
                    group.create_task(link.send_all(({"kind": i}, [bytes(200_000)]) for i in range(5)))
            while len(events) < 25:
                await asyncio.sleep(0.01)
        return events

    assert virtually(main(1)) == virtually(main(1)) != virtually(main(2))


@pytest.mark.parametrize("passes", [0, 40, 300_000])
def test_a_cut_lets_its_bytes_through_and_no_more(passes):
    """Both ends see the connection lost after exactly the bytes that the cut let through."""

    async def main():
        def cut(leg, sent, size):
            return max(0, passes - (sent - before)) if leg.rises and armed and sent - before + size > passes else None

        armed = False
        net = MemoryTransport(cut=cut)
        async with parent(net) as up:
            link, _ = await dial(net, up)
            far, before = up.links["c0"], link.sent_bytes
            received = far.received_bytes
            armed = True
            with pytest.raises(ProtocolError, match="the link is closed"):
                for _ in range(100):
                    await link.send({"kind": "x"}, [bytes(100_000)])
                    await asyncio.sleep(0)
            reason = await far.closed
            assert far.received_bytes - received == passes
            assert far.lost and link.lost
            assert up.inboxes["c0"].seen == passes // frame_bytes(7, 100_000)
            assert "the stream ended after" in reason.what or passes == 0

    virtually(main())


def test_sever_takes_the_planes_it_is_told():
    """A child can lose its bulk connection alone, or both."""

    async def main():
        net = MemoryTransport()
        async with parent(net) as up:
            bulk, _ = await dial(net, up)
            control, _ = await dial(net, up, hello=child_hello(plane="control"))
            assert net.sever("c0", "bulk") == 1
            assert "connection reset" in (await bulk.closed).what
            assert not control.closed.done()
            assert net.sever("c0") == 1
            await control.closed
            assert net.sever("c0") == 0

    virtually(main())


def test_a_partition_ends_in_time():
    """Over a leg that lost everything a dial ends at its deadline, and a frame in progress at its pace."""

    async def main():
        lost = False
        net = MemoryTransport(delay=lambda leg: math.inf if lost else 0.0)
        loop = asyncio.get_running_loop()
        async with parent(net) as up:
            link, _ = await dial(net, up)
            sending = asyncio.create_task(link.send({"kind": "x"}, [bytes(4_000_000)]))
            while link.sent_bytes < 4_000_000:
                await asyncio.sleep(0)
            lost = True
            began = loop.time()
            reason = await up.links["c0"].closed
            assert reason.what == "0 bytes of a payload in 10 s, at least 10240 expected"
            assert loop.time() - began <= 2 * LIMITS.window + LIMITS.farewell
            sending.cancel()
            with pytest.raises(NotReady, match="no answer in time"):
                await dial(net, up, "c1", seconds=60.0, backoff=Backoff(random.Random(0)))
            assert loop.time() - began <= 60.0 + 2 * LIMITS.window + LIMITS.farewell

    virtually(main())


def test_a_slow_frame_that_keeps_its_pace_is_not_cut():
    """A frame may take longer than the window, as long as bytes come at the minimum rate."""

    async def main():
        loop = asyncio.get_running_loop()
        due = 0.0
        slow = False

        def nine_seconds_each(leg):
            nonlocal due
            due = max(due, loop.time()) + (9.0 if slow and leg.rises else 0.0)
            return due - loop.time()

        net = MemoryTransport(delay=nine_seconds_each)
        async with parent(net) as up:
            link, _ = await dial(net, up)
            slow = True  # 256 KB each nine seconds
            sending = asyncio.create_task(link.send({"kind": "slow"}, [bytes(4_000_000)]))
            while up.inboxes["c0"].seen == 0:
                assert not up.links["c0"].closed.done()
                await asyncio.sleep(1.0)
            assert loop.time() > 10 * LIMITS.window
            await sending

    virtually(main())


def test_a_child_redials_with_its_backoff():
    """The waits between attempts are those that the caller's seed gives."""

    async def main():
        net = MemoryTransport()
        loop = asyncio.get_running_loop()
        waits = [Backoff(random.Random(9), 1.0, 60.0).wait(0)]
        place = net.listener()
        rng = random.Random(9)
        waits = [rng.uniform(0.0, min(60.0, 2.0**n)) for n in range(20)]
        dialling = asyncio.create_task(
            net.dial(place.address, child_hello(), deadline=1000.0, backoff=Backoff(random.Random(9), 1.0, 60.0))
        )
        await asyncio.sleep(100.0)
        await net.serve(place, SERVER, lambda link: {})
        await dialling
        times = [sum(waits[: n + 1]) for n in range(20)]
        assert loop.time() == pytest.approx(next(time for time in times if time > 100.0))

    virtually(main())


def test_a_second_network_is_another_world():
    """An address of one network is nobody's in another."""

    async def main():
        one, other = MemoryTransport(), MemoryTransport()
        here = Parent()
        here.server = await one.serve(listener(one), SERVER, here.admit)
        with pytest.raises(NotReady, match="connection refused"):
            await dial(other, here)

    virtually(main())


def test_hooks_see_the_legs():
    """A hook is told child, port, plane and direction."""

    async def main():
        legs = []
        net = MemoryTransport(delay=lambda leg: legs.append(leg) or 0.0)
        async with parent(net) as up:
            await dial(net, up, hello=Hello("run1", "secret", "e0", "EDGES", plane="control"))
            port = up.server.address[1]
            assert legs[:2] == [Leg("e0", port, "control", True), Leg("e0", port, "control", False)]

    virtually(main())


def test_both_are_transports():
    """The module and the twin are used through one protocol."""
    each: list[Transport] = [transport, MemoryTransport()]
    assert all(callable(net.serve) and callable(net.dial) for net in each)
