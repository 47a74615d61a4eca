"""Lifelines: a process that dies with its parent, and one that inherits orphans.

Both are prctl(2) of Linux.  PR_SET_PDEATHSIG fires when the parent *thread*
ends, so only children of a main thread may ask for it: the zygote and its nodes
do, the supervisor (which a notebook may start from any thread) watches a socket
instead.  A parent may die between the fork and the call; comparing `getppid()`
after the call closes that gap.
"""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int | bytes) -> None:
    if _libc.prctl(option, ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.c_ulong(argument)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"prctl {option}")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process as soon as its parent, pid `parent`, ends; exit if it has."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def inherit_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that it can be ended and reaped."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def show_as(name: str) -> None:
    """Show this process as `name` (15 bytes of it) in ps and top."""
    _prctl(_PR_SET_NAME, name.encode())
