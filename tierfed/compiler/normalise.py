"""Normalise: one flat list of named operations.

    (x -> (y -> <sum(y),sum(y)>)(x.a))      becomes      (args -> (let arg.0=args.a,v1=sum(arg.0) in <v1,v1>))

Lambdas that are called are inlined, blocks flattened, names made unique, common
subexpressions computed once, and what nobody uses is dropped.  Every operation is bound to
a name and its arguments are names, selections of names, structs of them, constants or
functions: call-dominant form.

It is normalisation by evaluation: the program is run on symbolic values, and what it does is
written down.  Sound because the language is pure: a leaf gives equal results for equal
arguments, so computing it once, or not at all when nobody looks, means the same.  A leaf that says
it is stateful is the exception: its calls stay as many as they were.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tierfed.compiler.normal_form import bindings_of, without_unused
from tierfed.errors import CompileError
from tierfed.ir.intrinsics import iterate
from tierfed.ir.nodes import (
    Block,
    Call,
    Data,
    Intrinsic,
    Lambda,
    Node,
    Reference,
    Selection,
    Struct,
    free_names,
    is_stateful,
)
from tierfed.types import FederatedType, FunctionType, StructType

PARAMETER = "args"
PARTS = "arg"  # of the parameter: `arg.0`, `arg.1.0`


@dataclass(frozen=True, slots=True)
class _Closure(Node):
    """A lambda with the symbolic values of the names around it."""

    function: Lambda
    env: tuple[tuple[str, Node], ...]

    def __post_init__(self) -> None:
        self._is(self.function.type)


class _Scope:
    """The bindings of one body, and the name of each operation already written there.

    `around`, for the step of a loop: what is the same in every turn is written there instead.
    """

    def __init__(self, names: Iterator[int], around: _Scope | None = None) -> None:
        self.names = names
        self.around = around
        self.bindings: list[tuple[str, Node]] = []
        self.known: dict[Node, Reference] = {}

    def emit(self, node: Node) -> Reference:
        """Return the name of `node`, writing it down if it is new."""
        drawn = is_stateful(node)  # each time anew
        if self.around is not None and not drawn and self._same_in_every_turn(node):
            return self.around.emit(node)
        key = _whatever_its_names(node)
        found = None if drawn else self.known.get(key)
        if found is None:
            name = f"v{next(self.names)}"
            self.bindings.append((name, node))
            found = self.known[key] = Reference(name, node.type)
        return found

    def _same_in_every_turn(self, node: Node) -> bool:
        own = {name for name, _ in self.bindings}
        return not node.type.contains(FederatedType) and own.isdisjoint(free_names(node))

    def body(self, result: Node) -> Node:
        """Return what was written down, with `result`, without what nobody uses."""
        return without_unused(Block(tuple(self.bindings), result)) if self.bindings else result


def normalise(program: Node) -> Lambda:
    """Return `program`, a function, in normal form; normalising twice is normalising once.

    The parameter is called `args` and its parts `arg.0`, `arg.1.0`, …: one for each placed
    part, and one for each largest part without a placement.

    Raises CompileError for a program that takes functions.
    """
    t = program.type
    if not isinstance(t, FunctionType):
        raise CompileError(f"a program is a function, got {t}", where="compile", mend="compile a computation")
    if t.parameter is not None and t.parameter.contains(FunctionType):
        raise CompileError(
            f"the program takes a function: {t}",
            where="compile",
            mend="compile it with the function in it: `lambda x: program(function, x)`, traced, or call the program",
        )
    scope = _Scope(itertools.count(1))
    function = _run(program, {}, scope)
    if t.parameter is None:
        return Lambda(None, None, _numbered(scope.body(_settled(_called(function, None, scope), scope))))
    whole = Reference(PARAMETER, t.parameter)
    parts: list[tuple[str, Node]] = []
    argument = _argument(whole, PARTS, parts)
    scope.bindings.extend(parts)
    result = _settled(_called(function, argument, scope), scope)
    kept = {name: Reference(name, part.type) for name, part in ((PARAMETER, whole), *parts)}
    return Lambda(PARAMETER, t.parameter, _numbered(scope.body(result), kept))


def _argument(part: Node, name: str, parts: list[tuple[str, Node]]) -> Node:
    """Return `part` of the parameter as a struct of named parts, which are collected in `parts`."""
    t = part.type
    if isinstance(t, StructType) and t.contains(FederatedType):
        return Struct(
            tuple((n, _argument(Selection(part, i), f"{name}.{i}", parts)) for i, n in enumerate(t.names)),
            t.container,
        )
    parts.append((name, part))
    return Reference(name, t)


def _run(node: Node, env: Mapping[str, Node], scope: _Scope) -> Node:
    """Return the symbolic value of `node`."""
    match node:
        case Reference(name=name):
            return env[name]
        case Struct(elements=elements, container=container):
            return Struct(tuple((n, _run(e, env, scope)) for n, e in elements), container)
        case Selection(source=source, index=index):
            value = _run(source, env, scope)
            return value.elements[index][1] if isinstance(value, Struct) else Selection(value, index)
        case Block(bindings=bindings, result=result):
            inner = dict(env)
            for name, value in bindings:
                inner[name] = _run(value, inner, scope)
            return _run(result, inner, scope)
        case Lambda():
            used = free_names(node)
            return _Closure(node, tuple((name, env[name]) for name in used))
        case Call(function=function, argument=argument, line=line):
            f = _run(function, env, scope)
            return _called(f, None if argument is None else _run(argument, env, scope), scope, line)
        case Data():
            return scope.emit(node)
    return node


def _called(function: Node, argument: Node | None, scope: _Scope, line: str | None = None) -> Node:
    """Return the symbolic value of a call."""
    if isinstance(function, _Closure):
        env = dict(function.env)
        if function.function.parameter is not None and argument is not None:
            env[function.function.parameter] = argument
        return _run(function.function.body, env, scope)
    if isinstance(function, Intrinsic) and function.uri == iterate.NAME and isinstance(argument, Struct):
        return _iterated(function, argument, scope, line)
    given = None if argument is None else _settled(argument, scope)
    return scope.emit(Call(_settled(function, scope), given, line))


def _iterated(function: Intrinsic, argument: Struct, scope: _Scope, line: str | None) -> Node:
    """Return the symbolic value of a loop: its step is normalised by itself and not inlined, its parts have names."""
    step, *others = argument.children()
    assert isinstance(step, _Closure) and step.function.parameter_type is not None
    inner = _Scope(scope.names, scope)
    parameter, t = f"p{next(scope.names)}", step.function.parameter_type
    given = _argument(Reference(parameter, t), parameter, inner.bindings)
    env = {**dict(step.env), step.function.parameter or "": given}
    result = _settled(_run(step.function.body, env, inner), inner)
    written = (Lambda(parameter, t, inner.body(result)), *(_settled(node, scope) for node in others))
    return _in_parts(scope.emit(Call(function, Struct(tuple((None, node) for node in written)), line)), scope)


def _in_parts(node: Node, scope: _Scope) -> Node:
    """Return `node` as a struct of its placed parts, each with a name."""
    t = node.type
    if not isinstance(t, StructType):
        return node
    parts = (_in_parts(scope.emit(Selection(node, i)), scope) for i in range(len(t)))
    return Struct(tuple(zip(t.names, parts, strict=True)), t.container)


def _settled(node: Node, scope: _Scope) -> Node:
    """Return a symbolic value as a node: closures become lambdas again."""
    match node:
        case _Closure(function=function, env=env):
            inner = _Scope(scope.names)
            names = dict(env)
            parameter = None
            if function.parameter is not None and function.parameter_type is not None:
                parameter = f"p{next(scope.names)}"
                names[function.parameter] = Reference(parameter, function.parameter_type)
            result = _settled(_run(function.body, names, inner), inner)
            return Lambda(parameter, function.parameter_type, _plain(inner.body(result)))
        case Struct(elements=elements, container=container):
            return Struct(tuple((n, _settled(e, scope)) for n, e in elements), container)
        case Selection(source=source, index=index):
            return Selection(_settled(source, scope), index)
    return node


def _plain(body: Node) -> Node:
    """Return `(let a=e in a)` as `e`."""
    if isinstance(body, Block) and len(body.bindings) == 1:
        (name, value) = body.bindings[0]
        if isinstance(body.result, Reference) and body.result.name == name:
            return value
    return body


def _whatever_its_names(node: Node) -> Node:
    """Return the same for operations that differ in the names of what their functions bind alone."""
    if not any(isinstance(n, Lambda) for n in node.walk()):
        return node
    return _numbered(node, {name: Reference(name, t) for name, t in free_names(node).items()}, "#")


def _numbered(body: Node, kept: Mapping[str, Reference] | None = None, mark: str = "") -> Node:
    """Return `body` with its names, but for those in `kept`, numbered after `mark` in the order in which they stand.

    So dropping what nobody uses leaves no trace: equal programs have equal normal forms, and one hash.
    """
    numbers = itertools.count(1)

    def renamed(node: Node, names: Mapping[str, Reference]) -> Node:
        match node:
            case Reference(name=name):
                return names[name]
            case Lambda(parameter=str(parameter), parameter_type=t, body=inner) if t is not None:
                new = f"{mark}p{next(numbers)}"
                return Lambda(new, t, renamed(inner, {**names, parameter: Reference(new, t)}))
            case Block(bindings=bindings, result=result):
                known, written = dict(names), []
                for name, value in bindings:
                    value = renamed(value, known)
                    if kept is None or name not in kept:
                        known[name] = Reference(f"{mark}v{next(numbers)}", value.type)
                    written.append((known[name].name, value))
                return Block(tuple(written), renamed(result, known))
        return node.rebuilt(tuple(renamed(child, names) for child in node.children()))

    return renamed(body, kept or {})


def renumbered(program: Lambda) -> Lambda:
    """Return a program in normal form, some of whose bindings are gone, with its names numbered without gaps."""
    if program.parameter is None:
        return replace(program, body=_numbered(program.body))
    parts = [(name, node) for name, node in bindings_of(program) if name.split(".")[0] == PARTS]
    assert program.parameter_type is not None
    whole = Reference(PARAMETER, program.parameter_type)
    kept = {name: Reference(name, node.type) for name, node in ((PARAMETER, whole), *parts)}
    return replace(program, body=_numbered(program.body, kept))
