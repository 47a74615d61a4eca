"""Link words: what a command or a fault says of one link, and figures written as a file has them.

    read(["rate.up=512kbit", "delay=80ms"])      LinkChange(figures: rate_up 64000, delay .08)
    written(LinkProfile(delay=0.08))             {"delay": "80ms"}

Names, units and errors are those of `link:` in a topology; `rate=1mbit` is both ways.  What is not named
stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from tierfed.errors import TopologyError
from tierfed.topology.devices import LINK_KEYS, Key, LinkSpec
from tierfed.topology.links.profile import LinkProfile
from tierfed.topology.nesting import unknown_field
from tierfed.topology.shape import in_our_words
from tierfed.topology.units import Duration, Percent, Rate

_FIELDS: Mapping[Key, str] = {key: "_".join(key[1:]) for key in LINK_KEYS}


@dataclass(frozen=True, slots=True)
class LinkChange:
    """Some figures of a link, by key and as they are written; see the module docstring."""

    of: tuple[tuple[Key, Any], ...]

    @property
    def figures(self) -> dict[str, Any]:
        """The figures as plain data, by the fields of a LinkProfile."""
        return {_FIELDS[key]: _number(value) for key, value in self.of}

    @property
    def written(self) -> dict[str, str]:
        """The figures as a file has them, by dotted name."""
        return {".".join(key[1:]): str(value) for key, value in self.of}

    def nested(self) -> dict[str, Any]:
        """Return the figures as `link:` holds them."""
        told: dict[str, Any] = {}
        for key, value in self.of:
            inner = told
            for step in key[1:-1]:
                inner = inner.setdefault(step, {})
            inner[key[-1]] = str(value)
        return told

    def on(self, profile: LinkProfile | None) -> LinkProfile:
        """Return `profile` (None: a link that takes no time) with these figures."""
        return replace(profile or LinkProfile(), **self.figures)


def read(words: Sequence[str]) -> LinkChange:
    """Return what `key=value` words say of a link.  Raises TopologyError for the first that is wrong."""
    nested: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise TopologyError("expected name=value", where=word, mend="such as delay=80ms, or rate.up=512kbit")
        steps, value = name.strip().split("."), _value(text.strip())
        one = value
        for step in reversed(steps):
            one = {step: one}
        _check(one, word)
        if steps == ["rate"]:
            nested["rate"] = {"up": value, "down": value}
        else:
            inner = nested
            for step in steps[:-1]:
                inner = inner.setdefault(step, {})
            inner[steps[-1]] = value
    if not nested:
        raise TopologyError("sets nothing", where="link set", mend="such as delay=80ms, or rate.up=512kbit")
    return change_of(LinkSpec.model_validate(nested))


def _value(text: str) -> Any:
    """Return a bare number as the number that a file would have there."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and "." not in text else number


def _check(data: Any, word: str) -> None:
    try:
        LinkSpec.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=True)[0]
        if first["type"] == "extra_forbidden":
            what = unknown_field(("placements", "x", "link", *first["loc"]))
        else:
            what = in_our_words(first)
        raise TopologyError(what, where=word, mend="names and units are those of link: in a topology") from None


def change_of(spec: LinkSpec) -> LinkChange:
    """Return the figures that are written in `spec`."""
    told: list[tuple[Key, Any]] = []
    for key in LINK_KEYS:
        value: Any = spec
        for step in key[1:]:
            value = getattr(value, step, None)
        if value is not None:
            told.append((key, value))
    return LinkChange(tuple(told))


def _number(value: Any) -> float | str:
    """Return a quantity as profiles have it: rates in bytes a second, times in seconds."""
    if isinstance(value, str):
        return value
    return float(value.exact / 8) if isinstance(value, Rate) else float(value.exact)


def figures_of(profile: LinkProfile | None) -> dict[Key, Any]:
    """Return the quantities of a link that are not as without a model, by key."""
    told: dict[Key, Any] = {}
    for key in LINK_KEYS if profile is not None else ():
        value = getattr(profile, _FIELDS[key])
        if value == getattr(_FREE, _FIELDS[key]):
            continue
        if key[1] == "rate":
            told[key] = Rate(_exact(value) * 8)
        elif key[1] in ("delay", "jitter"):
            told[key] = Duration(_exact(value))
        else:
            told[key] = value if isinstance(value, str) else Percent(_exact(value))
    return told


def written(profile: LinkProfile | None) -> dict[str, str]:
    """Return the figures of a link as a file has them, by dotted name, without those that say nothing."""
    return {".".join(key[1:]): str(value) for key, value in figures_of(profile).items()}


def keyed(said: Mapping[str, str]) -> dict[Key, str]:
    """Return what `written` gave by key."""
    return {("link", *name.split(".")): value for name, value in said.items()}


_FREE = LinkProfile()


def _exact(value: float) -> Fraction:
    """Return the decimal that a float was written as."""
    return Fraction(repr(value)) if math.isfinite(value) else Fraction(0)
