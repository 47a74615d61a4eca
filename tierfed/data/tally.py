"""Tally: what a split makes of a data set, counted: of each member, how many examples it has of each class.

    tally(named, "CLIENTS", ["c-0", "c-1"], 7)      Tally(("T-shirt", …), {"c-0": array([0, 31, …]), …}, {…}, "9f…")

The numbers are those that the members come to by themselves, since a split is a function of what is counted here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierfed.data.crowd import ALONE, Crowd
from tierfed.data.provider import Shared


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts by member in the order of `labels`; `regions` are those of a split that has them, by member.

    `digest` is the SHA-256 of everybody's examples: two runs with one digest have one split.
    """

    labels: tuple[str, ...]
    members: Mapping[str, np.ndarray[Any, Any]]
    regions: Mapping[str, str]
    digest: str


def tally(named: Shared, placement: str, names: Sequence[str], seed: int, crowd: Crowd = ALONE) -> Tally:
    """Return the counts of the members called `names`, in member order; raises DataError where there is no split."""
    shares = named.shares(placement, len(names), seed, crowd)
    classes, codes = np.unique(named.dataset.labels(), return_inverse=True)
    hashed = hashlib.sha256()
    members = {}
    for name, rows in zip(names, shares, strict=True):
        members[name] = np.bincount(codes[rows], minlength=len(classes))
        hashed.update(len(rows).to_bytes(8, "little"))
        hashed.update(rows.astype("<i8").tobytes())
    regions = [region for region, number in crowd.regions for _ in range(number)]
    return Tally(
        tuple(named.dataset.label_names(classes)),
        members,
        dict(zip(names, regions, strict=True)) if regions else {},
        hashed.hexdigest(),
    )
