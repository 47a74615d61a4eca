"""Pulse: signs of life, and when their absence means that a peer is dead.

    every `beat` seconds each end posts a `beat` on the control link
    a peer that was not heard for `silence` seconds is cut

A process that was itself stopped (SIGSTOP, a laptop's lid) finds all its peers silent at
once, and that says nothing about them: a beat that comes late by another one forgives
everybody.  Times are the loop's, monotonic, so no two clocks have to agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from tierfed.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Pulse:
    """How often to beat, and when to give a peer up."""

    beat: float = 3.0  # seconds between two signs of life
    silence: float = 15.0  # seconds without one after which a peer counts as dead

    def silent(self, name: str) -> ProtocolError:
        """Return why `name` is cut."""
        return ProtocolError(
            f"no sign of life for {self.silence:g} s", where=name, mend="see whether it hangs, and its log"
        )


PULSE = Pulse()


class Listening:
    """Who was heard when, by name; `now` is the loop's time, handed in."""

    def __init__(self, pulse: Pulse, now: float) -> None:
        self._pulse = pulse
        self._looked = now
        self._heard: dict[str, float] = {}

    def heard(self, name: str, now: float) -> None:
        """A sign of life of `name`: a frame on its control link, or the link itself."""
        self._heard[name] = now

    def forget(self, name: str) -> None:
        """The connection of `name` is gone."""
        self._heard.pop(name, None)

    def silent(self, now: float) -> list[str]:
        """Return who was silent for too long.  To be asked every `beat` seconds."""
        stalled = now - self._looked > 2 * self._pulse.beat
        self._looked = now
        if stalled:
            self._heard = dict.fromkeys(self._heard, now)
        return [name for name, at in self._heard.items() if now - at > self._pulse.silence]
