"""Nesting: the field that a reader meant, also when it belongs a level deeper or higher.

    placements.EDGE_AGGREGATORS.dedline: unknown field; did you mean 'collect.deadline'?
    placements.CLIENTS.codec.colocate: unknown field; it belongs to placements.CLIENTS

The names come from the models of `spec`, so a field is suggested from the day it is declared.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel

from tierfed.topology.problems import Path, dotted
from tierfed.topology.spec import TopologySpec

Model = type[BaseModel]
_NEAR = 0.6
_A_LEVEL = 0.02
"""What a level of nesting costs against an equally near name beside the unknown one."""


def unknown_field(path: Path) -> str:
    """Return what to say about the unknown field at `path`."""
    name, above = str(path[-1]), path[:-1]
    model = model_at(above)
    if model is None:
        return "unknown field"
    best: tuple[float, str] | None = None
    for field, level in _below(model):
        score = _likeness(name, field.rsplit(".", 1)[-1]) - _A_LEVEL * level
        if best is None or score > best[0]:
            best = (score, field)
    for end in range(len(above) - 1, -1, -1):
        holder = model_at(above[:end])
        if holder is not None and name in _fields(holder) and (best is None or best[0] < 1 - _A_LEVEL):
            return f"unknown field; it belongs to {dotted(above[:end]) or 'the top level'}"
    if best is not None and best[0] >= _NEAR:
        return f"unknown field; did you mean '{best[1]}'?"
    known = [f for f, level in _below(model) if level == 0]
    return f"unknown field; the fields here are {', '.join(known)}" if known else "unknown field; none may stand here"


def model_at(path: Path) -> Model | None:
    """Return the model of the mapping at `path` of a topology, None if it has none."""
    model: Model | None = TopologySpec
    entries = False  # whether the next step is a key, or an index, of the user's own
    for step in path:
        if entries:
            entries = False
            continue
        if model is None or step not in _fields(model):
            return None
        model, entries = _fields(model)[str(step)]
    return None if entries else model


def _fields(model: Model) -> dict[str, tuple[Model | None, bool]]:
    """Return each field of `model` with the model of its value, and whether it holds many of them by key or index."""
    return {f.alias or name: _inner(f.annotation) for name, f in model.model_fields.items()}


def _inner(annotation: Any) -> tuple[Model | None, bool]:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _inner(args[0])
    if origin in (types.UnionType, typing.Union):
        return _inner(next(a for a in args if a is not type(None)))
    if origin in (dict, list):
        return _inner(args[-1])[0], True
    return (annotation, False) if isinstance(annotation, type) and issubclass(annotation, BaseModel) else (None, False)


def _below(model: Model, prefix: str = "", level: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the fields of `model` and, dotted, of the models in it, with their depth."""
    for name, (inner, entries) in _fields(model).items():
        yield prefix + name, level
        if inner is not None and not entries:
            yield from _below(inner, f"{prefix}{name}.", level + 1)


def _likeness(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a.lower(), b.lower()).ratio()
