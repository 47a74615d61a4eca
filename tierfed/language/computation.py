"""Computations: what the decorators make of Python functions.

    @federated_computation(FederatedType(np.float32, CLIENTS))     traced to a lambda
    @py_computation(MODEL, EXAMPLES, returns=MODEL)                a leaf, by reference

Called inside another computation it is embedded there; called anywhere else it runs in the
current context.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType as FunctionKind
from typing import Any, overload

from tierfed.errors import TypeMismatch
from tierfed.ir.check import check
from tierfed.ir.nodes import Node
from tierfed.language.context import current
from tierfed.language.trace import Value, invoke, trace, tracing
from tierfed.leaves import batch_form, py
from tierfed.types import FederatedType, FunctionType, StructType, Type, html, to_type
from tierfed.types.difference import shown
from tierfed.types.notation import formatted
from tierfed.user_line import at_user_line, located


class Computation:
    """A typed program: callable, immutable.  Made by the decorators and by `deserialize`.

    Called within the body of another computation it is embedded there; called anywhere else it runs in
    the innermost context that was entered.  `str` of it is the program, and two are equal when
    their programs are.

    >>> @tierfed.federated_computation("{int32}@CLIENTS")
    ... def total(x):
    ...     return tierfed.federated_sum(x)
    >>> total
    <computation total : ({int32}@CLIENTS -> int32@SERVER)>
    """

    def __init__(self, node: Node, name: str, python_function: Callable[..., Any] | None = None) -> None:
        if not isinstance(node.type, FunctionType):
            raise TypeMismatch(f"{name} is of type {node.type}, and no function", where="computation")
        self._node = node
        self.name = name
        self.python_function = python_function
        if python_function is not None:
            functools.update_wrapper(self, python_function)

    @property
    def node(self) -> Node:
        """The program."""
        return self._node

    @property
    def line(self) -> str | None:
        """`file:line` of the function that it was made of, None if it was read from bytes."""
        code = getattr(inspect.unwrap(self.python_function), "__code__", None) if self.python_function else None
        return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"

    @property
    def type_signature(self) -> FunctionType:
        """The computation's type; `str` of it is the notation."""
        t = self._node.type
        assert isinstance(t, FunctionType)
        return t

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing() is not None:
            return invoke(self._node, self.type_signature, args, kwargs, self.name)
        with located(self.name):
            return current().invoke(self, *args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Computation) and self._node == other._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __str__(self) -> str:
        return str(self._node)

    def __repr__(self) -> str:
        return f"<computation {self.name} : {self.type_signature}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: name, type and program."""
        rows = [("type", html.code(formatted(self.type_signature))), ("program", html.code(self, wrap=True))]
        return html.titled(f"computation {self.name}", html.table((), rows))


def _parameter(fn: Callable[..., Any], types: tuple[object, ...]) -> tuple[Type | None, tuple[str, ...]]:
    """Return the parameter type of `fn` at `types` (none, the one, or a struct named as its parameters)."""
    made = [to_type(t) for t in types]  # what is no type is told before how many there are
    named = tuple(py.parameters_of(fn, len(made)))
    if len(made) < 2:
        return (made[0] if made else None), named
    return StructType(list(zip(named, made, strict=True))), named


@overload
def federated_computation(fn: FunctionKind, /) -> Computation: ...
@overload
def federated_computation(*types: Any) -> Callable[[Callable[..., Any]], Computation]: ...
def federated_computation(*types: Any) -> Any:
    """Return a decorator that traces a function of these types into a computation.

    `@federated_computation` without types decorates a function of no arguments.  A type is whatever
    `to_type` takes; each is one parameter's.  The body runs once, here, on values that have a type and
    nothing else: `x[0]` and `x.name` select, tuples, lists and dicts form structs, `f(x)` calls,
    `+ - * /` are the generic operators, and all of these apply at each member of placed values.  What
    it returns is the result, in the container that it was returned in.

    Raises TypeMismatch, with the user's own line, where the body does not type.

    >>> @tierfed.federated_computation("{float32}@CLIENTS", "float32@SERVER")
    ... def against(readings, limit):
    ...     mean = tierfed.federated_mean(readings)
    ...     return {"mean": mean, "above": mean - limit}
    >>> against.type_signature.result
    StructType(<mean=float32@SERVER,above=float32@SERVER>)
    >>> against([68, 72], 69)
    {'mean': np.float32(70.0), 'above': np.float32(1.0)}
    """
    if len(types) == 1 and _is_undecorated(types[0]):
        return _federated(types[0], ())
    return lambda fn: _federated(fn, types)


