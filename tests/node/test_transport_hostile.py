"""What hostile, broken and slow peers can do: lose their own connection, with a logged reason, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct

import pytest
from link_pairs import SERVER, child_hello, dial, parent, pick

from tierfed.errors import FrameError, NotReady, ProtocolError
from tierfed.node import transport
from tierfed.node.link import Limits
from tierfed.wire.frame import encode

QUICK = Limits(handshake=0.3, window=0.1, farewell=0.2)
UPGRADE = b"GET /v1/link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tierfed\r\n\r\n"


def frame(header, payload=b""):
    """Return the bytes of a frame."""
    return b"".join(encode(header, [payload] if payload else []))


class Peer(asyncio.Protocol):
    """A connection by hand, which keeps what was said before a reset."""

    def __init__(self):
        self.said = b""
        self.heard = asyncio.Event()
        self.closed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.said += data
        self.heard.set()

    def connection_lost(self, exc):
        self.closed.set()
        self.heard.set()

    def write(self, data):
        self.transport.write(data)

    async def until(self, text):
        """Wait until `text` was said."""
        async with asyncio.timeout(10):
            while text not in self.said:
                assert not self.closed.is_set(), self.said
                self.heard.clear()
                await self.heard.wait()

    async def gone(self):
        """Return what the server still said before it closed the connection."""
        async with asyncio.timeout(10):
            await self.closed.wait()
        return self.said


@contextlib.asynccontextmanager
async def connect(up):
    """Open a plain connection to a server."""
    _, peer = await asyncio.get_running_loop().create_connection(Peer, *up.server.address)
    try:
        yield peer
    finally:
        peer.transport.abort()
        await peer.closed.wait()


@contextlib.asynccontextmanager
async def upgraded(up, *, hello=True):
    """Open a connection that speaks frames, by hand."""
    async with connect(up) as peer:
        peer.write(UPGRADE)
        await peer.until(b"\r\n\r\n")
        assert peer.said.startswith(b"HTTP/1.1 101 ")
        if hello:
            peer.write(frame(child_hello("evil").header()))
            await peer.until(b"welcome")
        yield peer


async def bystander(up):
    """Check that another child still gets its frames through."""
    link, _ = await dial(transport, up, "good")
    await link.send({"kind": "fine"}, [bytes(100_000)])
    assert (await up.inboxes["good"].next()).header["kind"] == "fine"


HTTP = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00 hello\r\n\r\n", b"400", "BadHttpMethod"),
    "no upgrade": (b"GET /v1/link HTTP/1.1\r\nHost: x\r\n\r\n", b"426", "no upgrade"),
    "another upgrade": (
        b"GET /v1/link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"426",
        "no upgrade",
    ),
    "a body with the upgrade": (
        UPGRADE.replace(b"Host: x\r\n", b"Host: x\r\nContent-Length: 3\r\n") + b"abc",
        b"426",
        "no upgrade",
    ),
    "a content encoding": (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        b"415",
        "a Content-Encoding",
    ),
    "a long header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", b"400", "LineTooLong"),
    "a post": (b"POST /v1/link HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"405", None),
    "no such page": (b"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"404", None),
}


@pytest.mark.parametrize("case", HTTP)
async def test_http_that_is_no_link_is_answered_and_closed(case, caplog):
    """Each is refused by its status, logged where it is no mere mistake, and no other child notices."""
    request, status, logged = HTTP[case]
    async with parent(transport) as up, connect(up) as peer:
        peer.write(request)
        answer = await peer.gone()
        assert answer.split()[1] == status
        assert logged is None or logged in caplog.text
        assert "Traceback" not in caplog.text
        await bystander(up)


async def test_health_and_readiness():
    """`/healthz` says that the process lives, `/readyz` what is still missing."""
    missing: list[str] = ["2 of 3 children have not said hello"]
    async with parent(transport, ready=lambda: missing[0] if missing else None) as up:

        async def get(path):
            async with connect(up) as peer:
                peer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                head, _, body = (await peer.gone()).partition(b"\r\n\r\n")
                return int(head.split()[1]), body

        assert await get("/healthz") == (200, b"alive\n")
        assert await get("/readyz") == (503, b"2 of 3 children have not said hello\n")
        missing.clear()
        assert await get("/readyz") == (200, b"ready\n")


@pytest.mark.parametrize(
    "said", [b"", b"GET /v1/li", UPGRADE[:-2], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\na"]
)
async def test_a_silent_or_trickling_connection_is_cut(said, caplog):
    """A connection that is no link within the time for a handshake is closed."""
    async with parent(transport, QUICK) as up, connect(up) as peer:
        peer.write(said)
        await peer.gone()
        if not said.startswith(b"POST"):
            assert "no link within the time for a handshake" in caplog.text
        await bystander(up)


async def test_an_upgrade_without_a_hello_is_cut(caplog):
    """The handshake of a link has a deadline too, and the peer is told."""
    async with parent(transport, QUICK) as up, upgraded(up, hello=False) as peer:
        assert b"no hello within 0.3 s" in await peer.gone()
        assert "no hello within 0.3 s" in caplog.text
        assert up.links == {}


def _corrupt(data, at):
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


_CHUNK = frame({"kind": "chunk"}, bytes(50_000))

FRAMES = {
    "garbage": (b"\x00" * 64, "expected a frame, which starts with b'TIERFED"),
    "another version": (
        _CHUNK[:8] + struct.pack("<I", 9) + _CHUNK[12:],
        "frames of version 9, this side reads version 1",
    ),
    "an oversized header": (b"TIERFED\n" + struct.pack("<IIQII", 1, 70_000, 0, 0, 0), "a header of 70000 bytes"),
    "an oversized payload": (
        b"TIERFED\n" + struct.pack("<IIQII", 1, 10, 1 << 40, 0, 0),
        "a payload of 1099511627776 bytes",
    ),
    "a corrupt header": (_corrupt(_CHUNK, 34), "the CRC32C of a head"),
    "a corrupt payload": (_corrupt(_CHUNK, 2000), "the CRC32C of a payload of 50000 bytes"),
    "a second hello": (frame(child_hello("evil").header()), "a 'hello' in mid-conversation"),
    "a welcome": (frame({"link": "welcome"}), "a 'welcome' in mid-conversation"),
}


@pytest.mark.parametrize("case", FRAMES)
async def test_bytes_that_are_no_frame_close_their_link(case, caplog):
    """The peer is told why in a last frame, the reason is logged, and no other child notices."""
    data, text = FRAMES[case]
    async with parent(transport) as up, upgraded(up) as peer:
        peer.write(data)
        said = await peer.gone()
        reason = await up.links["evil"].closed
        assert text in reason.what
        assert isinstance(reason, ProtocolError if "hello" in case or "welcome" in case else FrameError)
        assert reason.where is not None and "evil" in reason.where or isinstance(reason, FrameError)
        assert b"close" in said and type(reason).__name__.encode() in said
        assert text in caplog.text and "evil" in caplog.text
        assert up.inboxes["evil"].seen == 0
        await bystander(up)


@pytest.mark.parametrize("end", [10, 40, 200, 40_000])
async def test_a_truncated_frame_is_a_loss(end, caplog):
    """A connection that ends within a frame is told apart from one that ends between two."""
    async with parent(transport) as up, upgraded(up) as peer:
        peer.write(_CHUNK[:end])
        peer.transport.write_eof()
        reason = await up.links["evil"].closed
        assert isinstance(reason, FrameError) and "the stream ended after" in reason.what
        assert up.links["evil"].lost
        assert "the stream ended after" in caplog.text
        assert up.inboxes["evil"].seen == 0


async def test_a_connection_that_ends_between_frames_is_a_loss_too():
    """Without a goodbye, the end of a connection is no orderly close."""
    async with parent(transport) as up, upgraded(up) as peer:
        peer.write(_CHUNK)
        peer.transport.write_eof()
        reason = await up.links["evil"].closed
        assert reason.what == "the connection ended without a goodbye" and up.links["evil"].lost
        assert up.inboxes["evil"].seen == 1


@pytest.mark.parametrize(("part", "end"), [("head", 20), ("head", 50), ("payload", 40_000)])
async def test_a_frame_that_stalls_is_cut(part, end, caplog):
    """A frame in progress has to make its minimum rate; whole frames in between do not help an old one."""
    async with parent(transport, QUICK) as up, upgraded(up) as peer:
        peer.write(_CHUNK[:end])
        assert f"bytes of a {part} in 0.1 s".encode() in await peer.gone()
        assert f"bytes of a {part} in 0.1 s" in caplog.text
        await bystander(up)


async def test_what_the_kernel_holds_counts_for_the_pace():
    """The loop is not woken for little of a large payload, and does not take that for a stall."""
    large = frame({"kind": "chunk"}, bytes(4_000_000))
    loop = asyncio.get_running_loop()
    async with parent(transport, QUICK) as up, upgraded(up) as peer:
        began = loop.time()
        peer.write(large[:100_000])
        for window in (1, 2, 3):
            loop.call_later(0.1 * window + 0.05, peer.write, large[:50_000])
        assert b"0 bytes of a payload in 0.1 s" in await peer.gone()
        assert loop.time() - began > 0.4
        assert up.links["evil"].received_bytes < 150_000  # the rest was never read


async def test_an_idle_link_is_not_cut():
    """Between frames a peer may be silent; liveness is the control plane's."""
    async with parent(transport, QUICK) as up:
        link, _ = await dial(transport, up, "quiet")
        async with upgraded(up) as peer:  # whose stall ends after the idle link's window
            peer.write(_CHUNK[:20])
            await peer.gone()
        link.post({"kind": "still here"})
        assert (await up.inboxes["quiet"].next()).header["kind"] == "still here"


