"""Devices: what a file says of links, interfaces, computing, energy and hours, and the profiles that it comes to.

    link: {rate: {up: 4mbit, down: 20mbit}, delay: 30ms, jitter: 10ms, loss: 1%}      LinkProfile(500e3, 2.5e6, …)
    interface: {rate: 1gbit}                                                          InterfaceProfile(125e6, 125e6)
    compute: {time: 50ms, speed: 0.2}, energy: {computing: 2.5W, sent: 60nJ}          DeviceProfile(…)
    available: {from: 22h, to: 6h, every: 24h, spread: 2h}                            Window(…)
    available: {trace: phones.csv}                       {times: "0s-1h, 2h-3h"}      Trace(…), each member's own

Each figure is a setting of its own, which may come from the defaults, the placement, a member, an
override or `--set`; hours are one setting.  A member of which nothing is said has no profile, and then nothing
of it is modelled.

Source: the names of a link are those of tc-netem(8).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tierfed.topology.fields import Correlation, Delay, Joules, LinkRate, Loss, Period, Watts, wrong
from tierfed.topology.links.profile import DeviceProfile, InterfaceProfile, LinkProfile
from tierfed.topology.links.trace import Trace
from tierfed.topology.links.window import Window
from tierfed.topology.profiles import PROFILES
from tierfed.topology.suggest import did_you_mean
from tierfed.topology.units import Duration, Power, UnitError

Key = tuple[str, ...]
_DAY = Duration.parse("24h")


class Figures(BaseModel):
    """A mapping of figures in the file: no field but those declared, no value cast."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RateSpec(Figures):
    """`rate:` one figure for both ways, or one each; up is towards the root."""

    up: LinkRate | None = None
    down: LinkRate | None = None


def _both_ways(value: object) -> object:
    return value if isinstance(value, dict | None) else {"up": value, "down": value}


BothWays = Annotated[RateSpec, BeforeValidator(_both_ways)]


class LinkSpec(Figures):
    """The model of a member's link to its parent; names as in tc-netem."""

    rate: BothWays | None = None
    delay: Delay | None = None
    jitter: Delay | None = None
    distribution: Literal["normal", "uniform", "pareto", "paretonormal"] | None = None
    correlation: Correlation | None = None
    loss: Loss | None = None


class InterfaceSpec(Figures):
    """What the links of all children of one member share there."""

    rate: BothWays | None = None


def _known(name: str) -> str:
    if name not in PROFILES:
        raise wrong(f"no profile '{name}'; {did_you_mean(name, PROFILES)}")
    return name


_NAMES = WithJsonSchema({"type": "string", "enum": list(PROFILES)})


def profile_figures(name: str) -> dict[Key, Any]:
    """Return what a measured profile says, by key."""
    device = PROFILES[name]
    return {
        ("compute", "speed"): device.speed,
        ("energy", "idle"): Power.parse(f"{device.idle:g}W"),
        ("energy", "computing"): Power.parse(f"{device.computing:g}W"),
    }


class ComputeSpec(Figures):
    """How fast a member computes: what a leaf call takes at speed 1, and its speed; or a measured profile."""

    time: Delay | None = None
    speed: Annotated[float, Field(gt=0)] | None = None
    profile: Annotated[str, AfterValidator(_known), _NAMES] | None = None

    @model_validator(mode="after")
    def _one(self) -> ComputeSpec:
        if self.profile is not None and self.speed is not None:
            raise wrong(f"profile {self.profile} has a speed, {PROFILES[self.profile].speed:g}; write one of the two")
        return self