def _is_undecorated(spec: Any) -> bool:
    return callable(spec) and not isinstance(spec, type | Type)


def _federated(fn: Callable[..., Any], types: tuple[Any, ...]) -> Computation:
    name = getattr(fn, "__qualname__", type(fn).__name__)  # a partial has none
    with located(name):
        parameter, names = _parameter(fn, types)

    def unpack(argument: Value) -> tuple[Any, ...]:
        return (argument,) if len(names) == 1 else tuple(argument[i] for i in range(len(names)))

    with located(name):
        node: Node = trace(fn, parameter, unpack)
        if tracing() is None:  # else it may use what the body around it computes, and is checked with that
            check(node)
    return Computation(node, name, fn)


@overload
def py_computation(
    fn: FunctionKind,
    /,
    *types: Any,
    returns: Any,
    batch: Callable[..., Any] | None = None,
    tolerance: float | None = None,
) -> Computation: ...
@overload
def py_computation(
    *types: Any, returns: Any, batch: Callable[..., Any] | None = None, tolerance: float | None = None
) -> Callable[[Callable[..., Any]], Computation]: ...
def py_computation(
    *types: Any, returns: Any = None, batch: Callable[..., Any] | None = None, tolerance: float | None = None
) -> Any:
    """Return a decorator that makes a leaf of a module-level function of these types.

    `py_computation(fn, *types, returns=…)` makes one at once.  On the function's side tensors
    are numpy arrays, a sequence is an iterator, and the result is checked against `returns`: it is
    never cast, but for Python's own numbers and lists.  What the function raises is a LeafError.

    It travels as `module:name` and a digest, never as code.  So it runs on daemons if they can import
    it, and if it is the same there; a lambda, an inner function or a notebook's cell runs here only.
    It is a function of its arguments: `federated_data("tierfed:member", …)` has a seed for each member.

    `batch` does in one call what the function does for many members: it takes and returns the same, with an axis for
    members in front of each tensor.  Simulations (`tierfed.simulate`) call it, where it gives the same bits as the
    function, or differs by at most `tolerance` (relative and absolute); where it does not, that is a LeafError.

    Raises TypeMismatch for types that hold a placement or a function, or with `batch` cannot be stacked.

    >>> @tierfed.py_computation("<x=float32[?],y=float32[?]>", returns=(np.float32, np.int32))
    ... def error_and_size(rows):
    ...     return np.float32(np.abs(rows["x"] - rows["y"]).sum()), len(rows["x"])
    >>> str(error_and_size.type_signature)
    '(<x=float32[?],y=float32[?]> -> <float32,int32>)'
    >>> error_and_size({"x": [1, 2], "y": [1, 4]})
    (np.float32(2.0), np.int32(2))
    """
    if returns is None:
        raise TypeMismatch(
            "returns= is missing: of which type is what the function returns?",
            where=at_user_line("py_computation"),
            mend="write @tierfed.py_computation(types of its parameters, returns=type of its result)",
        )
    if types and _is_undecorated(types[0]):
        return _python(types[0], types[1:], returns, batch, tolerance)
    return lambda fn: _python(fn, types, returns, batch, tolerance)


def _python(
    fn: Callable[..., Any],
    types: tuple[Any, ...],
    returns: Any,
    batch: Callable[..., Any] | None,
    tolerance: float | None,
) -> Computation:
    if not inspect.isfunction(fn):
        raise TypeMismatch(
            f"{fn!r} is no function that was written with def",
            where=at_user_line("py_computation"),
            mend="write `def …` at the top level of a module, and decorate that",
        )
    with located(fn.__qualname__):
        parameter, _ = _parameter(fn, types)
    t = FunctionType(parameter, to_type(returns))
    for part in t.walk():
        if isinstance(part, FederatedType) or (isinstance(part, FunctionType) and part is not t):
            raise TypeMismatch(
                f"a leaf works on one member's value, and its type {shown(t)} has a part {shown(part)}",
                where=at_user_line(fn.__qualname__),
                mend=f"write {shown(part.member)}, and call it with tierfed.federated_map({fn.__name__}, value)"
                if isinstance(part, FederatedType)
                else "use tensors, structs and sequences",
            )
    leaf = py.reference(fn, t, len(types))
    if batch is None and tolerance is not None:
        raise TypeMismatch(
            "tolerance= without batch=: nothing may differ",
            where=at_user_line(fn.__qualname__),
            mend="give the batch form that it is for, or remove it",
        )
    if batch is not None:
        with located(fn.__qualname__):
            batch_form.declare(leaf, batch, tolerance)
    return Computation(leaf, fn.__qualname__, fn)
