"""None: the raw array, little-endian.

Wire form: the elements in row-major order, little-endian.  n elements of k bytes take
k n bytes, and on little-endian machines encoding copies nothing.

Exact for every dtype but str (strings travel as offsets and bytes, both of them
integers).  NaN and infinity pass: nothing is computed from them here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs.stage import Array, ArrayStage, Buffer, add
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import NAMES, dtype_of


@dataclass(frozen=True, slots=True)
class Raw(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "none"
    dtypes: ClassVar[tuple[str, ...]] = tuple(n for n in NAMES if n != "str")
    lossy: ClassVar[bool] = False
    unbiased: ClassVar[bool] = True

    @property
    def nmse(self) -> float:
        return 0.0

    def nbytes(self, size: int, dtype: str) -> int:
        return size * (2 if dtype == "bfloat16" else dtype_of(dtype).itemsize)  # without importing ml_dtypes

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        little = chunk.byteswap() if sys.byteorder == "big" else chunk
        return little.view(np.uint8).data

    def decode(self, data: memoryview, out: Array) -> None:
        raw = _checked(data, out)
        out.view(np.uint8)[:] = raw
        if sys.byteorder == "big":
            out.byteswap(inplace=True)

    def accumulate(self, data: memoryview, out: Array) -> None:
        values = _checked(data, out).view(out.dtype)
        add(values.byteswap() if sys.byteorder == "big" else values, out)

    def bound(self, chunk: Array) -> Array:
        return np.zeros(chunk.shape)


def _checked(data: memoryview, out: Array) -> Array:
    """Return `data` as uint8; a bool must be 0 or 1, since numpy computes nonsense from others."""
    raw = np.frombuffer(data, np.uint8)
    if out.dtype == np.bool_ and raw.size and raw.max() > 1:
        at = int(np.argmax(raw > 1))
        raise CodecError(
            f"byte {raw[at]} at element {at} is no bool",
            where="none",
            mend="the bytes were damaged or written by another codec: name one codec for both ends of the link",
        )
    return raw
