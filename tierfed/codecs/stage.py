"""Stages: what codecs are made of.

    clip + topk + int8 + zstd     array -> array, array -> shorter array, array -> bytes, bytes -> bytes

A *float stage* gives another chunk of floats, a *short stage* fewer floats and a few bytes that
say of what, an *array stage* writes a chunk of numbers as bytes, and a *byte stage* writes bytes
as fewer bytes.  A stage is a frozen dataclass whose
fields are its options, each with a default: two nodes whose stages are equal understand
each other.  Type and shape come from the program and never travel, so a decoder knows how
many elements to expect before it reads a byte.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import Field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tierfed.codecs.stream import Stream

if TYPE_CHECKING:
    from tierfed.codecs.chain import Codec

Buffer: TypeAlias = bytes | bytearray | memoryview
Array: TypeAlias = NDArray[Any]


class Summing(ABC):
    """A sum of codes that were all made alike, kept in the form that they add in: one of a chunk of a sum.

    It takes all that `decode` takes: of a message, all chunks are found to decode before one is added.
    """

    __slots__ = ()

    @abstractmethod
    def add(self, data: memoryview) -> None:
        """Add a code, of `nbytes` bytes.  Raises CodecError, with the sum untouched, for bytes that cannot be added."""

    @abstractmethod
    def into(self, out: Array) -> None:
        """Add the decoded sum to `out`, the chunk that it is of; nothing is added after this."""


class FloatStage(ABC):
    """Floats to floats, on the sender's side alone: what was lost stays lost, and nothing of it travels."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # the options
    name: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]]
    state: ClassVar[str] = "none"  # what is kept from message to message: none, residual or base

    def check_rest(self, rest: Codec) -> None:
        """Raise CodecError if this stage, one with state, cannot stand before `rest`, the stages behind it."""
        return None

    @abstractmethod
    def apply(self, chunk: Array, first: int) -> Array:
        """Return another chunk of the dtype of `chunk`, which is not changed.

        `first` is the index of the chunk's first element in its tensor, for errors.
        Raises CodecError for values that it cannot carry.
        """


class ShortStage(ABC):
    """Floats to fewer floats, which the array stage behind it writes, and to a head: bytes that say what they are of.

    Chunks are as those of array stages; each is shortened for itself.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # the options
    name: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]]
    reach: ClassVar[float] = float(np.finfo(np.float32).max)  # the largest magnitude that it carries
    state: ClassVar[str] = "none"  # nothing is kept from message to message

    @property
    @abstractmethod
    def unbiased(self) -> bool:
        """Whether the mean of what is expanded is the input, whatever it is."""

    @property
    def linear(self) -> bool:
        """Whether the floats of codes with one head add up to those of the sum."""
        return False

    @property
    def alike(self) -> bool:
        """Whether the senders of one message err alike; see `ArrayStage`."""
        return False

    @property
    def sum_domain(self) -> str:
        """What an aggregator adds."""
        return "elements"

    def nmse(self, inner: float) -> float | None:
        """Return the `nmse` of a chain whose array stage has `inner`; see `ArrayStage`."""
        return None

    def floats(self, dtype: str) -> str:
        """Return the dtype of the floats of a chunk of `dtype`."""
        return dtype

    @abstractmethod
    def length(self, size: int) -> int:
        """Return how many floats there are of `size` elements, exactly."""

    @abstractmethod
    def head_bytes(self, size: int) -> int:
        """Return the bytes of the head of `size` elements, exactly."""

    @abstractmethod
    def shorten(self, chunk: Array, first: int, stream: Stream) -> tuple[Buffer, Array]:
        """Return the head and the floats of `chunk`, which is not changed.

        Raises CodecError for a NaN, an infinity and what is beyond float32.
        """

    def check(self, head: memoryview, size: int) -> None:
        """Raise CodecError for a head that `shorten` never writes."""
        return None

    @abstractmethod
    def expand(self, head: memoryview, values: Array, out: Array, *, adding: bool) -> None:
        """Fill `out` with what `values`, floats, stand for, or add that to it.

        Raises CodecError for a head that `shorten` never writes, with `out` untouched.
        """

    @abstractmethod
    def places(self, head: memoryview, size: int) -> Array | None:
        """Return the indices that the floats are of, None if each is of many elements."""

    @abstractmethod
    def bound(self, chunk: Array, inner: ArrayStage) -> Array:
        """Return how far each decoded element may lie from `chunk`'s, as float64; see `ArrayStage`."""


