"""Measure: rounds of a setting, timed by the driver, with their bytes as the nodes and as the interfaces count them.

    measured(setting)["seconds"]        the median of some rounds, after a first one that brings the program

In a round the root's vector goes down to every client, each doubles it, and the mean comes up.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import numpy as np

import tierfed
from benchmarks.network.daemons import MEMBERSHIP, PORT, Tree
from benchmarks.network.settings import Setting
from benchmarks.network.shaping import CONGESTION
from tierfed.backends.native.driver import Driver
from tierfed.language.arguments import hold_arguments
from tierfed.node.traffic import Traffic

LEAST, MOST = 5, 25  # rounds
WITHIN = 12.0  # seconds of rounds, after which there are no more than LEAST
_PATIENCE = 150.0  # seconds


def step(elements: int) -> Any:
    """Return the program: the mean over the clients of what they make of a vector of so many float32."""

    @tierfed.federated_computation(tierfed.FederatedType(f"float32[{elements}]", tierfed.SERVER))
    def doubled(model: Any) -> Any:
        """Return the mean over the clients of twice the model that they have."""
        return tierfed.federated_mean(
            tierfed.federated_map(lambda here: here + here, tierfed.federated_broadcast(model))
        )

    return doubled


def model(elements: int) -> np.ndarray:
    """Return the vector of the first round: numbers that no codec finds easy."""
    return np.random.default_rng(elements).standard_normal(elements).astype(np.float32)


def measured(setting: Setting, *, congestion: str = CONGESTION) -> dict[str, Any]:
    """Return the figures of a setting, as JSON has them."""
    begun = time.monotonic()
    with Tree(setting, congestion=congestion) as tree:
        ready = time.monotonic() - begun
        rounds = tree.beside(tree.root, lambda: asyncio.run(_rounds(tree, setting.elements)), timeout=_PATIENCE)
    took = rounds["each"]
    return {
        "seconds": statistics.median(took),
        "spread": [min(took), max(took)],
        "ready": ready,
        "congestion": congestion,
        **rounds,
    }


async def _rounds(tree: Tree, elements: int) -> dict[str, Any]:
    program = step(elements)
    compiled = tierfed.compile(program, tree.topology.hierarchy, keep=False)
    driver = Driver()
    await driver.connect((tree.addresses[tree.root], PORT), MEMBERSHIP)
    argument = hold_arguments(program.type_signature, [model(elements)], {})
    _, first = await driver.invoke(compiled, argument)
    each: list[float] = []
    before, begun = tree.counted(), time.monotonic()
    while len(each) < MOST and (len(each) < LEAST or time.monotonic() - begun < WITHIN):
        value, record = await driver.invoke(compiled, argument)
        each.append(record.seconds)
    after = tree.counted()
    await driver.close()
    crossed = {tier: [(b - a) / len(each) for a, b in zip(before[tier], after[tier], strict=True)] for tier in after}
    return {
        "first": first.seconds,
        "each": each,
        "bytes": Traffic.named(record.traffic),
        "first_bytes": Traffic.named(first.traffic),
        "interfaces": {tier: {"up": up, "down": down} for tier, (up, down) in crossed.items()},
        "largest": float(np.max(value)),
    }
