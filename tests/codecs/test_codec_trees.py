"""Errors over tiers: they do not correlate between senders, so the error at the root is the sum over the tiers.

    NMSE at the root  =  Σ over tiers of  ω · ρ / m        ρ = mean ‖v‖² / ‖root‖²

m vectors v are sent at a tier, noise of the tiers below included, and ω ‖v‖² is the squared error of one v.  Here ω is
that of other encodings of the same v, by other streams: so the law holds for any codec and any values, and what it
says is that senders err independently and without bias.  Were the random numbers of senders alike, equal vectors
would err m times as much.  A codec that declares its ω is held to that too.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from tierfed.codecs import Stream, codec
from tierfed.types import TensorType

SIZE = 1 << 14
SENDERS = 64


def errors(c, x, *words):
    """Return what is decoded of each row of float32 `x` less the row; the streams are those of one message."""
    message = Stream.of("message", *words)
    t = TensorType("float32", x.shape[1:])
    sent = [c.decode(c.encode(v, message.at(i).beside(message)), t) for i, v in enumerate(x)]
    return np.array(sent, np.float64) - x


def energy(x):
    """Return the squared norm of each row."""
    return (np.asarray(x, np.float64) ** 2).sum(axis=-1)


@functools.cache
def correlated(correlation):
    """Return normal numbers, a row for each sender, of which any two correlate so much."""
    random = np.random.default_rng(0)
    common, own = random.standard_normal(SIZE), random.standard_normal((SENDERS, SIZE))
    return (correlation**0.5 * common + (1 - correlation) ** 0.5 * own).astype(np.float32)


def over(c, x, fans, *words):
    """Return the error of the mean of the rows of `x` over a tree of these fan-ins, and the one foretold."""
    root = x.mean(axis=0, dtype=np.float64)
    values, foretold = x, 0.0
    for tier, fan in enumerate(fans):
        alike = c.array_stage.alike
        # of 64 leaves, sixteen say what each of them errs by
        senders = values.mean(axis=0, keepdims=True) if alike else values[:: max(1, len(values) // 16)]
        of_one = energy(errors(c, senders, "other", tier, *words)).mean()
        foretold += of_one / (1 if alike else len(values)) / energy(root)
        sent = values + errors(c, values, tier, *words)
        values = sent.reshape(-1, fan, SIZE).mean(axis=1).astype(np.float32)
    return energy(values[0] - root) / energy(root), foretold


@pytest.mark.parametrize("fans", [(64,), (8, 8), (4, 4, 4)], ids=lambda f: "-".join(map(str, f)))
@pytest.mark.parametrize("correlation", [0.5, 1.0])
def test_errors_of_senders_do_not_correlate(unbiased_codec, correlation, fans):
    """64 vectors, correlated or equal, coded again at every hop: the error at the root is within 5 % of the sum.

    Senders of a codec that says that they err alike err as one that sends their mean, at each tier.
    """
    assert math.prod(fans) == SENDERS
    x = correlated(correlation)
    stage = unbiased_codec.array_stage
    heavy = stage.alike or (len(fans) > 2 and (stage.nmse or 0) > 2.1)  # a few draws have most of the error
    found, foretold = np.mean([over(unbiased_codec, x, fans, *[i] * heavy) for i in range(8 if heavy else 1)], axis=0)
    if not unbiased_codec.lossy:
        assert foretold == 0 and found < 1e-12
        return
    assert found == pytest.approx(foretold, rel=0.05)
    if stage.nmse is not None and len(fans) == 1:  # of normal numbers, as those of the leaves are
        independent = energy(x).mean() / SENDERS / energy(x.mean(axis=0))
        assert found == pytest.approx(stage.nmse * (1 if stage.alike else independent), rel=0.05)


def test_the_law_sees_errors_that_correlate():
    """One stream for all senders, of equal vectors, and the error is not an average but that of each of them."""
    c = codec("drive")
    one = np.random.default_rng(0).standard_normal(SIZE).astype(np.float32)
    error = c.decode(c.encode(one, Stream.of("all")), TensorType("float32", one.shape)) - one
    _, foretold = over(c, np.tile(one, (SENDERS, 1)), (SENDERS,))
    assert energy(error) / energy(one) == pytest.approx(SENDERS * foretold, rel=0.05)
