"""Federated averaging: the program against plain numpy, and what the main job's settings reach.

The oracle below knows nothing of programs, placements or slices: it is a loop over clients and
an explicit fold along the tree, in float32, bit for bit what the reference interpreter must give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import tierfed
from tierfed import data
from tierfed.codecs import codec
from tierfed.learning import fedavg, mlp, regions
from tierfed.types.types import TensorType

Model: TypeAlias = "dict[str, np.ndarray[Any, Any]]"
Nested: TypeAlias = "int | Sequence[Nested]"  # a tree: client indices below edges below …

FASHION = {"dataset": "fashion-mnist-6k", "split": {"dirichlet": {"alpha": 0.3}}}
HYPER = {"lr": 0.1, "epochs": 3, "batch": 16}


def exact(array: np.ndarray[Any, Any], hop: int) -> np.ndarray[Any, Any]:
    """A link that changes nothing."""
    return array


def lossy(array: np.ndarray[Any, Any], hop: int) -> np.ndarray[Any, Any]:
    """The main job's links: int8 from the clients (hop 1), bf16 from the edges, small tensors raw."""
    if array.size < 4096:
        return array
    by = codec("int8" if hop == 1 else "bf16")
    return by.decode(by.encode(array), TensorType("float32", array.shape))


def client_examples(count: int, seed: int) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int]]:
    """What each client has: images, labels, and its own seed."""
    source = data.provider(FASHION)
    members = [data.MemberInfo(f"c{i}", "CLIENTS", i, count, seed=seed) for i in range(count)]
    return [(*source("train", fedavg.EXAMPLES, m), int(m.described()[1])) for m in members]


def oracle_round(
    model: Model, tree: Nested, clients: Any, number: int, link: Callable[[Any, int], Any], hyper: Any
) -> Model:
    """One round of FedAvg: left folds in member order, from zero at the lowest tier, from the first above it."""

    def fold(node: Nested) -> tuple[Model, np.float64, int]:
        if isinstance(node, int):
            x, y, seed = clients[node]
            new = mlp.sgd(model, x, y, seed=(seed, number), **hyper)
            return {k: (new[k] - model[k]) * np.float32(len(y)) for k in model}, np.float64(len(y)), 0
        below = [fold(child) for child in node]
        hop = below[0][2] + 1
        if hop == 1:
            total, weight = {k: np.zeros_like(v) for k, v in model.items()}, np.float64(0)
        else:
            first = below.pop(0)
            total, weight = {k: link(v, hop) for k, v in first[0].items()}, first[1]
        for part, w, _ in below:
            total = {k: total[k] + link(v, hop) for k, v in part.items()}
            weight = weight + w
        return total, weight, hop

    total, weight, _ = fold(tree)
    return {k: model[k] + total[k] / np.float32(weight) for k in model}


def oracle(tree: Nested, count: int, rounds: int, seed: int, link: Any = exact, hyper: Any = HYPER) -> Model:
    """The model after `rounds` rounds."""
    clients, model = client_examples(count, seed), mlp.initial_model(seed)
    with threadpool_limits(1):
        for number in range(rounds):
            model = oracle_round(model, tree, clients, number, link, hyper)
    return model


@pytest.mark.parametrize(("seed", "link"), [(0, exact), (0, lossy), (1, lossy), (2, lossy)])
def test_the_main_jobs_settings_reach_three_quarters(seed: int, link: Any) -> None:
    """32 clients below two edges, 20 rounds of 3 epochs: 0.75 of 1,000 images never trained on, also through codecs."""
    model = oracle([range(16), range(16, 32)], 32, 20, seed, link)
    x, y = data.DATASETS["fashion-mnist-6k"].examples("test")
    assert mlp.score(model, x, y)[0] / len(y) >= 0.75
