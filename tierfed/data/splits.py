"""Splits: how the examples of one data set are shared out among the members of a placement.

| in a topology | who gets what |
|---|---|
| `iid` | a random share, sizes equal within one |
| `{dirichlet: {alpha: 0.3}}` | of each class, shares drawn from Dirichlet(alpha): small alpha, few classes a member |
| `{shards: {per_client: 2}}` | so many runs of examples sorted by label |

Every example goes to exactly one member and every member gets one at least.  A split is a
function of the labels, the number of members and a seed: each node works out the whole split
and takes its own share, so no list of examples is ever sent.

Sources: Dirichlet, Hsu et al. 2019, arXiv:1909.06335 (there by member, here by class, as in
Yurochkin et al. 2019, arXiv:1905.12022); shards, McMahan et al. 2017, arXiv:1602.05629.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from tierfed.errors import DataError, UnsupportedError

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
_LATER = ("by",)


class Split(Protocol):
    """A rule that shares examples out; a frozen value."""

    def shares(self, labels: np.ndarray[Any, Any], count: int, seed: int) -> list[Indices]:
        """Return the indices of each of `count` members' examples, sorted.

        Raises DataError if there are fewer examples than the rule needs.
        """
        ...

    def __hash__(self) -> int:
        """Return the hash of a value: splits are kept by it."""
        ...


@dataclass(frozen=True, slots=True)
class Iid:
    """See the module docstring."""

    def shares(self, labels: np.ndarray[Any, Any], count: int, seed: int) -> list[Indices]:
        """Return equal shares of a random order."""
        _enough(len(labels), count)
        order = np.random.default_rng(seed).permutation(len(labels))
        return [np.sort(part) for part in np.array_split(order, count)]


@dataclass(frozen=True, slots=True)
class Dirichlet:
    """See the module docstring.  `alpha` > 0; towards infinity it is `iid` by class."""

    alpha: float

    def __post_init__(self) -> None:
        """Raise DataError unless alpha is a finite number above 0."""
        number = isinstance(self.alpha, int | float) and not isinstance(self.alpha, bool)
        if not number or not math.isfinite(self.alpha) or self.alpha <= 0:
            raise DataError(
                f"alpha is {self.alpha!r}",
                where="split dirichlet",
                mend="give a number above 0, as in {dirichlet: {alpha: 0.3}}",
            )

    def shares(self, labels: np.ndarray[Any, Any], count: int, seed: int) -> list[Indices]:
        """Return shares with a Dirichlet mix of each class."""
        _enough(len(labels), count)
        rng = np.random.default_rng(seed)
        parts: list[list[Indices]] = [[] for _ in range(count)]
        for label in np.unique(labels):
            of_label = rng.permutation(np.flatnonzero(labels == label))
            edges = np.cumsum(_proportions(rng, self.alpha, count))[:-1] * len(of_label)
            cuts = np.minimum(np.rint(edges), len(of_label)).astype(np.int64)
            for mine, part in zip(parts, np.split(of_label, cuts), strict=True):
                mine.append(part)
        return [np.sort(s) for s in _nobody_empty([np.concatenate(p) for p in parts])]


@dataclass(frozen=True, slots=True)
class Shards:
    """See the module docstring.  With 2 shards, most members see two classes."""

    per_client: int

    def __post_init__(self) -> None:
        """Raise DataError unless per_client is a whole number from 1."""
        if not isinstance(self.per_client, int) or isinstance(self.per_client, bool) or self.per_client < 1:
            raise DataError(
                f"per_client is {self.per_client!r}",
                where="split shards",
                mend="give a whole number from 1, as in {shards: {per_client: 2}}",
            )

    def shares(self, labels: np.ndarray[Any, Any], count: int, seed: int) -> list[Indices]:
        """Return `per_client` random shards a member."""
        _enough(len(labels), count * self.per_client)
        shards = np.array_split(np.argsort(labels, kind="stable"), count * self.per_client)
        dealt = np.random.default_rng(seed).permutation(len(shards)).reshape(count, self.per_client)
        return [np.sort(np.concatenate([shards[s] for s in row])) for row in dealt]


SPLITS: dict[str, Any] = {"iid": Iid, "dirichlet": Dirichlet, "shards": Shards}


def split(spec: object) -> Split:
    """Return the split that a topology writes as `iid`, `{dirichlet: {alpha: 0.3}}`, …; None is `iid`.

    Raises DataError naming what is unknown, missing or out of range.
    """
    if spec is None:
        return Iid()
    name, settings = (spec, None) if isinstance(spec, str) else _only_entry(spec)
    if name in _LATER:
        raise UnsupportedError(
            f"the split {name!r} is not supported by this version", where="split", mend=f"use {_choices()}"
        )
    if name not in SPLITS:
        near = difflib.get_close_matches(name, SPLITS, 1)
        raise DataError(
            f"no split {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            where="split",
            mend=f"use {_choices()}",
        )
    kind = SPLITS[name]
    fields = [f.name for f in dataclasses.fields(kind)]
    given: dict[Any, Any] = {}
    if isinstance(settings, Mapping):
        given = dict(settings)
    elif settings is not None:
        raise DataError(f"the settings of {name} are {settings!r}", where="split", mend=_example(name))
    if set(given) != set(fields):
        missing = [f for f in fields if f not in given]
        unknown = [str(g) for g in given if g not in fields]
        told = [f"{label} {', '.join(of)}" for label, of in (("missing", missing), ("unknown", unknown)) if of]
        raise DataError("; ".join(told), where=f"split {name}", mend=_example(name))
    made: Split = kind(**given)
    return made


def _only_entry(spec: object) -> tuple[str, object]:
    if isinstance(spec, Mapping) and len(spec) == 1:
        name, settings = next(iter(spec.items()))
        if isinstance(name, str):
            return name, settings
    raise DataError(f"{spec!r} is no split", where="split", mend=f"use {_choices()}")


def _choices() -> str:
    return ", ".join(_form(n) for n in SPLITS)


def _form(name: str) -> str:
    return {"dirichlet": "{dirichlet: {alpha: 0.3}}", "shards": "{shards: {per_client: 2}}"}.get(name, name)


def _example(name: str) -> str:
    return f"write {_form(name)}"


def _enough(examples: int, needed: int) -> None:
    if needed < 1 or examples < needed:
        raise DataError(
            f"{examples} examples cannot be shared out {needed} ways",
            where="split",
            mend="use fewer members, or a larger data set",
        )


def _proportions(rng: np.random.Generator, alpha: float, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a draw from Dirichlet(alpha); where float64 cannot, the limit: all to one, or to each the same."""
    drawn = rng.dirichlet(np.full(count, alpha))
    if np.isfinite(drawn).all() and drawn.sum() > 0.5:
        return drawn
    limit = np.full(count, 1.0 / count)
    if alpha < 1:
        limit = np.zeros(count)
        limit[rng.integers(count)] = 1.0
    return limit


def _nobody_empty(shares: list[Indices]) -> list[Indices]:
    """Return `shares` with one example of the largest given to each that has none."""
    for i, mine in enumerate(shares):
        if not len(mine):
            largest = max(range(len(shares)), key=lambda j: len(shares[j]))
            shares[i], shares[largest] = shares[largest][-1:], shares[largest][:-1]
    return shares
