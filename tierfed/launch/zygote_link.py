"""The supervisor's end of its zygote: start it, ask for one fork after the other, hear what ends.

Forks are asked for one at a time, and the pipes of a process are made only when
its turn comes: however many processes there are, few descriptors are under way,
and what is handed down is closed here at once.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from tierfed.errors import ProtocolError
from tierfed.launch import channel, interpreter
from tierfed.launch.pids import ProcessId

_MODULE = "tierfed.launch.zygote"
_PATIENCE = 10.0  # seconds for the zygote to read or finish a message

Fork = tuple[dict[str, Any], Callable[[], list[int]]]


class ZygoteLink:
    """The one zygote of a run.  `heard` gets each of its messages, and `{"gone": True}` at the end of file."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        heard: Callable[[dict[str, Any]], None],
        *,
        imports: list[str],
        environment: Mapping[str, str],
        output: int,
    ) -> None:
        self._selector = selector
        self._heard = heard
        self._queue: deque[Fork] = deque()
        self._imported = False
        self._busy = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            pid = interpreter.start(
                _MODULE, theirs.fileno(), output=output, errors=output, environment=environment, own_session=False
            )
        self.identity = ProcessId.of(pid) or ProcessId(pid, 0)
        self._socket.settimeout(_PATIENCE)
        channel.send(self._socket, {"import": imports, "parent": os.getpid()})
        selector.register(self._socket, selectors.EVENT_READ, self._event)
        self._open = True

    @property
    def busy(self) -> bool:
        """Whether a fork has been asked for and not been answered."""
        return self._busy

    @property
    def closed(self) -> bool:
        """Whether it can be heard no more."""
        return not self._open

    def fork(self, request: dict[str, Any], descriptors: Callable[[], list[int]]) -> None:
        """Ask for a process when it is its turn; `descriptors` then opens what it inherits."""
        self._queue.append((request, descriptors))
        self._next()

    def forget(self) -> None:
        """Ask for no more forks."""
        self._queue.clear()

    def _next(self) -> None:
        if self._imported and not self._busy and self._queue and self._open:
            request, opened = self._queue.popleft()
            handed = opened()
            self._busy = True
            try:
                channel.send(self._socket, {"fork": request}, handed)
            except OSError:
                self.close()  # it is gone, or stuck
                self._heard({"gone": True})
            finally:
                for fd in handed:
                    os.close(fd)

    def _event(self, _mask: int) -> None:
        try:
            got = channel.receive(self._socket)
        except (OSError, ProtocolError, ValueError):
            got = None
        if got is None:
            self.close()
            self._heard({"gone": True})
            return
        message, _ = got
        if "imported" in message:
            self._imported = True
        elif "forked" in message:
            self._busy = False
        self._heard(message)
        self._next()

    def close(self) -> None:
        """Close the channel, at which the zygote exits."""
        if self._open:
            self._open = self._busy = False
            self._queue.clear()
            self._selector.unregister(self._socket)
            self._socket.close()

    def kill(self) -> None:
        """End the zygote, whatever it is doing; the nodes that are left go with it."""
        self.close()
        self.identity.signal(signal.SIGKILL)
