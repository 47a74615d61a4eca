"""A member as its data provider sees it, and the seeds that are derived from who it is.

    federated_data("tierfed:member", "<index=int32,seed=uint64>", CLIENTS)

gives a leaf its randomness as a typed value: a leaf that takes its seed as an argument is a
function of its arguments alone, so every backend, and a run that is resumed, gives the same bits.

A seed is the first eight bytes of BLAKE2b over the parts it is derived from, so seeds of
neighbours (member 3 and 4, round 3 and 4) have nothing in common.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tierfed.data.crowd import ALONE, Crowd
from tierfed.types import Type, to_type

MEMBER_TYPE: Type = to_type("<index=int32,seed=uint64>")


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """One member of a placement: number `index` of `count`, in member order.

    `labels` are the topology's; `seed` is the run's, the same at all members; `crowd` is what the split of a
    data set asks for of them all.
    """

    name: str
    placement: str
    index: int
    count: int
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    seed: int = 0
    crowd: Crowd = ALONE

    def described(self) -> tuple[np.int32, np.uint64]:
        """Return the value of `tierfed:member` here: the index, and a seed of the member's own.

        The seed depends on the placement and the index, not on the name, so the same program
        draws the same numbers under another tree with as many members.
        """
        return np.int32(self.index), np.uint64(derive(self.seed, "member", self.placement, self.index))


def derive(*parts: int | str) -> int:
    """Return a seed of 64 bits that depends on all `parts` and their order."""
    text = repr([p if isinstance(p, str) else int(p) for p in parts])  # no two lists read alike
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
