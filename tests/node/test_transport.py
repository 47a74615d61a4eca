"""What a link promises, over sockets and over their twin in memory."""

from __future__ import annotations

import asyncio
import random
import socket

import numpy as np
import pytest
from link_pairs import SERVER, child_hello, dial, listener, parent, pick

from tierfed.errors import NotReady, ProtocolError, RoundFailed, UnsupportedError
from tierfed.node import transport
from tierfed.node.backoff import Backoff
from tierfed.node.link import Limits
from tierfed.wire.frame import frame_bytes

MB = 1024 * 1024


@pytest.fixture(params=["sockets", "memory"])
def net(request):
    """Each law holds over both transports."""
    return pick(request.param)


async def test_both_ends_know_each_other(net):
    """The parent knows the child by its hello, the child the parent by its welcome."""
    async with parent(net) as up:
        link, _ = await dial(net, up, hello=child_hello(plane="control", epoch=7))
        assert up.links["c0"].peer == child_hello(plane="control", epoch=7)
        assert (link.peer.node, link.peer.placement, link.peer.epoch) == ("s", "SERVER", 3)
        assert link.info == {"children": 1}
        assert up.server.links == {up.links["c0"]}


async def test_frames_arrive_in_order_and_whole(net):
    """Headers and payloads of many sizes arrive as they were sent, in both directions."""
    sizes = [0, 1, 63, 64, 65, 4096, 70_000, MB, 3 * MB + 7]
    payloads = [np.random.default_rng(size).integers(0, 256, size, np.uint8) for size in sizes]
    async with parent(net) as up:
        link, inbox = await dial(net, up)
        for index, payload in enumerate(payloads):
            await link.send({"kind": index}, [payload])
        for index, payload in enumerate(payloads):
            frame = await up.inboxes["c0"].next()
            assert frame.header == {"kind": index}
            assert bytes(frame.payload) == payload.tobytes()
        await up.links["c0"].send({"kind": "down"}, [payloads[-1], payloads[3]])
        assert bytes((await inbox.next()).payload) == payloads[-1].tobytes() + payloads[3].tobytes()


async def test_payloads_are_aligned(net):
    """A payload starts at a multiple of 64, so that arrays over it need no copy."""
    async with parent(net) as up:
        link, _ = await dial(net, up)
        for size in (1, 1000, MB + 1):
            await link.send({"kind": "x"}, [bytes(size)])
            frame = await up.inboxes["c0"].next()
            assert np.frombuffer(frame.payload, np.uint8).ctypes.data % 64 == 0


async def test_both_ends_count_the_same_bytes(net):
    """What one end has sent the other has received, headers included."""
    async with parent(net) as up:
        link, inbox = await dial(net, up)
        far = up.links["c0"]
        sent, received = link.sent_bytes, far.received_bytes
        await link.send({"kind": "x"}, [bytes(100_000)])
        await link.send({"kind": "y"})
        link.post({"kind": "z"})
        assert await up.inboxes["c0"].kinds(3) == ["x", "y", "z"]
        assert link.sent_bytes == far.received_bytes
        assert link.sent_bytes - sent == far.received_bytes - received
        assert link.sent_bytes - sent == frame_bytes(7, 100_000) + 2 * frame_bytes(7, 0)
        far.post({"kind": "back"})
        await inbox.next()
        assert far.sent_bytes == link.received_bytes


async def test_buffers_may_be_reused_once_send_has_returned(net):
    """A buffer that is overwritten after `send` arrives as it was."""
    buffer = np.zeros(2 * MB, np.uint8)
    async with parent(net) as up:
        link, _ = await dial(net, up)
        for value in range(1, 6):
            buffer[:] = value
            await link.send({"kind": value}, [buffer])
            buffer[:] = 255
        for value in range(1, 6):
            payload = np.frombuffer((await up.inboxes["c0"].next()).payload, np.uint8)
            assert payload.min() == payload.max() == value


