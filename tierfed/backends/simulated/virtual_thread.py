"""A loop thread with a virtual clock, which moves only while something is under way.

Between two rounds, however long the caller thinks, no virtual time passes: a run is a function of its
seed.  BLAS has one thread there, as in nodes and in the reference: bits depend on it.
"""

from __future__ import annotations

from collections.abc import Coroutine
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
        """Return what `work` returns, while the clock moves."""
        with one_thread(), self._virtual.moving():
            return await work
