"""Interruption: Ctrl-C once ends the work, and twice does not end the clearing up.

    with interruptible(output):
        …                       the first SIGINT raises KeyboardInterrupt here
        …                       those after it say `told`: that the tree is being taken down

SIGTERM, and SIGHUP of a terminal that closes, are taken for a Ctrl-C.  Without this, a second one
would land in whatever is clearing up after the first.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tierfed.report.output import Output


@contextmanager
def interruptible(output: Output, told: str = "the tree is being taken down; a moment") -> Iterator[None]:
    """See the module docstring; for the main thread."""
    come = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal come
        if not come:
            come = True
            raise KeyboardInterrupt
        output.notice(told)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # of nohup
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
