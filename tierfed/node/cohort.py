"""Cohort: which of a node's children take part in an invocation.

    cohort: {select: 3}      of c-0 … c-9, in invocation 7 at edge-1 under seed 4

    SHA-256("4/edge-1/7/CLIENTS/" + name) as a number u in (0, 1)     c-8 .03   c-2 .11   c-5 .12   c-0 .31   …
    the three least                                                   drawn: c-2 c-5 c-8, in member order

Children that are not connected when the invocation begins are passed over, and so are those that
have not kept what the program takes (having.py).  If fewer than the quorum are
there, absent ones are drawn as well, up to the target: the round then fails at once, and names them.

With weights w, a child whose share of the draw is l = k w / sum(w) has the rank u (1 - l) / (l (1 - u)), and the k
least are drawn (a child with l >= 1 surely); alike weights leave the order of u.

Sound because a number depends on the seed, the node, the invocation and the child alone: a run's seed replays the
run, a retry draws whom it drew, one child more or less changes the draw by one, and whoever knows the four can
recompute it, in any language and on any machine.  The numbers of a cryptographic hash are as good as uniform and
independent, so any k of n children are as likely as any others; by weight, the probability of each is l but for an
error that vanishes as the draw grows (2 of 5 children: .014 at most).

Source: Rosén 1997, On sampling with probability proportional to size, J. Statist. Plann. Inference 62, 159-191
(Pareto order sampling); permanent random numbers: Ohlsson 1995, in Business Survey Methods, ch. 9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence

from tierfed.errors import RoundFailed
from tierfed.node.round_events import Draw
from tierfed.topology.assignment import NodeAssignment

_BITS = 52  # of a number: with a half added it is a float between 0 and 1, exactly


def draws(
    me: NodeAssignment,
    invocation: str,
    present: Container[str],
    having: Container[str] | None = None,
    *,
    everyone: bool = False,
) -> dict[str, Draw]:
    """Return who takes part in an invocation, for each placement below of which not all children do.

    Of the invocation's name only its number within the session is used, as for random rounding.  `having`, if it
    is not None, are the only ones that could take part; with `everyone` all of them do.

    Raises RoundFailed if these are fewer than the quorum.
    """
    found: dict[str, Draw] = {}
    number = invocation.rpartition("-")[2]
    for placement, plan in me.cohorts.items():
        all_ = [c.name for c in me.children if c.placement == placement]
        children = all_ if having is None else [name for name in all_ if name in having]
        count, enough = (len(children), len(children)) if everyone else (plan.draw, plan.target)
        quorum = me.quorum.get(placement, 0)
        if len(children) < quorum:
            raise RoundFailed(
                f"{len(children)} of {len(all_)} {placement} have what the program takes, quorum is {quorum}",
                where=f"{me.name}, invocation {invocation}",
                mend="give newcomers a value: handle.with_default(value)",
                node=me.name,
            )
        key = f"{me.seed}/{me.name}/{number}/{placement}/"
        there = [name for name in children if name in present]
        drawn = chosen(key, there, count, plan.weights)
        if len(drawn) < quorum:
            absent = [name for name in children if name not in present]
            drawn |= chosen(key, absent, enough - len(drawn), plan.weights)
        members = tuple(name for name in children if name in drawn)
        weights = {name: plan.weights[name] for name in there} if plan.weights else {}
        found[placement] = Draw(key, tuple(there), count, members, enough, weights)
    return found


def chosen(key: str, names: Sequence[str], count: int, weights: Mapping[str, float]) -> set[str]:
    """Return `count` of `names`, or all if there are no more."""
    if not 0 < count < len(names):
        return set(names if count > 0 else ())
    digests = {name: hashlib.sha256((key + name).encode()).digest() for name in names}
    if not weights:
        return set(sorted(names, key=digests.__getitem__)[:count])
    sure: set[str] = set()
    while True:  # who is drawn surely leaves the others a greater share of the rest
        rest = [name for name in names if name not in sure]
        total = sum(weights[name] for name in rest)
        shares = {name: (count - len(sure)) * weights[name] / total for name in rest}
        more = {name for name, share in shares.items() if share >= 1}
        if not more:
            break
        sure |= more

    def rank(name: str) -> float:
        u, share = _number(digests[name]), shares[name]
        return u * (1 - share) / (share * (1 - u))

    return sure | set(sorted(rest, key=rank)[: count - len(sure)])


def _number(digest: bytes) -> float:
    """Return a hash as a number between 0 and 1."""
    return ((int.from_bytes(digest[:8], "big") >> 64 - _BITS) + 0.5) / float(1 << _BITS)
