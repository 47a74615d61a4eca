"""The algorithms once more, from their papers' equations, in float64: what the tests of `tierfed.learning` go by.

Nothing of `tierfed.learning` is used but the model to start from.  The one convention shared with it is in what
order a client takes its examples: a permutation a pass, drawn from the member's seed and the round's number.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

import tierfed.backends.data
import tierfed.backends.local
from tierfed import data
from tierfed.learning import mlp
from tierfed.placements import Hierarchy, Tree

Model: TypeAlias = "dict[str, np.ndarray[Any, Any]]"

SIZES = (5, 13, 20, 3, 7, 16)
SEED = 5
TREES = {
    "flat": Tree.grown(Hierarchy.chain("SERVER", "CLIENTS"), {"CLIENTS": 6}),
    "three tiers": Tree.grown(
        Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS"), {"EDGE_AGGREGATORS": 2, "CLIENTS": 3}
    ),
    "five tiers": Tree.grown(
        Hierarchy.chain("SERVER", "CONTINENTS", "REGIONS", "EDGE_AGGREGATORS", "CLIENTS"),
        {"CONTINENTS": 1, "REGIONS": 3, "EDGE_AGGREGATORS": 1, "CLIENTS": 2},
    ),
}


@functools.lru_cache
def examples(index: int) -> tuple[Any, Any]:
    """Return the few images of client `index`, of two classes that are not its neighbour's."""
    x, y = data.DATASETS["fashion-mnist-6k"].examples("train", np.arange(300))
    chosen = np.flatnonzero((y == index) | (y == index + 3))[: SIZES[index]]
    return x[chosen], y[chosen]


@functools.lru_cache
def held_back() -> tuple[Any, Any]:
    """Return sixty images for tests."""
    return data.DATASETS["fashion-mnist-6k"].examples("test", np.arange(60))


def provider(uri: str, type: Any, member: Any) -> Any:
    """Return a member's images for `train`, everybody's for `test`."""
    return examples(member.index) if uri == "train" else held_back()


def members() -> list[tuple[Any, Any, int]]:
    """Return what each client has: images, labels, seed."""
    found = []
    for i in range(len(SIZES)):
        member = data.MemberInfo(f"c{i}", "CLIENTS", i, len(SIZES), seed=SEED)
        x, y = examples(i)
        found.append((x.astype(np.float64), y, int(member.described()[1])))
    return found


def start() -> Model:
    """Return the model of the run's seed, in float64."""
    return {k: v.astype(np.float64) for k, v in mlp.initial_model(SEED).items()}


def gradient(w: Model, x: Any, y: Any) -> Model:
    """Return the gradient of the mean cross entropy, by the chain rule."""
    before = np.einsum("ni,ih->nh", x, w["w1"]) + w["b1"]
    hidden = np.where(before > 0, before, 0)
    odds = np.exp(np.einsum("nh,hc->nc", hidden, w["w2"]) + w["b2"])
    by_scores = (odds / odds.sum(1)[:, None] - np.eye(10)[y]) / len(y)
    by_before = np.einsum("nc,hc->nh", by_scores, w["w2"]) * (before > 0)
    return {
        "w1": np.einsum("ni,nh->ih", x, by_before),
        "b1": by_before.sum(0),
        "w2": np.einsum("nh,nc->hc", hidden, by_scores),
        "b2": by_scores.sum(0),
    }


def combined(*terms: tuple[float, Model]) -> Model:
    """Return a linear combination of models."""
    return {k: np.sum([f * m[k] for f, m in terms], axis=0) for k in terms[0][1]}


def batches(count: int, batch: int, epochs: int, seed: Any) -> list[Any]:
    """Return the rows of each minibatch of `epochs` passes over `count` examples; orders compose, as in a shuffle."""
    rng, order, found = np.random.default_rng(seed), np.arange(count), []
    for _ in range(epochs):
        order = order[rng.permutation(count)]
        found += [order[i : i + batch] for i in range(0, count, batch)]
    return found


def local(
    w: Model, client: Any, number: int, hyper: Any, more: Callable[[Model], Model] | None = None
) -> tuple[Model, int]:
    """Return a client's model after its local steps, and how many they were; `more` is added to each gradient."""
    x, y, seed = client
    rows = batches(len(y), hyper["batch"], hyper["epochs"], (seed, number))
    for chosen in rows:
        slope = gradient(w, x[chosen], y[chosen])
        w = combined((1, w), (-hyper["lr"], slope), *([] if more is None else [(-hyper["lr"], more(w))]))
    return w, len(rows)


def mean(models: list[Model], weights: Any) -> Model:
    """Return the weighted mean."""
    return combined(*((n / sum(weights), m) for n, m in zip(weights, models, strict=True)))


def close(got: Any, expected: Model, ulps: float = 64) -> None:
    """Assert that float32 results are the float64 ones, to `ulps` units in the last place of each part's largest."""
    assert set(got) == set(expected)
    for name, part in expected.items():
        bound = ulps * np.finfo(np.float32).eps * np.abs(part).max()
        away = np.abs(got[name] - part).max()
        assert away <= bound, f"{name}: {away / bound * ulps:.0f} units"


def lists(state: Any) -> Any:
    """Return a job's state as a checkpoint gives it back: handles as lists."""
    if hasattr(state, "fetch"):
        return list(state.fetch())
    return {k: lists(v) for k, v in state.items()} if isinstance(state, dict) else state


class Run:
    """What a job sees of a tree, run by the reference."""

    def __init__(
        self,
        tree: Tree = TREES["flat"],
        saved: tuple[int, Any] | None = None,
        source: Callable[..., Any] = provider,
        seed: int = SEED,
    ) -> None:
        self.seed, self.saved, self.released = seed, saved, dict[int, Any]()
        self._context = tierfed.backends.local.LocalContext(
            tree, lambda _: tierfed.backends.data.provider_for(source, tree, seed)
        )

    async def resume(self) -> Any:
        """Return what was saved."""
        return None if self.saved is None else self.saved[1]

    def rounds(self, count: int) -> range:
        """Return the rounds that are left."""
        return range(0 if self.saved is None else self.saved[0] + 1, count)

    async def ainvoke(self, computation: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the result of `computation`."""
        return await self._context.ainvoke(computation, *args, **kwargs)

    def release(self, number: int, metrics: Any) -> None:
        """Keep the metrics of a round."""
        self.released[number] = {name: float(value) for name, value in metrics.items()}

    async def checkpoint(self, number: int, state: Any) -> None:
        """Save a round."""
        self.saved = (number, lists(state))
