"""What an intrinsic is: a name, a signature, a type rule, a meaning and, if derived, an expansion.

An operator of the language is one value of `Operator` in one file of this folder, and one
line in the table of `__init__`.  Everything else is derived from it: the callable that
users see, the checker, the reference interpreter, the compiler.

The type rule is a function from the arguments' types and the destination to the result's
type; `signature` documents it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from tierfed.errors import TypeMismatch
from tierfed.ir.nodes import Node
from tierfed.placements import CLIENTS, SERVER, Placement, Tree
from tierfed.types import FederatedType, FunctionType, StructType, Type
from tierfed.types.difference import mended, shown, told

Direction: TypeAlias = Literal["rises", "descends", "stays", "at"]
"""Where the result stands: `to=` SERVER by default, `to=` CLIENTS by default, where its
argument stands, or at a placement that must be given."""


class World(Protocol):
    """What a meaning may ask of its interpreter."""

    @property
    def tree(self) -> Tree:
        """The members."""


Arguments: TypeAlias = Mapping[str, Type]
Meaning: TypeAlias = "Callable[[World | None, tuple[Any, ...], FunctionType], Any]"
Expansion: TypeAlias = "Callable[[tuple[Node, ...], FunctionType], Node]"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a callable.

    `function_of`, for a function: the type of its parameter, given the other arguments' types
    (None for a function of nothing).  `federated` says that a Python value given here is
    zipped from a struct of placed values when it is one.
    """

    name: str
    function_of: Callable[[Arguments], Type | None] | None = None
    optional: bool = False
    federated: bool = False


@dataclass(frozen=True, slots=True)
class Operator:
    """An intrinsic; see the module docstring.

    `agrees`, where the result does not follow from the arguments, says whether a type is one
    that the operator can have.  `with_optional` names the operator that stands for this one
    when the optional arguments are given.  `leaf_first` says that what it takes leaves its
    member as it is, and so must have passed a leaf if `federated_data` gave it.

    `doc` is what it returns, in a sentence; `about` goes on to its meaning, its errors and what they
    depend on; `example` is a doctest.  The callable's docstring and docs/reference.md are made of them.
    """

    uri: str
    signature: str
    parameters: tuple[Parameter, ...]
    direction: Direction
    result: Callable[[tuple[Type, ...], Placement | None], Type]
    meaning: Meaning
    expand: Expansion | None = None
    agrees: Callable[[FunctionType], bool] | None = None
    with_optional: str | None = None
    leaf_first: bool = False
    public: bool = True
    doc: str = ""
    about: str = ""
    example: str = ""

    def type_of(self, arguments: tuple[Type, ...], to: Placement | None) -> FunctionType:
        """Return the function type of this operator at these arguments; raises TypeMismatch."""
        return FunctionType(packed(arguments), self.result(arguments, to))

    def fits(self, t: FunctionType) -> bool:
        """Return whether `t` is a type that this operator can have; raises TypeMismatch where the rule does."""
        if self.agrees is not None:
            return self.agrees(t)
        return self.type_of(self.unpacked(t.parameter), destination(t.result)).result == t.result

    def unpacked(self, parameter: Type | None) -> tuple[Type, ...]:
        """Return the arguments' types that `parameter` carries."""
        if parameter is None:
            return ()
        return parameter.parts() if len(self.parameters) > 1 and isinstance(parameter, StructType) else (parameter,)


def destination(t: Type) -> Placement | None:
    """Return where a result stands, None if nowhere."""
    return t.placement if isinstance(t, FederatedType) else None


def packed(arguments: tuple[Type, ...]) -> Type | None:
    """Return the parameter type that carries `arguments`: none, the one, or a struct of them."""
    if not arguments:
        return None
    return arguments[0] if len(arguments) == 1 else StructType(arguments)


