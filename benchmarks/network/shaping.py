"""Shaping: the two ends of a link, with a rate for each direction and packets lost at random.

    link = Link(parent, child, "d0", ("127.1.0.1", "127.1.0.2"), LinkProfile(rate_up=500e3, delay=0.030, loss=0.01))
    delay.carry(delay.ways_of(link))                      moves its packets

An end is a tun device: what the kernel sends on it is read from its descriptor as an IP packet.

| what | how | where |
|---|---|---|
| rate | tbf, on leaving | rate_up at the child, rate_down at the parent |
| delay | delay.py, between the descriptors | one way, each way |
| loss | nft, on arriving | each way |

So a packet queues for the link, then travels, then may be lost, as over a real one.  The queue holds a quarter of
a second, at least 64 KiB: what does not fit is dropped, as by a real router.  Packets are of 1500 bytes with their IP
header, in which TCP carries 1448; a rate counts 14 more, as over Ethernet.  TCP is told to make one packet at a time
(`gso_max_segs`): a token bucket would count the parts of a larger one without what is added to each.

The route over a link names TCP's congestion control: a namespace may not have by default what its machine does not
allow.

Source: tc-tbf(8), nft(8), ip-route(8), Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import fcntl
import math
import os
import struct
from collections.abc import Sequence
from types import TracebackType

from benchmarks.network.namespaces import Namespace
from tierfed.topology.links.profile import LinkProfile

MTU = 1500  # bytes of an IP packet
ETHERNET = 14  # bytes of a frame beside the packet
CARRIED = 1448  # bytes of those that are TCP's: 20 of IP, 20 of TCP and 12 of time stamps are not
CONGESTION = "cubic"  # what Linux has by default; this machine may have another
UPLINK = "uplink"  # the device of a child
_QUEUE = 0.25  # seconds
_QUEUE_LEAST = 65536  # bytes
_BURST = 0.001  # seconds of the rate that may leave at once
_BURST_LEAST = 2 * (MTU + ETHERNET)
_TUNSETIFF = 0x400454CA
_TUN_NO_PI = 0x0001 | 0x1000
_WAITING = 4000  # packets that may wait for delay.py


class Link:
    """A link between two namespaces; `upper` and `lower` are the descriptors of its ends.

    `beyond` are the addresses further up and further down that are reached over it.
    """

    def __init__(
        self,
        parent: Namespace,
        child: Namespace,
        device: str,
        addresses: tuple[str, str],
        profile: LinkProfile,
        congestion: str = CONGESTION,
        beyond: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> None:
        self.profile = profile
        self.ends = (parent, device), (child, UPLINK)
        above, below = addresses
        over, under = ([above, *beyond[0]], [below, *beyond[1]])
        self.upper = _end(parent, device, above, under, profile.rate_down, profile.loss, congestion)
        self.lower = _end(child, UPLINK, below, over, profile.rate_up, profile.loss, congestion)

    def counted(self) -> tuple[int, int]:
        """Return the bytes of packets that were sent up and down so far, lost ones and repeats included."""
        (parent, device), (child, uplink) = self.ends
        return child.counters(uplink)[1], parent.counters(device)[1]

    def __enter__(self) -> Link:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove both ends."""
        for fd in (self.upper, self.lower):
            os.close(fd)


def _end(
    here: Namespace, device: str, own: str, others: Sequence[str], rate: float, loss: float, congestion: str
) -> int:
    """Make one end, over which `others` are reached, and which `rate` bytes a second leave; return its descriptor."""
    with here.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH14x", device.encode(), _TUN_NO_PI))
    here.run(
        "ip", "-batch", "-",
        text=f"addr replace {own}/32 dev lo\n"
        f"link set dev {device} mtu {MTU} txqueuelen {_WAITING} gso_max_segs 1 up\n"
        + "".join(f"route add {other}/32 dev {device} src {own} congctl {congestion}\n" for other in others),
    )  # fmt: skip
    if math.isfinite(rate):
        burst, queue = max(_BURST_LEAST, int(rate * _BURST)), max(_QUEUE_LEAST, int(rate * _QUEUE))
        bucket = f"tbf rate {rate * 8:.0f}bit burst {burst} limit {queue}"
        table = f"stab overhead {ETHERNET} linklayer ethernet"
        here.run("tc", "-batch", "-", text=f"qdisc add dev {device} root {table} {bucket}\n")
    if loss:
        here.run("nft", "-f", "-", text=_LOSS.format(device=device, millionths=round(loss * 1e6)))
    return fd


_LOSS = """\
table ip loss_{device} {{
  chain arriving {{
    type filter hook prerouting priority raw
    iifname "{device}" numgen random mod 1000000 < {millionths} drop
  }}
}}
"""
