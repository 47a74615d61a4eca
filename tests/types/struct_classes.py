"""Classes of every kind that structs may be written with."""

from __future__ import annotations

import dataclasses
import typing

import attrs
import numpy as np


class Point(typing.NamedTuple):
    """A NamedTuple."""

    x: np.float32
    y: np.int32


@dataclasses.dataclass
class Model:
    """A dataclass, of which one field is notation and one computed."""

    w: "float32[2,?]"  # type: ignore[name-defined]  # noqa: F722  # notation, no Python
    b: np.float32
    size: int = dataclasses.field(default=0, init=False)


@dataclasses.dataclass
class Wider(Model):
    """A dataclass that inherits fields."""

    at: Point = None  # type: ignore[assignment]


@attrs.frozen
class State:
    """An attrs class with a private field, which its constructor takes without the underscore."""

    _count: np.int64
    sum: np.float32
    total: int = attrs.field(init=False, default=3)


@dataclasses.dataclass
class Bare:
    """A dataclass whose annotation is no type."""

    path: dataclasses.Field  # type: ignore[type-arg]
