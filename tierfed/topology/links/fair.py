"""Fair: what each of many flows gets of one interface.

    water_fill(10, [2, 6, 6]) == [2, 4, 4]

Max-min fairness: no flow can have more without taking it from one that has as little or less.  Each flow gets its own
cap or the common *level*, whichever is less, and the level is such that they fill the capacity, unless their caps
together do not.

`Interface` is the fluid that flows at those rates: when a flow begins or ends, all rates change at once.  It
is exact, not stepped.  Flows of the same cap always run at the same rate, so they are one class with one count
of bytes served a flow, and what a class needs to know is which of its flows ends next.  The classes whose cap is below
the level run on the clock; all others run at the level, hence on a second clock, W = ∫ level dt.  So when the level
changes, no flow is touched, only the classes that it passed:  O(log n) for a flow, if few are.

Source: Bertsekas and Gallager, Data Networks, 2nd ed. 1992, 6.5.2 (max-min fairness, and why filling up finds it).
The second clock is that of fair queueing: Demers, Keshav and Shenker 1989.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierfed.errors import TopologyError

_TIE = 16  # ulps of the time: ends no further apart than rounding are one

Flow = Hashable


def water_fill(capacity: float, caps: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
    """Return the max-min fair rates of flows with these `caps` through `capacity`; either may be infinite."""
    wanted = np.asarray(caps, dtype=np.float64)
    if not wanted.size:
        return wanted.copy()
    ordered = np.sort(wanted, axis=None)
    with np.errstate(invalid="ignore"):  # inf - inf, behind the first flow that has no cap
        left = capacity - np.concatenate(([0.0], np.cumsum(ordered)[:-1]))
        levels = left / np.arange(ordered.size, 0, -1)  # were this flow and all above it to share alike
        above = ordered > levels
    return np.minimum(wanted, levels[above.argmax()]) if above.any() else wanted.copy()


class _Class:
    """The flows of one cap.

    Served so far, to a flow that has been there from the beginning: `served` at `since`, which is a time for a
    class that is `capped`, and a W for one that is not.  `ends` holds (served at its end, order of begin, flow).
    """

    __slots__ = ("cap", "capped", "count", "ends", "served", "since", "stamp")

    def __init__(self, cap: float) -> None:
        self.cap = cap
        self.capped = False
        self.count = 0
        self.served = 0.0
        self.since = 0.0
        self.stamp = 0
        self.ends: list[tuple[float, int, Flow]] = []


class Interface:
    """One interface of `capacity` bytes a second, and the flows through it.  Times are the caller's, and only rise."""

    def __init__(self, capacity: float) -> None:
        if not capacity > 0:
            raise TopologyError(
                f"an interface of {capacity:g} bytes a second carries nothing",
                where="link",
                mend="give it a rate above zero, or none",
            )
        self.capacity = capacity
        self._now = -math.inf
        self._level = math.inf
        self._clock = 0.0  # W
        self._caps: list[float] = []  # of all classes, rising; the first `_below` of them are capped
        self._below = 0
        self._wanted = 0.0  # by the capped, in all
        self._sharing = 0  # flows at the level
        self._classes: dict[float, _Class] = {}
        self._flows: dict[Flow, tuple[float, int, _Class]] = {}
        self._timed: list[tuple[float, int, int, _Class]] = []  # next ends of capped classes
        self._levelled: list[tuple[float, int, int, _Class]] = []  # next ends of the others, in W
        self._done: dict[Flow, float] = {}
        self._begun = 0
        self._announced = 0

    def __len__(self) -> int:
        return len(self._flows)

    def begin(self, flow: Flow, nbytes: float, cap: float, now: float) -> None:
        """Let `flow` carry `nbytes` from `now` on, at no more than `cap`.  Raises ValueError if it flows already."""
        if flow in self._flows or flow in self._done:
            raise ValueError(f"{flow!r} flows already")
        self._advance(now)
        if nbytes <= 0 or (cap == math.inf == self.capacity):
            self._done[flow] = self._now
            return
        group = self._classes.get(cap)
        if group is None:
            group = self._open(cap)
        end = self._served(group) + nbytes
        self._begun += 1
        self._flows[flow] = end, self._begun, group
        heappush(group.ends, (end, self._begun, flow))
        self._count(group, 1)
        self._settle_level()
        if group.ends[0][1] == self._begun:
            self._announce(group)

    def cancel(self, flow: Flow, now: float) -> None:
        """End `flow` before it is done; nothing if it does not flow."""
        self._advance(now)
        self._done.pop(flow, None)
        if flow in self._flows:
            group = self._remove(flow)
            self._settle_level()
            self._announce(group)

    def next_time(self, now: float) -> float:
        """Return when the next flow is done if nothing changes before, infinite if none ever is."""
        return now if self._done else max(now, self._next())

    def finished(self, now: float) -> list[Flow]:
        """Return the flows done by `now` that were not yet told of, by their ends, then by their begins."""
        self._advance(now)
        done = list(self._done)
        self._done.clear()
        return done

    def rate(self, flow: Flow) -> float:
        """Return the bytes a second that `flow` runs at, 0 if it does not flow (any more)."""
        entry = self._flows.get(flow)
        return min(entry[2].cap, self._level) if entry else 0.0

    def left(self, flow: Flow, now: float) -> float:
        """Return the bytes that `flow` still has to carry at `now`."""
        self._advance(now)
        entry = self._flows.get(flow)
        return max(0.0, entry[0] - self._served(entry[2])) if entry else 0.0

    # Time

    def _next(self) -> float:
        """Return the time of the next end, infinite if there is none."""
        for heap in (self._timed, self._levelled):
            while heap and heap[0][2] != heap[0][3].stamp:
                heappop(heap)
        at = self._timed[0][0] if self._timed else math.inf
        if self._levelled:
            at = min(at, self._now + (self._levelled[0][0] - self._clock) / self._level)
        return max(at, self._now)

    def _advance(self, now: float) -> None:
        """Go to `now`, through every end on the way: each changes the rates of those after it."""
        while (at := self._next()) <= now and at < math.inf:
            self._go(at)
            tie = _TIE * math.ulp(at)
            behind = self._clock + _TIE * math.ulp(self._clock) + (tie * self._level if self._sharing else 0.0)
            ended: list[tuple[int, Flow]] = []
            self._next()  # drops what is stale
            while self._timed and self._timed[0][0] <= at + tie:
                ended.append(self._end(self._timed))
            while self._levelled and self._levelled[0][0] <= behind:
                ended.append(self._end(self._levelled))
            if not ended:  # the end that was next, and that rounding put off
                heap = self._timed if self._timed and self._timed[0][0] <= at else self._levelled
                ended.append(self._end(heap))
            for _, flow in sorted(ended, key=lambda one: one[0]):
                self._done[flow] = at
            self._settle_level()
        self._go(now)

    def _go(self, now: float) -> None:
        if now > self._now:
            if self._sharing:
                self._clock += self._level * (now - self._now)
            self._now = now

    def _end(self, heap: list[tuple[float, int, int, _Class]]) -> tuple[int, Flow]:
        """Remove the flow at the head of `heap`; return its order of begin, and it."""
        group = heap[0][3]
        _, order, flow = group.ends[0]
        self._remove(flow)
        self._announce(group)
        self._next()
        return order, flow

    # Classes

    def _served(self, group: _Class) -> float:
        if group.capped:
            return group.served + group.cap * (self._now - group.since)
        return group.served + (self._clock - group.since)

    def _announce(self, group: _Class) -> None:
        """Put when the next flow of `group` ends where `_next` looks."""
        group.stamp += 1
        while group.ends and self._flows.get(group.ends[0][2], (0.0, 0))[1] != group.ends[0][1]:
            heappop(group.ends)  # cancelled
        if not group.ends:
            return
        more = group.ends[0][0] - group.served
        self._announced += 1
        if not group.capped:
            heappush(self._levelled, (group.since + more, self._announced, group.stamp, group))
        elif group.cap > 0:
            heappush(self._timed, (group.since + more / group.cap, self._announced, group.stamp, group))

    def _open(self, cap: float) -> _Class:
        group = self._classes[cap] = _Class(cap)
        group.capped = bisect_left(self._caps, cap) < self._below
        group.since = self._now if group.capped else self._clock
        self._below += group.capped
        insort(self._caps, cap)
        return group

    def _count(self, group: _Class, change: int) -> None:
        group.count += change
        if group.capped:
            self._wanted += change * group.cap
        else:
            self._sharing += change

    def _remove(self, flow: Flow) -> _Class:
        group = self._flows.pop(flow)[2]
        self._count(group, -1)
        if not group.count:
            group.ends.clear()
            del self._classes[group.cap]
            del self._caps[bisect_left(self._caps, group.cap)]
            self._below -= group.capped
            if not self._below:
                self._wanted = 0.0  # sheds the rounding of sums
            if not self._sharing:
                self._clock = 0.0
        return group

    def _settle_level(self) -> None:
        """Find the level again: first down as far as it must go, then up as far as it may, so it never goes round."""
        while self._below and (
            self._caps[self._below - 1] > (self.capacity - self._wanted) / self._sharing
            if self._sharing
            else self._wanted > self.capacity
        ):
            self._below -= 1
            self._turn(self._classes[self._caps[self._below]], capped=False)
        while self._sharing:
            self._level = (self.capacity - self._wanted) / self._sharing
            cap = self._caps[self._below]
            if cap > self._level or cap == math.inf:
                return
            self._turn(self._classes[cap], capped=True)
            self._below += 1
        self._level = math.inf

    def _turn(self, group: _Class, capped: bool) -> None:
        """Move `group` to the other clock."""
        served = self._served(group)
        self._count(group, -(count := group.count))
        group.capped = capped
        self._count(group, count)
        group.served, group.since = served, self._now if capped else self._clock
        self._announce(group)
