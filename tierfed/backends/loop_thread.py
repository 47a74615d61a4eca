"""A loop on a thread of its own: the synchronous face of asynchronous contexts.

It works where a loop is running already, as in Jupyter, without patching that loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from tierfed.errors import NoSuchRun

_T = TypeVar("_T")


class LoopThread:
    """An event loop that runs until `close`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, waiting for it here; Ctrl-C cancels it."""
        future = self._submitted(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def arun(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, from another loop."""
        return await asyncio.wrap_future(self._submitted(work))

    def _submitted(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        if self._loop.is_closed():
            work.close()
            raise NoSuchRun("this tree is down", where="call", mend="call it inside its `with tierfed.up(…)`")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what is left and end the loop."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()


async def _cancel_all() -> None:
    tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
