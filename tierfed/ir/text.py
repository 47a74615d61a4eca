"""The compact text of programs, as in the field.

    (x -> (let y=federated_sum[SERVER](x) in <y,n=data#train>))
    comp#module:name(a)      p[0]      p.name      int32[2]{1,2}

An intrinsic shows where its result is placed.  Whatever binds loosely is in parentheses, so
the text has one reading; long literals are cut, so it is for people.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tierfed.ir.nodes import (
    Block,
    Call,
    Compiled,
    Data,
    Intrinsic,
    Lambda,
    Literal,
    Node,
    PlacementLiteral,
    Reference,
    Selection,
    Struct,
)
from tierfed.types import FederatedType, StructType, Type
from tierfed.types.notation import quoted

_SHOWN_ELEMENTS = 8
_BARE = re.compile(r"[\w:./+-]+\Z")


def text(node: Node) -> str:
    """Return `node` in compact form; long literals are cut."""
    match node:
        case Reference(name=name):
            return _name(name)
        case Lambda(parameter=parameter, body=body):
            return f"({'' if parameter is None else _name(parameter)} -> {text(body)})"
        case Call(function=function, argument=argument):
            return f"{text(function)}({'' if argument is None else text(argument)})"
        case Block(bindings=bindings, result=result):
            locals_ = ",".join(f"{_name(name)}={text(value)}" for name, value in bindings)
            return f"(let {locals_} in {text(result)})" if bindings else f"(let in {text(result)})"
        case Struct(elements=elements):
            return "<" + ",".join(text(e) if n is None else f"{quoted(n)}={text(e)}" for n, e in elements) + ">"
        case Selection(source=source, index=index):
            of = node.name
            return f"{text(source)}.{quoted(of)}" if of is not None else f"{text(source)}[{index}]"
        case Intrinsic(uri=uri):
            to = destination(node.of.result)
            return f"{_name(uri)}[{to}]" if to else _name(uri)
        case PlacementLiteral(placement=placement):
            return str(placement)
        case Data(uri=uri):
            return f"data#{_name(uri)}"
        case Literal():
            return _literal(node)
        case Compiled(leaf=leaf):
            return f"comp#{_name(leaf.name)}"
    raise AssertionError(type(node))


def destination(t: Type) -> str:
    """Return the placement of a federated type as text; nothing for an unplaced one."""
    match t:
        case FederatedType(placement=placement):
            return str(placement)
        case StructType() if len(t):
            return destination(t[0])
    return ""


def _name(name: str) -> str:
    """Return a name bare where it reads as one, otherwise quoted."""
    return name if _BARE.match(name) else json.dumps(name, ensure_ascii=False)


def _literal(node: Literal) -> str:
    value = node.value
    if node.of.shape == ():
        return _element(value)
    flat = value.reshape(-1)
    shown = ",".join(_element(v) for v in flat[:_SHOWN_ELEMENTS])
    return f"{node.of}{{{shown}{',…' if flat.size > _SHOWN_ELEMENTS else ''}}}"


def _element(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
