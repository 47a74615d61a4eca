"""Side by side: the chunks of one message in two threads, where a core is free for the second.

    in_order(code, chunks, nbytes)        code(chunks[0]), code(chunks[1]), …        as if by one thread

Compiled loops, numpy and zstd let another Python thread run meanwhile.  Both threads take the first item that is
left, each when it has done its last; so the caller never waits for a second thread that others keep busy.  The
caller alone hands out what is ready, in order.  At most four items are ready or under way, if they give something.

Two threads, if the message has 4 MB or more to code, this process may use two cores or more, and half of one has
been idle for the last minute and one is right now: nodes of one machine, all at work, have none free, and a second
thread would only take turns with the first.  TIERFED_CODEC_THREADS=1 or 2 settles it, whatever the size.

Sound because items are independent, each writing to its own part of an array if to any, and because no item is under
way when the caller goes on after an error: the error of the first item that has one, as with one thread.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from tierfed.errors import SettingError

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

LEAST = 4 << 20  # bytes of a message before it is coded
AHEAD = 4  # items that are ready or under way
SETTING = "TIERFED_CODEC_THREADS"
_LOAD = "/proc/loadavg"  # Linux: three averages, then how many threads want a core now

T = TypeVar("T")
R = TypeVar("R")
_Done: TypeAlias = tuple[list[R], BaseException | None]  # one result, or none and the error


def in_order(work: Callable[[T], R], items: Sequence[T], nbytes: int) -> Iterator[R]:
    """Yield what `work` returns of each of `items`, in order; they are of a message that has `nbytes` to code.

    Raises what `work` raises, when its item's turn comes.
    """
    return iter(_Shared(work, items, AHEAD)) if _threads(nbytes) == 2 else map(work, items)


def all_done(work: Callable[[T], object], items: Sequence[T], nbytes: int) -> None:
    """Call `work` with each of `items`; raises as `in_order` does."""
    for _ in _Shared(work, items, len(items)) if _threads(nbytes) == 2 else map(work, items):
        pass


class _Shared(Generic[T, R]):
    """Items of which two threads take the first that is left, each when it has done its last."""

    def __init__(self, work: Callable[[T], R], items: Sequence[T], ahead: int) -> None:
        self._work = work
        self._items = items
        self._ahead = ahead
        self._lock = threading.Lock()
        self._taken = 0  # this many have been begun …
        self._given = 0  # … and this many have been handed out
        self._ready: SimpleQueue[tuple[int, _Done[R]]] = SimpleQueue()  # of the second thread

    def __iter__(self) -> Iterator[R]:
        ready: dict[int, _Done[R]] = {}
        second: Future[None] | None = None
        try:
            for at in range(len(self._items)):
                if self._taken < len(self._items) and (second is None or second.done()):  # it found nothing to take
                    second = _begun(self._help)
                while at not in ready:
                    own = self._take()
                    if own is not None:
                        ready[own] = self._done(own)
                    while at not in ready and (own is None or not self._ready.empty()):
                        other, done = self._ready.get()  # if there is nothing to take, `at` is under way
                        ready[other] = done
                self._given = at + 1
                result, error = ready.pop(at)
                if error is not None:
                    try:
                        raise error
                    finally:
                        del error  # it knows this frame, and with it the message
                yield result[0]
        finally:
            with self._lock:
                self._taken = len(self._items)
            if second is not None and not second.cancel():
                second.exception()  # when it is over

    def _take(self) -> int | None:
        """Return the next item to work on, by its place; None if there is none, or no room for what it gives."""
        with self._lock:
            if self._taken >= min(len(self._items), self._given + self._ahead):
                return None
            self._taken += 1
            return self._taken - 1

    def _help(self) -> None:
        while (at := self._take()) is not None:
            self._ready.put((at, self._done(at)))

    def _done(self, at: int) -> _Done[R]:
        """Return what becomes of an item, worked on here and now."""
        try:
            return [self._work(self._items[at])], None
        except BaseException as error:  # for the caller, in its turn
            return [], error


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Return the process's second thread, which begins with its first item and ends with the process."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, thread_name_prefix="tierfed-codec")


def _begun(work: Callable[[], None]) -> Future[None] | None:
    """Let the second thread do `work`; None if there is none to be had, as when the process ends."""
    try:
        return _pool().submit(contextvars.copy_context().run, work)
    except RuntimeError:
        return None


os.register_at_fork(after_in_child=_pool.cache_clear)  # a child of a fork has none of its parent's threads


def _threads(nbytes: int) -> int:
    text = os.environ.get(SETTING)
    if text:
        if text not in ("1", "2"):
            raise SettingError(f"{text!r} is no number of threads", where=SETTING, mend="write 1 or 2, or leave it out")
        return int(text)
    return 2 if nbytes >= LEAST and _core_is_free() else 1


def _core_is_free() -> bool:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2 or os.getloadavg()[0] >= cores - 0.5:
        return False
    try:
        with open(_LOAD, "rb") as file:
            now = int(file.read().split()[3].partition(b"/")[0])
    except (OSError, ValueError, IndexError):  # no Linux
        return True
    return now < cores  # this thread is among them
