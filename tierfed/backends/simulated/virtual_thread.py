"""A loop thread with a virtual clock, which moves only while something is under way.

Between two rounds, however long the caller thinks, no virtual time passes: a run is a function of its
seed.  So it is where several things are under way at once: see turns.py.  What is asked for begins one after the
other, each once all that is due at this moment is done.  BLAS has one thread there, as in nodes and in the reference:
bits depend on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from tierfed.backends.local.blas import one_thread
from tierfed.backends.loop_thread import LoopThread
from tierfed.backends.simulated.turns import Call, Turns
from tierfed.node.virtual_clock import VirtualLoop

_T = TypeVar("_T")


class VirtualThread(LoopThread):
    """See the module docstring."""

    def __init__(self, name: str) -> None:
        self._virtual = VirtualLoop()
        self._virtual.stand()
        self._turns = Turns(self._wake)
        self._virtual.stand_while(self._turns.stands)
        self._starting = asyncio.Lock()
        super().__init__(name, self._virtual)

    @property
    def now(self) -> float:
        """The virtual time, in seconds since the fleet came up."""
        return self._virtual.time()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, waiting for it here."""
        caller = asyncio._get_running_loop() or _standing.get()
        call = Call(self._turns, caller, blocking=True)
        with _passed(call):
            return super().run(work)

    async def arun(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, from another loop."""
        with self.standing():
            call = Call(self._turns, asyncio.get_running_loop(), blocking=False)
        with _passed(call):
            return await super().arun(work)

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Let the clock stand within, and until the loop that runs here has nothing left to do."""
        caller = asyncio.get_running_loop()
        self._turns.hold(caller)
        before = _standing.set(caller)
        try:
            yield
        finally:
            _standing.reset(before)
            self._turns.rest(caller)

    def _wake(self) -> None:
        self.soon(lambda: None)

    async def within(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, while the clock moves: from when all that is due at this moment is done."""
        call = _call.get()
        assert call is not None
        try:
            try:
                async with self._starting:
                    await self._virtual.settle()
            except BaseException:
                work.close()
                raise
            call.begins()
            with one_thread(), _rarely_collected(), self._virtual.moving():
                return await work
        finally:
            call.done()


_call: contextvars.ContextVar[Call | None] = contextvars.ContextVar(
    "the call that work on the loop is of", default=None
)
_standing: contextvars.ContextVar[asyncio.AbstractEventLoop | None] = contextvars.ContextVar(
    "the loop for which the clock stands", default=None
)


@contextlib.contextmanager
def _passed(call: Call) -> Iterator[None]:
    """Let what is given to the loop here know that it is of `call`: work is done in the context that it comes from."""
    before = _call.set(call)
    try:
        yield
    finally:
        _call.reset(before)
        call.heard()


_counting = threading.Lock()
_rare: list[tuple[int, int, int]] = []  # what was set before, once for each that wants it otherwise


@contextlib.contextmanager
def _rarely_collected() -> Iterator[None]:
    """Have garbage collected rarely: of a fleet's many objects next to none is garbage, and each look sees them all."""
    with _counting:
        _rare.append(_rare[0] if _rare else gc.get_threshold())
        gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        with _counting:
            before = _rare.pop()
            if not _rare:
                gc.set_threshold(*before)
