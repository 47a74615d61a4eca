"""Tracing: a Python function is run once on traced values, and what it does is the program.

A traced value stands for a value of a type and holds the node that computes it.  Every call
made while tracing is bound to a name of the enclosing scope, so what is used twice is
computed once:

    def f(x): y = federated_sum(x); return y + y        (x -> (let v1=federated_sum(x),v2=… in v2))
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from tierfed.errors import TierfedError, TypeMismatch
from tierfed.ir.build import apply_intrinsic
from tierfed.ir.nodes import Block, Call, Lambda, Literal, Node, Reference, Selection, Struct, shortened
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type
from tierfed.types.values import Struct as StructValue
from tierfed.types.values import check, infer
from tierfed.user_line import located, user_line


class Scope:
    """The names bound so far in the body that is being traced."""

    def __init__(self, outer: Scope | None) -> None:
        self.outer = outer
        self.bindings: list[tuple[str, Node]] = []
        self.counter: Iterator[int] = outer.counter if outer is not None else itertools.count(1)

    def fresh(self, stem: str = "v") -> str:
        """Return a name that nothing in this trace has."""
        return f"{stem}{next(self.counter)}"

    def bind(self, node: Node) -> Value:
        """Bind `node` to a fresh name and return the traced value of that name."""
        name = self.fresh()
        self.bindings.append((name, node))
        return Value(Reference(name, node.type))


_scope: ContextVar[Scope | None] = ContextVar("tierfed_scope", default=None)


def tracing() -> Scope | None:
    """Return the scope that is being traced, None outside a trace."""
    return _scope.get()


def bound(node: Node) -> Value:
    """Return `node` bound in the scope that is being traced, or as it is outside one; a call gets its line."""
    scope = _scope.get()
    if isinstance(node, Call) and node.line is None:
        node = Call(node.function, node.argument, user_line())
    return Value(node) if scope is None else scope.bind(node)


def trace(
    fn: Callable[..., Any], parameter: Type | None, unpack: Callable[[Value], tuple[Any, ...]] | None = None
) -> Lambda:
    """Return `fn`, run on a traced value of `parameter`, as a lambda.

    `unpack` gives the arguments of `fn` from that value; by default it is the one argument.
    """
    scope = Scope(_scope.get())
    token = _scope.set(scope)
    try:
        if parameter is None:
            result = as_node(fn())
            name = None
        else:
            name = scope.fresh("x")
            argument = Value(Reference(name, parameter))
            result = as_node(fn(*(unpack(argument) if unpack is not None else (argument,))))
    finally:
        _scope.reset(token)
    body = Block(tuple(scope.bindings), result) if scope.bindings else result
    return Lambda(name, parameter, body)


_UFUNCS: dict[np.ufunc, str] = {
    np.add: "generic_plus",
    np.subtract: "generic_minus",
    np.multiply: "generic_multiply",
    np.divide: "generic_divide",
}


class Value:
    """A traced value: what a computation's body works with.

    `x[0]` and `x.name` select, tuples, lists and dicts form structs, `f(x)` invokes, and
    `+ - * /` are the `generic_*` operators.  On placed values selection and arithmetic lift
    over one placement.
    """

    __slots__ = ("_node",)
    _node: Node

    def __init__(self, node: Node) -> None:
        object.__setattr__(self, "_node", node)

    @property
    def type_signature(self) -> Type:
        """The type of the value."""
        return self._node.type

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeMismatch(
            f"a traced value cannot be changed: {name} = …", where=user_line(), mend="build a new struct instead"
        )

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):
            raise AttributeError(name)
        at = self._struct(f".{name}").index(name)
        if at is None:
            names = ", ".join(str(n) for n in self._struct("").names if n is not None) or "none is named"
            raise TypeMismatch(
                f"{self.type_signature} has no element called {name}",
                where=user_line(),
                mend=f"its elements: {names}",
            )
        return self._select(at)

    def __getitem__(self, key: int | str) -> Value:
        t = self._struct(f"[{key!r}]")
        if isinstance(key, str):
            return self.__getattr__(key)
        at = key + len(t) if key < 0 else key
        if not 0 <= at < len(t):
            # an IndexError too, so that Python's own unpacking stops here
            raise _NoElement(
                f"{t} has {len(t)} elements, and no [{key}]",
                where=user_line(),
                mend=f"the last is [{len(t) - 1}]" if len(t) else "it is empty",
            )
        return self._select(at)

    def __iter__(self) -> Iterator[Value]:
        return iter([self._select(i) for i in range(len(self._struct("iteration")))])

    def __len__(self) -> int:
        return len(self._struct("len()"))

    def keys(self) -> list[str]:
        """Return the names of a struct's elements, so that `**x` works."""
        return [n for n in self._struct("keys()").names if n is not None]

    def __bool__(self) -> bool:
        raise TypeMismatch(
            f"a traced value of {self.type_signature} is neither true nor false while the program is traced",
            where=user_line(),
            mend="decide inside a leaf, where the value is known",
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Value:
        t = self.type_signature
        if not isinstance(t, FunctionType):
            raise TypeMismatch(f"a value of {t} is called", where=user_line(), mend="call a function")
        return invoke(self._node, t, args, kwargs)

    def __add__(self, other: Any) -> Value:
        return arithmetic("generic_plus", self, other)

    def __radd__(self, other: Any) -> Value:
        return arithmetic("generic_plus", other, self)

    def __sub__(self, other: Any) -> Value:
        return arithmetic("generic_minus", self, other)

    def __rsub__(self, other: Any) -> Value:
        return arithmetic("generic_minus", other, self)

    def __mul__(self, other: Any) -> Value:
        return arithmetic("generic_multiply", self, other)

    def __rmul__(self, other: Any) -> Value:
        return arithmetic("generic_multiply", other, self)

    def __truediv__(self, other: Any) -> Value:
        return arithmetic("generic_divide", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return arithmetic("generic_divide", other, self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Value:
        """Return what numpy's own arithmetic means here, as in `array + x`; the rest of numpy is refused."""
        uri = _UFUNCS.get(ufunc) if method == "__call__" and not kwargs else None
        if uri is None:
            raise TypeMismatch(
                f"numpy's {ufunc.__name__} is called with a traced value of {self.type_signature}",
                where=user_line(),
                mend="compute it in a leaf: @tierfed.py_computation",
            )
        return arithmetic(uri, *inputs)

    def __repr__(self) -> str:
        return f"<traced {shortened(self._node)} : {self.type_signature}>"

    def _struct(self, what: str) -> StructType:
        t = self.type_signature
        member = t.member if isinstance(t, FederatedType) else t
        if not isinstance(member, StructType):
            raise TypeMismatch(
                f"a value of {t} has no elements: {what}",
                where=user_line(),
                mend="select from a struct, or compute on arrays in a leaf: @tierfed.py_computation",
            )
        return member

    def _select(self, at: int) -> Value:
        node, t = self._node, self.type_signature
        if not isinstance(t, FederatedType):
            if isinstance(node, Struct):
                return Value(node.elements[at][1])
            return Value(Selection(node, at))
        select = Lambda("x", t.member, Selection(Reference("x", t.member), at))
        return bound(apply_intrinsic("federated_map", (select, node)))


def _no_operator(sign: str) -> Callable[..., Any]:
    def operator(self: Value, *others: Any) -> Any:
        raise TypeMismatch(
            f"a traced value of {self.type_signature} has no {sign}",
            where=user_line(),
            mend="compute it in a leaf: @tierfed.py_computation",
        )

    return operator


# Refused by name: Python's own `==` would compare two traced values by identity, and answer.
for _sign, _names in {
    "==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge",
    "**": "pow rpow", "//": "floordiv rfloordiv", "%": "mod rmod", "@": "matmul rmatmul",
    "&": "and rand", "|": "or ror", "^": "xor rxor", "unary -": "neg", "abs()": "abs",
    "int()": "int index", "float()": "float", "complex()": "complex",
}.items():  # fmt: skip
    for _name in _names.split():
        setattr(Value, f"__{_name}__", _no_operator(_sign))


class _NoElement(TypeMismatch, IndexError):
    """An index past the end of a struct."""


def as_node(value: Any, expected: Type | None = None) -> Node:
    """Return what a user wrote as a node: a traced value, a container of such, or a constant.

    A constant takes the `expected` type where there is one, and is checked against it.
    """
    node = getattr(value, "_node", None)
    if isinstance(node, Node):
        return node
    if isinstance(value, Node):
        return value
    if isinstance(value, str | bytes | int | float | complex | np.ndarray | np.generic):
        return _constant(value, expected)
    expected = expected if isinstance(expected, StructType) else None
    if isinstance(value, Mapping):
        return _struct(list(value.items()), type(value) if type(value).__module__ == "collections" else dict, expected)
    if isinstance(value, StructValue):
        return _struct(list(zip(value._names, value, strict=True)), None, expected)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _struct(list(zip(value._fields, value, strict=True)), type(value), expected)
    if isinstance(value, tuple | list):
        return _struct([(None, v) for v in value], type(value), expected)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return _struct(fields, type(value), expected)
    if hasattr(type(value), "__attrs_attrs__"):
        fields = [(a.name, getattr(value, a.name)) for a in type(value).__attrs_attrs__]
        return _struct(fields, type(value), expected)
    raise TypeMismatch(
        f"{value!r} has no meaning in a program",
        where=user_line(),
        mend="use traced values, numbers, numpy arrays, and tuples, lists or dicts of them",
    )


def _struct(elements: Sequence[tuple[str | None, Any]], container: Any, expected: StructType | None) -> Struct:
    if expected is not None and len(expected) == len(elements):
        if any(n is not None for n, _ in elements) and {n for n, _ in elements} == set(expected.names):
            given = dict(elements)
            elements = [(n, given[n]) for n in expected.names]  # a dict in another order is the same struct
        return Struct(
            tuple((n, as_node(v, e)) for (n, v), e in zip(elements, expected.parts(), strict=True)), container
        )
    return Struct(tuple((n, as_node(v)) for n, v in elements), container)


def _constant(value: Any, expected: Type | None) -> Node:
    t = expected if isinstance(expected, TensorType) else infer(value)
    try:
        held = check(value, t, "a constant")
    except TierfedError as bad:
        raise TypeMismatch(bad.what, where=user_line(), mend=bad.mend) from None
    assert isinstance(t, TensorType)
    return Literal.make(held, t)


def invoke(function: Node, t: FunctionType, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Value:
    """Return the traced call of `function` at what a user passed."""
    if t.parameter is None:
        if args or kwargs:
            raise TypeMismatch(f"{t} takes no argument", where=user_line(), mend="call it without arguments")
        return bound(Call(function))
    argument = _loosened(as_node(packed_arguments(t.parameter, args, kwargs), t.parameter), t.parameter)
    if not t.parameter.is_assignable_from(argument.type):
        raise TypeMismatch(
            f"{shortened(function)} takes {t.parameter}, got {argument.type}",
            where=user_line(),
            mend="pass a value of the type that it takes",
        )
    return bound(Call(function, argument))


def _loosened(node: Node, target: Type) -> Node:
    """Return `node` with all-equal values made one value a member where `target` holds such."""
    source = node.type
    match target, source:
        case FederatedType(all_equal=False), FederatedType(all_equal=True) if source.placement == target.placement:
            alone = bound(apply_intrinsic("federated_zip", (Struct(((None, node),)),)))
            return alone._select(0)._node  # zip clears the bit
        case StructType(), StructType() if len(target) == len(source) and target.contains(FederatedType):
            if source.parts() == target.parts():
                return node
            parts = node.children() if isinstance(node, Struct) else [Selection(node, i) for i in range(len(source))]
            loosened = (_loosened(p, t) for p, t in zip(parts, target.parts(), strict=True))
            return Struct(tuple(zip(source.names, loosened, strict=True)), source.container)
    return node


def packed_arguments(parameter: Type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return positional and named arguments as the one value of `parameter`.

    One positional argument is the value itself, unless `parameter` is a struct of one.
    """
    if len(args) == 1 and not kwargs and not (isinstance(parameter, StructType) and len(parameter) == 1):
        return args[0]
    if len(args) == 1 and not kwargs and isinstance(parameter, StructType) and isinstance(args[0], Mapping):
        return args[0]
    if not isinstance(parameter, StructType):
        named = f" by name: {', '.join(kwargs)}" if kwargs else ""
        raise TypeMismatch(
            f"one argument of {parameter} is taken, {len(args) + len(kwargs)} were given{named}",
            where=user_line(),
            mend="pass one argument, by position",
        )
    names = parameter.names
    values: list[Any] = list(args)
    unknown = [k for k in kwargs if k not in names or names.index(k) < len(args)]
    values.extend(kwargs[n] for n in names[len(args) :] if n is not None and n in kwargs)
    if unknown or len(values) != len(names):
        shown = ", ".join(str(n) if n is not None else f"[{i}]" for i, n in enumerate(names))
        raise TypeMismatch(
            f"{len(args)} positional and the named arguments {sorted(kwargs)} do not make {parameter}",
            where=user_line(),
            mend=f"pass each of {shown} once",
        )
    return tuple(values)


def arithmetic(uri: str, left: Any, right: Any) -> Value:
    """Return `left` and `right` under a `generic_*` operator, lifted over their placement if they have one."""
    a = left if isinstance(left, Value) else None
    b = right if isinstance(right, Value) else None
    types = [v.type_signature for v in (a, b) if v is not None]
    placed_types = [t for t in types if isinstance(t, FederatedType)]
    with located(uri):
        if not placed_types:
            known = types[0]
            pair = as_node((as_node(left, known), as_node(right, known)))
            return bound(apply_intrinsic(uri, pair.children()))
        at = placed_types[0]
        if any(t.placement != at.placement for t in placed_types):
            raise TypeMismatch(
                f"the two sides are at two placements: {types[0]} and {types[1]}",
                where=uri,
                mend="move one of them first: tierfed.federated_broadcast goes down, an aggregate goes up",
            )
        if len(placed_types) == 2:
            assert a is not None and b is not None
            both = apply_intrinsic("federated_zip", (as_node((a, b)),))
            t = both.type
            assert isinstance(t, FederatedType)
            x = Reference("p", t.member)
            fn = Lambda("p", t.member, apply_intrinsic(uri, (Selection(x, 0), Selection(x, 1))))
            return bound(apply_intrinsic("federated_map", (fn, bound(both)._node)))
        x = Reference("p", at.member)
        one = isinstance(types[0], FederatedType) and a is not None
        sides = (x, as_node(right, at.member)) if one else (as_node(left, at.member), x)
        placed_node = as_node(a if isinstance(getattr(a, "type_signature", None), FederatedType) else b)
        return bound(
            apply_intrinsic("federated_map", (Lambda("p", at.member, apply_intrinsic(uri, sides)), placed_node))
        )
