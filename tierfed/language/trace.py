"""Tracing: a Python function is run once on traced values, and what it does is the program.

A traced value stands for a value of a type and holds the node that computes it.  Every call
made while tracing is bound to a name of the enclosing scope, so what is used twice is
computed once:

    def f(x): y = federated_sum(x); return y + y        (x -> (let v1=federated_sum(x),v2=… in v2))
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextvars import ContextVar
from typing import Any

import numpy as np

from tierfed.errors import TierfedError, TypeMismatch
from tierfed.ir.build import apply_intrinsic
from tierfed.ir.intrinsics import TABLE
from tierfed.ir.nodes import Block, Call, Lambda, Literal, Node, Reference, Selection, Struct, shortened
from tierfed.language.packing import packed_arguments, takes_nothing
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type
from tierfed.types.difference import listed, mended, shown, told
from tierfed.types.values import Struct as StructValue
from tierfed.types.values import check, infer
from tierfed.user_line import at_user_line, located, user_line


class Scope:
    """The names bound so far in the body that is being traced."""

    def __init__(self, outer: Scope | None) -> None:
        self.outer = outer
        self.ended = False
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
        scope.ended = True
    body = Block(tuple(scope.bindings), result) if scope.bindings else result
    return Lambda(name, parameter, body)


def traced(fn: Callable[..., Any], parameter: Type | None) -> Lambda:
    """Return a user's function, traced at `parameter`; a struct's elements are its arguments if it takes as many."""
    unpacked = isinstance(parameter, StructType) and len(parameter) > 1 and positional(fn) == len(parameter)
    return trace(fn, parameter, tuple if unpacked else None)


def positional(fn: Callable[..., Any]) -> int | None:
    """Return how many arguments `fn` must be given, None if it takes any number or does not say.

    A default, as in `lambda x, rate=rate: …`, is a capture and no parameter.
    """
    try:
        parameters = inspect.signature(fn).parameters.values()
    except ValueError:  # some of Python's own
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind is not p.VAR_KEYWORD and p.default is p.empty for p in parameters)


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

    __slots__ = ("_held", "_scope")
    _held: Node
    _scope: Scope | None

    def __init__(self, node: Node) -> None:
        object.__setattr__(self, "_held", node)
        object.__setattr__(self, "_scope", _scope.get())

    @property
    def _node(self) -> Node:
        """What computes the value; refused once the function that it was traced in has returned."""
        if self._scope is not None and self._scope.ended:
            raise TypeMismatch(
                f"a traced value of {self.type_signature} is used after the function that it belongs to has returned",
                where=at_user_line(),
                mend="return it from that function, and pass on what its call gives",
            )
        return self._held

    @property
    def type_signature(self) -> Type:
        """The type of the value."""
        return self._held.type

    def __setattr__(self, name: str, value: object) -> None:
        raise self._unchangeable(f".{name} = …")

    def __setitem__(self, key: object, value: object) -> None:
        raise self._unchangeable(f"[{key!r}] = …")

    def _unchangeable(self, what: str) -> TypeMismatch:
        return TypeMismatch(
            f"a traced value of {shown(self.type_signature)} cannot be changed: {what}",
            where=at_user_line(),
            mend='build a new one: {"a": x.a, "b": 0.0}, or (x[0], 0.0)',
        )

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):
            raise AttributeError(name)
        t = self._struct(f".{name}")
        at = t.index(name)
        if at is None:
            names = [n for n in t.names if n is not None]
            near = difflib.get_close_matches(name, names, 1)
            raise TypeMismatch(
                f"no element is called {name}: the value is {shown(self.type_signature)}",
                where=at_user_line(),
                mend=(f"did you mean {near[0]}? " if near else "")
                + (f"its elements are {listed(names)}" if names else "its elements have no names: select with [0]"),
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
                f"there is no element [{key}]: the value is {shown(self.type_signature)}",
                where=at_user_line(),
                mend=f"its elements are [0] to [{len(t) - 1}]" if len(t) else "it is empty",
            )
        return self._select(at)

    def __iter__(self) -> Iterator[Value]:
        return iter([self._select(i) for i in range(len(self._struct("elements to go through")))])

    def __len__(self) -> int:
        return len(self._struct("len()"))

    def keys(self) -> list[str]:
        """Return the names of a struct's elements, so that `**x` works."""
        return [n for n in self._struct("keys()").names if n is not None]

    def __bool__(self) -> bool:
        raise TypeMismatch(
            f"a traced value of {shown(self.type_signature)} is neither true nor false: it stands for values to come",
            where=at_user_line(),
            mend="decide in a leaf, where the value is known: @tierfed.py_computation",
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Value:
        t = self.type_signature
        if not isinstance(t, FunctionType):
            raise TypeMismatch(
                f"a value of {shown(t)} is called, and is no function",
                where=at_user_line(),
                mend="select an element with [0] or .name; call computations only",
            )
        return invoke(self._node, t, args, kwargs, "the function")

    def __add__(self, other: Any) -> Value:
        return arithmetic("generic_plus", self, other, "+")

    def __radd__(self, other: Any) -> Value:
        return arithmetic("generic_plus", other, self, "+")

    def __sub__(self, other: Any) -> Value:
        return arithmetic("generic_minus", self, other, "-")

    def __rsub__(self, other: Any) -> Value:
        return arithmetic("generic_minus", other, self, "-")

    def __mul__(self, other: Any) -> Value:
        return arithmetic("generic_multiply", self, other, "*")

    def __rmul__(self, other: Any) -> Value:
        return arithmetic("generic_multiply", other, self, "*")

    def __truediv__(self, other: Any) -> Value:
        return arithmetic("generic_divide", self, other, "/")

    def __rtruediv__(self, other: Any) -> Value:
        return arithmetic("generic_divide", other, self, "/")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Value:
        """Return what numpy's own arithmetic means here, as in `array + x`; the rest of numpy is refused."""
        uri = _UFUNCS.get(ufunc) if method == "__call__" and not kwargs else None
        if uri is None:
            raise self._not_for_numpy(ufunc.__name__)
        return arithmetic(uri, *inputs)

    def __array_function__(self, function: Callable[..., Any], *rest: Any) -> Value:
        module = function.__module__.removeprefix("numpy").lstrip(".")
        raise self._not_for_numpy(f"{module}.{function.__name__}" if module else function.__name__)

    def __array__(self, *rest: Any, **kwargs: Any) -> Any:
        raise self._not_for_numpy("array")

    def _not_for_numpy(self, name: str) -> TypeMismatch:
        return TypeMismatch(
            f"numpy's {name} is called with a traced value of {shown(self.type_signature)}, which is no array yet",
            where=at_user_line(),
            mend="call it in a leaf, where the value is an array: @tierfed.py_computation",
        )

    def __format__(self, spec: str) -> str:
        if spec:
            _no_operator(f"format {spec!r}")(self)
        return repr(self)

    def __repr__(self) -> str:
        return f"<traced {shortened(self._held)} : {self.type_signature}>"

    def _struct(self, what: str) -> StructType:
        t = self.type_signature
        member = t.member if isinstance(t, FederatedType) else t
        if isinstance(member, StructType):
            return member
        aggregate = f"federated_{what[1:]}"
        at_each = isinstance(t, FederatedType) and not t.all_equal
        if what == "len()" and isinstance(t, FederatedType):
            mend = "how many members there are is known when it runs: sum a one of each, or use tierfed.federated_mean"
        elif at_each and what[0] in "[e":  # an index, or elements to go through
            mend = "say what one member does, and it is done at each: tierfed.federated_map(fn, x)"
        elif at_each and aggregate in TABLE:
            mend = f"call tierfed.{aggregate}(x)"
        elif isinstance(member, FunctionType):
            mend = "call it, and select from what it gives"
        else:
            mend = "compute it in a leaf, where the value is an array: @tierfed.py_computation"
        raise TypeMismatch(f"a traced value of {shown(t)} has no {what}", where=at_user_line(), mend=mend)

    def _select(self, at: int) -> Value:
        node, t = self._node, self.type_signature
        if not isinstance(t, FederatedType):
            part = Value(node.elements[at][1] if isinstance(node, Struct) else Selection(node, at))
            object.__setattr__(part, "_scope", self._scope)
            return part
        select = Lambda("x", t.member, Selection(Reference("x", t.member), at))
        return bound(apply_intrinsic("federated_map", (select, node)))


def _no_operator(sign: str) -> Callable[..., Any]:
    def operator(self: Value, *others: Any) -> Any:
        raise TypeMismatch(
            f"a traced value of {shown(self.type_signature)} has no {sign}: it stands for values to come",
            where=at_user_line(),
            mend="compute it in a leaf, where the value is known: @tierfed.py_computation",
        )

    return operator


# Refused by name: Python's own `==` would compare two traced values by identity, and answer.
for _sign, _names in {
    "==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge",
    "**": "pow rpow", "//": "floordiv rfloordiv", "%": "mod rmod", "@": "matmul rmatmul",
    "&": "and rand", "|": "or ror", "^": "xor rxor", "<<": "lshift rlshift", ">>": "rshift rrshift",
    "unary -": "neg", "unary +": "pos", "~": "invert", "abs()": "abs", "round()": "round",
    "divmod()": "divmod rdivmod",
    "int()": "int index", "float()": "float", "complex()": "complex",
}.items():  # fmt: skip
    for _name in _names.split():
        setattr(Value, f"__{_name}__", _no_operator(_sign))


class _NoElement(TypeMismatch, IndexError):
    """An index past the end of a struct."""


def as_node(value: Any, expected: Type | None = None) -> Node:
    """Return what a user wrote as a node: a traced value, a container of such, or a constant.

    A constant takes the `expected` type where there is one, and is checked against it; a Python
    function is traced where a function is expected.
    """
    node = getattr(value, "_node", None)
    if isinstance(node, Node):
        return node
    if isinstance(value, Node):
        return value
    if isinstance(value, str | bytes | int | float | complex | np.ndarray | np.generic):
        return _constant(value, expected)
    if isinstance(expected, FunctionType) and callable(value) and not isinstance(value, type):
        return traced(value, expected.parameter)
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
    what, mend = _meaningless(value)
    raise TypeMismatch(what, mend=mend)


def _meaningless(value: Any) -> tuple[str, str]:
    """Return what to say of a Python value that is no value of a program, and what would mend it."""
    kind = type(value).__name__
    if value is None:
        return "None is no value of a program", "return a value: end the function with `return …`"
    if inspect.iscoroutine(value):
        value.close()  # nobody awaits it
        return "a coroutine is no value of a program: its function is async", "write def, without async and await"
    if isinstance(value, Iterator):
        return f"a {kind} is no value of a program", "make a list of it: [… for … in …]"
    if isinstance(value, Set):
        return f"a {kind} is no value of a program: it has no order", "use a tuple, a list or a dict"
    if isinstance(value, Type | type):
        name = value.__name__ if isinstance(value, type) else str(value)
        return f"{name} is a type, and no value of a program", f"use a value of it, such as {name}(…)"
    if callable(value):
        return (
            f"the function {getattr(value, '__name__', kind)} is no value of a program",
            "call it, or give it to an operator that takes a function, such as tierfed.federated_map(fn, value)",
        )
    return (
        f"a value of the class {kind} is no value of a program",
        "use traced values, numbers, numpy arrays, and tuples, lists, dicts or dataclasses of them",
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
    try:
        t = expected if isinstance(expected, TensorType) else infer(value)
        held = check(value, t)
    except TierfedError as bad:
        raise TypeMismatch(f"a constant does not fit: {bad.what}", mend=bad.mend) from None
    assert isinstance(t, TensorType)
    return Literal.make(held, t)


def invoke(function: Node, t: FunctionType, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> Value:
    """Return the traced call of `function`, which errors call `name`, at what a user passed."""
    with located(name):
        return _invoked(function, t, args, kwargs, name)


def _invoked(function: Node, t: FunctionType, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> Value:
    if t.parameter is None:
        if args or kwargs:
            raise takes_nothing(len(args) + len(kwargs))
        return bound(Call(function))
    argument = loosened(as_node(packed_arguments(t.parameter, args, kwargs), t.parameter), t.parameter)
    if not t.parameter.is_assignable_from(argument.type):
        raise TypeMismatch(
            told(t.parameter, argument.type, "it takes {}, got {}"),
            mend=mended(t.parameter, argument.type, name, called=True),
        )
    return bound(Call(function, argument))


def loosened(node: Node, target: Type) -> Node:
    """Return `node` with the all-equal bits of `target`, where that changes nothing: fewer, but for singletons."""
    source = node.type
    match target, source:
        case FederatedType(), FederatedType() if (
            source.placement == target.placement
            and source.all_equal != target.all_equal
            and target.all_equal == target.placement.singleton
        ):
            alone = bound(apply_intrinsic("federated_zip", (Struct(((None, node),)),)))
            return alone._select(0)._node  # zip clears the bit, and sets it at a singleton
        case StructType(), StructType() if len(target) == len(source) and target.contains(FederatedType):
            if source.parts() == target.parts():
                return node
            parts = node.children() if isinstance(node, Struct) else [Selection(node, i) for i in range(len(source))]
            loose = (loosened(p, t) for p, t in zip(parts, target.parts(), strict=True))
            return Struct(tuple(zip(source.names, loose, strict=True)), source.container)
    return node


def arithmetic(uri: str, left: Any, right: Any, sign: str | None = None) -> Value:
    """Return `left` and `right` under a `generic_*` operator, lifted over their placement if they have one.

    `sign` is what the user wrote for it, for errors.
    """
    label = uri if sign is None else f"left {sign} right"
    with located(label):
        try:
            return _arithmetic(uri, left, right)
        except TypeMismatch as bad:
            if bad.where == uri:
                bad.where = label
            raise


def _arithmetic(uri: str, left: Any, right: Any) -> Value:
    a = left if isinstance(left, Value) else None
    b = right if isinstance(right, Value) else None
    types = [v.type_signature for v in (a, b) if v is not None]
    placed_types = [t for t in types if isinstance(t, FederatedType)]
    if not placed_types:
        known = types[0]
        pair = as_node((as_node(left, known), as_node(right, known)))
        return bound(apply_intrinsic(uri, pair.children()))
    at = placed_types[0]
    if any(t.placement != at.placement for t in placed_types):
        raise TypeMismatch(
            told(types[0], types[1], "left is {}, right is {}: two placements"),
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
    return bound(apply_intrinsic("federated_map", (Lambda("p", at.member, apply_intrinsic(uri, sides)), placed_node)))
