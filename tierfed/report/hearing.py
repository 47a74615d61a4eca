"""Hearing: how far one long round of a fleet is, how fast it goes, and how long it will take.

    312,000 of 1,000,000 CLIENTS heard, 4,900/s, 2 min 20 s left
    1,000,000 of 1,000,000 CLIENTS heard, 640,000 folded, 21,000/s, 17 s left

The rate is that since the phase was first heard of, in this machine's seconds: virtual ones are the simulation's.  What
is over in a moment is not told at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tierfed.report.quantities import seconds

_FEW = 100  # a part of all that is too few to tell a rate from
_LONG = 2.0  # seconds that a phase has taken before it is told of


class Hearing:
    """See the module docstring; `clock` gives this machine's seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._phase: tuple[str, str, bool] | None = None
        self._since = 0.0
        self._before = 0
        self._last: Mapping[str, Any] = {}

    def happened(self, event: Mapping[str, Any]) -> None:
        """Take a report of how many were heard."""
        folding = event["heard"] + event["lost"] >= event["of"]
        phase = str(event["inv"]), str(event["phase"]), folding
        if phase != self._phase:
            self._phase, self._since, self._before = phase, self._clock(), event["folded" if folding else "heard"]
        self._last = event

    def over(self) -> None:
        """The round is over, or another begins."""
        self._phase, self._last = None, {}

    def told(self) -> str | None:
        """Return how far it is; None where there is nothing to tell yet."""
        if self._phase is None:
            return None
        took = self._clock() - self._since
        if took < _LONG:
            return None
        last, folding = self._last, self._phase[2]
        done = last["folded" if folding else "heard"]
        rate = (done - self._before) / took
        lost = f", {last['lost']:,} lost" if last["lost"] else ""
        told = f"{last['heard']:,} of {last['of']:,} {last['placement']} heard{lost}"
        if folding:
            told += f", {done:,} folded"
        if (done - self._before) * _FEW < last["of"]:  # the first of many say nothing of the others
            return told
        left = max(last["of"] - last["lost"] - done, 0) / rate
        return f"{told}, {_two_digits(rate)}/s, {seconds(left)} left"


def _two_digits(rate: float) -> str:
    """Return a rate as it is known: to two digits."""
    digits = len(str(int(rate))) - 2
    return f"{round(rate, -digits):,.0f}" if digits > 0 else f"{rate:.2g}"