BEFORE = {
    "a frame": (frame({"kind": "x"}), "a frame before the hello"),
    "a small payload": (frame(child_hello().header(), b"abc"), "a payload of 3 bytes before the welcome"),
    "a large payload": (frame(child_hello().header(), bytes(100_000)), "a payload of 100000 bytes before the welcome"),
    "a hello of another kind": (
        frame({"link": "hello", "protocol": [1, 1], "plane": 7}),
        "plane is int, a text expected",
    ),
    "a hello of maps": (frame(child_hello().header() | {"run": {"a": 1}}), "run is dict, a text expected"),
    "no protocol": (frame({"link": "hello"}), "protocol is no range"),
}


@pytest.mark.parametrize("case", BEFORE)
async def test_nothing_is_taken_before_the_hello(case):
    """A peer that was not let in gets no memory and reaches no callback."""
    data, text = BEFORE[case]
    async with parent(transport) as up, upgraded(up, hello=False) as peer:
        peer.write(data)
        assert text.encode() in await peer.gone()
        assert up.links == {}
        await bystander(up)


async def test_a_peer_that_goes_away_while_we_send_does_not_leave_us_waiting():
    """A send to a peer that was reset raises, also while our own reading is paused."""
    async with parent(transport, QUICK) as up, upgraded(up) as peer:
        link = up.links["evil"]
        link.pause()
        peer.transport.pause_reading()
        sending = asyncio.create_task(link.send_all(({"kind": "x"}, [bytes(4_000_000)]) for _ in range(20)))
        await asyncio.wait([sending], timeout=0.05)
        await asyncio.wait([sending], timeout=0.05)
        sock = peer.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.transport.abort()
        with pytest.raises(ProtocolError, match="the link is closed"):
            async with asyncio.timeout(10):
                await sending
        assert link.lost


