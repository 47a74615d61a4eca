"""A relay alone: the frames of a message for two children, and what is kept of them."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from typing import Any

import numpy as np
import pytest

from tierfed import placement
from tierfed.codecs import codec
from tierfed.compiler.slices import Broadcast, Site, Slot
from tierfed.node.relay import ROOM, Relay, Relayed
from tierfed.types import TensorType
from tierfed.wire.frame import Frame, aligned, frame_bytes
from tierfed.wire.message import MessageReader, encode_message
from tierfed.wire.plain import pack

N = 1 << 24  # elements, 64 frames of a MB
T = TensorType("float32", [N])
VALUE = np.zeros(N, np.float32)
IDENT = {"m": "down", "inv": "i", "att": 1, "site": "1.0"}
STEP = Broadcast(Site(2, 0), placement("CLIENTS"), (Slot("v1", T),))


def frames() -> Any:
    """The frames of a message of 64 MB, made as they are asked for."""
    for header, sealed in encode_message(IDENT, [("arg", T, VALUE)], codec("none")):
        payload = aligned(sum(map(len, sealed)))
        payload[:] = b"".join(sealed)
        yield Frame(header, payload, sealed.crc, frame_bytes(len(pack(header)), len(payload)))


class Held:
    """Whether the parent is held."""

    def __init__(self, *, kept: bool, children: tuple[str, ...]) -> None:
        self.on = False
        self.taken = 0
        self.reader = MessageReader([("arg", T)], codec("none"), landing=kept)
        self.relay = Relay(
            self.reader,
            {**IDENT, "site": "2.0"},
            Relayed(STEP, kept),
            children,
            self._hold,
            self._let,
            self._count,
            0.02,
        )

    def _hold(self) -> None:
        self.on = True

    def _let(self) -> None:
        self.on = False

    def _count(self, wire: int, raw: int) -> None:
        assert wire == raw
        self.taken += wire

    def feed(self, frame: Frame) -> None:
        """A frame is here."""
        self.reader.feed(frame)
        self.relay.moved()


async def test_a_message_that_all_take_at_once_is_never_there_in_full() -> None:
    """With two children who keep up, 64 MB pass through less than six."""
    held = Held(kept=False, children=("a", "b"))
    seen = dict.fromkeys("ab", 0)

    async def take(child: str) -> None:
        async with contextlib.aclosing(held.relay.frames(child)) as own:
            async for _, (payload,) in own:
                seen[child] += len(payload)

    tasks = [asyncio.create_task(take(child)) for child in "ab"]
    tracemalloc.start()
    for number, frame in enumerate(frames(), 1):
        held.feed(frame)
        del frame
        while min(seen.values()) < number << 20:
            await asyncio.sleep(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await asyncio.gather(*tasks)
    assert seen == {"a": 4 * N, "b": 4 * N} and peak < 6 << 20
    assert not held.on and held.relay.over and held.reader.held_bytes == 0
    assert 4 * N < held.taken < 4 * N + 64 * 512


@pytest.mark.parametrize("kept", [False, True])
async def test_the_slowest_child_holds_the_parent_until_it_leaves(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for one child alone is bounded; a value that is kept anyway waits for nobody."""
    monkeypatch.setattr("tierfed.node.relay.ROOM", 4 << 20)
    held = Held(kept=kept, children=("a", "b"))
    async with contextlib.aclosing(held.relay.frames("a")) as own:
        for number, frame in zip(range(6), frames(), strict=False):
            held.feed(frame)
            header, _ = await anext(own)
            assert header["seq"] == number
        assert held.on is not kept and held.relay.waiting == (0 if kept else 6 << 20)
        held.relay.leave("b")
        assert not held.on
        assert held.reader.held_bytes == (6 << 20 if kept else 1 << 20)  # "a" is not done with its last


async def test_patience_is_that_of_the_whole_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent is let go on when it has been held for its time, and is not held again."""
    monkeypatch.setattr("tierfed.node.relay.ROOM", 2 << 20)
    held = Held(kept=False, children=("a", "b"))
    source = frames()
    for _ in range(3):
        held.feed(next(source))
    assert held.on
    async with asyncio.timeout(5):
        while held.on:
            await asyncio.sleep(0)
    held.feed(next(source))
    assert not held.on and held.relay.waiting == 4 << 20


async def test_a_child_that_left_gets_what_is_still_there() -> None:
    """It takes frames on as long as others keep them, and its turn ends at the first that is gone."""
    held = Held(kept=False, children=("a", "b"))
    source = frames()
    for _ in range(3):
        held.feed(next(source))
    own = held.relay.frames("a")
    assert (await anext(own))[0]["seq"] == 0
    held.relay.leave("a")
    assert (await anext(own))[0]["seq"] == 1
    held.relay.leave("b")
    assert [frame async for frame in own] == []
    assert held.reader.held_bytes == 0 and ROOM == 64 << 20
