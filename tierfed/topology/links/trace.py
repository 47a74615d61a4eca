"""Traces: when a member was there, span by span, in seconds since the run began.

    seen = Trace(((0.0, 3600.0), (7200.0, 9000.0)))        there for an hour, away for one, there for half of one
    seen.there(3600.0), seen.next_there(3600.0)            False, 7200.0
    seen.next_there(9000.0)                                inf: it never comes back

    Trace(((0.0, 3600.0),), every=86400.0)                 the first hour of each day

Spans are in order, apart from each other, and within the period if there is one.  A span holds its beginning, not its
end.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans `spans`, again every `every` seconds if that is finite."""

    spans: tuple[tuple[float, float], ...]
    every: float = math.inf

    def of(self, seed: int, name: str) -> Trace:
        """Return the hours of the member called `name`: these, which are its own."""
        return self

    def there(self, at: float) -> bool:
        """Return whether the member is there at `at`."""
        within = at if self.every == math.inf else at % self.every
        last = bisect_right(self.spans, (within, math.inf)) - 1
        return last >= 0 and within < self.spans[last][1]

    def next_there(self, at: float) -> float:
        """Return the first time from `at` on at which the member is there, infinity if there is none."""
        return at if self.there(at) else next((edge for edge in self.changes() if edge > at), math.inf)

    def next_gone(self, at: float) -> float:
        """Return the first time from `at` on at which the member is not there, infinity if there is none."""
        return next((edge for edge in self.changes() if edge > at), math.inf) if self.there(at) else at

    def changes(self) -> Iterator[float]:
        """Yield the times after 0 at which it goes or comes, in turn."""
        before = 0.0  # the end of the last span, which the first of the next period may touch
        for period in itertools.count() if self.every < math.inf else (0,):
            start = period * self.every if period else 0.0
            for begin, end in self.spans:
                if start + begin > before:
                    if before > 0:
                        yield before
                    yield start + begin
                before = start + end
            if self.every < math.inf and self.spans == ((0.0, self.every),):
                return  # it is always there
        yield before
