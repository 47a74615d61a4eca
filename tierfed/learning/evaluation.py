"""Evaluation for the clients: how a model does for each of them, as metrics that rise through any tiers.

    over_clients   {OWN}@CLIENTS -> <accuracy, loss, examples, worst, tenth, median, best>@SERVER
    spread         {OWN}@CLIENTS, to=EDGE_AGGREGATORS -> {SPREAD}@EDGE_AGGREGATORS

A mean over a test set at the server hides who is badly served.  Here each client measures the
model itself, and no client's rate is seen by anybody: what rises are weighted sums, extrema, and
counts of clients by accuracy in steps of a hundredth.  Counts are integers, so quantiles of clients
are the same on every tree, and are right to a hundredth.

**On what.**  On the data that a client's provider gives as `test`, which no client trains on.  A
provider of one's own gives each member a test part of its own.  The built-in data sets give all
members the same images; so `own` lets each class count with the share that it has among the
client's training examples.  Where clients differ by their labels (`dirichlet`, `shards`), that
is the accuracy on the client's own distribution; where the test part is drawn from that anyway, it
is the same but for chance.

Source: the weights are post-stratification (Holt and Smith 1979, J. R. Stat. Soc. A 142); spread over
clients as what is to be reported: Li et al. 2019, arXiv:1905.10497 (worst and best tenth, variance).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import tierfed
from tierfed.errors import JobError
from tierfed.language.computation import Computation

STEPS = 100  # clients are counted by accuracy in steps of a hundredth
OWN = tierfed.to_type(
    f"<accuracy=float32,loss=float32,examples=float32,low=float32,high=float32,at=int32[{STEPS + 1}]>"
)
SPREAD = tierfed.to_type("<worst=float32,tenth=float32,median=float32,best=float32>")


def own(right: Any, losses: Any, tested: Any, trained: Any) -> dict[str, Any]:
    """Return a client's part, held as OWN: of what it is tested on, `right` and `losses` of each example.

    `tested` and `trained` are the labels of its test and of its training examples.  Classes count
    with their share among `trained`, those that are not tested with none.  Who can test nothing
    weighs nothing, and is no client's worst.
    """
    classes, place = np.unique(tested, return_inverse=True)
    shares = np.array([np.count_nonzero(trained == c) for c in classes], np.float64)
    at = np.zeros(STEPS + 1, np.int32)
    if not shares.sum():
        nothing = np.float32(0)
        low, high = np.float32(np.inf), np.float32(-np.inf)
        return {"accuracy": nothing, "loss": nothing, "examples": nothing, "low": low, "high": high, "at": at}
    weights = (shares / shares.sum() / np.bincount(place, minlength=len(classes)))[place]
    accuracy = np.float32(min(1.0, weights @ right))
    at[int(round(float(weights @ right) * STEPS, 6))] = 1  # sums of weights are an ulp beside what they stand for
    return {
        "accuracy": accuracy,
        "loss": np.float32(weights @ losses),
        "examples": np.float32(len(trained)),
        "low": accuracy,
        "high": accuracy,
        "at": at,
    }


@tierfed.py_computation(f"<low=float32,high=float32,at=int32[{STEPS + 1}]>", returns=SPREAD)
def summary(all: Any) -> Any:
    """Return what the extrema and counts of clients say; over nobody they are not numbers."""
    up_to = np.cumsum(all["at"].astype(np.int64))

    def quantile(share: float) -> Any:
        place = int(np.searchsorted(up_to, max(1, np.ceil(share * up_to[-1]))))
        return np.float32(place / STEPS)

    if not up_to[-1]:
        return dict.fromkeys(("worst", "tenth", "median", "best"), np.float32(np.nan))
    return {"worst": all["low"], "tenth": quantile(0.1), "median": quantile(0.5), "best": all["high"]}


def spread(parts: Any, to: Any = tierfed.SERVER) -> Any:
    """Return SPREAD at `to`: the worst and the best client below, and the tenth and the median one.

    `parts` is {OWN}@CLIENTS.  The two between are lower bounds of a hundredth's step.
    """
    low, high = tierfed.federated_min(parts.low, to=to), tierfed.federated_max(parts.high, to=to)
    all = {"low": low, "high": high, "at": tierfed.federated_sum(parts.at, to=to)}
    return tierfed.federated_map(summary, tierfed.federated_zip(all))


def over_clients(parts: Any) -> Any:
    """Return the metrics of a round from {OWN}@CLIENTS: the mean, weighted by examples, and the spread."""
    found = spread(parts)
    return {
        "accuracy": tierfed.federated_mean(parts.accuracy, weight=parts.examples),
        "loss": tierfed.federated_mean(parts.loss, weight=parts.examples),
        "examples": tierfed.federated_sum(parts.examples),
        "worst": found.worst,
        "tenth": found.tenth,
        "median": found.median,
        "best": found.best,
    }


def chosen(programs: Mapping[str, Computation], name: str) -> Computation:
    """Return the evaluation that a job's parameter names; raises JobError with what there is."""
    if name not in programs:
        raise JobError(
            f"no evaluation is called {name!r}", where="job.params.evaluate", mend=f"use one of {', '.join(programs)}"
        )
    return programs[name]
