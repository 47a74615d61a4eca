"""A loop with a virtual clock: it jumps to the next timer, so that hours take as long as what happens in them.

    loop = VirtualLoop()
    loop.run_until_complete(asyncio.sleep(3600))      # at once; loop.time() is 3600.0 now

Nothing else differs from asyncio's loop: tasks, timers and futures are its own.  There are no threads,
what is computed apart is computed at that moment and takes no virtual time, so a run is
a function of its seed, whatever the machine does meanwhile.

On a thread of its own (`LoopThread`) the clock moves only while something is under way there:

    with loop.moving(): …        outside, the loop waits for work in real time, and no timer fires
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar

_T = TypeVar("_T")
_LOOK = 0.2  # of this machine's seconds, between two looks at whether the clock stands


class _Selector(selectors.DefaultSelector):
    now = 0.0
    still = False  # whether the clock stands

    def stands(self) -> bool:
        """Return whether it stands for now, though something is under way."""
        return False

    settled: asyncio.Future[None] | None = None  # done when nothing is left to do at this moment

    def select(self, timeout: float | None = None) -> Any:
        """Never wait for time: what the loop would have waited is added to the clock."""
        if timeout == 0:
            return super().select(0)
        if self.settled is not None:
            self.settled.set_result(None)
            self.settled = None
            return super().select(0)
        if self.still:
            return super().select(None)
        if self.stands():
            return super().select(_LOOK)
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen: every task waits and there is no timer")
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module docstring.  A new one moves; the first `moving()` makes it stand when nothing is under way."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        self._under_way = 0
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self._virtual.now

    def stand(self) -> None:
        """Let the clock stand until something is under way."""
        self._virtual.still = not self._under_way

    def stand_while(self, stands: Callable[[], bool]) -> None:
        """Let the clock stand whenever `stands` says so; who changes that wakes the loop."""
        self._virtual.stands = stands  # type: ignore[method-assign]

    async def settle(self) -> None:
        """Return when nothing is left to do before time moves on: what is asked next finds the same, whenever asked."""
        if self._virtual.settled is None:
            self._virtual.settled = self.create_future()
        await asyncio.shield(self._virtual.settled)

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """Let the clock move within the block."""
        self._under_way += 1
        self.stand()
        try:
            yield
        finally:
            self._under_way -= 1
            self.stand()

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """Call `func` now; return a future that is done."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def virtually(main: Coroutine[Any, Any, _T]) -> _T:
    """Return what `main` returns, run on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
