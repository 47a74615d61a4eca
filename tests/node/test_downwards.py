"""Which frames tell a child of the end of one invocation and the beginning of the next."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tierfed.node.downwards import Downwards
from tierfed.node.fates import TOLD_AGAIN, Fates
from tierfed.node.peer import Peer
from tierfed.node.virtual_clock import VirtualLoop

CHILD = "c-0"


class Wire:
    """A child's two links, of which the one for messages may have something on its way, and all that left over them."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, Any]] = []
        self.busy = False
        self.fates = Fates()
        self.peer = Peer(CHILD)
        self.peer.control = self.peer.bulk = self  # type: ignore[assignment]
        self.peer.deployed.sent("p")
        self.downwards = Downwards({CHILD: self.peer}, self.fates, self._send)
        self.tasks: list[Coroutine[Any, Any, None]] = []

    def post(self, header: dict[str, Any]) -> None:
        """The control link."""
        self.frames.append(("end", header["inv"]))

    def send_now(self, header: dict[str, Any]) -> bool:
        """The bulk link."""
        if not self.busy:
            self.frames.append(("begin", [word[0] for word in header.get("ended", ())]))
        return not self.busy

    async def _send(self, child: str, frames: list[tuple[dict[str, Any], Any]]) -> None:
        for header, _ in frames:
            self.frames.append((header["kind"], [word[0] for word in header.get("ended", ())]))

    def end(self, name: str, *, whole: bool = True) -> None:
        """An invocation is over."""
        self.fates.told(CHILD, (name, 1), whole)
        self.downwards.end(CHILD, {"kind": "end", "inv": name}, whole=whole)

    def begin(self, program: str = "p") -> None:
        """Another begins."""
        self.downwards.begin(self.peer, {"kind": "begin", "hash": program}, b"", self.tasks.append)

    async def turn(self) -> None:
        """What waits for its turn has it."""
        while self.tasks:
            await self.tasks.pop(0)


def virtually(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


def test_the_end_of_a_round_is_in_the_beginning_of_the_next() -> None:
    """Rounds in a row take one frame each on the way down, which says once how the one before has ended."""

    async def main() -> None:
        wire = Wire()
        for number in range(3):
            wire.begin()
            wire.end(f"i-{number}")
        await asyncio.sleep(1)
        assert wire.frames == [("begin", []), ("begin", ["i-0"]), ("begin", ["i-1"]), ("end", "i-2")]

    virtually(main())


def test_an_end_that_does_not_count_whole_goes_at_once() -> None:
    """It stops work; and it is in the next beginning too, which may be quicker."""

    async def main() -> None:
        wire = Wire()
        wire.end("i-0", whole=False)
        assert wire.frames == [("end", "i-0")]
        wire.begin()
        assert wire.frames[1:] == [("begin", ["i-0"])]

    virtually(main())


@pytest.mark.parametrize(("program", "sent"), [("p", ["begin"]), ("q", ["deploy", "begin"])])
def test_a_beginning_that_waits_for_its_turn_says_nothing_in_place_of_an_end(program: str, sent: list[str]) -> None:
    """Behind a tensor, or with a program, it may be long: the end goes over the other link."""

    async def main() -> None:
        wire = Wire()
        wire.busy = program == "p"
        wire.end("i-0")
        wire.begin(program)
        assert wire.frames == [("end", "i-0")]
        await wire.turn()
        assert [kind for kind, _ in wire.frames[1:]] == sent and wire.frames[-1][1] == ["i-0"]
        wire.busy = False
        wire.begin(program)
        assert wire.frames[-1] == ("begin", [])

    virtually(main())


def test_a_child_that_was_away_is_told_again() -> None:
    """What left over a connection that is lost may not have been heard."""

    async def main() -> None:
        wire = Wire()
        wire.end("i-0")
        wire.begin()
        wire.begin()
        wire.peer.bulk = wire.peer.control = None
        wire.peer.drop("its connection was lost")
        wire.peer.control = wire.peer.bulk = wire  # type: ignore[assignment]
        wire.peer.deployed.sent("p")
        wire.begin()
        assert wire.frames == [("begin", ["i-0"]), ("begin", []), ("begin", ["i-0"])]

    virtually(main())


def test_more_ends_than_a_beginning_says_do_not_wait() -> None:
    """None is lost, however many rounds end at once, and however."""

    async def main() -> None:
        wire = Wire()
        names = [f"i-{number}" for number in range(TOLD_AGAIN + 2)]
        for name in names:
            wire.end(name, whole=name == "i-0")
        assert wire.frames == [("end", name) for name in names[1:]]
        wire.begin()
        await asyncio.sleep(1)
        assert wire.frames[-2:] == [("end", "i-0"), ("begin", names[2:])] and len(wire.frames) == len(names) + 1

    virtually(main())
