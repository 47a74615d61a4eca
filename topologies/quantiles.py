"""The median of what a fleet's members have, without anybody's reading leaving its place: a job for any tree.

    tierfed simulate topologies/phones_lte.yaml --clients 100000

    counts    (<low=float32,high=float32> -> int32[10]@SERVER)      how many lie below, in each of eight bins, above

Each round cuts the bin in which the median is into eight, so four rounds find it to 1/4096 of the range.  Counts are
integers: every tree gives the same ones, in whatever order they are added.  The leaf has a batch form, so
simulations count a base station's phones in one call of numpy.

Source: Munro and Paterson 1980, selection in several passes, each within narrower bounds.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

import tierfed

BINS = 8
BOUNDS = tierfed.to_type("<low=float32,high=float32>")
COUNTS = tierfed.to_type(f"int32[{BINS + 2}]")


def readings(uri: str, type: Any, member: Any) -> Any:
    """Return what a member has measured: made up, of its index and the run's seed, around 20 with a long tail."""
    return np.float32(20 * random.Random(f"{member.seed}/{member.index}/{uri}").lognormvariate(0, 0.5))


def all_binned(reading: Any, bounds: Any) -> Any:
    """Return `binned` of many members, a row each."""
    share = (reading - bounds["low"]) / (bounds["high"] - bounds["low"])
    places = np.clip(np.floor(share * np.float32(BINS)), -1, BINS).astype(np.int64) + 1
    rows = np.zeros((len(reading), BINS + 2), np.int32)
    rows[np.arange(len(reading)), places] = 1
    return rows


@tierfed.py_computation(np.float32, BOUNDS, returns=COUNTS, batch=all_binned)
def binned(reading: Any, bounds: Any) -> Any:
    """Return a 1 where `reading` lies: below, in a bin, or above."""
    return all_binned(np.float32([reading]), bounds)[0]


@tierfed.federated_computation(BOUNDS)
def counts(bounds: Any) -> Any:
    """Return how many readings lie where."""
    reading = tierfed.federated_data("reading", np.float32, tierfed.CLIENTS)
    asked = tierfed.federated_broadcast(tierfed.federated_value(bounds, tierfed.SERVER))
    return tierfed.federated_sum(tierfed.federated_map(binned, tierfed.federated_zip((reading, asked))))


@tierfed.job
async def median(tree: Any, *, rounds: int = 4, low: float = 0.0, high: float = 100.0) -> Any:
    """Return the bounds between which the median lies after `rounds` rounds."""
    for r in tree.rounds(rounds):
        found = np.asarray(await tree.ainvoke(counts, {"low": low, "high": high})).astype(np.int64)
        up_to = np.cumsum(found)
        place = int(np.clip(np.searchsorted(up_to, (up_to[-1] + 1) // 2) - 1, 0, BINS - 1))
        width = (high - low) / BINS
        low, high = low + place * width, low + (place + 1) * width
        tree.release(r, {"low": low, "high": high, "members": int(up_to[-1])})
    return {"low": np.float32(low), "high": np.float32(high)}
