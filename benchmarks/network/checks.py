"""Checks: whether the links of a setting are what they claim.

    for row in checked(setting): row["round_trip"], row["up"], row["down"], row["lost"], row["good"]

One link of each tier, with nothing else on it: datagrams echoed by the child give round trips and loss, and as many
full packets as go through give the rate of each direction.  No TCP is in it: what TCP makes of a link is the model's
to know.
"""

from __future__ import annotations

import contextlib
import functools
import math
import select
import socket
import statistics
import struct
import time
from typing import Any

from benchmarks.network.daemons import Tree
from benchmarks.network.namespaces import ended, started
from benchmarks.network.settings import Setting, Tier
from benchmarks.network.shaping import ETHERNET, MTU

_ECHO, _FLOOD = 4001, 4002
_PROBES = 400, 3000  # datagrams: on a link without loss, and with
_EACH = 0.003  # seconds between two of them
_PROBE = struct.Struct("<qd")
_HEADS = ETHERNET + 28  # bytes: of IP and UDP too
_FULL = bytes(MTU - 28)
_FLOODED = 2.0  # seconds
_SETTLED = 0.4  # seconds of it that do not count
_AHEAD = 16384  # bytes that a sender is ahead of the link: fewer than its queue holds
_PATIENCE = 60.0
ALLOWED_LATE = 0.001  # seconds by which the median round trip may be longer
ALLOWED_RATE = 0.02  # share by which a rate may differ beyond what chance does by loss
ALLOWED_LOSS = 3.5  # standard deviations


def checked(setting: Setting) -> list[dict[str, Any]]:
    """Return a row for each tier of a setting."""
    with Tree(setting, nodes=False) as tree:
        rows = []
        for tier in setting.tiers:
            child = next(name for name, placement in tree.tier_of.items() if placement == tier.name)
            address = tree.addresses[child]
            peer = started("network-peer", functools.partial(_answer, address), tree.namespaces[child])
            try:
                probe = functools.partial(_probe, address, tier)
                rows.append(_judged(setting, tier, tree.beside(tree.parents[child], probe, timeout=_PATIENCE)))
            finally:
                ended(peer)
        return rows


def _judged(setting: Setting, tier: Tier, found: dict[str, float]) -> dict[str, Any]:
    arrive = 1 - tier.loss / 100
    up, down = (min(rate, tier.shared or rate) * arrive for rate in (tier.rate_up, tier.rate_down))
    small = (_HEADS + _PROBE.size) * 8 / 1e6
    nominal = 2 * tier.delay / 1e3 + small / tier.rate_up + small / tier.rate_down
    nominal += 2 * small / tier.shared if tier.shared else 0.0
    lost = 1 - arrive**2
    sigma = math.sqrt(lost * (1 - lost) / found["probes"])
    good = 0 < found["round_trip"] - nominal < ALLOWED_LATE and abs(found["lost"] - lost) <= ALLOWED_LOSS * sigma
    for way, rate in (("up", up), ("down", down)):
        packets = rate * 1e6 / 8 / (MTU + ETHERNET) * (_FLOODED - _SETTLED)
        chance = ALLOWED_LOSS * math.sqrt((1 - arrive) / packets)
        good = good and abs(found[way] / rate - 1) < ALLOWED_RATE + chance
    return {
        "setting": setting.name,
        "tier": tier.name,
        **found,
        "nominal": {"round_trip": nominal, "up": up, "down": down, "lost": lost},
        "good": good,
    }


def _probe(address: str, tier: Tier) -> dict[str, float]:
    """Return round trips in seconds, rates in mbit a second, and the share of echoes that did not come."""
    trips, sent = _echoes(address, _PROBES[bool(tier.loss)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.settimeout(_PATIENCE)
        flood.connect((address, _FLOOD))
        flood.send(b"up")
        up = _received(flood)
        while select.select([flood], [], [], 0.5)[0]:  # what is still to come
            flood.recv(MTU)
        _send(flood, (address, _FLOOD))
        time.sleep(0.5 + tier.delay / 1e3)
        down = 0.0
        while not down:
            flood.send(b"?")
            if select.select([flood], [], [], 0.5)[0]:
                down = float(flood.recv(MTU))
    return {
        "round_trip": statistics.median(trips),
        "slow_trip": statistics.quantiles(trips, n=20)[-1],
        "probes": sent,
        "lost": 1 - len(trips) / sent,
        "up": up,
        "down": down,
    }


def _echoes(address: str, count: int) -> tuple[list[float], int]:
    """Return the round trips of those of `count` datagrams that came back."""
    trips = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, _ECHO))
        probe.setblocking(False)
        _until_there(probe)
        start = time.monotonic()
        due, sent = start, 0
        while sent < count or time.monotonic() < due + 1:
            now = time.monotonic()
            if sent < count and now >= due:
                probe.send(_PROBE.pack(sent, now))
                sent, due = sent + 1, due + _EACH
            wait = due - now if sent < count else due + 1 - now
            if select.select([probe], [], [], max(0.0, wait))[0]:
                trips.append(time.monotonic() - _PROBE.unpack(probe.recv(64))[1])
    return trips, sent


def _until_there(probe: socket.socket) -> None:
    """Send until something comes back: the peer may not listen yet."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(ConnectionRefusedError):
            probe.send(_PROBE.pack(-1, 0))
            if select.select([probe], [], [], 0.5)[0]:
                probe.recv(64)
                while select.select([probe], [], [], 0.5)[0]:
                    probe.recv(64)
                return
    raise ConnectionError("the peer does not answer")


def _send(flood: socket.socket, whom: tuple[str, int]) -> None:
    """Send full packets for a while: a sender waits while as many bytes as it may be ahead have not left."""
    flood.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AHEAD)
    until = time.monotonic() + _FLOODED
    while time.monotonic() < until:
        flood.sendto(_FULL, whom)


def _received(flood: socket.socket) -> float:
    """Return the mbit a second in which full packets come, once they do, heads included."""
    begun = start = last = 0.0
    counted = 0
    while not begun or last - begun < _FLOODED - 0.1:
        if len(flood.recv(MTU)) < len(_FULL):
            continue
        last = time.monotonic()
        begun = begun or last
        if start:
            counted += 1
        elif last - begun > _SETTLED:
            start = last
    return counted * (MTU + ETHERNET) * 8 / 1e6 / (last - start)


def _answer(address: str) -> None:
    """Be the peer: echo datagrams, send or take packets, until killed."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood,
    ):
        echo.bind((address, _ECHO))
        flood.bind((address, _FLOOD))
        received = 0.0
        while True:
            ready, _, _ = select.select([echo, flood], [], [])
            if echo in ready:
                data, whom = echo.recvfrom(64)
                echo.sendto(data, whom)
            if flood in ready:
                data, whom = flood.recvfrom(MTU)
                if data == b"up":
                    _send(flood, whom)
                elif data == b"?":
                    flood.sendto(str(received).encode(), whom)
                elif not received:
                    received = _received(flood)