PARENTS = {
    "another service": (b"HTTP/1.1 404 Not Found\r\n\r\n", ProtocolError, "answered 'HTTP/1.1 404 Not Found' instead"),
    "an ssh server": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ProtocolError, "answered 'SSH-2.0-OpenSSH_9.2' instead"),
    "an endless head": (b"a" * 9000, ProtocolError, "instead of an upgrade"),
    "a silent one": (b"", NotReady, "no answer in time"),
    "a closing one": (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", NotReady, "the parent is closing"),
    "one that speaks first": (
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + frame({"link": "welcome"}),
        ProtocolError,
        "the parent spoke before the hello",
    ),
}


@pytest.mark.parametrize("case", PARENTS)
async def test_a_parent_that_is_none_is_named(case):
    """Dialling something else ends with what it said, or in time."""
    data, kind, text = PARENTS[case]
    held = []

    async def answer(reader, writer):
        held.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    with pytest.raises(kind) as refusal:
        await transport.dial(server.sockets[0].getsockname(), child_hello(), deadline=loop.time() + 0.3)
    assert text in refusal.value.what
    for writer in held:
        writer.close()
    server.close()


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (
            {"link": "welcome", "protocol": 9, "node": "s", "placement": "S", "epoch": 0, "info": {}},
            "protocol 9 chosen, 1 offered",
        ),
        (
            {"link": "welcome", "protocol": 1, "node": "s", "placement": "S", "epoch": 0, "info": []},
            "info is list, a map expected",
        ),
        (
            {"link": "welcome", "protocol": 1, "node": 3, "placement": "S", "epoch": 0, "info": {}},
            "node is int, a text expected",
        ),
        ({"kind": "data"}, "no welcome to the hello"),
    ],
)
async def test_a_welcome_is_checked(header, text):
    """What a parent says is checked as what a child says."""
    held = []

    async def answer(reader, writer):
        held.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await reader.readuntil(b"hello")
        writer.write(frame(header))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    with pytest.raises(ProtocolError) as refusal:
        await transport.dial(
            server.sockets[0].getsockname(), child_hello(), deadline=asyncio.get_running_loop().time() + 5
        )
    assert text in refusal.value.what
    for writer in held:
        writer.close()
    server.close()


