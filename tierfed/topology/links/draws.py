"""Draws: the random numbers of one link, in 8 bytes of state; `random.Random` has 2,500, and fleets have many links.

    s ← s + 0x9e3779b97f4a7c15            a Weyl sequence: every state once
    z = mix(s)                            two rounds of xor, shift and multiply
    random() = (z >> 11) / 2⁵³

Source: SplitMix64: Steele, Lea and Flood 2014 (fast splittable pseudorandom number generators), which passes BigCrush;
the constants are Stafford's variant 13 of the mixer.  The bell curve is `random.Random`'s own, from these numbers.
"""

from __future__ import annotations

import hashlib
import random

_ALL = (1 << 64) - 1


class Draws:
    """What the models of links need of a `random.Random`; equal seeds give equal numbers."""

    __slots__ = ("_state",)

    def __init__(self, seed: str) -> None:
        self._state = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest(), "little")

    def random(self) -> float:
        """Return a number from 0 up to, and without, 1."""
        self._state = z = (self._state + 0x9E3779B97F4A7C15) & _ALL
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _ALL
        return float((z ^ (z >> 31)) >> 11) * 2.0**-53

    def normalvariate(self, mu: float, sigma: float) -> float:
        """Return a number of the bell curve."""
        return random.Random.normalvariate(self, mu, sigma)  # type: ignore[arg-type]
