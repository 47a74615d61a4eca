"""The types of the language.

    float32[?,784]   <x=int32,bool>   int32*   (int32 -> float32)   {int32}@CLIENTS   int32@SERVER

Types are immutable, hashable and compared by structure.  The Python container of a
struct is remembered for the user's side (`container`) and takes no part in `==`.
`str(t)` is the notation that `notation.parse` reads: `parse(str(t)) == t`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np

from tierfed.errors import TypeMismatch
from tierfed.placements import Placement, as_placement
from tierfed.types.dtypes import dtype_of, name_of
from tierfed.user_line import at_user_line

Shape: TypeAlias = tuple[int | None, ...] | None
"""Sizes by dimension, None for an unknown one (`?`); None as a whole for an unknown rank (`...`)."""

_LABEL = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_MAX_RANK = 64  # numpy's
_MAX_SIZE = 2**63 - 1


class Type:
    """The root of the type classes: types are immutable, and equal when they are written equally.

    >>> wide, narrow = tierfed.to_type("float32[?]"), tierfed.to_type("float32[3]")
    >>> wide.is_assignable_from(narrow), narrow.is_assignable_from(wide)
    (True, False)
    >>> tierfed.to_type(str(wide)) == wide
    True
    """

    __slots__ = ()
    children: ClassVar[Callable[..., tuple[Type, ...]]]

    def is_assignable_from(self, source: Type) -> bool:
        """Return whether a value of `source` may stand where this type is expected."""
        from tierfed.types.assignable import is_assignable  # the rules import the classes

        return is_assignable(self, source)

    def is_equivalent_to(self, other: Type) -> bool:
        """Return whether the two types are assignable both ways."""
        return self.is_assignable_from(other) and other.is_assignable_from(self)

    def parts(self) -> tuple[Type, ...]:
        """Return the types that this one is made of, one level deep."""
        return ()

    def walk(self) -> Iterator[Type]:
        """Yield this type and all that it is made of."""
        yield self
        for part in self.parts():
            yield from part.walk()

    def contains(self, *classes: type[Type]) -> bool:
        """Return whether this type is, or is made of, one of `classes`."""
        return any(isinstance(t, classes) for t in self.walk())

    def __str__(self) -> str:
        from tierfed.types.notation import compact  # the grammar imports the classes

        return compact(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the notation, long types a line an element."""
        from tierfed.types import html, notation

        return html.code(notation.formatted(self))


def _refuse(part: Type, inside: str, classes: tuple[type[Type], ...]) -> None:
    for t in part.walk():
        if isinstance(t, classes):
            raise TypeMismatch(
                f"{inside} cannot hold {t}",
                where=at_user_line("type"),
                mend=f"it holds tensors, structs and sequences: write {t.member}, since the whole has one placement"
                if isinstance(t, FederatedType)
                else "it holds tensors, structs and sequences only",
            )


@dataclass(frozen=True, slots=True, init=False, repr=False)
class TensorType(Type):
    """`dtype` or `dtype[shape]`: `TensorType(np.float32, (None, 784))` is `float32[?,784]`.

    `shape` None is an unknown rank.  Raises TypeMismatch for a dtype that is not ours.

    >>> tierfed.TensorType(np.float32, (None, 784))
    TensorType(float32[?,784])
    >>> tierfed.TensorType("bfloat16", [10]).nbytes
    20
    """

    name: str
    shape: Shape

    def __init__(self, dtype: object, shape: Iterable[int | None] | None = ()) -> None:
        name = name_of(dtype)
        if name is None:
            raise TypeMismatch(
                f"no tensor has the dtype {dtype!r}",
                where=at_user_line("type"),
                mend="use bool, an integer, float or complex dtype, bfloat16 or str",
            )
        sizes: Shape = None
        if shape is not None:
            sizes = _sizes(shape)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "shape", sizes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """numpy's dtype."""
        return dtype_of(self.name)

    @property
    def is_static(self) -> bool:
        """Whether every dimension is known."""
        return self.shape is not None and None not in self.shape

    @property
    def size(self) -> int | None:
        """Number of elements, None if a dimension is unknown."""
        if self.shape is None or None in self.shape:
            return None
        return math.prod(s for s in self.shape if s is not None)

    @property
    def nbytes(self) -> int | None:
        """Bytes of the raw tensor, None if unknown or of strings."""
        size = self.size
        return None if size is None or self.name == "str" else size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"TensorType({self})"


