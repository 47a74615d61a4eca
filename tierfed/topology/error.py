"""Error: what re-quantising at every hop adds up to at the root.

    64 clients, correlation .5, eden(bits=1)          flat 64: .0175      8-8: .106      4-4-4: .262

    NMSE at the root = Σ over tiers of ω ρ / m        ρ = mean ‖v‖² / ‖mean of the clients‖²

of the m vectors v that a tier sends, each coded with an expected error of ω ‖v‖² (`Codec.nmse`) that is
independent of all others and of mean zero.  Here it is summed member by member, of sums in place
of means, so that uneven trees count as they are: with k clients below, of norm 1 and pairwise
correlation c, a member's sum has the squared norm k + k (k - 1) c, and the errors of those
below it come on top, because they are orthogonal to it and to each other on average.

    v(n) = k + k (k - 1) c + e(n)       e(n) = Σ over children of e + ω v       NMSE = e(root) / (K + K (K - 1) c)

Of a cohort as many are summed as are to count.

An error that is biased, such as that of rounding to nearest, need not average out, so no number is given
where a codec is biased or its error unknown.  Nor for what stands above one that is biased by more
than a hundredth, for then v is not what is written above.

Source: independent errors of mean zero add up in squares; ω of EDEN: Vargaftik et al. 2022, arXiv:2108.08842.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierfed.codecs import Codec, Rules, link_codec
from tierfed.topology.cohort import counting
from tierfed.topology.model import Node, Topology

CORRELATION = 0.5
_NEGLIGIBLE = 0.01  # of ‖v‖²: a bias that leaves what is above it within the tolerance of the formula

_codec = functools.lru_cache(maxsize=256)(link_codec)  # most members share one

Mix = Sequence[tuple[Codec, float]]
"""The codecs of what a member sends up, each with its share of the elements."""


@dataclass(frozen=True, slots=True)
class TierError:
    """What a tier's hop up adds to the error at the root; None, and why, if that is not known."""

    nmse: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class RootError:
    """The error at the root by placement, of clients of a pairwise `correlation`."""

    correlation: float
    tiers: Mapping[str, TierError]

    @property
    def nmse(self) -> float | None:
        """The error of all hops together, None if that of one is not known."""
        parts = [tier.nmse for tier in self.tiers.values()]
        return None if None in parts else sum(part for part in parts if part is not None)


def at_root(
    topology: Topology, correlation: float = CORRELATION, sent: Mapping[str, Mix] | None = None
) -> RootError | None:
    """Return the error of the sum or mean of a vector from each member of the leaf placements; None if there are none.

    `sent` are the codecs by member, where a program says what it sends; else those of large tensors.
    """
    hierarchy, there = topology.hierarchy, counting(topology)
    leaves: dict[str, int] = {}  # below each member
    noise: dict[str, float] = {}  # that it receives
    clouded: set[str] = set()  # members that receive more bias than is negligible
    added: dict[str, float] = {}
    whys: dict[str, str] = {}
    for placement in reversed(hierarchy.placements):  # children before their parents
        is_leaf = not hierarchy.children(placement)
        for node in topology.members(placement):
            if node.name not in there:
                continue
            count = leaves[node.name] = leaves.get(node.name, 0) + is_leaf
            if node.parent is None or count == 0:
                continue
            leaves[node.parent] = leaves.get(node.parent, 0) + count
            omega, why, bias = _omega(node, sent)
            if node.name in clouded:
                omega, why = None, why or "is above a biased codec"
            if why:
                whys.setdefault(str(placement), why)
            received = noise.get(node.name, 0.0)
            new = (omega or 0.0) * (_squared(count, correlation) + received)
            noise[node.parent] = noise.get(node.parent, 0.0) + received + new
            added[str(placement)] = added.get(str(placement), 0.0) + new
            if node.name in clouded or bias > _NEGLIGIBLE:
                clouded.add(node.parent)
    root = topology.root.name
    if not leaves.get(root):
        return None
    whole = _squared(leaves[root], correlation)
    tiers = {
        str(p): TierError(None, whys[str(p)]) if str(p) in whys else TierError(added[str(p)] / whole)
        for p in hierarchy.placements
        if str(p) in added
    }
    return RootError(correlation, tiers) if tiers else None


def _squared(count: int, correlation: float) -> float:
    """Return the squared norm of a sum of `count` vectors of norm 1."""
    return count + count * (count - 1) * correlation


def _omega(node: Node, sent: Mapping[str, Mix] | None) -> tuple[float | None, str, float]:
    """Return the expected error of what a member sends up, why it is not known, and how much of it may be bias."""
    coder = _codec(node.codec_up)
    mix: Mix = [(coder, 1.0)] if isinstance(coder, Codec) else [(by, 1.0) for by in coder.codecs]
    if sent is not None and node.name in sent:
        mix = sent[node.name]
    elif isinstance(coder, Rules) and len({_error(by) for by in coder.codecs}) > 1:
        return None, "has rules, and no job says what of", 1.0
    total, bias, why = 0.0, 0.0, ""
    for by, share in mix:
        error = _error(by)
        if error is None:
            why, bias = why or f"{by} errs by what the values make of it", 1.0
        elif error and by.array_stage.alike:
            why, bias = why or f"{by} errs alike at all senders", 1.0
        elif by.unbiased or not error:
            total += share * error
        else:
            why, bias = why or f"{by} is biased", bias + share * error
    whole = sum(share for _, share in mix)
    return None if why else total / whole, why, bias / whole


def _error(by: Codec) -> float | None:
    return by.nmse if by.lossy else 0.0
