"""Delay: one process carries the packets of all links from end to end, each after its link's delay.

    carry([(upper, lower, 0.030), ...])        descriptors of tun devices; 30 ms each way; until it is killed

A kernel without netem cannot hold packets back, so this does.  Links keep order: packets of one link and direction
have one delay.  It waits in `select`, whose timeout is in microseconds (`poll` and asyncio round up to milliseconds),
and runs before every other process (`namespaces.started(urgent=True)`), so that it is late by tens of microseconds
also on a busy machine.  A packet costs it some 15 us of computing.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import time
from collections.abc import Sequence

_AT_ONCE = 32  # packets taken from one device before another has its turn
_LONGEST = 65536


def carry(links: Sequence[tuple[int, int, float]]) -> None:
    """Pass packets between the two descriptors of each link, delayed by so many seconds."""
    across: dict[int, tuple[int, float]] = {}
    for upper, lower, delay in links:
        across[upper], across[lower] = (lower, delay), (upper, delay)
    devices = list(across)
    held: list[tuple[float, int, int, bytes]] = []
    number = 0
    now = time.monotonic
    while True:
        readable, _, _ = select.select(devices, [], [], max(0.0, held[0][0] - now()) if held else None)
        for device in readable:
            other, delay = across[device]
            for _ in range(_AT_ONCE):
                try:
                    packet = os.read(device, _LONGEST)
                except BlockingIOError:
                    break
                number += 1
                heapq.heappush(held, (now() + delay, number, other, packet))
            _deliver(held, now())
        _deliver(held, now())


def _deliver(held: list[tuple[float, int, int, bytes]], at: float) -> None:
    while held and held[0][0] <= at:
        _, _, device, packet = heapq.heappop(held)
        with contextlib.suppress(OSError):  # the device is gone or full: a packet lost, as anywhere
            os.write(device, packet)
