"""Delta: the difference to what the other end has already.

    delta+int8        v = x - b     sent: c(v)     b' = b + decoded c(v)     at both ends

The base b is what both ends had of the same value of the same program before, as it was decoded there: the
loop is closed, so errors do not add up, and what one message loses the next one carries.  A model that
changes little from round to round then goes down at the error of its changes: of a model of norm 1 that moves by
0.01, int8 errs by a hundredth of what it would alone.

Which base a message is relative to stands in its header, by the hash of its elements, so that no other
can be taken for it (node/bases.py).  Who has no base gets the value in full, exactly: with `none` in the place of
what codes differences.  Only downlinks have bases: an aggregator would keep one for each of its children.

Differences are taken in the tensor's dtype.  NaN and infinity are refused: there is no difference to them.

Source: differential coding, as in MPEG's P frames; Tang et al. 2019, arXiv:1905.05957 (DoubleSqueeze), for the
downlink's compression; Gruntkowska et al. 2023, arXiv:2209.15218, section 3 (EF21-P) for the closed loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tierfed.codecs.stage import Array, Buffer, FloatStage, add
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS

if TYPE_CHECKING:
    from tierfed.codecs.chain import Codec

BASE = "base"


@dataclass(frozen=True, slots=True)
class Delta(FloatStage):
    """See the module docstring."""

    name: ClassVar[str] = "delta"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    state: ClassVar[str] = BASE

    def check_rest(self, rest: Codec) -> None:
        """Anything may follow: what it loses is in the next difference."""

    def apply(self, chunk: Array, first: int) -> Array:
        return chunk


def difference(coder: Codec, chunk: Array, base: Array, after: Array, first: int, stream: Stream) -> Buffer:
    """Return the code of `chunk` relative to `base`; fill `after` with what the other end will have then.

    `coder` has this stage; all three arrays are of one dtype and size, and only `after` is changed.
    Raises CodecError as `encode_chunk` does, and for a difference that is not finite.
    """
    for stage in coder.stages_before_state:
        chunk = stage.apply(chunk, first)
    rest = coder.stages_behind_state
    with np.errstate(all="ignore"):
        given = chunk - base
        fine = not given.size or (np.isfinite(given.max()) and np.isfinite(given.min()))
    if not fine:
        at = int(np.argmin(np.isfinite(given)))
        raise CodecError(
            f"{float(chunk[at]):g} at element {first + at}, after {float(base[at]):g}, is no finite difference",
            where=Delta.name,
            mend="find the computation that made it, or use codec none on this link, which carries nan and infinity",
        )
    data = rest.encode_chunk(given, first, stream)
    rest.decode_chunk(data, after)
    add(base, after)
    return data
