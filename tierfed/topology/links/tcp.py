"""TCP: what delay and loss make of a link's rate, for the messages of a connection.

Loss is not seen by who uses TCP: what is lost is sent again, and the message is late.  So a lossy link is here one
that carries less, and carries each message later.

    seconds of a message = bytes / cap + latency

    cap       what a connection that never pauses carries:  min(c (1 - p), W / RTT)
    latency   of this message beyond that: delay and jitter, windows that are still small, what is sent again

with c the rate without headers, p the loss, and W the mean window of CUBIC in segments: the larger one of

    √(1.5 / p)            as fair as Reno: Mathis et al. 1997, eq. 3, which RFC 9438, 4.3, chooses its growth for
    1.054 (RTT / p)^¾     over long paths: RFC 9438, eq. 6

the first of them less what Linux makes of it: nothing grows in the round of recovery, it looks no more than 32 times
a second how much to grow, and windows are whole segments.

The latency is drawn in rounds of one RTT, as Cardwell, Savage and Anderson (2000) reckon the mean.  In each round a
window of segments leaves at the rate c, and where it takes less than the RTT the sender then waits for the first
acknowledgement.  The window begins at 10, doubles in each round until the first loss, and falls to .7 of itself in a
round with losses; from there it grows as CUBIC's does.  It is kept from message to message, but halved for each
retransmission timeout that a pause lasts, down to 10.  Every segment is lost with probability p, whatever
became of others, and a lost one costs

    1 RTT            if at least three that left after it arrive (duplicate acknowledgements),
    1.25 RTT         if fewer do (RACK's reordering window),
    2 RTT            if it is the message's last (tail loss probe),
    RTT + 200 ms     if it is alone (retransmission timeout)

from when it left.  If a copy is lost too, the next leaves one timeout later, then two, four and so on; in the middle
of a message, one RTT.  The message is whole when its last segment is.  So losses in the middle of a long message cost
only window.

Padhye et al. (1998) reckon with timeouts as the usual end of a window; SACK, RACK and tail loss probes have made them
rare (2 in 100 losses, by a kernel's own count), which is why their term for it is not here.

Sources: Mathis, Semke, Mahdavi and Ott 1997 (the macroscopic behaviour of congestion avoidance); Padhye, Firoiu,
Towsley and Kurose 1998 (modeling TCP throughput); Cardwell, Savage and Anderson 2000 (modeling TCP latency); RFC 9438
(CUBIC), RFC 8985 (RACK-TLP), RFC 6298 (timeout), RFC 6928 (initial window of 10); tcp_cubic.c, tcp_input.c and
tcp_output.c of Linux, whose settings these are.
"""

from __future__ import annotations

import functools
import math
import statistics
from random import Random

from tierfed.topology.links.profile import LinkProfile
from tierfed.topology.links.table import Delays

SEGMENT = 1448  # bytes of a message in a full packet: 1500 less 20 of IP and 32 of TCP with timestamps
PACKET = 1514  # bytes of it that a rate counts: with 14 of Ethernet, as tbf does
INITIAL_WINDOW = 10.0  # segments
LEAST_WINDOW = 2.0
WINDOW_BYTES = 3 * 2**20  # unacknowledged at most: Linux' default socket buffers, of which overhead takes half
BETA = 0.7  # what a loss leaves of the window
CUBIC = 0.4  # its constant C, segments a second³
UPDATES = 1 / 32  # seconds between looks at how much to grow
HELD = 1.0  # rounds after a loss in which nothing grows
CORNER = 2.5  # how sharp it is between rates limited by the link and by losses
QUEUE = 1.0  # at the bottleneck, in products of rate and RTT: how far the window may outgrow the path
TIMEOUT = 0.2  # seconds above the RTT, at least
TIMEOUT_MOST = 120.0
REORDERING = 0.25  # RTTs that RACK waits
PROBE = 2.0  # RTTs until a tail loss probe
LOSSES = 100  # of one message that are drawn one by one; the rest of it flows at the cap
CONNECTIONS, MESSAGES = 30, 20  # of each, that an expected latency is the mean of

_NEVER = 1 << 62


