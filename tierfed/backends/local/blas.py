"""One BLAS thread while leaves run here, in whatever number of threads they do.

Two BLAS threads give other bits than one; nodes use one, so the reference does.  Most BLAS
libraries have one number of threads for the process.  If each call set it and put back what it
had found, then of two calls that overlap

    A: 2 -> 1             A: -> 2
         B: 1 -> 1 . . . . . . . . . .  B: -> 1

B would compute on with two threads, and leave one behind for good.  So calls are counted: the
first that begins remembers, and the last that ends puts back.  A BLAS over OpenMP has a number for
each thread, which is set and put back in each.

threadpoolctl (from 3.8 on) lets the first thread that sets OpenBLAS's number be the only one, and
ignores the others in silence, so that they do not fight over it; under the lock here nobody fights,
and each call lets go of that claim.

To look for libraries takes longer than most calls, and one comes with a module: they are looked for
again when another module has been imported.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_computing = 0  # calls that want one thread
_before: dict[str, tuple[Any, int]] = {}  # by library: what has the process's number, and that number before


@contextmanager
def one_thread() -> Iterator[None]:
    """Let BLAS use one thread inside."""
    global _computing
    libraries = _libraries(len(sys.modules))  # a leaf's own imports may have loaded one
    own = [(library, library.num_threads) for library in libraries if _is_the_threads(library)]
    with _lock:
        _computing += 1
        for library in libraries:
            if not _is_the_threads(library):
                _before.setdefault(library.filepath, (library, library.num_threads))
            _set(library, 1)
    try:
        yield
    finally:
        with _lock:
            _computing -= 1
            for library, number in own:
                _set(library, number)
            if not _computing:
                for library, number in _before.values():
                    _set(library, number)
                _before.clear()


@functools.lru_cache(maxsize=1)
def _libraries(modules: int) -> list[Any]:
    """Return what sets the threads of each library that is loaded when there are `modules` modules."""
    return list(ThreadpoolController().lib_controllers)


def _is_the_threads(library: Any) -> bool:
    """Return whether `library` has a number for each thread, and not one for the process."""
    return library.user_api == "openmp" or getattr(library, "threading_layer", None) == "openmp"


def _set(library: Any, number: int) -> None:
    let_go = getattr(library, "clear_controlling_thread", lambda force: None)
    let_go(force=True)
    library.set_num_threads(number)
    let_go(force=True)
