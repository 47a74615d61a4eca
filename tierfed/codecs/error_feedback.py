"""Error feedback: what a code has lost of one message is added to the next.

    error_feedback+topk(0.01)+int8        v = x + e     sent: c(v)     e' = v - decoded c(v)

The residual e belongs to the sender of a link.  It is there for each tensor that is coded, of its
shape, in units of what is sent (for a mean, the weighted sum), float64 for float64 tensors and
float32 for all others.  A biased code that keeps the same places again and again, or loses what
is small, thereby sends everything in the end:

    Σ decoded + e = Σ x        but for the rounding of these sums

The stage stands anywhere before the one that makes bytes.  What the stages before it cut (`clip`) is gone,
what those behind it cut stays in the residual.  Where x has room in the tensor's dtype and x + e has
not, the excess stays there too.  When a residual becomes that of the next message is the node's affair
(node/residuals.py); the stage by itself, without a node, starts from nothing at each call.

Sound while a code loses less than it was given: a code whose error is as large as the values, as
those are that are unbiased at the price of a high variance, would make the residual grow for ever.  It
is refused, and needs no feedback: its errors average out by themselves.

Source: Seide et al. 2014, "1-bit stochastic gradient descent"; Karimireddy et al. 2019, arXiv:1901.09847,
algorithm 1; Stich and Karimireddy 2020, arXiv:1909.05350, for the contraction that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tierfed.codecs.stage import Array, Buffer, FloatStage
from tierfed.codecs.stream import Stream
from tierfed.errors import CodecError
from tierfed.types.dtypes import FLOATS, dtype_of

if TYPE_CHECKING:
    from tierfed.codecs.chain import Codec

RESIDUAL = "residual"


@dataclass(frozen=True, slots=True)
class ErrorFeedback(FloatStage):
    """See the module docstring."""

    name: ClassVar[str] = "error_feedback"
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    state: ClassVar[str] = RESIDUAL

    def check_rest(self, rest: Codec) -> None:
        if not rest.lossy:
            raise CodecError(
                f"{rest} loses nothing that could be fed back",
                where=self.name,
                mend="leave error_feedback out, or name a codec behind it that loses something: "
                "error_feedback+topk(0.01)+int8",
            )
        nmse = rest.array_stage.nmse
        if nmse is not None and nmse >= 1:
            out = "leave error_feedback out" + (", since its errors average out" if rest.array_stage.unbiased else "")
            raise CodecError(
                f"{rest} errs by {nmse:.3g} times what it is given (squared), so the residual would grow for ever",
                where=self.name,
                mend=f"{out}, or name a codec that errs by less than 1: topk, sign, int8, eden",
            )

    def apply(self, chunk: Array, first: int) -> Array:
        return chunk


def residual_dtype(dtype: str) -> np.dtype[np.floating]:
    """Return the dtype of the residual of a tensor of `dtype`."""
    return np.dtype(np.float64 if dtype == "float64" else np.float32)


def feed_back(coder: Codec, chunk: Array, before: Array | None, after: Array, first: int, stream: Stream) -> Buffer:
    """Return the code of `chunk` and the residual `before` (nothing, if None); fill `after` with what it loses.

    `coder` has this stage; `before` and `after` are of `residual_dtype` and the size of the chunk, of which
    only `after` is changed.  Raises CodecError as `encode_chunk` does.
    """
    wide, given = fed(coder, chunk, before, after.dtype, first)
    rest = coder.stages_behind_state
    data = rest.encode_chunk(given, first, stream)
    decoded = np.empty_like(given)
    rest.decode_chunk(data, decoded)
    with np.errstate(all="ignore"):
        np.subtract(wide, decoded, out=after)
    return data


def fed(
    coder: Codec, chunk: Array, before: Array | None, dtype: np.dtype[np.floating], first: int
) -> tuple[Array, Array]:
    """Return `chunk` and the residual, added up in `dtype`, and as they are given to the stages behind this one."""
    for stage in coder.stages_before_state:
        chunk = stage.apply(chunk, first)
    with np.errstate(all="ignore"):
        wide = chunk.astype(dtype)
        if before is not None:
            wide += before
            if not (fine := np.isfinite(wide)).all():  # beyond float32, which is lost
                over = ~fine & np.isfinite(chunk)
                wide[over] = np.copysign(np.finfo(dtype).max, before[over])
        given = wide.astype(chunk.dtype)
        _hold_back(given, chunk, coder.stages_behind_state.array_stage.reach)
    return wide, given


def _hold_back(given: Array, chunk: Array, reach: float) -> None:
    """Cut `given` where the code has no room for it and had for `chunk`: the rest stays in the residual."""
    most = min(_largest(chunk.dtype), reach)
    far = ~(np.abs(given) <= most)
    if far.any():
        room = far & (np.abs(chunk) <= most)
        given[room] = np.copysign(np.asarray(most, np.float64), given[room].astype(np.float64)).astype(given.dtype)


def _largest(dtype: np.dtype[np.floating]) -> float:
    """Return the largest finite number of a dtype of floats."""
    if dtype == dtype_of("bfloat16"):
        return float.fromhex("0x1.fep127")
    return float(np.finfo(dtype).max)
