"""Windows: when a member is there, in seconds since the run began.

    night = Window(22 * 3600, 6 * 3600, 86400, spread=7200).of(seed=7, name="c-03")
    night.there(0.0), night.there(12 * 3600.0)          True, False
    night.next_there(12 * 3600.0)                       79200.0 and some, when it comes back

The window of a member begins, and ends, up to `spread` later than said, by a share that is drawn uniformly from
the seed and the member's name: the same for the same seed, whoever asks first.  Who is in the middle of a
round when the window ends is gone at that moment.

Source: phones take part while they are idle, charging and on a free network, which is at night: Bonawitz et
al. 2019, arXiv:1902.01046, section 9.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin` to `end` of every period of `every` seconds; `end` before `begin` is that of the next period."""

    begin: float
    end: float
    every: float
    spread: float = 0.0

    def of(self, seed: int, name: str) -> Window:
        """Return the window of the member called `name`, shifted within the spread."""
        if not self.spread:
            return self
        drawn = hashlib.blake2b(f"available {seed} {name}".encode(), digest_size=8).digest()
        shift = self.spread * int.from_bytes(drawn, "big") / 2**64
        return replace(self, begin=self.begin + shift, end=self.end + shift, spread=0.0)

    @property
    def length(self) -> float:
        """How long the member is there in each period."""
        return (self.end - self.begin) % self.every

    def there(self, at: float) -> bool:
        """Return whether the member is there at `at`."""
        return (at - self.begin) % self.every < self.length

    def next_there(self, at: float) -> float:
        """Return the first time from `at` on at which the member is there."""
        return at if self.there(at) else self._next(at, self.begin)

    def next_gone(self, at: float) -> float:
        """Return the first time from `at` on at which the member is not there."""
        return self._next(at, self.end) if self.there(at) else at

    def changes(self) -> Iterator[float]:
        """Yield the times after 0 at which it goes or comes, in turn, without end."""
        away = self.every - self.length
        at = 0.0
        if self.there(0.0):
            at = self.next_gone(0.0)
            yield at
            at += away
        else:
            at = self.next_there(0.0)
        while True:
            yield at
            yield (at := at + self.length)
            at += away

    def _next(self, at: float, edge: float) -> float:
        return max(at, edge + math.ceil((at - edge) / self.every) * self.every)
