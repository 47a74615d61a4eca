"""Federated analytics: what a fleet's values are like, and nobody's own value rises by itself.

    moments(values)           {float64}@P -> <mean=float64,variance=float64,count=int64>@SERVER
    histogram(values, edges)  {float32}@P, float32[n+1] -> int64[n+2]@SERVER
    counts                    (<low=float32,high=float32> -> int32[10]@SERVER), for `quantile`
    words_below               (ASKED -> <words=str[?],counts=int64[?]>@SERVER), for `heavy_hitters`

`moments` and `histogram` are functions for a program's body, `to=` any tier; `describe`, `quantile` and
`heavy_hitters` are jobs for any tree, whose members have a `reading`, or `words`:

    tierfed simulate topologies/phones_lte.yaml --clients 100000
    job: {program: tierfed.learning.analytics:quantile, params: {q: 0.9}, data: {provider: sensors:readings}}

What is counted are integers, so every tree gives the same counts, whatever the order: histograms, quantiles
and heavy hitters are exact.  Means are folded in float64 along the tree.  The leaves of numbers have batch
forms: a simulation counts a base station's phones in one call of numpy.

- **Variance**: in two passes in one invocation, the mean going down before the squares come up, so nothing
  cancels (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", the two-pass form).
- **Quantile**: each round cuts the bin in which it lies into eight, so four find it to 1/4096 of the range
  (Munro and Paterson 1980: selection in several passes, each within narrower bounds).
- **Heavy hitters**: round by round the words' beginnings grow by a few characters, and only those go on that occur
  often enough: the interactive trie of Zhu et al. 2019, arXiv:1902.08534, without its sampling, and so
  exact, and **without its privacy**.  A beginning occurs at least as often as any word with it, so no
  word that occurs often enough is dropped, and the last round's counts are those of whole words.

Sums over few members tell much about each of them.  Nothing here hides a value from the member's own parent.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

import tierfed
from tierfed.errors import EmptyAggregate, JobError

BINS = 8
BOUNDS = tierfed.to_type("<low=float32,high=float32>")
COUNTS = tierfed.to_type(f"int32[{BINS + 2}]")
TABLE = tierfed.to_type("<words=str[?],counts=int64[?]>")
ASKED = tierfed.to_type("<prefixes=str[?],known=int32,length=int32>")


# -- mean and variance


def all_wide(readings: Any) -> Any:
    """Return `wide` of many members."""
    return readings.astype(np.float64)


@tierfed.py_computation(np.float32, returns=np.float64, batch=all_wide)
def wide(reading: Any) -> Any:
    """Return a reading in float64."""
    return np.float64(reading)


def moments(values: Any, to: Any = tierfed.SERVER) -> Any:
    """Return mean, population variance and count of `values`, {float64}@P, at `to`."""
    at = values.type_signature.placement
    mean = tierfed.federated_mean(values, to=to)
    away = values - tierfed.federated_broadcast(mean, to=at)
    ones = tierfed.federated_value(np.int64(1), at)
    return {
        "mean": mean,
        "variance": tierfed.federated_mean(away * away, to=to),
        "count": tierfed.federated_sum(ones, to=to),
    }


@tierfed.federated_computation
def described() -> Any:
    """Return mean, variance and count of all readings, and the least and the largest."""
    reading = tierfed.federated_data("reading", np.float32, tierfed.CLIENTS)
    return {
        **moments(tierfed.federated_map(wide, reading)),
        "least": tierfed.federated_min(reading),
        "largest": tierfed.federated_max(reading),
    }


@tierfed.job
async def describe(tree: Any, *, rounds: int = 1) -> Any:
    """Return what `described` says of the last of `rounds` rounds; each releases it."""
    found = None
    for r in tree.rounds(rounds):
        found = await tree.ainvoke(described)
        tree.release(r, found)
    return found


# -- histograms


def all_placed(readings: Any, edges: Any) -> Any:
    """Return `placed` of many members, a row each."""
    rows = np.zeros((len(readings), edges.shape[-1] + 1), np.int64)
    for row, reading, own in zip(rows, readings, np.broadcast_to(edges, (len(readings), edges.shape[-1])), strict=True):
        row[np.searchsorted(own, reading, "right")] = 1
    return rows


def placed(reading: Any, edges: Any) -> Any:
    """Return a 1 where `reading` lies: below the edges, in a bin [edge, next edge), or above."""
    return all_placed(np.array([reading]), edges[None])[0]


def histogram(values: Any, edges: Any, to: Any = tierfed.SERVER) -> Any:
    """Return at `to` how many of `values`, {float32}@P, lie below `edges`, in each bin between two, and above.

    `edges` are numbers that rise: a list, or a traced float32[n+1] that is placed nowhere.
    """
    if isinstance(edges, (list, tuple, np.ndarray)):
        edges = np.asarray(edges, np.float32)
    at = values.type_signature.placement
    given = tierfed.federated_value(edges, at)
    (bins,) = given.type_signature.member.shape
    leaf = tierfed.py_computation(
        placed, np.float32, f"float32[{bins}]", returns=f"int64[{bins + 1}]", batch=all_placed
    )
    return tierfed.federated_sum(tierfed.federated_map(leaf, tierfed.federated_zip((values, given))), to=to)


# -- quantiles


def edges_between(low: Any, high: Any) -> Any:
    """Return the edges of eight bins as float32: members and driver go by the same ones."""
    return np.linspace(np.float32(low), np.float32(high), BINS + 1, dtype=np.float32)


def all_binned(reading: Any, bounds: Any) -> Any:
    """Return `binned` of many members, a row each."""
    rows = np.zeros((len(reading), BINS + 2), np.int32)
    edges = np.linspace(bounds["low"], bounds["high"], BINS + 1, dtype=np.float32)  # an axis for members behind
    rows[np.arange(len(reading)), (edges <= reading).sum(0)] = 1
    return rows


@tierfed.py_computation(np.float32, BOUNDS, returns=COUNTS, batch=all_binned)
def binned(reading: Any, bounds: Any) -> Any:
    """Return a 1 where `reading` lies: below, in one of eight bins [edge, next edge), or above."""
    row = np.zeros(BINS + 2, np.int32)
    row[int((edges_between(bounds["low"], bounds["high"]) <= reading).sum())] = 1
    return row


@tierfed.federated_computation(BOUNDS)
def counts(bounds: Any) -> Any:
    """Return how many readings lie where."""
    reading = tierfed.federated_data("reading", np.float32, tierfed.CLIENTS)
    asked = tierfed.federated_broadcast(tierfed.federated_value(bounds, tierfed.SERVER))
    return tierfed.federated_sum(tierfed.federated_map(binned, tierfed.federated_zip((reading, asked))))


@tierfed.job
async def quantile(tree: Any, *, rounds: int = 4, low: float = 0.0, high: float = 100.0, q: float = 0.5) -> Any:
    """Return the bounds between which the quantile `q` of the readings lies after `rounds` rounds.

    It is the least reading that at least the share `q` of all do not exceed: low <= it < high.
    Raises JobError where it does not lie between the first bounds.
    """
    if not (0 <= q <= 1 and low < high):
        raise JobError(
            f"q is {q}, low {low} and high {high}", where="job.params", mend="0 <= q <= 1, and low below high"
        )
    bounds = await tree.resume() or {"low": np.float32(low), "high": np.float32(high)}
    for r in tree.rounds(rounds):
        up_to = np.cumsum(np.asarray(await tree.ainvoke(counts, bounds)).astype(np.int64))
        members = int(up_to[-1])
        if not members:
            raise EmptyAggregate("a quantile of nobody's readings", where="quantile", mend="give the tree clients")
        place = int(np.searchsorted(up_to, max(1, int(np.ceil(q * members))))) - 1
        if not 0 <= place < BINS:
            raise JobError(
                f"the quantile {q} of {members} readings is {'below' if place < 0 else 'not below'} "
                f"{bounds['low'] if place < 0 else bounds['high']:g}",
                where=f"job.params.{'low' if place < 0 else 'high'}",
                mend="give wider bounds",
            )
        edges = edges_between(bounds["low"], bounds["high"])
        bounds = {"low": edges[place], "high": edges[place + 1]}
        tree.release(r, {**bounds, "members": members})
        await tree.checkpoint(r, bounds)
    return bounds


# -- heavy hitters


def table(counts: Counter[str]) -> dict[str, Any]:
    """Return counts as a value of TABLE, in the order of the words."""
    words = sorted(counts)
    return {"words": np.array(words, object), "counts": np.array([counts[w] for w in words], np.int64)}


def counted(found: Any) -> dict[str, int]:
    """Return a value of TABLE as a dict."""
    return {str(w): int(n) for w, n in zip(found["words"], found["counts"], strict=True)}


@tierfed.py_computation("str[?]", ASKED, returns=TABLE)
def begun(words: Any, asked: Any) -> Any:
    """Return how often each beginning of `length` characters occurs, of the words that have one of `prefixes`.

    A word that is shorter is its own beginning.  Prefixes are those of a round before, of `known`
    characters but for whole words; in the first round that is none, and the empty one is every word's.
    """
    prefixes, known, length = {str(p) for p in asked["prefixes"]}, int(asked["known"]), int(asked["length"])
    return table(Counter(str(w)[:length] for w in words if str(w)[:known] in prefixes))


@tierfed.py_computation(TABLE, TABLE, returns=TABLE)
def added(a: Any, b: Any) -> Any:
    """Return the counts of both."""
    return table(Counter(counted(a)) + Counter(counted(b)))


@tierfed.py_computation(returns=TABLE)
def none_yet() -> Any:
    """Return the counts of nothing."""
    return table(Counter())


@tierfed.federated_computation(ASKED)
def words_below(asked: Any) -> Any:
    """Return how often beginnings of `asked.length` characters occur, in what goes on from `asked.prefixes`."""
    words = tierfed.federated_data("words", "str[?]", tierfed.CLIENTS)
    given = tierfed.federated_broadcast(tierfed.federated_value(asked, tierfed.SERVER))
    own = tierfed.federated_map(begun, tierfed.federated_zip((words, given)))
    return tierfed.federated_aggregate(own, none_yet(), added, added, lambda t: t)


@tierfed.job
async def heavy_hitters(tree: Any, *, threshold: int = 10, characters: int = 4, rounds: int = 4) -> Any:
    """Return the words that occur `threshold` times or more, with their counts, the most frequent first.

    Each round makes the beginnings longer by `characters`; the last one releases the words, in quotes, and their
    counts.  Raises JobError if after `rounds` a frequent beginning is not known to be a word: words are shorter
    than rounds * characters.
    """
    if threshold < 1 or characters < 1 or rounds < 1:
        raise JobError(
            f"threshold is {threshold}, characters {characters} and rounds {rounds}",
            where="job.params",
            mend="give 1 or more for each",
        )
    state = await tree.resume() or {"words": np.array([""], object), "counts": np.zeros(1, np.int64), "length": 0}
    for r in tree.rounds(rounds):
        known = int(state["length"])
        asked = {"prefixes": state["words"], "known": known, "length": known + characters}
        found = await tree.ainvoke(words_below, asked)
        order = np.argsort(-found["counts"], kind="stable")  # words of one count stay in their order
        order = order[found["counts"][order] >= threshold]
        state = {"words": found["words"][order], "counts": found["counts"][order], "length": asked["length"]}
        last = {repr(w): n for w, n in counted(state).items()} if r + 1 == rounds else {}
        tree.release(r, {**last, "beginnings": len(order), "length": asked["length"]})
        await tree.checkpoint(r, state)
    words = counted(state)
    longest = max(words, key=len, default="")
    if len(longest) == int(state["length"]):
        raise JobError(
            f"{longest!r} occurs {words[longest]} times, and may be the beginning of longer words",
            where="job.params.rounds",
            mend=f"give more rounds than {rounds}, or more characters a round than {characters}",
        )
    return words