async def test_nothing_is_left_behind():
    """After links of every ending, neither descriptors nor tasks remain."""

    def descriptors():
        return sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_socket(fd))

    before, tasks = descriptors(), len(asyncio.all_tasks())
    async with parent(pick("sockets")) as up:
        link, _ = await dial(transport, up, "c0")
        await link.send({"kind": "x"}, [bytes(1_000_000)])
        await up.links["c0"].send({"kind": "y"}, [bytes(1_000_000)])
        assert len(asyncio.all_tasks()) == tasks  # aiohttp keeps none for a link
        async with upgraded(up) as peer:
            peer.write(b"\x00" * 64)
            await peer.gone()
        async with upgraded(up, hello=False):
            pass
    await link.closed
    assert descriptors() == before
    assert len(asyncio.all_tasks()) == tasks


def _is_socket(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except FileNotFoundError:
        return False


async def test_the_server_closes_without_waiting_for_links():
    """aiohttp does not wait for upgraded connections, nor a close for peers that do not read."""
    loop = asyncio.get_running_loop()
    async with parent(transport, Limits(farewell=0.1)) as up, upgraded(up) as peer:
        link = up.links["evil"]
        peer.transport.pause_reading()
        sending = asyncio.create_task(link.send_all(({"kind": "x"}, [bytes(4_000_000)]) for _ in range(20)))
        await asyncio.wait([sending], timeout=0.05)
        began = loop.time()
        await up.server.close()
        assert loop.time() - began < 2.0
        with pytest.raises(ProtocolError):
            await sending


@contextlib.asynccontextmanager
async def talking(up):
    """Let a child in over plain streams, which go on writing when the other side has ended its own."""
    reader, writer = await asyncio.open_connection(*up.server.address)
    try:
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(child_hello("evil").header()))
        await reader.readuntil(b"welcome")
        yield reader, writer, up.links["evil"]
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_who_is_refused_while_it_sends_reads_why():
    """A refusal ends one side alone: the peer gets the reason and the end, and no reset, whatever it still sends."""
    async with parent(transport) as up, talking(up) as (reader, writer, link):
        writer.write(bytes(8_000_000))  # the first of them are no frame
        async with asyncio.timeout(20):
            reason = await link.closed
            said = await reader.read()
            assert reason.what.encode() in said
            assert not link.gone.done()
            await writer.drain()
            writer.write_eof()
            await link.gone


async def test_who_sends_on_after_its_refusal_is_cut():
    """What is thrown away of a refused peer is bounded in time, and counts as nothing received."""
    async with parent(transport, Limits(farewell=0.1)) as up, talking(up) as (_, writer, link):
        writer.write(bytes(64))
        async with asyncio.timeout(20):
            await link.closed
            received = link.received_bytes
            with pytest.raises(ConnectionError):
                while True:
                    writer.write(bytes(100_000))
                    await writer.drain()
        assert link.gone.done() and link.received_bytes == received


async def test_a_peer_that_never_reads_its_goodbye_is_cut():
    """A close does not wait for small frames that a peer leaves unread."""
    async with parent(transport, Limits(farewell=0.1, unread=1 << 30)) as up, upgraded(up) as peer:
        link = up.links["evil"]
        peer.transport.pause_reading()
        while link.unread < 100_000:
            link.post({"kind": "x" * 30_000})
        link.close(ProtocolError("enough", where="s", mend="read"))
        async with asyncio.timeout(5):
            assert (await link.closed).what == "enough"


def test_the_token_is_shown_nowhere():
    """Neither a repr nor a welcome holds the token."""
    assert "secret" not in repr(SERVER) and "secret" not in str(SERVER.welcome(1, {}))
