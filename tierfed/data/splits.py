"""Splits: how the examples of one data set are shared out among the members of a placement.

| in a topology | who gets what |
|---|---|
| `iid` | a random share, sizes equal within one |
| `{dirichlet: {alpha: 0.3}}` | of each class, shares drawn from Dirichlet(alpha): small alpha, few classes a member |
| `{shards: {per_client: 2}}` | so many runs of examples sorted by label |
| `{dirichlet: {alpha_region: 1, alpha_client: 0.3}}` | first to subtrees, then within each (`regional`) |
| `{by: subject}`, `{by: [authority, school]}` | what belongs together by a column of the data set (`natural`) |

Every example goes to exactly one member and every member gets one at least.  A split is a
function of the labels, the number of members and a seed: each node works out the whole split
and takes its own share, so no list of examples is ever sent.  Some ask for more, of the tree or
of the data set; they are bound to it first, and then are a split like any other.

Sources: Dirichlet, Hsu et al. 2019, arXiv:1909.06335 (there by member, here by class, as in
Yurochkin et al. 2019, arXiv:1905.12022); shards, McMahan et al. 2017, arXiv:1602.05629.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tierfed.data.crowd import Crowd, Need
from tierfed.data.natural import By, Column
from tierfed.data.regional import RegionalDirichlet
from tierfed.data.shares import Indices, above_zero, enough, mixed, nobody_empty
from tierfed.errors import DataError


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


@runtime_checkable
class Unbound(Protocol):
    """A rule that asks for more than labels and a number: `need` says what of the crowd."""

    @property
    def need(self) -> Need:
        """What it asks for."""
        ...

    def __hash__(self) -> int:
        """Return the hash of a value: splits are kept by it."""
        ...

    def bound(self, crowd: Crowd, columns: Mapping[str, Column]) -> Split:
        """Return the split among this crowd, of a data set with these columns; raises DataError if it lacks one."""
        ...


@dataclass(frozen=True, slots=True)
class Iid:
    """See the module docstring."""

    def shares(self, labels: np.ndarray[Any, Any], count: int, seed: int) -> list[Indices]:
        """Return equal shares of a random order."""
        enough(len(labels), count)
        order = np.random.default_rng(seed).permutation(len(labels))
        return [np.sort(part) for part in np.array_split(order, count)]


@dataclass(frozen=True, slots=True)
class Dirichlet:
    """See the module docstring.  `alpha` > 0; towards infinity it is `iid` by class."""

    alpha: float

    def __post_init__(self) -> None:
        """Raise DataError unless alpha is a finite number above 0."""
        above_zero(self.alpha, "alpha", "split dirichlet", "{dirichlet: {alpha: 0.3}}")

    def shares(self, labels: np.ndarray[Any, Any], count: int, seed: int) -> list[Indices]:
        """Return shares with a Dirichlet mix of each class."""
        enough(len(labels), count)
        rng = np.random.default_rng(seed)
        parts = mixed(rng, labels, np.arange(len(labels)), np.full(count, float(self.alpha)))
        return [np.sort(s) for s in nobody_empty(parts)]


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
        enough(len(labels), count * self.per_client)
        shards = np.array_split(np.argsort(labels, kind="stable"), count * self.per_client)
        dealt = np.random.default_rng(seed).permutation(len(shards)).reshape(count, self.per_client)
        return [np.sort(np.concatenate([shards[s] for s in row])) for row in dealt]


SPLITS: dict[str, tuple[Any, ...]] = {  # by the name, one class for each set of settings
    "iid": (Iid,),
    "dirichlet": (Dirichlet, RegionalDirichlet),
    "shards": (Shards,),
    "by": (By,),
}
_FORMS = {
    "dirichlet": "{dirichlet: {alpha: 0.3}}",
    "shards": "{shards: {per_client: 2}}",
    "by": "{by: COLUMN}",
}


def split(spec: object) -> Split | Unbound:
    """Return the split that a topology writes as `iid`, `{dirichlet: {alpha: 0.3}}`, …; None is `iid`.

    Raises DataError naming what is unknown, missing or out of range.
    """
    if spec is None:
        return Iid()
    name, settings = (spec, None) if isinstance(spec, str) else _only_entry(spec)
    if name not in SPLITS:
        near = difflib.get_close_matches(name, SPLITS, 1)
        raise DataError(
            f"no split {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            where="split",
            mend=f"use {_choices()}",
        )
    if name == "by":
        return By(tuple(settings) if isinstance(settings, list | tuple) else (settings,))
    given: dict[Any, Any] = {}
    if isinstance(settings, Mapping):
        given = dict(settings)
    elif settings is not None:
        raise DataError(f"the settings of {name} are {settings!r}", where="split", mend=f"write {_form(name)}")
    kind = next((k for k in SPLITS[name] if set(given) & (_settings(k)[0] - _settings(SPLITS[name][0])[0])), None)
    kind = kind or SPLITS[name][0]
    known, required = _settings(kind)
    missing = [f.name for f in dataclasses.fields(kind) if f.name in required - set(given)]
    unknown = [str(g) for g in given if g not in known]
    if missing or unknown:
        told = [f"{label} {', '.join(of)}" for label, of in (("missing", missing), ("unknown", unknown)) if of]
        raise DataError("; ".join(told), where=f"split {name}", mend=f"write {getattr(kind, 'FORM', _form(name))}")
    made: Split | Unbound = kind(**given)
    return made


def need(config: object) -> Need | None:
    """Return what the split of a `job.data` asks for of the crowd, None if nothing, or if it is none."""
    if not isinstance(config, Mapping) or "dataset" not in config:
        return None
    try:
        rule = split(config.get("split"))
    except DataError:  # which is told where the data is looked at
        return None
    return rule.need if isinstance(rule, Unbound) else None


def _settings(kind: Any) -> tuple[set[str], set[str]]:
    """Return the settings of a rule, and those that have no default."""
    fields = dataclasses.fields(kind)
    return {f.name for f in fields}, {f.name for f in fields if f.default is dataclasses.MISSING}


def _only_entry(spec: object) -> tuple[str, object]:
    if isinstance(spec, Mapping) and len(spec) == 1:
        name, settings = next(iter(spec.items()))
        if isinstance(name, str):
            return name, settings
    raise DataError(f"{spec!r} is no split", where="split", mend=f"use {_choices()}")


def _choices() -> str:
    return ", ".join(_form(n) for n in SPLITS)


def _form(name: str) -> str:
    return _FORMS.get(name, name)