class Path:
    """One direction of a connection over a link: it `rises` if it is that towards the root.

    The random numbers come from `random`; equal ones in equal order give equal latencies.  Many may share one.
    """

    __slots__ = (
        "_age", "_behind", "_delays", "_each", "_friendly", "_grows", "_growth", "_loss", "_most", "_peak", "_random",
        "_reduced", "_room", "_since", "_threshold", "_turn", "_window", "cap", "goodput", "profile", "rises", "rtt",
        "timeout",
    )  # fmt: skip

    def __init__(self, profile: LinkProfile, rises: bool, random: Random) -> None:
        self.profile = profile
        self.rises = rises
        rate = profile.rate_up if rises else profile.rate_down
        self.goodput = rate * SEGMENT / PACKET  # bytes/s of messages, if nothing is lost
        self.rtt = 2 * profile.delay + (PACKET / rate if rate < math.inf else 0.0)
        self.timeout = self.rtt + max(TIMEOUT, 4 * profile.jitter)
        self._random = random
        self._delays = Delays(profile, random)
        self._loss = profile.loss
        self._each = SEGMENT / self.goodput  # seconds a segment
        self._most = _most_window(self.goodput, self.rtt)
        self.cap = self.goodput * (1 - self._loss) if self._loss < 1 else 0.0
        self._growth = 0.0  # of Reno's window, segments a round
        if self.rtt:
            self._growth = 1 / ((1 + BETA) / (3 * (1 - BETA)) + UPDATES / 2 / self.rtt)
            self.cap = min(self.cap, WINDOW_BYTES / self.rtt)
            if 0 < self._loss < 1:
                mean = max(_reno(self._loss, self._growth), _cubic(self._loss, self.rtt)) - 0.5  # whole segments
                self.cap = _corner(self.cap, max(1.0, mean) * SEGMENT / self.rtt * (1 - self._loss))
        self._window = INITIAL_WINDOW
        self._threshold = math.inf  # of slow start
        self._peak = 0.0  # the window that CUBIC goes back to
        self._behind = 0.0  # seconds that the sender is behind the caller's clock
        self._grows = False  # whether it is on its way
        self._age = 0.0  # for how many seconds
        self._turn = 0.0  # at which age it is there
        self._friendly = 0.0  # Reno's window
        self._room, self._since, self._reduced = int(INITIAL_WINDOW), 0.0, False  # of the round that was the last

    def latency(self, nbytes: int, idle: float, more: int = 0) -> float:
        """Return the seconds that a message of `nbytes` takes beyond `nbytes / cap`, at least its delay.

        `idle` are the seconds since the bytes of the message before were through at their rate, infinite if
        there was none; `more` the bytes that follow at once, so the loss of this one's last segment is soon known.
        """
        return self._draw(nbytes, idle, more, self.cap)[1]

    def carry(self, nbytes: int, idle: float, more: int = 0) -> tuple[float, float]:
        """Return the rate that this message asks for, and its latency beyond `nbytes` at that rate.

        As `latency`, but a short message may be over before it meets the losses that hold a long one
        down: it asks for more than `cap`, up to the rate of the link.
        """
        return self._draw(nbytes, idle, more, self.goodput)

    def expected(self, nbytes: int) -> float:
        """Return the mean latency of messages of `nbytes` that come with pauses between them, as those of rounds do."""
        return _expected(self.profile, self.rises, nbytes)

    # One message

    def _draw(self, nbytes: int, idle: float, more: int, most: float) -> tuple[float, float]:
        """Return the rate of a message, at most `most` if above the cap, and its latency beyond `nbytes` at that rate.

        Where this sender waits, the caller does not: what follows at once begins as much later as it is `_behind`.
        """
        if not self.cap:
            return 0.0, math.inf
        behind = max(0.0, self._behind - idle)
        sent = seconds = nbytes / self.cap
        if self._loss or self.profile.delay:
            sent, seconds = self._leave(nbytes, max(0.0, idle - self._behind), more)
        cap = max(self.cap, min(most, nbytes / seconds if seconds > 0 else math.inf))
        self._behind = behind + max(0.0, sent - nbytes / cap)
        return cap, self._delays.next() + behind + max(0.0, seconds - nbytes / cap)

    def _leave(self, nbytes: int, idle: float, more: int) -> tuple[float, float]:
        """Return the seconds from the first segment's leaving to the last one's, and to the last copy's."""
        room, began, reduced = self._take_up(idle)
        left, follow = max(1, math.ceil(nbytes / SEGMENT)), math.ceil(more / SEGMENT)
        short = (left * SEGMENT - nbytes) / self.goodput  # what the last segment is not full of
        alone = left + follow == 1
        now, whole = 0.0, 0.0
        lost = 0
        gap = self._gap()
        while True:
            step = min(gap, left, room)
            now += step * self._each
            left, room, gap = left - step, room - step, gap - step
            if not gap:
                lost += 1
                whole = max(whole, now + self._again(min(left + follow, int(self._window) - 1), alone))
                gap = self._gap()
                if not reduced:
                    self._lose()
                    reduced = True
            if lost == LOSSES:
                now, left = now + left * SEGMENT / self.cap, 0
            elif gap == _NEVER and self._window * self._each >= self.rtt:  # never to wait again
                now, left = now + left * self._each, 0
            if not left:
                break
            if not room:
                now = max(now, began + self.rtt + self._each)
                self._grow(reduced)
                room, began, reduced = int(self._window), now, False
        self._room, self._since, self._reduced = room, now - began, reduced
        return now - short, max(now, whole) - short

    def _take_up(self, idle: float) -> tuple[int, float, bool]:
        """Return what a message finds: the room in the window, when its round began, whether that had a loss."""
        if self._since + idle < self.rtt:  # in the midst of a round
            return self._room, -self._since - idle, self._reduced
        self._rest(int(self._window) - self._room, self._reduced)
        self._resume(idle)
        return int(self._window), 0.0, False

    def _gap(self) -> int:
        """Return how many segments there are up to and with the next that is lost."""
        if not self._loss:
            return _NEVER
        return 1 + int(math.log(1.0 - self._random.random()) / math.log1p(-self._loss))

    def _again(self, later: int, alone: bool) -> float:
        """Return the seconds until the copy of a lost segment leaves that arrives, `later` ones being under way."""
        if later > 0:
            wait = self.rtt * (1.0 if later >= 3 else 1 + REORDERING)
        else:
            wait = self.timeout if alone else min(PROBE * self.rtt, self.timeout)
        backoff = self.timeout
        while self._random.random() < self._loss:
            if later > 0:
                wait += self.rtt
            else:
                wait += backoff
                backoff = min(2 * backoff, TIMEOUT_MOST)
        return wait

    def _lose(self) -> None:
        """Note what a loss leaves of the window, from the next round on."""
        self._threshold = max(LEAST_WINDOW, float(int(BETA * self._window)))
        self._peak = self._window * (1.0 if self._window >= self._peak else (1 + BETA) / 2)  # fast convergence
        self._grows = False

    def _grow(self, reduced: bool) -> None:
        """Go to the window of the next round."""
        if reduced:
            self._window = self._threshold
        elif self._window < self._threshold:
            self._window = min(2 * self._window, max(self._threshold, self._window + 1), self._most)
        elif not self._grows:  # after the round of recovery
            self._begin_growth()
        else:
            self._go_on(1.0)

    def _rest(self, used: int, reduced: bool) -> None:
        """Take in the acknowledgements of a message's last round, that `used` so much of its window."""
        if reduced:
            self._window = self._threshold
        if self._window < self._threshold:
            if 2 * used > self._window:  # else the message, and not the window, has limited it
                self._window = min(self._window + used, self._most)
        elif not self._grows:
            self._begin_growth()
        else:
            self._go_on(used / self._window)

    def _begin_growth(self) -> None:
        self._grows, self._age = True, 0.0
        self._peak = max(self._peak, self._window)
        self._turn = ((self._peak - self._window) / CUBIC) ** (1 / 3)
        self._friendly = self._window

    def _go_on(self, share: float) -> None:
        """Grow by this share of a round along CUBIC's curve, or as Reno does."""
        self._age += share * max(self.rtt, self._window * self._each)
        self._friendly += share * self._growth
        cubic = self._peak + CUBIC * (self._age - self._turn) ** 3
        aim = max(self._window, self._friendly, cubic)
        self._window = min(1.5 * self._window, aim, self._most)

    def _resume(self, idle: float) -> None:
        """Take the window back after a pause: half for every timeout, as tcp_slow_start_after_idle does."""
        timeout = self.timeout + max(0.0, self._window * self._each - self.rtt)  # the queue's time is in it
        if idle <= timeout:
            return
        self._threshold = max(self._threshold, 0.75 * self._window)
        halves = int(min(64.0, idle / timeout))
        self._window = max(min(INITIAL_WINDOW, self._window), self._window / 2**halves)


