"""Raw data: what `federated_data` gives, before a leaf has made something of it.

    federated_collect(federated_data("train",…))                      refused
    federated_collect(federated_map((p -> p[0]),zip(<data,x>)))       refused: selected, not computed
    federated_collect(federated_map(comp#summary,data))               a leaf decided what leaves

What `federated_collect` takes rises one by one, so a member's own data would arrive as it
is.  A leaf is the code that decides otherwise; selecting, zipping, broadcasting and
arithmetic are not.  Folds are: their results are no member's.

It is an abstract interpretation: a value is the `Data` that it may hold as it was given,
None if it holds none, or a tuple of these for a struct.  Each part of the program is looked
at once, where it stands; a function that is called by name is not followed, which the
compiler's normal form does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from tierfed.errors import TypeMismatch
from tierfed.ir.build import unpack
from tierfed.ir.intrinsics import operator
from tierfed.ir.nodes import Block, Call, Compiled, Data, Intrinsic, Lambda, Node, Reference, Selection, Struct
from tierfed.types import FunctionType
from tierfed.user_line import tell_line

_Raw: TypeAlias = "Data | tuple[_Raw, ...] | None"
_AS_IT_IS = ("federated_zip", "federated_broadcast", "hop_broadcast")
_MAPS = ("federated_map", "federated_apply", "sequence_map")


def refuse_raw(program: Node) -> None:
    """Raise TypeMismatch where raw data would rise one member at a time."""
    nodes = tuple(program.walk())
    if any(isinstance(n, Data) for n in nodes) and any(
        isinstance(n, Intrinsic) and operator(n.uri).leaf_first for n in nodes
    ):
        _raw(program, {})


def _raw(node: Node, env: Mapping[str, _Raw]) -> _Raw:
    """Return the raw data that the value of `node` may hold."""
    match node:
        case Data():
            return node
        case Reference(name=name):
            return env.get(name)
        case Struct():
            parts = []
            for child in node.children():  # loops, since each comprehension would deepen the recursion
                parts.append(_raw(child, env))
            return None if all(p is None for p in parts) else tuple(parts)
        case Selection(source=source, index=index):
            whole = _raw(source, env)
            return whole[index] if isinstance(whole, tuple) else whole
        case Block(bindings=bindings, result=result):
            inner = dict(env)
            for name, value in bindings:
                inner[name] = _raw(value, inner)
            return _raw(result, inner)
        case Lambda(parameter=parameter, body=body):
            _raw(body, env if parameter is None else {**env, parameter: None})
        case Call(function=Intrinsic(uri=uri, of=t)):
            return _operated(node, uri, t, env)
        case Call(function=function, argument=argument):
            given = None if argument is None else _raw(argument, env)
            return _of(function, given, env)
    return None


def _of(function: Node, given: _Raw, env: Mapping[str, _Raw]) -> _Raw:
    """Return the raw data in what `function` makes of `given`."""
    match function:
        case Lambda(parameter=str(parameter), body=body):
            return _raw(body, {**env, parameter: given})
        case Intrinsic(uri=uri):
            return given if uri in _AS_IT_IS else _first(given)
        case Lambda() | Block():
            return _raw(function, env)
    return None  # a leaf


def _operated(node: Call, uri: str, t: FunctionType, env: Mapping[str, _Raw]) -> _Raw:
    """Return the raw data in what an intrinsic gives."""
    op = operator(uri)
    arguments = unpack(node.argument, len(op.unpacked(t.parameter)))
    if uri in _MAPS:
        return _of(arguments[0], _raw(arguments[1], env), env)
    if uri == "federated_iterate":
        state, data = _raw(arguments[1], env), _raw(arguments[2], env)
        turned = _either(state, _of(arguments[0], (state, data), env))  # no round at all gives the state
        moved = None if turned == state else _first(turned)
        if moved is not None and any(isinstance(n, Intrinsic) and operator(n.uri).leaf_first for n in node.walk()):
            raise _refused(node, moved, uri)  # the next round may collect what this one put there
        return turned
    given: list[_Raw] = []
    for argument in arguments:
        given.append(_raw(argument, env))
    if uri in _AS_IT_IS:
        return given[0]
    found = next((data for g in given if (data := _first(g)) is not None), None)
    if op.leaf_first and found is not None:
        raise _refused(node, found, uri)
    computed = any(isinstance(n, Compiled) for a in arguments if isinstance(a.type, FunctionType) for n in a.walk())
    return None if computed or op.direction == "rises" else found


def _refused(node: Call, data: Data, uri: str) -> TypeMismatch:
    bad = TypeMismatch(
        f"what federated_data({data.uri!r}) gives would leave its members as it is",
        where=uri,
        mend="map a leaf over it first, which decides what leaves: federated_map(leaf, data)",
    )
    tell_line(bad, node.line)
    return bad


def _either(a: _Raw, b: _Raw) -> _Raw:
    """Return the raw data in a value that is one of two."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return tuple(_either(x, y) for x, y in zip(a, b, strict=True))
    return b if a is None or (isinstance(a, tuple) and b is not None) else a


def _first(raw: _Raw) -> Data | None:
    """Return some raw data in `raw`."""
    if isinstance(raw, tuple):
        return next((data for part in raw if (data := _first(part)) is not None), None)
    return raw
