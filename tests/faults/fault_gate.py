"""A gate at which leaves wait until the test says what becomes of them: no clocks, no sleeps.

    with Gate() as gate:
        asked = …invoke(program, [gate.order("c-0"), "", ""])      c-0 will wait at the gate
        gate.arrived("c-0")                                         it computes now
        gate.say("c-0", "raise")                                    go | raise | exit | interrupt | kill

A leaf that is told nothing, since the gate was closed, goes on.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 30.0  # seconds until a test gives up; none waits that long when all is well


class Gate:
    """See the module docstring; used in the process of the test."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gate-")
        self._path = str(Path(self._folder.name, "s"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen(64)
        self._waiting: dict[str, socket.socket] = {}

    def order(self, name: str) -> str:
        """What a leaf is passed so that it comes here, as `name`."""
        return f"{self._path} {name}"

    def arrived(self, *names: str) -> None:
        """Wait until those are here."""
        until = time.monotonic() + PATIENCE
        while missing := set(names) - set(self._waiting):
            self._listener.settimeout(max(0.01, until - time.monotonic()))
            try:
                peer, _ = self._listener.accept()
            except TimeoutError:
                raise AssertionError(f"{missing} never came, {set(self._waiting)} did") from None
            self._waiting[peer.recv(200).decode()] = peer

    def say(self, name: str, word: str = "go") -> None:
        """Let `name` go on, in the way of `word`; it comes first."""
        self.arrived(name)
        with self._waiting.pop(name) as peer:
            peer.sendall(word.encode())

    def close(self) -> None:
        """Let everybody go."""
        for peer in self._waiting.values():
            peer.close()
        self._waiting.clear()
        self._listener.close()
        self._folder.cleanup()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def obey(order: str) -> None:
    """Do what a leaf was told: nothing, or go to the gate and do as is said there.  Called in the node."""
    if order == "shout":
        raise ValueError("\udc80" + "loud " * 200_000 + "the end")
    if not order:
        return
    path, name = order.split()
    with socket.socket(socket.AF_UNIX) as gate:
        try:
            gate.connect(path)
            gate.sendall(name.encode())
            word = gate.recv(20).decode()
        except OSError:
            return
    if word == "raise":
        raise ValueError(f"the sensor of {name} is broken")
    if word == "exit":
        sys.exit("enough")
    if word == "interrupt":
        raise KeyboardInterrupt
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