def _reno(loss: float, growth: float) -> float:
    """Return the mean window between losses if it grows by `growth` a round, but for that of recovery.

    From β w back to w in (1 - β) w / growth rounds, and 1 / loss segments meanwhile.
    """
    a, b = (1 - BETA**2) / (2 * growth), BETA * HELD
    peak = (math.sqrt(b * b + 4 * a / loss) - b) / (2 * a)
    return 1 / loss / (HELD + (1 - BETA) * peak / growth)


def _cubic(loss: float, rtt: float) -> float:
    """Return CUBIC's mean window in segments in its own region: RFC 9438, equation 6."""
    return math.pow(CUBIC * (3 + BETA) / (4 * (1 - BETA)), 0.25) * math.pow(rtt / loss, 0.75)


def _corner(link: float, window: float) -> float:
    """Return the rate of a connection that the link and the window each limit: near their corner, now one, now both."""
    return window / math.pow(1 + math.pow(window / link, CORNER), 1 / CORNER)


def _most_window(goodput: float, rtt: float) -> float:
    """Return the segments under way at most: what path and queue hold, and no more than the buffers."""
    path = goodput * rtt / SEGMENT if rtt else 0.0
    return max(INITIAL_WINDOW, min((1 + QUEUE) * path, WINDOW_BYTES / SEGMENT))


@functools.lru_cache(maxsize=4096)
def _expected(profile: LinkProfile, rises: bool, nbytes: int) -> float:
    """Return the mean latency over some messages each of some connections: each begins where losses have left it."""
    if not (profile.loss or profile.jitter):
        return Path(profile, rises, Random(0)).latency(nbytes, math.inf)
    random = Random(0)
    paths = [Path(profile, rises, random) for _ in range(CONNECTIONS)]
    return statistics.fmean(path.latency(nbytes, math.inf) for path in paths for _ in range(MESSAGES))
