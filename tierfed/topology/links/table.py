"""Table: how jitter is drawn, by name, and how one draw follows from the one before.

    link: {delay: 30ms, jitter: 10ms, distribution: pareto, correlation: 25%}

    delay of a message = max(0, 30 ms + 10 ms · x)        x' = ρ x + √(1 - ρ²) · new

Every draw has mean 0; its spread is in its module.  The weights keep the spread what it is without correlation, and
a message's correlation with the next is ρ.  netem weighs by ρ and 1 - ρ, which takes a spread of 1 down to
√((1 - ρ)/(1 + ρ)), .58 at a correlation of 50 %: jitter would not be what was asked.  (netem also looks up its
tables by the lowest bits of the correlated number, so that next to nothing of the correlation is left.)

Source: tc-netem(8); net/sched/sch_netem.c, get_crandom and tabledist; the weights are those of an AR(1) process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from tierfed.errors import TopologyError
from tierfed.topology.links import normal, pareto, paretonormal, uniform
from tierfed.topology.links.profile import LinkProfile
from tierfed.topology.suggest import did_you_mean

TABLE: dict[str, Callable[[Random], float]] = {
    "normal": normal.draw,
    "pareto": pareto.draw,
    "paretonormal": paretonormal.draw,
    "uniform": uniform.draw,
}


def draw(name: str, random: Random) -> float:
    """Return a number of mean 0 from the distribution `name`.  Raises TopologyError if there is none of that name."""
    return named(name)(random)


def named(name: str) -> Callable[[Random], float]:
    """Return the draw of the distribution `name`.  Raises TopologyError if there is none of that name."""
    try:
        return TABLE[name]
    except KeyError:
        raise TopologyError(
            f"no distribution is called {name!r}", where="link.distribution", mend=did_you_mean(name, TABLE)
        ) from None


class Delays:
    """The one-way delays of the messages of a link, one after the other."""

    __slots__ = ("_delay", "_draw", "_jitter", "_kept", "_last", "_new", "_random")

    def __init__(self, profile: LinkProfile, random: Random) -> None:
        self._delay, self._jitter, self._kept = profile.delay, profile.jitter, profile.correlation
        self._new = math.sqrt(max(0.0, 1 - self._kept**2))
        self._draw = named(profile.distribution)
        self._random = random
        self._last: float | None = None

    def next(self) -> float:
        """Return the delay of the next message, in seconds, never below 0."""
        if not self._jitter:
            return self._delay
        drawn = self._draw(self._random)
        if self._last is not None:
            drawn = self._kept * self._last + self._new * drawn
        self._last = drawn
        return max(0.0, self._delay + self._jitter * drawn)