class EnergySpec(Figures):
    """What a member costs: watts while it idles and computes, joules a byte that it sends and receives."""

    idle: Watts | None = None
    computing: Watts | None = None
    sent: Joules | None = None
    received: Joules | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Spans in order and apart, `0s-1h, 2h-3h`."""

    spans: tuple[tuple[Duration, Duration], ...]

    @staticmethod
    def parse(value: object) -> Times:
        """Return the times that are written as text; raises UnitError, which tells the first that is wrong."""
        if not isinstance(value, str) or not value.strip():
            raise UnitError(f"expected times, such as 0s-1h, 2h-3h; got {value!r}")
        spans: list[tuple[Duration, Duration]] = []
        for text in value.split(","):
            begin, between, end = text.strip().partition("-")
            if not between:
                raise UnitError(f"{text.strip()!r} is no span; write two times, such as 0s-1h")
            span = Duration.parse(begin.strip(), "h"), Duration.parse(end.strip(), "h")
            if span[0].exact >= span[1].exact:
                raise UnitError(f"{text.strip()} ends before it begins")
            if spans and span[0].exact <= spans[-1][1].exact:
                raise UnitError(f"{text.strip()} begins before the one before it is over, or then; write them in order")
            spans.append(span)
        return Times(tuple(spans))

    @property
    def last(self) -> Duration:
        """When the last ends."""
        return self.spans[-1][1]

    def __str__(self) -> str:
        return ", ".join(f"{_hours(begin)}-{_hours(end)}" for begin, end in self.spans)


def _times(value: object) -> Times:
    try:
        return Times.parse(value)
    except UnitError as problem:
        raise wrong(str(problem)) from None


_Times = Annotated[
    Times,
    PlainValidator(_times),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["0s-1h, 2h-3h"]}),
]


class AvailableSpec(Figures):
    """When a member is there: from an hour to an hour of every day, shifted later by up to `spread`.

    Or span by span: `times` of its own, or those that a file has of it.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra={"oneOf": [{"required": ["from", "to"]}, {"required": ["times"]}, {"required": ["trace"]}]},
    )

    trace: Annotated[str, Field(min_length=1)] | None = None
    times: _Times | None = None
    begin: Delay | None = Field(default=None, alias="from", validate_default=True)
    to: Delay | None = Field(default=None, validate_default=True)
    every: Period | None = None
    spread: Delay | None = None

    @field_validator("begin", "to", mode="before")
    @classmethod
    def _needed(cls, value: object, info: ValidationInfo) -> object:
        if value is None and all(info.data.get(name, "wrong") is None for name in ("trace", "times")):
            raise PydanticCustomError("missing", "missing", {"field": "from" if info.field_name == "begin" else "to"})
        return value

    @model_validator(mode="after")
    def _within(self) -> AvailableSpec:
        said = [name for name, of in (("trace", self.trace), ("times", self.times)) if of is not None]
        edges = (("from", self.begin), ("to", self.to), ("spread", self.spread))
        hours = [name for name, of in edges if of is not None]
        if len(said) + bool(hours) > 1:
            raise wrong(f"{' and '.join([*said, *hours])}: write from and to, or times, or trace")
        if self.times is not None and self.every is not None and self.times.last.exact > self.every.exact:
            told = f"times end at {_hours(self.times.last)}, and a period lasts {_hours(self.every)}"
            raise wrong(f"{told}; write times within it")
        if self.begin is None or self.to is None:
            return self
        every = self.every or _DAY
        for name, at in edges:
            if at is not None and at.exact > every.exact:
                raise wrong(f"{name} is {_hours(at)}, and a period lasts {_hours(every)}; write times within it")
        if (self.begin.exact - self.to.exact) % every.exact == 0:
            raise wrong(
                f"from {_hours(self.begin)} to {_hours(self.to)} is always or never; write two times, or remove it"
            )
        return self

    def written(self) -> tuple[tuple[str, str], ...]:
        """Return what a file says of it, field by field."""
        of = [("from", self.begin), ("to", self.to), ("every", self.every), ("spread", self.spread)]
        told = [(name, _hours(value)) for name, value in of if value is not None]
        if self.begin is not None and self.every is None:
            told.insert(2, ("every", _hours(_DAY)))
        if self.times is not None:
            told.insert(0, ("times", str(self.times)))
        return tuple(told)

    def of(self, spans: Sequence[tuple[Duration, Duration]]) -> AvailableSpec:
        """Return these hours with the spans that its file has of a member."""
        return self.model_copy(update={"trace": None, "times": Times(tuple(spans))})

    def window(self) -> Window | Trace | None:
        """Return the hours as numbers, None while its file has not been read."""
        if self.times is not None:
            spans = tuple((begin.seconds, end.seconds) for begin, end in self.times.spans)
            return Trace(spans, math.inf if self.every is None else self.every.seconds)
        if self.begin is None or self.to is None:
            return None
        spread = self.spread.seconds if self.spread is not None else 0.0
        return Window(self.begin.seconds, self.to.seconds, (self.every or _DAY).seconds, spread)