def _sizes(shape: Iterable[int | None]) -> tuple[int | None, ...]:
    """Return `shape` as Python integers; raises TypeMismatch for what is none."""
    try:
        sizes = tuple(None if s is None else operator.index(s) for s in shape)
    except TypeError:
        raise TypeMismatch(
            f"{shape!r} is no shape",
            where=at_user_line("type"),
            mend="write a list of integers, None for an unknown size",
        ) from None
    if any(s is not None and not 0 <= s <= _MAX_SIZE for s in sizes):
        raise TypeMismatch(
            f"a size below 0 or above {_MAX_SIZE} in the shape {sizes}",
            where=at_user_line("type"),
            mend="write None for unknown",
        )
    if len(sizes) > _MAX_RANK:
        raise TypeMismatch(f"{len(sizes)} dimensions", where=at_user_line("type"), mend=f"use at most {_MAX_RANK}")
    return sizes


@dataclass(frozen=True, slots=True, init=False, repr=False)
class StructType(Type):
    """`<a=int32,bool>`: elements in order, each with a name or without.

    `container` is the Python class that users see (tuple, list, dict, a dataclass …); it is no part
    of the type.  Raises TypeMismatch for a name that stands twice.

    >>> model = tierfed.to_type({"w": (np.float32, [784, 10]), "b": (np.float32, [10])})
    >>> model
    StructType(<w=float32[784,10],b=float32[10]>)
    >>> model["b"], model[0], model.names
    (TensorType(float32[10]), TensorType(float32[784,10]), ('w', 'b'))
    """

    elements: tuple[tuple[str | None, Type], ...]
    container: Any = field(compare=False)

    def __init__(self, elements: Iterable[tuple[str | None, Type] | Type], container: Any = None) -> None:
        built: list[tuple[str | None, Type]] = []
        for e in elements:
            name, t = (None, e) if isinstance(e, Type) else e
            if not isinstance(t, Type):
                raise TypeMismatch(
                    f"{t!r} is no type", where=at_user_line("type"), mend="pass it through tierfed.to_type"
                )
            built.append((name, t))
        seen: set[str] = set()
        for name, _ in built:
            if name is not None:
                _check_name(name, seen)
                seen.add(name)
        object.__setattr__(self, "elements", tuple(built))
        object.__setattr__(self, "container", container)

    @property
    def names(self) -> tuple[str | None, ...]:
        """The elements' names, None for an unnamed one."""
        return tuple(n for n, _ in self.elements)

    def parts(self) -> tuple[Type, ...]:
        return tuple(t for _, t in self.elements)

    def index(self, name: str) -> int | None:
        """Return the position of the element called `name`, None if there is none."""
        names = self.names
        return names.index(name) if name in names else None

    def __len__(self) -> int:
        return len(self.elements)

    def __getitem__(self, key: int | str) -> Type:
        if isinstance(key, str):
            at = self.index(key)
            if at is None:
                raise KeyError(key)
            return self.elements[at][1]
        return self.elements[key][1]

    def __repr__(self) -> str:
        return f"StructType({self})"


def _check_name(name: object, seen: set[str]) -> None:
    if not isinstance(name, str) or not name or not _is_text(name):
        raise TypeMismatch(f"{name!r} names no element", where=at_user_line("type"), mend="use a non-empty string")
    if name in seen:
        raise TypeMismatch(f"the name {name} stands twice", where=at_user_line("type"), mend="name each element once")