async def test_a_message_is_not_interleaved_and_posts_pass(net):
    """The frames of one `send_all` come in a row; only what was posted may come between."""
    async with parent(net) as up:
        link, _ = await dial(net, up)

        def frames(kind):
            for part in range(4):
                link.post({"kind": "post"})
                yield {"kind": f"{kind}{part}"}, [bytes(MB)]

        async with asyncio.TaskGroup() as group:
            group.create_task(link.send_all(frames("a")))
            group.create_task(link.send_all(frames("b")))
            group.create_task(link.send({"kind": "single"}))
        kinds = await up.inboxes["c0"].kinds(17)
        assert [kind for kind in kinds if kind != "post"] == [
            "a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3", "single",
        ]  # fmt: skip
        assert kinds[0] == "post"


async def test_a_paused_reader_holds_the_writer_back(net):
    """While one end is paused the other's sends wait, and a heartbeat of its own still leaves."""
    async with parent(net) as up:
        link, inbox = await dial(net, up)
        far, arrived = up.links["c0"], up.inboxes["c0"]
        far.pause()
        sending = asyncio.create_task(link.send_all(({"kind": i}, [bytes(4 * MB)]) for i in range(16)))
        far.post({"kind": "beat"})
        await inbox.next()
        done, _ = await asyncio.wait([sending], timeout=0.05)
        assert not done and arrived.seen == 0
        far.resume()
        await sending
        assert await arrived.kinds(16) == list(range(16))


async def test_frames_wait_until_the_link_is_started(net):
    """What comes right behind the welcome is not lost, however late `start` is called."""
    async with parent(net) as up:
        link = await net.dial(up.server.address, child_hello(), deadline=asyncio.get_running_loop().time() + 9)
        far = up.links["c0"]
        far.post({"kind": 0})
        await far.send({"kind": 1}, [bytes(100)])
        await asyncio.wait([link.closed], timeout=0.02)
        got = asyncio.Queue()
        link.start(got.put_nowait)
        assert [(await got.get()).header["kind"] for _ in range(2)] == [0, 1]


async def test_a_pause_from_within_on_frame_holds_the_next_frame(net):
    """A callback that pauses its link gets no further frame, and frames of one read stay in order."""
    async with parent(net) as up:
        link, _ = await dial(net, up)
        far, seen, more = up.links["c0"], [], asyncio.Event()

        def one_at_a_time(frame):
            seen.append(frame.header["kind"])
            far.pause()
            more.set()

        far.start(one_at_a_time)
        for kind in range(3):
            link.post({"kind": kind})
        for kind in range(3):
            await more.wait()
            more.clear()
            assert seen == list(range(kind + 1))
            far.resume()


async def test_a_callback_is_never_entered_twice(net):
    """A callback that pauses and resumes its own link is done with one frame before it gets the next."""
    async with parent(net) as up:
        link, _ = await dial(net, up)
        far, seen, done = up.links["c0"], [], asyncio.Event()

        def pause_and_resume(frame):
            seen.append(("in", frame.header["kind"]))
            far.pause()
            far.resume()
            seen.append(("out", frame.header["kind"]))
            if frame.header["kind"] == 3:
                done.set()

        far.start(pause_and_resume)
        await link.send({"kind": 0}, [bytes(MB)])  # behind it, the others arrive in one read
        for kind in range(1, 4):
            link.post({"kind": kind})
        await done.wait()
        assert seen == [(way, kind) for kind in range(4) for way in ("in", "out")]


async def test_a_cancelled_send_leaves_the_stream_intact(net):
    """A send that is cancelled half-way goes out whole, with the bytes that its buffer had."""
    async with parent(net) as up:
        link, _ = await dial(net, up, limits=Limits(payload=64 * MB))
        far = up.links["c0"]
        far._decoder._limit = 64 * MB
        far.pause()
        buffer = np.ones(40 * MB, np.uint8)
        sending = asyncio.create_task(link.send({"kind": "half"}, [buffer]))
        await asyncio.wait([sending], timeout=0.02)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        buffer[:] = 2
        far.resume()
        await link.send({"kind": "next"})
        assert np.frombuffer((await up.inboxes["c0"].next()).payload, np.uint8).max() == 1
        assert (await up.inboxes["c0"].next()).header["kind"] == "next"


async def test_a_close_carries_its_reason(net):
    """The other end learns why a link was closed, as the typed error that it was."""
    async with parent(net) as up:
        link, _ = await dial(net, up)
        up.links["c0"].close(RoundFailed("2 of 3 children", where="SERVER", mend="see round 4"))
        reason = await link.closed
        assert isinstance(reason, RoundFailed)
        assert str(reason) == "SERVER: 2 of 3 children\n  to mend: see round 4"
        assert not link.lost
        assert str(await up.links["c0"].closed) == str(reason)
        with pytest.raises(ProtocolError, match="the link is closed: 2 of 3 children"):
            await link.send({"kind": "late"})
        link.post({"kind": "late"})  # nothing happens


