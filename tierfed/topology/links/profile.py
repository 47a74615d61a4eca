"""Profiles: the figures of one link, one interface and one device, as nodes are told them.

    LinkProfile(rate_up=500e3, rate_down=2.5e6, delay=0.030, jitter=0.010, loss=0.01)

Rates are in bytes a second and infinite where nothing limits them, times in seconds, shares from 0 to 1, energy in
joules.  "Up" is towards the root, whoever's rate it is.  This is plain data without imports: daemons read it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """A member's link to its parent.

    `delay` is one way.  What is added to it at random is `jitter` times a number drawn from `distribution`, of which
    `correlation` is that of one with the one before.  `loss` is the share of packets that are lost.
    """

    rate_up: float = math.inf
    rate_down: float = math.inf
    delay: float = 0.0
    jitter: float = 0.0
    distribution: str = "normal"
    correlation: float = 0.0
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class InterfaceProfile:
    """What all children of one node have together: `rate_up` towards it, `rate_down` from it."""

    rate_up: float = math.inf
    rate_down: float = math.inf


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What one member computes with, and what that and its link cost it.

    A leaf takes `seconds` at speed 1, `seconds / speed` here.  `idle` and `computing` are watts: computing costs
    those instead of the idle ones.  `sent` and `received` are joules a byte.
    """

    seconds: float = 0.0
    speed: float = 1.0
    idle: float = 0.0
    computing: float = 0.0
    sent: float = 0.0
    received: float = 0.0

    @property
    def uses_energy(self) -> bool:
        """Whether anything that it does costs it energy."""
        return bool(self.idle or self.computing or self.sent or self.received)
