"""Turns: the virtual clock stands while those who call may still ask for something at this moment.

    await asyncio.gather(tree.ainvoke(a), tree.ainvoke(b))

    caller    asks for a ─ asks for b ─ has nothing left to do │                    hears of a ─ asks for c ─ …
    clock     stands . . . . . . . . . . . . . . . . . . . . . │ moves until a is done │ stands . . . . . . . .

A fleet runs on a thread of its own, and its callers' loops on theirs.  If its clock moved as soon as the first call is
there, when the second comes would depend on the machine.  So a loop that has asked for something, or has got what it
asked for, is waited for until it has nothing left to do; then the clock moves.  A loop whose thread waits in a
blocking call has nothing to ask.

What a caller awaits elsewhere (a thread, a socket, a real sleep) is not waited for: it comes when it comes.  Nor is a
loop that never comes to rest, or that stands still while another one waits for the clock: it may itself wait for that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable

Loop = asyncio.AbstractEventLoop
_MOST = 1000  # turns of a loop that are waited for
_BLINDLY = 16  # of a loop that does not tell whether it has something left to do, as uvloop's
_PATIENCE = 1.0  # of this machine's seconds, with a loop that keeps others waiting


class Turns:
    """See the module docstring; `wake` has the clock look again.  Used from any thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._busy: Counter[Loop] = Counter()
        self._since: dict[Loop, float] = {}  # it was last seen to do something
        self._waiting: set[Loop] = set()
        self._asked: Counter[Loop | None] = Counter()

    def stands(self) -> bool:
        """Return whether somebody may still ask for something."""
        if not self._busy:
            return False
        with self._lock:
            return any(loop not in self._waiting and loop.is_running() and self._has_time(loop) for loop in self._busy)

    def _has_time(self, loop: Loop) -> bool:
        others = any(caller is not loop for caller in self._asked)
        return not others or time.monotonic() - self._since[loop] < _PATIENCE

    def hold(self, caller: Loop) -> None:
        """Let the clock stand because of `caller`, until as many `rest`s have come to their end."""
        with self._lock:
            self._busy[caller] += 1
            self._since[caller] = time.monotonic()

    def rest(self, caller: Loop) -> None:
        """Undo one `hold` once `caller` has nothing left to do."""
        try:
            caller.call_soon_threadsafe(self._look, caller, 0)
        except RuntimeError:  # it is closed
            self._let_go(caller)

    def _look(self, caller: Loop, looked: int) -> None:
        left = getattr(caller, "_ready", None)
        if looked < (_BLINDLY if left is None else _MOST if left else 0):
            caller.call_soon(self._look, caller, looked + 1)
        else:
            self._let_go(caller)

    def _let_go(self, caller: Loop) -> None:
        with self._lock:
            self._busy[caller] -= 1
            if not self._busy[caller]:
                del self._busy[caller], self._since[caller]
        self._wake()

    def asks(self, caller: Loop | None) -> None:
        """Somebody asks for something; None is a thread without a loop."""
        with self._lock:
            self._asked[caller] += 1

    def heard(self, caller: Loop | None) -> None:
        """It has what it asked for."""
        with self._lock:
            self._asked[caller] -= 1
            if not self._asked[caller]:
                del self._asked[caller]

    def wait(self, caller: Loop, waits: bool) -> None:
        """The thread of `caller` waits in a blocking call, or does not any more."""
        with self._lock:
            (self._waiting.add if waits else self._waiting.discard)(caller)


class Call:
    """One call of a `caller`, which is waited for from when the work is done until it has heard of it and is at rest.

    A `blocking` one keeps it from asking for more until then.
    """

    def __init__(self, turns: Turns, caller: Loop | None, *, blocking: bool) -> None:
        self._turns = turns
        self._caller = caller
        self._blocking = blocking
        self._lock = threading.Lock()
        self._held = False
        self._over = False
        turns.asks(caller)

    def begins(self) -> None:
        """The work begins; on the clock's thread."""
        with self._lock:
            if self._blocking and self._caller is not None and not self._over:
                self._turns.wait(self._caller, True)

    def done(self) -> None:
        """The work is done; on the clock's thread, before it may move on."""
        with self._lock:
            if self._caller is not None and not self._over:
                self._turns.wait(self._caller, False)
                self._held = True
                self._turns.hold(self._caller)

    def heard(self) -> None:
        """The caller goes on, with the result or because it was cancelled."""
        with self._lock:
            self._over = True
            self._turns.heard(self._caller)
            if self._caller is not None:
                self._turns.wait(self._caller, False)
            if self._caller is not None and self._held:
                self._turns.rest(self._caller)
