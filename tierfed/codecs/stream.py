"""Streams: the random numbers that a codec rounds with, which a retry finds again.

    stream = Stream.of(7, "3", "2.0", "c-eu-03", "").at("delta.w")     # keyed by who sends what, and when
    stream.sixteen(start, n)                                          # of its elements start to start + n

Each element of a tensor has a number of its own: the i-th 16 bits of Philox4x64-10 under
a key that is the BLAKE2b-16 of the words of the stream.  So a number depends neither on
how the tensor is cut nor on threads; a message that is sent again has the bytes that it
had; and two senders, whose keys differ, round independently.  That is what lets the errors of
many senders average out: with one stream for all, equal values would err equally.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3;
RFC 7693 (BLAKE2).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_KEY = 16  # bytes
_STEP = 16  # 16-bit numbers that one count of the generator gives


@dataclass(frozen=True, slots=True)
class Stream:
    """See the module docstring.  `Stream()` is one like others: with it, each call draws the same numbers.

    `shared` is the key of the numbers that all senders of one message of the program have: those of a codec
    whose codes add up only if all were made alike.
    """

    key: int = 0
    shared: int = 0

    @staticmethod
    def of(*words: str | int) -> Stream:
        """Return the stream of these words."""
        return Stream().at(*words)

    def at(self, *words: str | int) -> Stream:
        """Return the stream of further words."""
        key = _hashed(self.key, words)
        return Stream(key, key if self.shared == self.key else _hashed(self.shared, words))

    def beside(self, others: Stream) -> Stream:
        """Return this stream, whose `common` numbers are those of `others`."""
        return Stream(self.key, others.key)

    @property
    def common(self) -> Stream:
        """The numbers that this sender shares with the others of its message."""
        return Stream(self.shared, self.shared)

    def place(self, start: int) -> tuple[np.uint64, np.uint64, np.uint64]:
        """Return the key, lower half first, and the count from which the numbers from `start` on are drawn.

        A compiled codec draws them itself, if `begins(start)`.
        """
        return np.uint64(self.key % 2**64), np.uint64(self.key >> 64), np.uint64(start // _STEP)

    @staticmethod
    def begins(start: int) -> bool:
        """Return whether the number of the element `start` is the first that its count gives."""
        return start % _STEP == 0

    def sixteen(self, start: int, size: int) -> NDArray[np.uint16]:
        """Return the numbers of the elements `start` to `start + size`, 16 random bits each."""
        skipped = start % _STEP
        words = -(-(skipped + size) // 4)
        raw = np.random.Philox(key=self.key, counter=start // _STEP).random_raw(words)
        numbers: NDArray[np.uint16] = raw.astype("<u8", copy=False).view("<u2")[skipped : skipped + size]
        return numbers


def _hashed(key: int, words: tuple[str | int, ...]) -> int:
    hashed = hashlib.blake2b(key.to_bytes(_KEY, "little"), digest_size=_KEY)
    for word in words:
        text = str(word).encode("utf-8", "surrogatepass")
        hashed.update(len(text).to_bytes(8, "little") + text)
    return int.from_bytes(hashed.digest(), "little")
