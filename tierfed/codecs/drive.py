"""Drive: one bit an element, unbiased: the codes of eden(bits=1), under the name of their own paper.

    x̂ = ‖r‖² / ‖r‖₁ · sign(r), rotated back          vNMSE π/2 - 1 = 0.571

Wire form and reasons: eden.py.

Source: Vargaftik et al. 2021, arXiv:2105.08339, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tierfed.codecs import eden
from tierfed.codecs.stage import Array, ArrayStage, Buffer
from tierfed.codecs.stream import Stream
from tierfed.types.dtypes import FLOATS


@dataclass(frozen=True, slots=True)
class Drive(ArrayStage):
    """See the module docstring."""

    name: ClassVar[str] = "drive"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    lossy: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    kernels: ClassVar[str] = eden.KERNELS

    @property
    def nmse(self) -> float:
        return eden.ERRORS[1]

    def nbytes(self, size: int, dtype: str) -> int:
        return eden.Eden(1).nbytes(size, dtype)

    def encode(self, chunk: Array, first: int, stream: Stream) -> Buffer:
        return eden.encode(self.name, 1, chunk, first, stream)

    def decode(self, data: memoryview, out: Array) -> None:
        eden.unpack_rotated(self.name, 1, data, out, adding=False)

    def accumulate(self, data: memoryview, out: Array) -> None:
        eden.unpack_rotated(self.name, 1, data, out, adding=True)

    def bound(self, chunk: Array) -> Array:
        return eden.bound(1, chunk)