class ArrayStage(ABC):
    """Array to bytes.  Chunks are 1-D, C-contiguous, native-endian, and of a dtype in `dtypes`."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # the options
    name: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]]
    lossy: ClassVar[bool]
    reach: ClassVar[float] = float(np.finfo(np.float32).max)  # the largest magnitude that a lossy one carries
    kernels: ClassVar[str] = ""  # the module of tierfed.codecs.fast that has it compiled, if one has (compiled.py)

    agrees: ClassVar[bool] = False  # whether senders agree before they send (agreeing.py), of some shapes at least
    grain: ClassVar[str] = "chunk"  # what is coded at once: a chunk of 2^18 elements, or a whole tensor
    state: ClassVar[str] = "none"  # what a sender keeps between rounds

    def of_shape(self, shape: tuple[int, ...]) -> ArrayStage:
        """Return the stage of tensors of `shape`; itself, if it is the same for all."""
        return self

    def check(self, data: memoryview, size: int, dtype: str) -> bool:
        """Return whether `decode` would take `data`, if that can be said without decoding; False if it cannot.

        Raises CodecError for bytes that `encode` never writes.
        """
        return False

    @property
    def linear(self) -> bool:
        """Whether the code of a sum is the sum of codes made alike; a class attribute, as `unbiased`."""
        return False

    @property
    def alike(self) -> bool:
        """Whether the senders of one message err alike, by the numbers that they share: the error of their sum is then
        that of one sender of it, and does not average out."""
        return False

    @property
    def sum_domain(self) -> str:
        """What an aggregator adds: elements, or what `summing` keeps."""
        return "elements"

    @property
    @abstractmethod
    def unbiased(self) -> bool:
        """Whether the mean of decodes is the input; a class attribute where it depends on no option."""

    @property
    def nmse(self) -> float | None:
        """The expected ‖x - x̂‖² / ‖x‖² of many independent normal numbers, None if nobody knows."""
        return None

    def summing(self, size: int, dtype: str) -> Summing | None:
        """Return an empty sum of codes of `size` elements of `dtype`, None if codes are decoded to be added."""
        return None

    @abstractmethod
    def nbytes(self, size: int, dtype: str) -> int:
        """Return the bytes that `size` elements of `dtype` take, exactly."""

    @abstractmethod
    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        """Return the code of `chunk`, which is not changed; the code may be a view of it.

        `first` is the index of the chunk's first element in its tensor, for errors and as the
        place of its random numbers in `stream`, from which alone a codec takes any.
        Raises CodecError for values that the codec cannot carry.
        """

    @abstractmethod
    def decode(self, data: memoryview, out: Array) -> None:
        """Fill `out` from `data`, which has `nbytes` bytes.

        Raises CodecError for bytes that `encode` never writes, with `out` untouched.
        """

    def accumulate(self, data: memoryview, out: Array) -> None:
        """Add the decoded `data` to `out`; bit-equal to `decode` and `np.add`.

        Codecs that can do so tile by tile override this.  Where a sparse one has nothing to add,
        a negative zero stays one.
        """
        decoded = np.empty_like(out)
        self.decode(data, decoded)
        add(decoded, out)

    @abstractmethod
    def bound(self, chunk: Array) -> Array:
        """Return how far each decoded element may lie from `chunk`'s, as float64.

        The rounding to the declared dtype comes on top.
        """


class ByteStage(ABC):
    """Bytes to fewer bytes, without loss."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # the options
    name: ClassVar[str]

    @abstractmethod
    def most(self, size: int) -> int:
        """Return the most bytes that `size` bytes can take when encoded."""

    @abstractmethod
    def encode(self, data: Buffer) -> Buffer:
        """Return `data`, written in fewer bytes where it can be."""

    @abstractmethod
    def decode(self, data: memoryview, least: int, most: int) -> Buffer:
        """Return what `encode` was given, of `least` to `most` bytes.

        Raises CodecError for bytes that it never writes, and for any that hold another
        number, before memory is taken for them.
        """


Stage: TypeAlias = FloatStage | ShortStage | ArrayStage | ByteStage


def add(values: Array, out: Array) -> None:
    """Add `values` to `out`; integers wrap, floats may overflow to infinity, nobody is warned."""
    with np.errstate(all="ignore"):
        np.add(out, values, out=out)
