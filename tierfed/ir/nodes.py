"""The nodes of a program: a typed lambda calculus.

    (x -> (let y=federated_sum(x) in <y,x>))

Every node knows its type and checks itself when it is made, so a program that exists
is well typed as far as its shape goes; `ir.check` goes on to the intrinsics' own rules.
Nodes are immutable.  Sharing is written with `Block`: `let a=…,b=… in …`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tierfed.errors import TypeMismatch
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, PlacementType, StructType, TensorType, Type

_MAX_ELEMENTS = 2**48  # far above what fits in memory, far below where numpy's sizes overflow


def _named(name: str, where: str) -> None:
    if not name:
        raise TypeMismatch("a name is empty", where=where, mend="use a non-empty string")


@dataclass(frozen=True, slots=True)
class Node:
    """The root of the node classes; `type` is the type of the node's value."""

    type: Type = field(init=False, compare=False)

    def _is(self, t: Type) -> None:
        object.__setattr__(self, "type", t)

    def children(self) -> tuple[Node, ...]:
        """Return the nodes just below this one."""
        return ()

    def rebuilt(self, children: tuple[Node, ...]) -> Node:
        """Return this node over other `children` (as many as `children()` gives)."""
        return self

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, parents first."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children()))

    def __str__(self) -> str:
        from tierfed.ir.text import text  # the writer imports the nodes

        return text(self)


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """A name bound by an enclosing Lambda or Block."""

    name: str
    of: Type

    def __post_init__(self) -> None:
        _named(self.name, "reference")
        self._is(self.of)


@dataclass(frozen=True, slots=True)
class Lambda(Node):
    """`(x -> body)`, or `( -> body)` when `parameter` is None."""

    parameter: str | None
    parameter_type: Type | None
    body: Node

    def __post_init__(self) -> None:
        if (self.parameter is None) != (self.parameter_type is None):
            raise TypeMismatch("a lambda's parameter has a name and a type, or neither", where="lambda")
        if self.parameter is not None:
            _named(self.parameter, "lambda")
        self._is(FunctionType(self.parameter_type, self.body.type))

    def children(self) -> tuple[Node, ...]:
        return (self.body,)

    def rebuilt(self, children: tuple[Node, ...]) -> Node:
        return replace(self, body=children[0])


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`f(a)`, or `f()` when `argument` is None; `line` is where the user wrote it, for errors alone."""

    function: Node
    argument: Node | None = None
    line: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        f = self.function.type
        if not isinstance(f, FunctionType):
            raise TypeMismatch(f"{shortened(self.function)} of type {f} is called, and is no function", where="call")
        given = None if self.argument is None else self.argument.type
        if (f.parameter is None) != (given is None) or (
            f.parameter is not None and given is not None and not f.parameter.is_assignable_from(given)
        ):
            raise TypeMismatch(
                f"{shortened(self.function)} takes {f.parameter or 'nothing'}, got {given or 'nothing'}",
                where=f"call of {shortened(self.function)}",
                mend="pass a value of the type that it takes",
            )
        self._is(f.result)

    def children(self) -> tuple[Node, ...]:
        return (self.function,) if self.argument is None else (self.function, self.argument)

    def rebuilt(self, children: tuple[Node, ...]) -> Node:
        return Call(children[0], children[1] if self.argument is not None else None, self.line)


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`(let a=…,b=… in result)`: each local may use those before it."""

    bindings: tuple[tuple[str, Node], ...]
    result: Node

    def __post_init__(self) -> None:
        for name, _ in self.bindings:
            _named(name, "block")
        self._is(self.result.type)

    def children(self) -> tuple[Node, ...]:
        return (*(value for _, value in self.bindings), self.result)

    def rebuilt(self, children: tuple[Node, ...]) -> Node:
        names = (name for name, _ in self.bindings)
        return Block(tuple(zip(names, children[:-1], strict=True)), children[-1])


@dataclass(frozen=True, slots=True)
class Struct(Node):
    """`<a=…,…>`; `container` is the Python class that the user wrote."""

    elements: tuple[tuple[str | None, Node], ...]
    container: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        self._is(StructType([(name, node.type) for name, node in self.elements], self.container))

    def children(self) -> tuple[Node, ...]:
        return tuple(node for _, node in self.elements)

    def rebuilt(self, children: tuple[Node, ...]) -> Node:
        names = (name for name, _ in self.elements)
        return Struct(tuple(zip(names, children, strict=True)), self.container)


@dataclass(frozen=True, slots=True)
class Selection(Node):
    """`x[0]` or `x.name`: always held by position."""

    source: Node
    index: int

    def __post_init__(self) -> None:
        t = self.source.type
        if not isinstance(t, StructType):
            raise TypeMismatch(
                f"{shortened(self.source)} of type {t} has no elements", where="selection", mend="select from a struct"
            )
        if not 0 <= self.index < len(t):
            raise TypeMismatch(
                f"no element {self.index} in {t}", where="selection", mend=f"it has {len(t)}, counted from 0"
            )
        self._is(t[self.index])

    @property
    def name(self) -> str | None:
        """The element's name, None if it has none."""
        t = self.source.type
        return t.names[self.index] if isinstance(t, StructType) else None

    def children(self) -> tuple[Node, ...]:
        return (self.source,)

    def rebuilt(self, children: tuple[Node, ...]) -> Node:
        return Selection(children[0], self.index)


