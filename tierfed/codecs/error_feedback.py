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
    given = _added(coder, chunk, before, after, first)
    rest = coder.stages_behind_state
    data = rest.encode_chunk(given, first, stream)
    if np.may_share_memory(np.frombuffer(data, np.uint8), after):  # some codes are views of what they are of
        data = bytes(data)
    decoded = np.empty_like(given)
    rest.decode_chunk(data, decoded)
    with np.errstate(all="ignore"):
        np.subtract(after, decoded, out=after)
    return data


def fed(coder: Codec, chunk: Array, before: Array | None, dtype: np.dtype[np.floating], first: int) -> Array:
    """Return `chunk` and the residual, added up in `dtype`, as the stages behind this one are given it."""
    return _added(coder, chunk, before, np.empty(chunk.size, dtype), first)


def _added(coder: Codec, chunk: Array, before: Array | None, wide: Array, first: int) -> Array:
    """Fill `wide` with `chunk` and the residual; return that as the stages behind this one are given it."""
    for stage in coder.stages_before_state:
        chunk = stage.apply(chunk, first)
    most = min(_largest(chunk.dtype), coder.stages_behind_state.array_stage.reach)
    with np.errstate(all="ignore"):
        if before is None:
            np.copyto(wide, chunk)
        else:
            np.add(chunk, before, out=wide, dtype=wide.dtype)
        if not wide.size or (wide.max() <= most and wide.min() >= -most):  # false where there is a NaN
            return wide if wide.dtype == chunk.dtype else wide.astype(chunk.dtype)
        over = np.isinf(wide) & np.isfinite(chunk)  # beyond float32, which is lost
        wide[over] = np.copysign(np.finfo(wide.dtype).max, wide[over])
        given = wide.astype(chunk.dtype)
        held = ~(np.abs(given) <= most) & (np.abs(chunk) <= most)  # there is room for it later
        given[held] = np.copysign(most, wide[held])
    return given


def _largest(dtype: np.dtype[np.floating]) -> float:
    """Return the largest finite number of a dtype of floats."""
    if dtype == dtype_of("bfloat16"):
        return float.fromhex("0x1.fep127")
    return float(np.finfo(dtype).max)
