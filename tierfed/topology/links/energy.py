"""Energy: the joules that a device takes over some time, from what it did in it.

    E = idle · (T - C) + computing · C + sent · B↑ + received · B↓

of T seconds, C of them computing, and B bytes sent and received.  Computing costs its watts instead of the idle ones;
bytes cost their joules on top of either, for radios and processors run at the same time.  It adds up:
the energy of two intervals is that of both together, so it may be summed over rounds, and over devices.
"""

from __future__ import annotations

from tierfed.topology.links.profile import DeviceProfile


def joules(
    device: DeviceProfile, seconds: float, computing: float = 0.0, sent: float = 0.0, received: float = 0.0
) -> float:
    """Return the joules of `device` over `seconds`, `computing` of them at work, and of the bytes it sent and received.

    Computing is at most all of the time: what is above that is left out.
    """
    work = min(computing, seconds)
    return device.idle * (seconds - work) + device.computing * work + device.sent * sent + device.received * received