def _hours(time: Duration) -> str:
    """Return a time in hours or minutes if it is whole ones."""
    for unit, seconds in (("h", 3600), ("min", 60)):
        if time.exact and time.exact % seconds == 0:
            return f"{time.exact / seconds}{unit}"
    return str(time)


AVAILABLE: Key = ("available",)
LINK_KEYS: tuple[Key, ...] = (
    ("link", "rate", "up"),
    ("link", "rate", "down"),
    ("link", "delay"),
    ("link", "jitter"),
    ("link", "distribution"),
    ("link", "correlation"),
    ("link", "loss"),
)
INTERFACE_KEYS: tuple[Key, ...] = (("interface", "rate", "up"), ("interface", "rate", "down"))
DEVICE_KEYS: tuple[Key, ...] = (
    ("compute", "time"),
    ("compute", "speed"),
    ("energy", "idle"),
    ("energy", "computing"),
    ("energy", "sent"),
    ("energy", "received"),
)
MODELLED_KEYS: tuple[Key, ...] = (*LINK_KEYS, *INTERFACE_KEYS, *DEVICE_KEYS, AVAILABLE)


@dataclass(frozen=True, slots=True)
class Modelled:
    """What is modelled of one member: the figures as written, by key, and the profiles that they come to.

    A profile is None if none of its figures is set, and `available` if the member is always there.
    """

    figures: Mapping[Key, Any] = field(compare=False)
    link: LinkProfile | None
    interface: InterfaceProfile | None
    device: DeviceProfile | None
    available: Window | Trace | None

    @staticmethod
    def of(figures: Mapping[Key, Any]) -> Modelled:
        """Return what `figures` come to."""
        if not figures:
            return UNMODELLED
        hours = figures.get(AVAILABLE)
        return Modelled(
            MappingProxyType(dict(figures)),
            _link(figures) if _any(LINK_KEYS, figures) else None,
            _interface(figures) if _any(INTERFACE_KEYS, figures) else None,
            _device(figures) if _any(DEVICE_KEYS, figures) else None,
            hours.window() if hours is not None else None,
        )

    def written(self) -> dict[Key, str | float | tuple[tuple[str, str], ...]]:
        """Return what a file says, by key."""
        return {
            key: value.written() if isinstance(value, AvailableSpec) else value if key[-1] == "speed" else str(value)
            for key, value in self.figures.items()
        }


UNMODELLED = Modelled(MappingProxyType({}), None, None, None, None)


def _link(figures: Mapping[Key, Any]) -> LinkProfile:
    return LinkProfile(
        rate_up=_rate(figures, "link", "rate", "up"),
        rate_down=_rate(figures, "link", "rate", "down"),
        delay=_number(figures, "link", "delay"),
        jitter=_number(figures, "link", "jitter"),
        distribution=figures.get(("link", "distribution"), "normal"),
        correlation=_number(figures, "link", "correlation"),
        loss=_number(figures, "link", "loss"),
    )


def _interface(figures: Mapping[Key, Any]) -> InterfaceProfile:
    return InterfaceProfile(
        rate_up=_rate(figures, "interface", "rate", "up"), rate_down=_rate(figures, "interface", "rate", "down")
    )


def _device(figures: Mapping[Key, Any]) -> DeviceProfile:
    return DeviceProfile(
        seconds=_number(figures, "compute", "time"),
        speed=float(figures.get(("compute", "speed"), 1.0)),
        idle=_number(figures, "energy", "idle"),
        computing=_number(figures, "energy", "computing"),
        sent=_number(figures, "energy", "sent"),
        received=_number(figures, "energy", "received"),
    )


def _any(keys: tuple[Key, ...], figures: Mapping[Key, Any]) -> bool:
    return any(key in figures for key in keys)


def _rate(figures: Mapping[Key, Any], *key: str) -> float:
    """Return a rate in bytes a second, infinite where none is set."""
    return float(figures[key].exact / 8) if key in figures else math.inf


def _number(figures: Mapping[Key, Any], *key: str) -> float:
    return float(figures[key].exact) if key in figures else 0.0
