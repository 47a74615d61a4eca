"""Broadcasts that are coded anew leave as they are coded: on a virtual clock, to two edges and their clients."""

from __future__ import annotations

import asyncio
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from fault_served import served, virtually
from test_relays import LARGE, MODEL, WHOLE, chunks, four, slow

import tierfed
from tierfed.codecs import codec
from tierfed.node.coded import ROOM, Coded
from tierfed.node.memory_transport import MemoryTransport
from tierfed.wire.message import Message, encode_message

T = tierfed.TensorType("float32", (LARGE,))


async def here(work: Any) -> Any:
    """Code in place."""
    return work()


def message(values: Any = MODEL, spec: str = "bf16") -> Message:
    """One of eight frames."""
    ident = {"m": "down", "inv": "i-1", "att": 1, "site": "2.0"}
    return encode_message(ident, [("v", T, values)], codec(spec))


def coded(children: list[str], patience: float = 0.0, counted: Any = lambda wire, raw: None) -> Coded:
    """That message for some children."""
    return Coded(message(), children, here, counted, patience)


def test_frames_are_those_of_the_message_for_each_child() -> None:
    """Coded once, and counted once, whoever takes them and in whatever order."""
    sums: list[tuple[int, int]] = []

    async def taken() -> list[list[Any]]:
        made = coded(["a", "b"], counted=lambda wire, raw: sums.append((wire, raw)))

        async def take(child: str, pause: int) -> list[Any]:
            got = []
            async for frame in made.frames(child):
                got.append(frame)
                for _ in range(pause):
                    await asyncio.sleep(0)
            return got

        both = await asyncio.gather(take("a", 1), take("b", 5))
        assert made.over
        assert made.waiting == 0
        return list(both)

    expected = message()
    frames = list(expected)
    for got in virtually(taken()):
        assert [header for header, _ in got] == [header for header, _ in frames]
        assert [b"".join(map(bytes, b)) for _, b in got] == [b"".join(map(bytes, b)) for _, b in frames]
    assert len(sums) == len(frames)
    assert (sum(w for w, _ in sums), sum(r for _, r in sums)) == (expected.wire_bytes, expected.raw_bytes)


def test_nothing_is_coded_before_somebody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest child takes its first frame when one is coded, and is held for the slowest by room and patience."""
    monkeypatch.setattr("tierfed.node.coded.ROOM", 2 << 20)  # four frames of half a megabyte

    async def ahead() -> tuple[int, float]:
        made = coded(["fast", "slow"], patience=3.0)
        slowest = made.frames("slow")
        await anext(slowest)
        loop, count = asyncio.get_running_loop(), 0
        async for _ in made.frames("fast"):
            count += 1
            if count == 1:
                assert len(made._frames) == 1
        waited = loop.time()
        await slowest.aclose()
        assert made.waiting == 0
        return count, waited

    assert ROOM > 2 << 20
    assert virtually(ahead()) == (8, 3.0)


def test_who_leaves_is_waited_for_no_more() -> None:
    """A child that is lost lets go of what waited for it."""

    async def left() -> None:
        made = coded(["fast", "lost"])
        async for _ in made.frames("fast"):
            pass
        assert made.waiting > 0
        made.leave("lost")
        assert (made.waiting, made.over) == (0, True)

    virtually(left())


def test_clients_have_frames_while_others_are_under_way() -> None:
    """Over links on which a megabyte takes a second: the first frame leaves before the last is coded."""

    async def first() -> None:
        async with served(slow(), four(down="bf16"), absent=["clients-0"]) as tree:
            member = await tree.joined("clients-0")
            asked = tree.ask(WHOLE, MODEL)
            await member.begun()
            while not chunks(member):
                await asyncio.sleep(0.1)
            assert "end" not in chunks(member)[0].header
            while "end" not in chunks(member)[-1].header:
                await asyncio.sleep(0.1)
            assert len(chunks(member)) == 8
            member.leave()
            await asked

    virtually(first())


def test_means_are_the_same() -> None:
    """A model coded in bf16, at two tiers, is what coding it whole would give."""

    async def mean(values: Any) -> Any:
        async with served(MemoryTransport(), four(down="bf16")) as tree:
            return (await tree.ask(WHOLE, values))[0]

    assert virtually(mean(MODEL)).tobytes() == MODEL.astype(ml_dtypes.bfloat16).astype(np.float32).tobytes()


def test_what_cannot_be_coded_ends_the_round() -> None:
    """A value that is not finite, in the last frame: the invocation fails and says where, and the next one is well."""
    broken = MODEL.copy()
    broken[-1] = np.nan

    async def failed() -> None:
        async with served(MemoryTransport(), four(down="int8")) as tree:
            error = await tree.failure(tree.ask(WHOLE, broken))
            assert "nan at element" in str(error)
            await tree.ask(WHOLE, MODEL)

    virtually(failed())
