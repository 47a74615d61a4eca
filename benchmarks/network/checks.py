"""Checks: whether the links of a setting are what they claim.

    for row in checked(setting): row["round_trip"], row["up"], row["down"], row["lost"], row["good"]

One link of each tier, with nothing else on it: datagrams echoed by the child give round trips and loss, and one TCP
stream each way, once it is up to speed, gives throughput.  Rates are of whole packets, as they are set: TCP's bytes
times 1514/1448.  Under loss TCP stays below the rate, by a law that the model has to know, so there the throughput
is context and judged by nobody.
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
from benchmarks.network.shaping import CARRIED, ETHERNET, MTU

_ECHO, _STREAM = 4001, 4002
_PROBES = 400, 3000  # datagrams: on a link without loss, and with
_EACH = 0.003  # seconds between two of them
_PROBE = struct.Struct("<qd")
_HEADS = 42  # bytes of Ethernet, IP and UDP
_STREAMED = 3.5  # seconds of a stream
_UP_TO_SPEED = 1.5  # seconds of it that do not count
_PATIENCE = 60.0
_PIECE = bytes(65536)
ALLOWED_LATE = 0.001  # seconds by which the median round trip may be longer
ALLOWED_RATE = 0.03  # share by which the throughput may differ
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
    small = (_HEADS + _PROBE.size) * 8 / 1e6
    up, down = (min(rate, tier.shared or rate) for rate in (tier.rate_up, tier.rate_down))
    nominal = 2 * tier.delay / 1e3 + small / tier.rate_up + small / tier.rate_down
    nominal += 2 * small / tier.shared if tier.shared else 0.0
    lost = 1 - (1 - tier.loss / 100) ** 2
    sigma = math.sqrt(lost * (1 - lost) / found["probes"])
    late = found["round_trip"] - nominal
    good = 0 < late < ALLOWED_LATE and abs(found["lost"] - lost) <= ALLOWED_LOSS * sigma
    if not tier.loss:
        good = good and abs(found["up"] / up - 1) < ALLOWED_RATE
        good = good and abs(found["down"] / down - 1) < ALLOWED_RATE
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
    with _connected(address) as stream:
        stream.sendall(b"u")
        up = _received(stream)
    with _connected(address) as stream:
        stream.sendall(b"d")
        _send(stream)
    with _connected(address) as stream:
        stream.sendall(b"?")
        down = float(stream.makefile().read())
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


def _connected(address: str) -> socket.socket:
    return socket.create_connection((address, _STREAM), timeout=_PATIENCE)


def _send(stream: socket.socket) -> None:
    """Send until the other end has enough."""
    with contextlib.suppress(ConnectionError):
        while True:
            stream.sendall(_PIECE)


def _received(stream: socket.socket) -> float:
    """Return the mbit of packets a second in which a stream came, once it was up to speed."""
    begun = last = time.monotonic()
    start = None
    counted = 0
    while last - begun < _STREAMED:
        counted += len(stream.recv(1 << 18))
        last = time.monotonic()
        if start is None and last - begun > _UP_TO_SPEED:
            start, counted = last, 0
    assert start is not None
    return counted * 8 / 1e6 / (last - start) * (MTU + ETHERNET) / CARRIED


def _answer(address: str) -> None:
    """Be the peer: echo datagrams, send or take streams, until killed."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo,
        socket.create_server((address, _STREAM)) as listener,
    ):
        echo.bind((address, _ECHO))
        received = 0.0
        while True:
            ready, _, _ = select.select([echo, listener], [], [])
            if echo in ready:
                data, whom = echo.recvfrom(64)
                echo.sendto(data, whom)
            if listener in ready:
                stream, _ = listener.accept()
                with stream:
                    match stream.recv(1):
                        case b"u":
                            _send(stream)
                        case b"d":
                            received = _received(stream)
                        case _:
                            stream.sendall(str(received).encode())