def _is_text(name: str) -> bool:
    """Return whether `name` can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _typed(spec: object) -> Type:
    from tierfed.types.convert import to_type  # conversion imports the classes

    return to_type(spec)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SequenceType(Type):
    """`T*`: any number of elements of one type.  Takes whatever `to_type` takes.

    Raises TypeMismatch for an element that holds a sequence, a function or a placement.

    >>> tierfed.SequenceType({"x": (np.float32, [784]), "y": np.int32})
    SequenceType(<x=float32[784],y=int32>*)
    """

    element: Type

    def __init__(self, element: object) -> None:
        object.__setattr__(self, "element", _typed(element))
        _refuse(self.element, "a sequence", (SequenceType, FunctionType, FederatedType, PlacementType))

    def parts(self) -> tuple[Type, ...]:
        return (self.element,)

    def __repr__(self) -> str:
        return f"SequenceType({self})"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class FunctionType(Type):
    """`(P -> R)`, or `( -> R)` when `parameter` is None.  Takes whatever `to_type` takes.

    >>> tierfed.FunctionType((np.int32, np.int32), bool)
    FunctionType((<int32,int32> -> bool))
    """

    parameter: Type | None
    result: Type

    def __init__(self, parameter: object, result: object) -> None:
        object.__setattr__(self, "parameter", None if parameter is None else _typed(parameter))
        object.__setattr__(self, "result", _typed(result))

    def parts(self) -> tuple[Type, ...]:
        return (self.result,) if self.parameter is None else (self.parameter, self.result)

    def __repr__(self) -> str:
        return f"FunctionType({self})"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class FederatedType(Type):
    """`{T}@P`, or `T@P` when every member holds the same (`all_equal`).

    `FederatedType(np.float32, CLIENTS)` takes whatever `to_type` takes.  At a
    singleton placement `all_equal` is True unless it is given.

    Raises TypeMismatch for a member that is placed itself, or a function.

    >>> tierfed.FederatedType(np.float32, tierfed.CLIENTS)
    FederatedType({float32}@CLIENTS)
    >>> tierfed.FederatedType((np.float32, [10]), tierfed.SERVER)
    FederatedType(float32[10]@SERVER)
    >>> tierfed.FederatedType(np.float32, "EDGE_AGGREGATORS", all_equal=True)
    FederatedType(float32@EDGE_AGGREGATORS)
    """

    member: Type
    placement: Placement
    all_equal: bool

    def __init__(self, member: object, placement: Placement | str, all_equal: bool | None = None) -> None:
        if not isinstance(placement, Placement | str):
            raise TypeMismatch(
                f"placement is {placement!r}, expected a placement such as tierfed.CLIENTS",
                where=at_user_line("FederatedType"),
                mend="the order is FederatedType(type, placement)",
            )
        at = as_placement(placement)
        t = _typed(member)
        _refuse(t, "a federated value", (FunctionType, FederatedType, PlacementType))
        object.__setattr__(self, "member", t)
        object.__setattr__(self, "placement", at)
        object.__setattr__(self, "all_equal", at.singleton if all_equal is None else bool(all_equal))

    def parts(self) -> tuple[Type, ...]:
        return (self.member,)

    def __repr__(self) -> str:
        return f"FederatedType({self})"


@dataclass(frozen=True, slots=True, repr=False)
class PlacementType(Type):
    """`placement`: the type of a placement literal.

    >>> print(tierfed.PlacementType())
    placement
    """

    def __repr__(self) -> str:
        return "PlacementType()"


@dataclass(frozen=True, slots=True, repr=False)
class AbstractType(Type):
    """`T`: a type variable of an intrinsic's signature; labels match `[A-Z][A-Z0-9_]*`.

    >>> print(tierfed.FederatedType(tierfed.AbstractType("T"), tierfed.CLIENTS))
    {T}@CLIENTS
    """

    label: str

    def __post_init__(self) -> None:
        if not _LABEL.match(self.label):
            raise TypeMismatch(
                f"{self.label!r} labels no abstract type",
                where=at_user_line("type"),
                mend="use capitals, digits and _, as in T",
            )

    def __repr__(self) -> str:
        return f"AbstractType({self.label})"


def unit() -> StructType:
    """Return `<>`, the struct of nothing."""
    return StructType(())
