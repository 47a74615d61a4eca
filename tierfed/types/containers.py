"""Containers: the Python classes that users write structs with.

NamedTuples, dataclasses and attrs classes have fields, by name and in order; tuples, lists,
dicts and OrderedDicts have not.  `fields_of` reads a class, `contained` makes one of its values.
Containers take no part in a type: they are remembered for the user's side alone.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from tierfed.types import html


class Struct:
    """A struct with some elements named and some not, as users see it: `s[0]`, `s.name`, `s["name"]`.

    >>> @tierfed.federated_computation("<int32,b=int32>")
    ... def same(x):
    ...     return x
    >>> s = same((1, 2))
    >>> s[0], s.b
    (np.int32(1), np.int32(2))
    """

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str | None, ...], values: tuple[Any, ...]) -> None:
        self._names = names
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in Struct.__slots__:
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no element called {name}; there are {self._names}") from None

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            if key not in self._names:
                raise KeyError(key)
            return self._values[self._names.index(key)]
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Struct) and self._names == other._names and self._values == other._values

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def __repr__(self) -> str:
        rows = (repr(v) if n is None else f"{n}={v!r}" for n, v in zip(self._names, self._values, strict=True))
        return f"<{', '.join(rows)}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: an element a row."""
        named = zip(self._names, self._values, strict=True)
        return html.table((), [(f"[{i}]" if n is None else n, html.code(repr(v))) for i, (n, v) in enumerate(named)])


def names_of(struct: Struct) -> tuple[str | None, ...]:
    """Return the names of a `Struct`'s elements, None for an unnamed one."""
    return struct._names


def fields_of(cls: type) -> tuple[str, ...] | None:
    """Return the fields of a NamedTuple, dataclass or attrs class, in order; None for any other class.

    Fields that the class computes itself (`init=False`) are none of the struct's.
    """
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return tuple(cls._fields)
    if dataclasses.is_dataclass(cls):
        return tuple(f.name for f in dataclasses.fields(cls) if f.init)
    attributes = getattr(cls, "__attrs_attrs__", None)  # read without importing attrs
    return None if attributes is None else tuple(a.name for a in attributes if a.init)


def contained(names: Sequence[str | None], parts: Sequence[Any], container: Any) -> Any:
    """Return `parts` in the form that users see: as `container` where it can hold them.

    Without one: a dict when all elements are named, a tuple when none is, a `Struct` when mixed.
    """
    named = [n for n in names if n is not None]
    if isinstance(container, type) and (fields := fields_of(container)) is not None:
        if tuple(names) == fields:
            return container(**dict(zip(_arguments(container, fields), parts, strict=True)))
        if not named and len(names) == len(fields):
            return container(*parts)
    if container in (dict, OrderedDict) and len(named) == len(names):
        return container(zip(named, parts, strict=True))
    if container in (list, tuple) and not named:
        return container(parts)
    if named and len(named) == len(names):
        return dict(zip(named, parts, strict=True))
    return Struct(tuple(names), tuple(parts)) if named else tuple(parts)


def _arguments(container: type, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the constructor calls the fields: attrs strips the underscore of a private one."""
    attributes = None if dataclasses.is_dataclass(container) else getattr(container, "__attrs_attrs__", None)
    return fields if attributes is None else tuple(a.alias for a in attributes if a.init)
