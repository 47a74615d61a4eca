"""A loop thread with a virtual clock, which moves only while something is under way.

Between two rounds, however long the caller thinks, no virtual time passes: a run is a function of its
seed.  BLAS has one thread there, as in nodes and in the reference: bits depend on it.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from tierfed.backends.local.blas import one_thread
from tierfed.backends.loop_thread import LoopThread
from tierfed.node.virtual_clock import VirtualLoop

_T = TypeVar("_T")


class VirtualThread(LoopThread):
    """See the module docstring."""

    def __init__(self, name: str) -> None:
        self._virtual = VirtualLoop()
        self._virtual.stand()
        super().__init__(name, self._virtual)

    @property
    def now(self) -> float:
        """The virtual time, in seconds since the fleet came up."""
        return self._virtual.time()

    async def within(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, while the clock moves: from when all that is due at this moment is done."""
        try:
            await self._virtual.settle()
        except BaseException:
            work.close()
            raise
        with one_thread(), _rarely_collected(), self._virtual.moving():
            return await work


@contextlib.contextmanager
def _rarely_collected() -> Iterator[None]:
    """Have garbage collected rarely: of a fleet's many objects next to none is garbage, and each look sees them all."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
