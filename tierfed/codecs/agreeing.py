"""Agreeing: array stages whose senders settle something together before they send their codes.

    sender      offer(x)  ──▶  combine, combine …  ──▶  answer  ──▶  agreed(answer).encode(x)  ──▶  sum of codes
                each sender's        parent                to all          each sender's              parent

    thc         the size of each block                 the largest      integers on one grid
    powersgd    P = M Q                                 their sum, orthonormal       Mᵀ P̂

An offer and an answer are float32 numbers, as many as the type says.  What `agreed` gives is an array
stage like others, whose codes of several senders add up (`linear`): the sum is decoded once.

A sender that is alone (an array that is gathered, or coded outside of a link) agrees with itself:

    code = seed · answer · code of `agreed(answer)`

The *seed* stands for the random numbers that all senders of a message share; on a link it does not
travel, since each end finds it in `Stream.common`.

Sound because all that codes have in common is the answer, which is one, and the seed, which both ends derive from the
message's name.  A sender lost after its offer is missing from the sum and from nothing else.

Source: Li et al. 2024, arXiv:2302.08545, section 5 (a range that all workers share); Vogels et al. 2019,
arXiv:1905.13727, algorithm 1.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError

FLOAT = np.dtype("<f4")
_SEED = 8  # bytes


class Agreeing(ArrayStage):
    """See the module docstring."""

    __slots__ = ()
    seeded: ClassVar[bool] = True  # whether a decoder needs the seed
    linear: ClassVar[bool] = True

    @abstractmethod
    def offer_size(self, size: int) -> int:
        """Return how many numbers the offer of a chunk of `size` elements has."""

    @abstractmethod
    def answer_size(self, size: int) -> int:
        """Return how many numbers the answer has."""

    @abstractmethod
    def code_bytes(self, size: int, dtype: str) -> int:
        """Return the bytes that the code of one who has agreed takes."""

    @abstractmethod
    def offer(self, chunk: Array, first: int, seed: int) -> Array:
        """Return what the sender of `chunk` offers.  Raises CodecError for values that it cannot carry."""

    @abstractmethod
    def check_offer(self, offer: Array) -> None:
        """Raise CodecError for numbers that no sender offers."""

    @abstractmethod
    def combine(self, total: Array, offer: Array) -> None:
        """Put another sender's offer to those in `total`."""

    @abstractmethod
    def answer(self, total: Array) -> Array:
        """Return the answer to the offers in `total`."""

    @abstractmethod
    def agreed(self, answer: Array, seed: int) -> ArrayStage:
        """Return the stage of those who were answered so.  Raises CodecError for what is no answer."""

    def blank(self, size: int) -> ArrayStage:
        """Return the stage of those who offered nothing: it has the sizes of any other."""
        return self.agreed(np.zeros(self.answer_size(size), np.float32), 0)

    def nbytes(self, size: int, dtype: str) -> int:
        return self._header(size) + self.code_bytes(size, dtype)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        seed = seed_of(stream, first)
        total = self.offer(chunk, first, seed)
        answer = self.answer(total)
        code = self.agreed(answer, seed).encode(chunk, first, stream)
        return b"".join([*self._written(seed), answer.astype(FLOAT).tobytes(), code])

    def decode(self, data: memoryview, out: Array) -> None:
        stage, code = self._read(data, out)
        stage.decode(code, out)

    def accumulate(self, data: memoryview, out: Array) -> None:
        stage, code = self._read(data, out)
        stage.accumulate(code, out)

    def _written(self, seed: int) -> list[bytes]:
        return [seed.to_bytes(_SEED, "little")] if self.seeded else []

    def _header(self, size: int) -> int:
        """Return the bytes of the seed and of the answer."""
        return _SEED * self.seeded + FLOAT.itemsize * self.answer_size(size)

    def _read(self, data: memoryview, out: Array) -> tuple[ArrayStage, memoryview]:
        """Return the stage that wrote `data`, and its code."""
        header, seed = self._header(out.size), _SEED * self.seeded
        answer = np.frombuffer(data[seed:header], FLOAT).astype(np.float32)
        return self.agreed(answer, int.from_bytes(data[:seed], "little")), data[header:]


def seed_of(stream: Stream, first: int) -> int:
    """Return the seed of the chunk that begins at element `first` of the tensor of `stream`, for all its senders."""
    return stream.common.at("agreement", first).key % (1 << 64)


def damaged(name: str, what: str) -> CodecError:
    """Return the error for bytes that `name` never writes."""
    return CodecError(
        what,
        where=name,
        mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
    )
