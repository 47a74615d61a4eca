"""A loop on a thread of its own: the synchronous face of asynchronous contexts.

It works where a loop is running already, as in Jupyter, without patching that loop.  Any thread
may give it work: what is given before `close` ends or is cancelled, and what comes after is refused.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from tierfed.errors import NoSuchRun, TierfedError

_T = TypeVar("_T")


class LoopThread:
    """An event loop that runs until `close`."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._closing = threading.Lock()  # held for a moment: work given to a loop that has stopped is never done
        self._closed = False
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, waiting for it here; Ctrl-C cancels it."""
        if threading.current_thread() is self._thread:  # it would wait for itself
            work.close()
            raise TierfedError(
                "called on the thread that does the tree's own work, as an on_event callback is",
                where="call",
                mend="let the callback tell another thread, and call from there",
            )
        future = self._submitted(work)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise _down() from None
        except BaseException:
            future.cancel()
            raise

    async def arun(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, from another loop."""
        future = self._submitted(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _down() from None  # it was not this task that was cancelled

    def _submitted(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        with self._closing:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(self.within(work), self._loop)
        work.close()
        raise _down()

    async def within(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what `work` returns, in whatever it has to be within here."""
        return await work

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Within, the caller is about something that takes none of the loop's time, if that is not this machine's."""
        yield

    def soon(self, call: Callable[[], None]) -> None:
        """Have `call` made on the loop, if it still runs; takes no lock, so that a garbage collection may ask."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call)

    def close(self) -> None:
        """Cancel what is left and end the loop."""
        with self._closing:
            first, self._closed = not self._closed, True
            if first:
                left = asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop)
        if first:
            left.result()
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if first:
            self._loop.close()


def _down() -> NoSuchRun:
    return NoSuchRun("this tree is down", where="call", mend="call it inside its `with tierfed.up(…)`")


async def _cancel_all() -> None:
    tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
