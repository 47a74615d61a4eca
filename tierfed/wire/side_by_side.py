"""Side by side: the chunks of one message in two threads, where a core is free for the second.

    in_order(code, chunks, nbytes)        code(chunks[0]), code(chunks[1]), …        as if by one thread

Compiled loops, numpy and zstd let another Python thread run meanwhile.  The caller takes part: it works on the
first item that nobody has begun, so that it never waits for a thread that others keep busy, and it alone hands
out what is ready, in order.  At most four items are ready or under way.

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
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from tierfed.errors import SettingError

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

LEAST = 4 << 20  # bytes of a message before it is coded
AHEAD = 4  # items that are ready or under way
SETTING = "TIERFED_CODEC_THREADS"
_LOAD = "/proc/loadavg"  # Linux: three averages, then how many threads want a core now

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T], nbytes: int) -> Iterator[R]:
    """Yield what `work` returns of each of `items`, in order; they are of a message that has `nbytes` to code.

    Raises what `work` raises, when its item's turn comes.
    """
    return _shared(work, items) if _threads(nbytes) == 2 else map(work, items)


def all_done(work: Callable[[T], object], items: Iterable[T], nbytes: int) -> None:
    """Call `work` with each of `items`; raises as `in_order` does."""
    for _ in in_order(work, items, nbytes):
        pass


def _shared(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    begun: deque[Future[R]] = deque()
    own: dict[Future[R], T] = {}  # not begun, as far as is known
    rest = iter(items)
    try:
        while True:
            while len(begun) < AHEAD:
                try:
                    item = next(rest)
                except StopIteration:
                    break
                future = _pool().submit(contextvars.copy_context().run, work, item)
                begun.append(future)
                own[future] = item
            if not begun:
                return
            while not begun[0].done():
                free = next((i for i, future in enumerate(begun) if future in own and future.cancel()), None)
                if free is None:
                    break
                begun[free] = _done(work, own.pop(begun[free]))
            first = begun.popleft()
            own.pop(first, None)
            yield first.result()
    finally:
        for future in begun:
            if not future.cancel():
                future.exception()  # when it is over


def _done(work: Callable[[T], R], item: T) -> Future[R]:
    """Return what has become of an item, worked on here and now."""
    done: Future[R] = Future()
    try:
        done.set_result(work(item))
    except Exception as error:
        done.set_exception(error)
    return done


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Return the process's second thread, which begins with its first item and ends with the process."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, thread_name_prefix="tierfed-codec")


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