async def test_an_orderly_close_has_no_reason(net):
    """Closing without an error is told apart from a loss."""
    async with parent(net) as up:
        link, _ = await dial(net, up)
        await link.send({"kind": "last"}, [bytes(MB)])
        link.close()
        assert (await up.inboxes["c0"].next()).header["kind"] == "last"
        assert await up.links["c0"].closed is None
        assert not up.links["c0"].lost
        assert up.server.links == frozenset()


async def test_closing_the_server_closes_every_link(net):
    """Children of a server that closes are told; nobody is let in afterwards."""
    async with parent(net) as up:
        links = [(await dial(net, up, f"c{i}"))[0] for i in range(3)]
        await up.server.close(RoundFailed("stopped"))
        assert [(await link.closed).what for link in links] == ["stopped"] * 3
        with pytest.raises(NotReady, match="no parent at 127.0.0.1"):
            await dial(net, up, "c3", seconds=1.0)


async def test_what_on_frame_raises_closes_that_link_only(net):
    """A frame that its receiver refuses ends its own link, with the reason, and no other."""
    async with parent(net) as up:
        bad, _ = await dial(net, up, "bad")
        good, _ = await dial(net, up, "good")

        def refuse(frame):
            raise ProtocolError("delta.w1: expected float32[3], got float64[3]", where="bad", mend="cast it")

        up.links["bad"].start(refuse)
        await bad.send({"kind": "x"})
        assert (await bad.closed).what == "delta.w1: expected float32[3], got float64[3]"
        await good.send({"kind": "y"})
        assert (await up.inboxes["good"].next()).header["kind"] == "y"


async def test_a_defect_in_on_frame_closes_that_link_only(net, caplog):
    """An exception that is no TierfedError is logged with its traceback and ends one link."""
    async with parent(net) as up:
        bad, _ = await dial(net, up, "bad")
        good, _ = await dial(net, up, "good")
        up.links["bad"].start(lambda frame: 1 // 0)
        await bad.send({"kind": "x"})
        assert (await bad.closed).what.startswith("ZeroDivisionError")
        assert "Traceback" in caplog.text
        await good.send({"kind": "y"})
        assert (await up.inboxes["good"].next()).header["kind"] == "y"


async def test_what_allocate_raises_refuses_the_payload(net):
    """A payload for which there is no memory closes the link, before any of it is kept."""
    async with parent(net) as up:
        link, _ = await dial(net, up)

        def none(header, size):
            raise ProtocolError(f"{size} bytes of {header['kind']} not expected", where="c0", mend="wait")

        up.links["c0"].start(up.inboxes["c0"].take, none)
        with pytest.raises(ProtocolError, match="the link is closed"):
            for _ in range(50):
                await link.send({"kind": "upload"}, [bytes(4 * MB)])
        assert (await link.closed).what == f"{4 * MB} bytes of upload not expected"
        assert up.inboxes["c0"].seen == 0


async def test_allocate_gives_the_memory_of_payloads(net):
    """Payloads land in the memory that `allocate` gave for them."""
    given = []
    async with parent(net) as up:
        link, _ = await dial(net, up)

        def give(header, size):
            given.append((header["kind"], np.empty(size, np.uint8)))
            return given[-1][1].data

        up.links["c0"].start(up.inboxes["c0"].take, give)
        await link.send({"kind": "a"}, [b"abc" * 50_000])
        frame = await up.inboxes["c0"].next()
        assert given[0][0] == "a" and given[0][1].tobytes() == b"abc" * 50_000
        assert np.shares_memory(np.frombuffer(frame.payload, np.uint8), given[0][1])


async def test_posts_that_nobody_reads_close_the_link(net):
    """A peer that reads nothing cannot make us keep posted frames without end."""
    async with parent(net) as up:
        link, _ = await dial(net, up, limits=Limits(unread=100_000))
        up.links["c0"].pause()
        for _ in range(1000):
            for _ in range(100):
                link.post({"kind": "x" * 1000})
            if link._ending:
                break
        reason = link._reason
        assert reason is not None and "100000 allowed" in reason.what
        up.links["c0"].resume()
        await link.closed


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"protocol": (2, 3)}, "protocol 2-3 spoken, 1 understood"),
        ({"run": "run0"}, "run run0 spoken, this is run run1"),
        ({"token": "guess"}, "the token is not that of the run"),
        ({"plane": "side"}, "plane 'side' is none of bulk, control"),
        ({"node": ""}, "node is str, a text expected"),
        ({"node": "x" * 256}, "node is longer than 255 characters, or not printable"),
        ({"placement": "A\nB"}, "placement is longer than 255 characters, or not printable"),
        ({"epoch": -1}, "epoch is no integer from 0 on"),
        ({"protocol": (3, 2)}, "protocol is no range of two positive integers"),
    ],
)
async def test_a_hello_that_does_not_fit_is_refused_with_the_reason(net, changes, text):
    """The child raises what the parent said, at once, and other children are let in."""
    async with parent(net) as up:
        with pytest.raises(ProtocolError) as refusal:
            await dial(net, up, hello=child_hello(**changes), backoff=Backoff(random.Random(1)))
        assert refusal.value.what == text
        assert refusal.value.mend
        assert up.links == {}
        await dial(net, up, "c1")


