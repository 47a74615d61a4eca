"""Shares: what rules of sharing out are made of.

    mixed(rng, labels, rows, weights)     of each class, parts drawn from Dirichlet(weights)
    nobody_empty(shares)                  one example of the largest share for each member that has none

Source: the draw by class is that of Yurochkin et al. 2019, arXiv:1905.12022.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tierfed.errors import DataError

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Weights: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"


def mixed(rng: np.random.Generator, labels: np.ndarray[Any, Any], rows: Indices, weights: Weights) -> list[Indices]:
    """Return `rows` in as many parts as there are weights, each class cut by a draw of its own."""
    parts: list[list[Indices]] = [[] for _ in weights]
    of_rows = labels[rows]
    for label in np.unique(of_rows):
        of_label = rng.permutation(rows[of_rows == label])
        edges = np.cumsum(proportions(rng, weights))[:-1] * len(of_label)
        cuts = np.minimum(np.rint(edges), len(of_label)).astype(np.int64)
        for mine, part in zip(parts, np.split(of_label, cuts), strict=True):
            mine.append(part)
    return [np.concatenate(p) if p else rows[:0] for p in parts]


def proportions(rng: np.random.Generator, weights: Weights) -> Weights:
    """Return a draw from Dirichlet(weights); where float64 cannot, the limit: all to one, or as the weights are."""
    drawn = rng.dirichlet(weights)
    if np.isfinite(drawn).all() and drawn.sum() > 0.5:
        return drawn
    if weights.max() < 1:
        limit = np.zeros(len(weights))
        limit[rng.integers(len(weights))] = 1.0
        return limit
    limit = weights / weights.max()  # whose sum is finite
    found: Weights = limit / limit.sum()
    return found


def nobody_empty(shares: list[Indices]) -> list[Indices]:
    """Return `shares` with one example of the largest given to each that has none."""
    return at_least(shares, [1] * len(shares))


def at_least(shares: list[Indices], least: list[int]) -> list[Indices]:
    """Return `shares` with as many examples as each needs, taken from those that have most beyond their need."""
    for i in range(len(shares)):
        while (missing := least[i] - len(shares[i])) > 0:
            rich = max(range(len(shares)), key=lambda j: len(shares[j]) - least[j])
            given = min(missing, len(shares[rich]) - least[rich])
            shares[i] = np.concatenate([shares[i], shares[rich][-given:]])
            shares[rich] = shares[rich][:-given]
    return shares


def enough(examples: int, needed: int) -> None:
    """Raise DataError unless there is an example for each that needs one."""
    if needed < 1 or examples < needed:
        raise DataError(
            f"{examples} examples cannot be shared out {needed} ways",
            where="split",
            mend="use fewer members, or a larger data set",
        )


def above_zero(value: object, name: str, where: str, example: str) -> None:
    """Raise DataError unless `value` is a finite number above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value <= 0:  # type: ignore[call-overload,operator]
        raise DataError(f"{name} is {value!r}", where=where, mend=f"give a number above 0, as in {example}")
