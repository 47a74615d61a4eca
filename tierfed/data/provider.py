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

from tierfed.data.archive import Dataset, dataset
from tierfed.data.member import MEMBER_TYPE, MemberInfo, derive
from tierfed.data.splits import Split, split
from tierfed.errors import DataError, TierfedError, ValueMismatch
from tierfed.types import Type
from tierfed.types.values import check as check_value

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_OURS = {"tierfed:member": MEMBER_TYPE}
_KEYS = ("dataset", "split", "provider")


class Provider(Protocol):
    """A function of what is asked for, as which type, and who asks."""

    def __call__(self, uri: str, type: Type, member: MemberInfo, /) -> Any:
        """Return the value of `uri` at `member`."""
        ...


@dataclass(frozen=True, slots=True)
class Shared:
    """The provider of a built-in data set."""

    dataset: Dataset
    split: Split

    def __call__(self, uri: str, type: Type, member: MemberInfo, /) -> Any:
        """Return this member's share for `train`, everything for `test`."""
        self.check_use(uri, type, member.count)
        if uri == "test":
            return self.dataset.examples("test")
        seed = derive(member.seed, "split", member.placement)
        return self.dataset.examples("train", self.dataset.share(self.split, member.index, member.count, seed))

    def check_use(self, uri: str, type: Type, count: int) -> None:
        """Raise DataError unless `uri` can be given as `type` to `count` members."""
        if uri not in self.dataset.uris:
            raise DataError(
                f"{self.dataset.name} has no {uri!r}",
                where="data",
                mend=f"use one of {', '.join((*self.dataset.uris, *_OURS))}",
            )
        if not type.is_assignable_from(self.dataset.type):
            raise DataError(
                f"{uri} of {self.dataset.name} is {self.dataset.type}, the program asks for {type}",
                where="data",
                mend=f'write federated_data("{uri}", "{self.dataset.type}", …)',
            )
        if uri == "train" and count > self.dataset.size("train"):
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
        return Shared(dataset(config["dataset"]).ready(), split(config.get("split")))
    if "split" in config:
        raise DataError(
            "a split beside a provider", where="data", mend="leave `split` out: a provider shares out its data itself"
        )
    path = config["provider"]
    if not isinstance(path, str) or not _PATH.match(path):
        raise DataError(
            f"{path!r} names no function", where="data.provider", mend="write `module:function`, as in sensors:readings"
        )
    return path


def check_use(config: Mapping[str, Any] | Provider | None, uri: str, type: Type, count: int) -> None:
    """Raise DataError if it is clear before launch that `uri` cannot be had as `type` by `count` members.

    A provider of the user's own is not imported, and not asked.
    """
    if uri.startswith("tierfed:"):
        _check_ours(uri, type)
        return
    named = check(config) if config is None or isinstance(config, Mapping) else config
    if isinstance(named, Shared):
        named.check_use(uri, type, count)
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
