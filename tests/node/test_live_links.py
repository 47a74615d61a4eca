"""Links that change while they are in use: figures, order, cuts, and requests that are none."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from link_pairs import SERVER, Inbox, Parent, dial, listener, parent

from tierfed.errors import NotReady, ProtocolError
from tierfed.node import transport
from tierfed.node.channel import Channel, Wire
from tierfed.node.link import Limits, Link
from tierfed.node.live_links import LiveLinks
from tierfed.node.memory_transport import MemoryTransport
from tierfed.node.peer import Peer
from tierfed.node.shaped_link import ShapedLink
from tierfed.node.virtual_clock import virtually
from tierfed.topology import assignments, parse_topology
from tierfed.topology.links.profile import LinkProfile
from tierfed.topology.links.tcp import Path

TREE = """
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER:
  CLIENTS: {parent: SERVER, members: {c0: {}, c1: {link: {delay: 30ms}}}}
"""
PATIENT = Limits(handshake=1000.0)


class Live(Parent):
    """A parent whose links are live ones."""

    def __init__(self) -> None:
        super().__init__()
        self.live = LiveLinks(assignments(parse_topology(TREE))[0])
        self.live.peers = self.peers = {name: Peer(name) for name in ("c0", "c1")}

    def admit(self, link: Link) -> dict[str, Any] | None:
        assert link.peer is not None
        name = link.peer.node
        if self.live.cut(name):
            return None
        self.inboxes[name] = Inbox()
        self.peers[name].bulk = shaped = self.live.shaped(link, name)
        shaped.start(self.inboxes[name].take)
        return {}

    def do(self, do: str, child: str = "c0", **figures: Any) -> Mapping[str, Any]:
        """Ask for a change of one link."""
        request: dict[str, Any] = {"do": do, "children": [child]}
        answer: Mapping[str, Any] = self.live.answer(request | ({"figures": figures} if figures else {}))
        return answer["links"][child]


async def served(net: Any) -> Live:
    """Return a parent that serves; it ends with the loop."""
    here = Live()
    here.server = await net.serve(listener(net), SERVER, here.admit, limits=PATIENT)
    return here


def test_what_has_begun_to_leave_keeps_its_time_and_is_not_overtaken() -> None:
    """Under a delay of 2 s, then of half a second: the next are as late as the first, and only then sooner."""

    async def main() -> None:
        loop, there = asyncio.get_running_loop(), []
        slow, fast = (
            Path(LinkProfile(delay=delay, rate_up=rate), True, random.Random(1))
            for delay, rate in ((2.0, 15140.0), (0.5, 1514.0e6))
        )
        channel = Channel(Wire(float("inf")), slow)
        for name in "ab":
            channel.push(1448, lambda name=name: there.append((name, round(loop.time(), 3))))
        channel.change(fast)  # a has begun, b waits for it
        channel.push(1448, lambda: there.append(("c", round(loop.time(), 3))))
        await asyncio.sleep(10)
        channel.push(1448, lambda: there.append(("d", round(loop.time(), 3))))
        await asyncio.sleep(10)
        assert there == [("a", 2.1), ("b", 2.1), ("c", 2.1), ("d", 10.5)]

    virtually(main())


def test_a_bare_link_gets_a_model_and_loses_it_again() -> None:
    """Up and down, from the moment on, and in the end it is the bare link that it was."""

    async def main() -> None:
        net, loop = MemoryTransport(), asyncio.get_running_loop()
        up = await served(net)
        link, inbox = await dial(net, up, seconds=100, limits=PATIENT)
        bare = up.peers["c0"].bulk
        assert isinstance(bare, Link)

        async def took(*, rises: bool) -> float:
            before = loop.time()
            await (link if rises else up.peers["c0"].bulk).send({"kind": 1}, [bytes(100)])  # type: ignore[union-attr]
            frame = await (up.inboxes["c0"] if rises else inbox).next()
            assert bytes(frame.payload) == bytes(100)
            return round(loop.time() - before, 6)

        assert (await took(rises=True), await took(rises=False)) == (0, 0)
        answer = up.do("set", delay=2.0)
        assert answer["now"]["delay"] == 2.0 and answer["given"] is None
        assert (await took(rises=True), await took(rises=False)) == (2, 2)
        assert up.do("set", rate_up=1448.0)["now"]["delay"] == 2.0  # what is not named stays
        assert await took(rises=True) > 2.1 and await took(rises=False) == 2
        assert up.do("clear")["now"] is None
        assert up.peers["c0"].bulk is bare
        assert (await took(rises=True), await took(rises=False)) == (0, 0)

        await dial(net, up, "c1", seconds=100, limits=PATIENT)
        assert isinstance(up.peers["c1"].bulk, ShapedLink)
        assert up.do("none", "c1") == {"now": None, "given": up.do("clear", "c1")["given"], "cut": False}
        assert up.do("show", "c1")["now"]["delay"] == 0.03

    virtually(main())


@pytest.mark.parametrize("seed", range(5))
def test_no_frame_is_lost_or_overtaken_by_a_change(seed: int) -> None:
    """Frames of all sizes go both ways while the link gets figures, loses them, is cut, heals, and is paused."""

    async def main() -> None:
        rng, net = random.Random(seed), MemoryTransport()
        up = await served(net)
        link, inbox = await dial(net, up, seconds=100, limits=PATIENT)
        count = 60

        async def speak(rises: bool) -> None:
            for i in range(count):
                end = link if rises else up.peers["c0"].bulk
                assert end is not None
                if rng.random() < 0.3:
                    end.post({"kind": "aside"})
                await end.send({"kind": i}, [bytes([i]) * rng.choice((0, 10, 3000, 300_000))])
                await asyncio.sleep(rng.choice((0, 0.01, 0.3)))

        async def change() -> None:
            for _ in range(80):
                await asyncio.sleep(rng.random() / 4)
                do = rng.choice(("set", "none", "clear", "cut", "heal", "hold", "let"))
                if do == "set":
                    up.do("set", delay=rng.random(), rate_up=rng.choice((1e5, 1e6)))
                elif do in ("hold", "let"):
                    getattr(up.peers["c0"], do)("inv")
                else:
                    up.do(do)
            up.do("heal")
            up.do("clear")
            up.peers["c0"].let("inv")

        async with asyncio.TaskGroup() as group:
            for work in (speak(True), speak(False), change()):
                group.create_task(work)
        for end in (up.inboxes["c0"], inbox):
            seen: list[Any] = []
            while len(seen) < count:
                frame = await end.next()
                if frame.header["kind"] != "aside":
                    seen.append(frame.header["kind"])
                    assert set(bytes(frame.payload)) <= {frame.header["kind"]}
            assert seen == list(range(count))

    virtually(main())


def test_nothing_arrives_over_a_cut_link_until_it_is_healed() -> None:
    """Whoever sends more than one frame waits; who dials is not answered; then all is there, in its order."""

    async def main() -> None:
        net, loop = MemoryTransport(), asyncio.get_running_loop()
        up = await served(net)
        link, inbox = await dial(net, up, seconds=100, limits=PATIENT)
        assert up.do("cut")["cut"]
        assert up.do("cut")["cut"]  # as it is
        await link.send({"kind": 0})
        end = up.peers["c0"].bulk
        assert end is not None
        sending = asyncio.create_task(end.send_all([({"kind": i}, [b"x"]) for i in range(3)]))
        end.post({"kind": "aside"})
        await asyncio.sleep(10)
        assert not sending.done() and up.inboxes["c0"].seen == inbox.seen == 0
        with pytest.raises(NotReady, match="no parent at .*: the connection was lost"):
            await dial(net, up, seconds=5, limits=PATIENT)
        healed = loop.time()
        assert not up.do("heal")["cut"]
        assert sorted(map(str, await inbox.kinds(4))) == ["0", "1", "2", "aside"]
        assert await up.inboxes["c0"].kinds(1) == [0]
        await sending
        assert loop.time() == healed
        await dial(net, up, seconds=5, limits=PATIENT)

    virtually(main())


def test_a_cut_link_is_closed_without_a_word() -> None:
    """The peer finds the connection lost: a reason would not have come through."""

    async def main() -> None:
        net = MemoryTransport()
        up = await served(net)
        link, _ = await dial(net, up, seconds=100, limits=PATIENT)
        up.do("cut")
        end = up.peers["c0"].bulk
        assert end is not None
        end.close(ProtocolError("silent"))
        assert (await link.closed) is not None and link.lost
        reason = await end.closed
        assert reason is not None and reason.what == "silent"

    virtually(main())


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        ({}, "a request is one of show, set, none, clear, cut, heal"),
        ({"do": "set", "children": ["c0"]}, "a request is one of"),
        ({"do": "none", "children": ["c0"], "figures": {}}, "a request is one of"),
        ({"do": "show", "also": 1}, "a request is one of"),
        ({"do": "cut"}, "children are a list of names"),
        ({"do": "cut", "children": [["c0"]]}, "children are a list of names"),
        ({"do": "cut", "children": ["c0", "c9"]}, "no child is called 'c9'"),
        ({"do": "set", "children": ["c0"], "figures": {}}, "no figures to change"),
        ({"do": "set", "children": ["c0"], "figures": {"dely": 1}}, "missing or unknown: dely"),
        ({"do": "set", "children": ["c0"], "figures": {"delay": -1}}, "-1 is no delay"),
        ({"do": "set", "children": ["c0"], "figures": {"delay": float("nan")}}, "nan is no delay"),
        ({"do": "set", "children": ["c0"], "figures": {"rate_up": 0}}, "0 is no rate_up"),
        ({"do": "set", "children": ["c1", "c0"], "figures": {"loss": 1}}, "1 is no loss"),
        ({"do": "set", "children": ["c0"], "figures": {"distribution": "cauchy"}}, "'cauchy' is no distribution"),
    ],
)
def test_a_request_is_hostile_until_it_is_checked(request_: dict[str, Any], what: str) -> None:
    """What is refused is refused whole: nothing is changed, also not of children that there are."""
    live = LiveLinks(assignments(parse_topology(TREE))[0])
    live.peers = {name: Peer(name) for name in ("c0", "c1")}
    before = live.answer({"do": "show"})
    with pytest.raises(ProtocolError, match=what):
        live.answer(request_)
    assert live.answer({"do": "show"}) == before


async def test_the_door_opens_to_the_token_alone() -> None:
    """Without it nothing is read; with it, what is no request is refused with its reason, too large a body unread."""
    up = Live()

    async def asked(body: bytes, token: str = "secret") -> tuple[int, Any]:
        reader, writer = await asyncio.open_connection(*here.server.address)
        head = ("POST /v1/links HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        status, _, rest = answer.partition(b"\r\n")
        text = rest.partition(b"\r\n\r\n")[2]
        return int(status.split()[1]), json.loads(text) if text.startswith(b"{") else text

    async with parent(transport, door=up.live.answer) as here:
        status, answer = await asked(b'{"do": "show"}', token="sesame")
        assert (status, answer["error"]["what"]) == (401, "the token is not that of the run")
        for body in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
            status, answer = await asked(body)
            assert (status, answer["error"]["what"]) == (400, "a request is one JSON object")
        status, answer = await asked(b'{"do": "cut", "children": ["c9"]}')
        assert (status, answer["error"]["kind"]) == (400, "ProtocolError")
        assert (await asked(b" " * 1_100_000))[0] == 413
        status, answer = await asked(b'{"do": "set", "children": ["c0"], "figures": {"delay": 0.25}}')
        assert (status, answer["links"]["c0"]["now"]["delay"]) == (200, 0.25)
        assert up.live.answer({"do": "show"})["links"]["c0"]["now"]["delay"] == 0.25