async def test_admit_can_refuse(net):
    """A parent that knows no such child says so."""

    def refuse(link):
        raise ProtocolError(f"{link.peer.node} is no child of s", where="s", mend="see the topology")

    server = await net.serve(listener(net), SERVER, refuse)
    with pytest.raises(ProtocolError, match="c9 is no child of s"):
        await net.dial(server.address, child_hello("c9"), deadline=asyncio.get_running_loop().time() + 9)
    await server.close()


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "example.org", "::", "169.254.0.1", "127.0.0.1.nip.io"])
async def test_dialling_off_loopback_is_refused(net, host):
    """No byte leaves the machine: mutual TLS is not in this version."""
    with pytest.raises(UnsupportedError) as refusal:
        await net.dial((host, 7000), child_hello(), deadline=0.0)
    assert refusal.value.what == f"{host}:7000 is not on loopback"
    assert "mutual TLS, which is not supported by this version" in refusal.value.mend


async def test_a_parent_that_comes_up_late_is_found(net):
    """With a backoff, a child dials until its parent is there."""
    place = listener(net)
    address = place.getsockname()
    if net is transport:
        place.close()
    loop = asyncio.get_running_loop()
    dialling = asyncio.create_task(
        net.dial(address, child_hello(), deadline=loop.time() + 20, backoff=Backoff(random.Random(5), most=0.02))
    )
    await asyncio.wait([dialling], timeout=0.05)
    assert not dialling.done()
    server = await net.serve(listener(net, address[1]), SERVER, lambda link: {})
    link = await dialling
    assert link.peer.node == "s"
    link.start(print)
    await server.close()
    assert await link.closed is None


async def test_serving_off_loopback_is_refused():
    """A listener on every interface is not served."""
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        port = everywhere.getsockname()[1]
        with pytest.raises(UnsupportedError, match=f"serve: 0.0.0.0:{port} is not on loopback"):
            await transport.serve(everywhere, SERVER, lambda link: {})


async def test_localhost_is_loopback(net):
    """`localhost` is 127.0.0.1, without a look-up."""
    async with parent(net) as up:
        host, port = up.server.address
        link = await net.dial(("localhost", port), child_hello(), deadline=asyncio.get_running_loop().time() + 9)
        link.start(print)
        assert host == "127.0.0.1" and link.peer.node == "s"


def test_backoff_is_full_jitter():
    """Waits are uniform up to a doubling bound, and replay from a seed."""
    waits = [Backoff(random.Random(7), first=1.0, most=8.0).wait(n) for n in range(6)]
    assert waits == [random.Random(7).uniform(0, bound) for bound in (1, 2, 4, 8, 8, 8)]
    many = Backoff(random.Random(0), first=1.0, most=4.0)
    drawn = [many.wait(5) for _ in range(2000)]
    assert 0 <= min(drawn) < 0.1 and 3.9 < max(drawn) <= 4 and 1.9 < sum(drawn) / 2000 < 2.1
