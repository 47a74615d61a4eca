"""Clip: no element beyond a limit; a stage before the one that makes bytes.

    clip(0.5)+int8        x -> min(max(x, -0.5), 0.5) -> int8

Nothing of it travels and nothing undoes it: the receiver decodes what was clipped.  It bounds what
one element can do to the scale of its block (terngrad's above all), or one member to a sum.
It is biased where it clips.  NaN and infinity are refused, not clipped: they are mistakes.

A limit that the tensor's dtype does not have is rounded to it; one beyond its range clips nothing.

Source: Wen et al. 2017, arXiv:1705.07878, section 4.2, with a fixed limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs.stage import Array, FloatStage
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS


@dataclass(frozen=True, slots=True)
class Clip(FloatStage):
    """See the module docstring; `limit` is a positive number."""

    name: ClassVar[str] = "clip"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    limit: float = 1.0

    def __post_init__(self) -> None:
        if type(self.limit) not in (int, float) or not 0 < self.limit < math.inf:
            raise CodecError(f"the limit is {self.limit!r}", where="clip", mend="give a positive number: clip(0.5)")

    def apply(self, chunk: Array, first: int) -> Array:
        with np.errstate(all="ignore"):
            fine = np.isfinite(chunk)
            if not fine.all():
                at = int(np.argmin(fine))
                raise CodecError(
                    f"{float(chunk[at]):g} at element {first + at} cannot be clipped",
                    where=self.name,
                    mend="find the computation that made it, or use codec none on this link, "
                    "which carries nan and infinity",
                )
            limit = np.asarray(self.limit, np.float64).astype(chunk.dtype)
            clipped: Array = np.minimum(chunk, limit)
            np.maximum(clipped, -limit, out=clipped)
        return clipped
