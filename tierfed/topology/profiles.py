"""Profiles: devices that somebody has measured, by name.

    compute: {time: 50ms, profile: rock-5b}    ->    compute: {time: 50ms, speed: 4.322}
                                                     energy: {idle: 3.6W, computing: 12W}

Speeds are those of solving a dense linear system in float64 on all cores (HPL, the benchmark of the Top500 list), and
1 is a Raspberry Pi 4: `compute.time` is what a leaf call takes there.  Watts are at the wall, of the whole board: idle,
and on average over that benchmark.  What else a device is asked to do, with another precision, on one core or from its
flash, may have another ratio: whoever has the devices measures their own.

Sources, all by J. Geerling: Gflops and watts while computing from the table of results of github.com/geerlingguy/
top500-benchmark (README.md, with the issue of each run); idle watts from the issues of github.com/geerlingguy/
sbc-reviews.  A board of which either is missing or in dispute there is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class MeasuredDevice:
    """Gflops of HPL, watts over it and idle, and where they are from: a run, and a review."""

    gflops: float
    computing: float
    idle: float
    run: str
    review: str

    @property
    def speed(self) -> float:
        """How fast it is; a Raspberry Pi 4 is 1."""
        return round(self.gflops / _ONE, 3)


_ONE = 11.889  # Gflops of a Raspberry Pi 4

PROFILES: Mapping[str, MeasuredDevice] = MappingProxyType(
    {
        "raspberry-pi-4": MeasuredDevice(11.889, 7.2, 1.6, "top500-benchmark#13", "sbc-reviews#4"),
        "raspberry-pi-cm4": MeasuredDevice(11.433, 5.2, 2.5, "top500-benchmark#33", "sbc-reviews#8"),
        "raspberry-pi-500": MeasuredDevice(29.812, 11.5, 3.1, "top500-benchmark#50", "sbc-reviews#60"),
        "raspberry-pi-cm5": MeasuredDevice(31.477, 10.0, 2.4, "top500-benchmark#48", "sbc-reviews#58"),
        "rock-5b": MeasuredDevice(51.382, 12.0, 3.6, "top500-benchmark#8", "sbc-reviews#3"),
    }
)
