"""The pace of a frame, over a loop whose clock is the test's."""

from __future__ import annotations

import asyncio

import pytest

from tierfed.node.pace import Pace, Progress


class Clock:
    """A loop of which only the timer is used; `pass_window` fires it."""

    def __init__(self) -> None:
        self.due: list[object] = []
        self.windows = 0

    def call_later(self, _delay: float, check: object) -> Clock:
        """Keep a timer."""
        self.due.append(check)
        return self

    def cancel(self) -> None:
        """Forget all timers."""
        self.due.clear()

    def pass_window(self) -> None:
        """Fire what is due."""
        due, self.due = self.due, []
        self.windows += 1
        for check in due:
            check()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("looks", "slow"),
    [
        ([(100, "payload", False), (200, "payload", False)], "100 bytes of a payload in 10 s, at least 1000 expected"),
        ([(100, "payload", False), (1100, "payload", False), (1200, "payload", False)], "100 bytes of a payload"),
        ([(100, "payload", False), (200, "payload", True), (200, "payload", True), (200, None, False)], None),
        ([(1, "head", False), (3, "head", False)], "2 bytes of a head in 10 s, a whole one expected"),
        ([(1, "head", False), (3, "head", True), (3, None, False)], None),
        ([(0, None, False), (5, "payload", False), (9, "payload", False)], "4 bytes of a payload"),
    ],
)
def test_who_is_slow_is_the_peer_and_not_who_has_not_read(
    looks: list[tuple[int, str | None, bool]], slow: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame that stalls is told; one that has come, and waits for us to read it, is not."""
    clock, told = Clock(), []
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)

    def look() -> Progress:
        nbytes, within, here = looks[min(clock.windows, len(looks) - 1)]
        return Progress(nbytes, 0, within, here)

    pace = Pace(10.0, 100, look, told.append)
    pace.watch()
    for _ in range(8):
        clock.pass_window()
    assert told == [] if slow is None else len(told) == 1 and told[0].startswith(slow)