def federated(t: Type, where: str, name: str = "value") -> FederatedType:
    """Return `t` if it is federated; raises TypeMismatch with the mend if not."""
    if isinstance(t, FederatedType):
        return t
    many = where not in ("federated_broadcast", "federated_apply")
    expected = FederatedType(t, CLIENTS if many else SERVER) if not t.contains(FederatedType, FunctionType) else None
    if expected is None:
        raise TypeMismatch(
            f"{name} has no one placement: expected {{T}}@P, got {shown(t)}",
            where=where,
            mend=f"join its parts with tierfed.federated_zip before {where} takes them",
        )
    place = f"place it: tierfed.federated_value({name}, tierfed.CLIENTS)"
    raise TypeMismatch(
        f"{name} is placed nowhere: expected a placed value, such as {shown(expected)}, got {shown(t)}",
        where=where,
        mend=place if where == "federated_broadcast" else f"declare it as {shown(expected)}, or {place}",
    )


def unplaced(t: Type, where: str, name: str) -> Type:
    """Return `t` if it holds nothing federated and no function; raises TypeMismatch if not."""
    if t.contains(FederatedType):
        bare = t.member if isinstance(t, FederatedType) else None
        if where == "federated_value":
            mend = "to move it, use tierfed.federated_broadcast downwards, or an aggregate upwards"
        else:
            mend = f"pass a constant, or declare it {f'as {shown(bare)}, ' if bare else ''}without a placement"
        raise TypeMismatch(
            f"{name} is placed: expected {shown(bare) if bare else 'a value without a placement'}, got {shown(t)}",
            where=where,
            mend=mend,
        )
    if t.contains(FunctionType):
        raise TypeMismatch(f"{name} is a function, {t}", where=where, mend=f"pass a value as {name}")
    return t


def function(t: Type, parameter: Type | None, where: str, name: str) -> FunctionType:
    """Return `t` if it is a function that takes `parameter`; raises TypeMismatch if not."""
    if not isinstance(t, FunctionType):
        raise TypeMismatch(f"{name} is no function, it is of type {t}", where=where, mend="pass a function")
    if t.contains(FederatedType):
        raise TypeMismatch(
            f"{name} has a placement in its type, {t}",
            where=where,
            mend="a function given to an intrinsic works on members' values: use T where you wrote T@P",
        )
    fits = (
        t.parameter is parameter
        if t.parameter is None or parameter is None
        else t.parameter.is_assignable_from(parameter)
    )
    if not fits:
        if t.parameter is None or parameter is None:
            what = f"{name} takes {t.parameter or 'nothing'}, and is given {parameter or 'nothing'}"
            mend = (
                "give a function without parameters, such as lambda: f(1)" if parameter is None else "let it take one"
            )
        else:
            what = told(t.parameter, parameter, f"{name} takes {{}}, and is given {{}}")
            mend = mended(t.parameter, parameter, name)
        raise TypeMismatch(what, where=where, mend=mend)
    return t


def assignable(target: Type, source: Type, where: str, what: str, mend: str) -> None:
    """Raise TypeMismatch unless `source` may stand where `target` is expected."""
    if not target.is_assignable_from(source):
        raise TypeMismatch(told(target, source, f"{what}: expected {{}}, got {{}}"), where=where, mend=mend)


def rises(x: FederatedType, to: Placement | None, where: str) -> Placement:
    """Return the placement that something rising from `x` goes to; raises TypeMismatch if it is its own."""
    assert to is not None  # the callables fill in the default
    if x.placement == to:
        raise TypeMismatch(
            f"value is {shown(x)}, and cannot rise to {to}, where it already is",
            where=where,
            mend=f"use the value as it is, or give one from below, such as {{{shown(x.member)}}}@CLIENTS"
            if x.placement.singleton
            else f"name a placement above {to} with to=, such as SERVER, which is the default",
        )
    return to


def at(member: Type, placement: Placement) -> FederatedType:
    """Return the type of an aggregate's result: all-equal at a singleton, otherwise one value a member."""
    return FederatedType(member, placement, placement.singleton)


def per_member(value: Any, t: FederatedType, tree: Tree) -> tuple[Any, ...]:
    """Return a held federated value as one value for each member of its placement, in member order."""
    return (value,) * len(tree.members(t.placement)) if t.all_equal else tuple(value)


def placed(values: tuple[Any, ...], t: FederatedType) -> Any:
    """Return one value a member in the form a value of `t` is held in."""
    return values[0] if t.all_equal else values
