"""Providers: from a URI and a type to a member's own value.

    job: {data: {dataset: fashion-mnist-6k, split: {dirichlet: {alpha: 0.3}}}}
    job: {data: {provider: sensors:readings}}       # def readings(uri, type, member): …
    tierfed.local(data=readings)                    # a function does as well

`tierfed:…` URIs need no provider: `tierfed:member` is who the member is (`member`).  All
others are the provider's, and what it returns is checked against the type of
`federated_data`, never cast.  A module named in a topology is imported by the node that
asks, after the fork; built-in data sets are loaded before it (`before_fork`).
"""

from __future__ import annotations

import difflib
import importlib
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tierfed.data.archive import Dataset, dataset
from tierfed.data.crowd import ALONE, Crowd
from tierfed.data.member import MEMBER_TYPE, MemberInfo, derive
from tierfed.data.natural import By
from tierfed.data.shares import Indices
from tierfed.data.splits import Split, Unbound, split
from tierfed.errors import DataError, TierfedError, ValueMismatch
from tierfed.types import Type
from tierfed.types.values import check as check_value

_PERCENT = re.compile(r"\d{1,3}(\.\d+)?\s*%\Z")
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_OURS = {"tierfed:member": MEMBER_TYPE}
_KEYS = ("dataset", "split", "seed", "holdout", "provider")


class Provider(Protocol):
    """A function of what is asked for, as which type, and who asks."""

    def __call__(self, uri: str, type: Type, member: MemberInfo, /) -> Any:
        """Return the value of `uri` at `member`."""
        ...


@dataclass(frozen=True, slots=True)
class Shared:
    """The provider of a built-in data set."""

    dataset: Dataset
    split: Split | Unbound
    seed: int | None = None
    holdout: float = 0.0

    def __call__(self, uri: str, type: Type, member: MemberInfo, /) -> Any:
        """Return this member's share for `train` and `holdout`, everything for `test`."""
        self.check_use(uri, type, member.count)
        if uri == "test":
            return self.dataset.examples("test")
        mine = self.shares(member.placement, member.count, member.seed, member.crowd)[member.index]
        if self.holdout:
            seed = derive(self._seed(member.seed), "holdout", member.placement, member.index)
            kept = np.random.default_rng(seed).permutation(len(mine))[: _held_out(len(mine), self.holdout)]
            chosen = np.zeros(len(mine), np.bool_)
            chosen[kept] = True
            mine = mine[chosen if uri == "holdout" else ~chosen]
        return self.dataset.examples("train", mine)

    def shares(self, placement: str, count: int, seed: int, crowd: Crowd = ALONE) -> tuple[Indices, ...]:
        """Return which training examples each member of a placement has, those it holds out among them."""
        return self.dataset.shares(self.split, count, derive(self._seed(seed), "split", placement), crowd)

    def _seed(self, of_run: int) -> int:
        return of_run if self.seed is None else self.seed

    def check_use(self, uri: str, type: Type, count: int) -> None:
        """Raise DataError unless `uri` can be given as `type` to `count` members."""
        if uri == "holdout" and not self.holdout:
            raise DataError(
                "the program asks for 'holdout', and nothing is held out",
                where="data",
                mend="say how much of each member's share is kept from training: `holdout: 20%` in job.data",
            )
        uris = (*self.dataset.uris, *(["holdout"] if self.holdout else []))
        if uri not in uris:
            raise DataError(
                f"{self.dataset.name} has no {uri!r}",
                where="data",
                mend=f"use one of {', '.join((*uris, *_OURS))}",
            )
        if not type.is_assignable_from(self.dataset.type):
            raise DataError(
                f"{uri} of {self.dataset.name} is {self.dataset.type}, the program asks for {type}",
                where="data",
                mend=f'write federated_data("{uri}", "{self.dataset.type}", …)',
            )
        if uri != "test" and count > self.dataset.size("train"):
            raise DataError(
                f"{self.dataset.size('train')} examples cannot be shared out among {count} members",
                where="data",
                mend="use fewer members, or a provider with more data",
            )


def provider(config: Mapping[str, Any] | Provider | None) -> Provider:
    """Return the provider of a `job.data`, of a function, or of nothing.

    A `provider: module:function` is imported.  Raises DataError for what is not there.
    """
    if config is not None and not isinstance(config, Mapping):
        if callable(config):
            return config
        raise DataError(
            f"{config!r} provides no data",
            where="data",
            mend="pass a function (uri, type, member) -> value, or a mapping as in a topology's job.data",
        )
    named = check(config)
    if isinstance(named, str):
        return _imported(named)
    return named


def check(config: Mapping[str, Any] | None) -> Shared | str | Provider:
    """Return what a `job.data` names: the built-in data set, or a `module:function` not yet imported.

    Raises DataError for unknown keys, data sets and splits, and for a path that is none.
    """
    if config is None:
        return _nothing
    unknown = [str(k) for k in config if k not in _KEYS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], _KEYS, 1)
        raise DataError(
            f"unknown key {unknown[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            where="data",
            mend=f"the keys are {', '.join(_KEYS)}",
        )
    if ("dataset" in config) == ("provider" in config):
        raise DataError(
            "both a dataset and a provider" if "dataset" in config else "neither a dataset nor a provider",
            where="data",
            mend="give one: `dataset: fashion-mnist-6k` or `provider: module:function`",
        )
    if "dataset" in config:
        named, rule = dataset(config["dataset"]), split(config.get("split"))
        if isinstance(rule, By):
            rule.check(named.natural, named.name)
        return Shared(named.ready(), rule, _number(config.get("seed")), _fraction(config.get("holdout")))
    for key in ("split", "seed", "holdout"):
        if key in config:
            raise DataError(
                f"a {key} beside a provider",
                where="data",
                mend=f"leave `{key}` out: a provider shares out its data itself",
            )
    path = config["provider"]
    if not isinstance(path, str) or not _PATH.match(path):
        raise DataError(
            f"{path!r} names no function", where="data.provider", mend="write `module:function`, as in sensors:readings"
        )
    return path