@dataclass(frozen=True, slots=True)
class Intrinsic(Node):
    """An operator of the table `ir.intrinsics`, at one type; a placement it goes `to` is in that type."""

    uri: str
    of: FunctionType

    def __post_init__(self) -> None:
        _named(self.uri, "intrinsic")
        self._is(self.of)


@dataclass(frozen=True, slots=True)
class PlacementLiteral(Node):
    """A placement as a value."""

    placement: Placement

    def __post_init__(self) -> None:
        self._is(PlacementType())


@dataclass(frozen=True, slots=True)
class Data(Node):
    """What each member of a placement has under `uri`; `of` is its federated type."""

    uri: str
    of: Type

    def __post_init__(self) -> None:
        _named(self.uri, "data")
        self._is(self.of)


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant tensor, held as little-endian bytes (strings as UTF-8 in a tuple), so that it hashes."""

    of: TensorType
    content: bytes | tuple[str, ...]

    def __post_init__(self) -> None:
        t = self.of
        expected = t.size if t.name == "str" else t.nbytes
        if isinstance(self.content, tuple) != (t.name == "str") or len(self.content) != expected:
            raise TypeMismatch(
                f"{len(self.content)} {'strings' if isinstance(self.content, tuple) else 'bytes'} are no {t}",
                where="literal",
                mend="make literals with Literal.make, at a type whose sizes are known",
            )
        if math.prod(max(s or 0, 1) for s in t.shape or ()) > _MAX_ELEMENTS:  # some other size is 0
            raise TypeMismatch(f"numpy has no array of type {t}", where="literal", mend="use smaller sizes")
        if t.name == "bool" and isinstance(self.content, bytes) and self.content.translate(None, b"\0\1"):
            raise TypeMismatch("a bool that is neither 0 nor 1", where="literal", mend="write 0 or 1")
        self._is(t)

    @staticmethod
    def make(value: Any, t: TensorType) -> Literal:
        """Return the literal of a held `value` of the tensor type `t`."""
        array = np.asarray(value, object if t.name == "str" else t.dtype)
        concrete = TensorType(t.name, array.shape)
        if t.name == "str":
            return Literal(concrete, tuple(str(s) for s in array.flat))
        return Literal(concrete, array.astype(array.dtype.newbyteorder("<")).tobytes())

    @property
    def value(self) -> Any:
        """The held value."""
        shape = [s for s in self.of.shape or () if s is not None]
        if isinstance(self.content, tuple):
            strings = np.array(list(self.content), dtype=object).reshape(shape)
            return str(strings[()]) if not shape else strings
        array = np.frombuffer(self.content, self.of.dtype.newbyteorder("<")).astype(self.of.dtype).reshape(shape)
        return array[()] if not shape else array


@dataclass(frozen=True, slots=True)
class Leaf:
    """A local computation: what kind, where it is found, and the digest of what is expected there.

    `content` is what a kind that ships its code ships.  A `stateful` one may give another result for
    equal arguments, so two of its calls are never made one.
    """

    kind: str
    name: str
    digest: str
    content: bytes = b""
    stateful: bool = False


@dataclass(frozen=True, slots=True)
class Compiled(Node):
    """A leaf as a function, `comp#name`."""

    leaf: Leaf
    of: FunctionType

    def __post_init__(self) -> None:
        self._is(self.of)


def shortened(node: Node, limit: int = 120) -> str:
    """Return the text of `node`, cut at `limit` characters, for an error."""
    shown = str(node)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def transformed(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return `node` with `change` applied to every node, children first."""
    children = node.children()
    new = tuple(transformed(c, change) for c in children)
    return change(node if all(a is b for a, b in zip(new, children, strict=True)) else node.rebuilt(new))


def written_at(node: Node, line: str | None) -> Node:
    """Return `node`, whose calls that have no line are from now on those of `line`."""
    if line is None:
        return node
    return transformed(node, lambda n: replace(n, line=line) if isinstance(n, Call) and n.line is None else n)


def is_stateful(node: Node) -> bool:
    """Return whether `node` has a leaf that may give another result for equal arguments."""
    return any(isinstance(n, Compiled) and n.leaf.stateful for n in node.walk())


def first_placed(node: Node) -> Node | None:
    """Return the first part of `node` whose value is placed, None if there is none.

    Selecting an unplaced element of a struct that also has placed ones is not placed.
    """
    source = node
    while isinstance(source, Selection):
        source = source.source
    if node.type.contains(FederatedType):
        return node
    if isinstance(node, Selection) and isinstance(source, Reference):
        return None
    return next((found for c in node.children() if (found := first_placed(c)) is not None), None)


def free_names(node: Node) -> dict[str, Type]:
    """Return the names that `node` uses and does not bind, with their types, in order of use."""
    found: dict[str, Type] = {}

    def visit(n: Node, bound: frozenset[str]) -> None:
        match n:
            case Reference(name=name):
                if name not in bound:
                    found.setdefault(name, n.type)
            case Lambda(parameter=parameter, body=body):
                visit(body, bound | {parameter} if parameter is not None else bound)
            case Block(bindings=bindings, result=result):
                for name, value in bindings:
                    visit(value, bound)
                    bound = bound | {name}
                visit(result, bound)
            case _:
                for child in n.children():
                    visit(child, bound)

    visit(node, frozenset())
    return found
