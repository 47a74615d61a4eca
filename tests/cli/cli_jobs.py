"""Small jobs for the tests of the command line: a mean of numbers, in the ways in which a run may end.

It is copied beside a test's topology, and imported there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

import tierfed

MEMBER = tierfed.to_type("<index=int32,seed=uint64>")
WIDE = tierfed.to_type("<big=float32[5000],small=float32[7]>")


@tierfed.py_computation(MEMBER, np.int32, returns=WIDE)
def number(member: Any, bad: Any) -> Any:
    """Return the member's index, many times; the one called `bad` raises."""
    if member["index"] == bad:
        raise ValueError(f"client {member['index']} will not")
    index = np.float32(member["index"])
    return {"big": np.full(5000, index), "small": np.full(7, index)}


@tierfed.federated_computation(np.int32)
def step(bad: Any) -> Any:
    """Return the mean over the members."""
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    return tierfed.federated_mean(tierfed.federated_map(lambda m: number(m, bad), member))


@tierfed.job(round=step)
async def train(tree: Any, *, rounds: int = 2, bad: int = -1) -> Any:
    """Report the mean, round by round."""
    print("the job prints this")
    mean = await tree.resume()
    for r in tree.rounds(rounds):
        mean = await tree.ainvoke(step, bad)
        tree.release(r, {"mean": mean["small"][0]})
        await tree.checkpoint(r, mean)
    return mean


@tierfed.job
async def raises(tree: Any) -> None:
    """Raise an error of its own."""
    raise RuntimeError("the job is wrong")


@tierfed.job(round=step)
async def waits(tree: Any, *, rounds: int = 3) -> Any:
    """Do a round, then wait for ever within the next."""
    for r in tree.rounds(rounds):
        mean = await tree.ainvoke(step, -1)
        await tree.checkpoint(r, mean)
        tree.release(r, {"mean": mean["small"][0]})
        await asyncio.get_running_loop().create_future()
