"""Delay: one process carries the packets of all links from end to end, each after its link's delay.

    carry([Way(upper, lower, rate=500e3, delay=0.030), ...])        until it is killed; a link is two ways

A kernel without netem cannot hold packets back, so this does.  Links keep order: packets of one link and direction
have one delay.  A packet is also given the time that its bytes take to leave at the rate: the token bucket before it
holds a stream to that rate, but lets the first packets go at once, for each of which a link of 1 mbit takes 12 ms.

It waits in `select`, whose timeout is in microseconds (`poll` and asyncio round up to milliseconds), and runs before
every other process (`namespaces.started(urgent=True)`), so that it is late by some tenths of a millisecond also on a
busy machine.  A packet costs it some 15 us of computing.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.network.shaping import ETHERNET, Link

_AT_ONCE = 32  # packets taken from one device before another has its turn
_LONGEST = 65536


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a link: from one descriptor to another, `rate` in bytes a second, `delay` in seconds."""

    start: int
    end: int
    rate: float
    delay: float


def ways_of(link: Link) -> tuple[Way, Way]:
    """Return both ways of a link."""
    profile = link.profile
    return (
        Way(link.upper, link.lower, profile.rate_down, profile.delay),
        Way(link.lower, link.upper, profile.rate_up, profile.delay),
    )


def carry(ways: Sequence[Way]) -> None:
    """Pass packets on."""
    from_ = {way.start: way for way in ways}
    devices = list(from_)
    free = dict.fromkeys(devices, 0.0)  # when the last packet has left
    held: list[tuple[float, int, int, bytes]] = []
    number = 0
    now = time.monotonic
    while True:
        readable, _, _ = select.select(devices, [], [], max(0.0, held[0][0] - now()) if held else None)
        for device in readable:
            way = from_[device]
            for _ in range(_AT_ONCE):
                try:
                    packet = os.read(device, _LONGEST)
                except BlockingIOError:
                    break
                number += 1
                free[device] = max(now(), free[device]) + (len(packet) + ETHERNET) / way.rate
                heapq.heappush(held, (free[device] + way.delay, number, way.end, packet))
            _deliver(held, now())
        _deliver(held, now())


def _deliver(held: list[tuple[float, int, int, bytes]], at: float) -> None:
    while held and held[0][0] <= at:
        _, _, device, packet = heapq.heappop(held)
        with contextlib.suppress(OSError):  # the device is gone or full: a packet lost, as anywhere
            os.write(device, packet)