def check_use(
    config: Mapping[str, Any] | Provider | None, uri: str, type: Type, count: int, crowd: Crowd = ALONE
) -> None:
    """Raise DataError if it is clear before launch that `uri` cannot be had as `type` by `count` members.

    A split that asks for the `crowd` is worked out.  A provider of the user's own is not imported, and not asked.
    """
    if uri.startswith("tierfed:"):
        _check_ours(uri, type)
        return
    named = check(config) if config is None or isinstance(config, Mapping) else config
    if isinstance(named, Shared):
        named.check_use(uri, type, count)
        if uri != "test" and isinstance(named.split, Unbound):
            named.shares("", count, 0, crowd)
    elif named is _nothing:
        _nothing(uri)


def fetch(source: Provider, uri: str, type: Type, member: MemberInfo) -> Any:
    """Return the value of `uri` at `member`, held as a value of `type`.

    Raises DataError, naming the member, if there is no such URI, if the provider raises, or if
    what it gives is not of the type.
    """
    where = f"data {uri!r} at {member.name}"
    if uri.startswith("tierfed:"):
        _check_ours(uri, type)
        return check_value(member.described(), type, where)
    try:
        value = source(uri, type, member)
    except TierfedError as error:
        if error.node is None:
            error.node = member.name
        raise
    except (Exception, SystemExit, GeneratorExit) as error:  # the two would end the node, or just this thread
        raise DataError(
            f"{_name(source)} raised {error.__class__.__name__}: {error}",
            where=where,
            mend="see the traceback; a provider returns a value for each URI of its program",
            node=member.name,
            remote_traceback=traceback.format_exc(),
        ) from error
    try:
        return check_value(value, type, where)
    except ValueMismatch as error:
        raise DataError(
            f"{_name(source)} gave what is not of the type: {error.what}",
            where=error.where,
            mend=error.mend,
            node=member.name,
        ) from error


def _number(seed: object) -> int | None:
    """Return the seed of a split, None if there is none; raises DataError for what is none."""
    if seed is None or (type(seed) is int and seed >= 0):
        return seed
    raise DataError(
        f"seed is {seed!r}", where="data", mend="give a whole number from 0, or leave it out: the topology's"
    )


def _fraction(holdout: object) -> float:
    """Return a fraction that is written as 20% or 0.2, 0 for None; raises DataError unless it is between 0 and 1."""
    if holdout is None:
        return 0.0
    found: float | None = None
    if isinstance(holdout, str) and _PERCENT.match(holdout):
        found = float(holdout.rstrip("% ")) / 100
    elif isinstance(holdout, int | float) and not isinstance(holdout, bool):
        found = float(holdout)
    if found is None or not 0 < found < 1:
        raise DataError(f"holdout is {holdout!r}", where="data", mend="write a share between 0% and 100%, as in 20%")
    return found


def _held_out(examples: int, fraction: float) -> int:
    """Return how many examples a member holds out: one at least, and one at least is left to train with."""
    return min(max(round(examples * fraction), 1), examples - 1)


def _check_ours(uri: str, type: Type) -> None:
    if uri not in _OURS:
        raise DataError(f"no {uri!r}", where="data", mend=f"of its own tierfed has {', '.join(_OURS)}")
    if not type.is_assignable_from(_OURS[uri]):
        raise DataError(
            f"{uri} is {_OURS[uri]}, the program asks for {type}",
            where="data",
            mend=f'write federated_data("{uri}", "{_OURS[uri]}", …)',
        )


def _nothing(uri: str, *_: object) -> Any:
    raise DataError(
        f"the program asks for {uri!r}, and no data is given",
        where="data",
        mend="give `job: {data: {dataset: …}}` in the topology, or tierfed.local(data=…)",
    )


def _imported(path: str) -> Provider:
    """Return the function at `module:function`; raises DataError with what went wrong."""
    name, _, attributes = path.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except Exception as error:
        lacking = error.name if isinstance(error, ModuleNotFoundError) else None
        missing = lacking is not None and f"{name}.".startswith(f"{lacking}.")
        raise DataError(
            f"no module {lacking}" if missing else f"{name} raised {error.__class__.__name__}: {error}",
            where=f"data.provider {path}",
            mend="install it, or put it in the topology's folder"
            if missing
            else f"run `python -c 'import {name}'` and mend what it shows",
            remote_traceback=traceback.format_exc(),
        ) from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            near = difflib.get_close_matches(attribute, [a for a in dir(found) if not a.startswith("_")], 1)
            raise DataError(
                f"{name} has no {attributes}" + (f"; did you mean {near[0]!r}?" if near else ""),
                where=f"data.provider {path}",
                mend="name a function of the module",
            )
        found = getattr(found, attribute)
    if not callable(found):
        raise DataError(
            f"it is a {found.__class__.__name__}, not a function",
            where=f"data.provider {path}",
            mend="define it as `def …(uri, type, member): …`",
        )
    provider: Provider = found
    return provider


def _name(source: Provider) -> str:
    if isinstance(source, Shared):
        return source.dataset.name
    kind = source if hasattr(source, "__qualname__") else source.__class__
    return f"{kind.__module__}:{kind.__qualname__}"
