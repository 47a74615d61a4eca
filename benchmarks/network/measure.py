"""Measure: rounds of a setting, timed by the driver, with their bytes as the nodes and as the interfaces count them.

    measured(setting)["seconds"]        the median of some rounds, after a first one that brings the program

In a round the root's vector goes down to every client, each doubles it, and the mean comes up.
"""

from __future__ import annotations

import asyncio
import os
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

LEAST, MOST = 5, (25, 60)  # rounds, without loss and with
WITHIN = 8.0, 20.0  # seconds of rounds, after which there are no more than LEAST
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
        rounds = tree.beside(tree.root, lambda: asyncio.run(_rounds(tree, setting)), timeout=_PATIENCE)
    took = rounds["each"] = [round(each, 5) for each in rounds["each"]]
    return {
        "seconds": statistics.median(took),
        "spread": [min(took), max(took)],
        "ready": round(ready, 3),
        "congestion": congestion,
        **rounds,
    }


async def _rounds(tree: Tree, setting: Setting) -> dict[str, Any]:
    lossy = any(tier.loss for tier in setting.tiers)
    program = step(setting.elements)
    compiled = tierfed.compile(program, tree.topology.hierarchy, keep=False)
    driver = Driver()
    await driver.connect((tree.addresses[tree.root], PORT), MEMBERSHIP)
    argument = hold_arguments(program.type_signature, [model(setting.elements)], {})
    _, first = await driver.invoke(compiled, argument)
    each: list[float] = []
    traffic: dict[str, list[int]] = {}  # of the second round; a longer number makes longer headers
    before, begun = tree.counted(), time.monotonic()
    while len(each) < MOST[lossy] and (len(each) < LEAST or time.monotonic() - begun < WITHIN[lossy]):
        _, record = await driver.invoke(compiled, argument)
        each.append(record.seconds)
        traffic = traffic or record.traffic
    after = tree.counted()
    await driver.close()
    crossed = {
        tier: [round((b - a) / len(each)) for a, b in zip(before[tier], after[tier], strict=True)] for tier in after
    }
    return {
        "urgent": os.sched_getscheduler(0) == os.SCHED_RR,  # where that is not allowed, other work is measured too
        "first": round(first.seconds, 5),
        "each": each,
        "bytes": Traffic.named(traffic),
        "interfaces": {tier: {"up": up, "down": down} for tier, (up, down) in crossed.items()},
    }
