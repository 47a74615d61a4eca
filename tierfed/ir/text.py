"""The compact text of programs, as in the field.

    (x -> (let y=federated_sum[SERVER](x) in <y,n=data#train>))
    comp#module:name(a)      p[0]      p.name      int32[2]{1,2}

An intrinsic shows where its result is placed.  Whatever binds loosely is in parentheses, so
the text has one reading; long literals are cut, so it is for people.  `formatted` gives each
local of a long block a line of its own.
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
_WIDTH = 72  # of a block that `formatted` leaves on its line
_BARE = re.compile(r"[\w:./+-]+\Z")


def text(node: Node) -> str:
    """Return `node` in compact form; long literals are cut."""
    return _text(node, None)


def formatted(node: Node) -> str:
    """Return `node` in the same form, long blocks with a line for each local."""
    return _text(node, "")


def _text(node: Node, pad: str | None) -> str:
    """Return `node` as text, blocks that are too long broken into lines after `pad`, unless it is None."""
    match node:
        case Reference(name=name):
            return _name(name)
        case Lambda(parameter=parameter, body=body):
            return f"({'' if parameter is None else _name(parameter)} -> {_text(body, pad)})"
        case Call(function=function, argument=argument):
            return f"{_text(function, pad)}({'' if argument is None else _text(argument, pad)})"
        case Block(bindings=bindings, result=result):
            locals_ = ",".join(f"{_name(name)}={_text(value, None)}" for name, value in bindings)
            line = f"(let {locals_} in {_text(result, None)})" if bindings else f"(let in {_text(result, None)})"
            return line if pad is None or len(line) <= _WIDTH else _lines(node, pad)
        case Struct(elements=elements):
            parts = (_text(e, pad) if n is None else f"{quoted(n)}={_text(e, pad)}" for n, e in elements)
            return "<" + ",".join(parts) + ">"
        case Selection(source=source, index=index):
            of = node.name
            return f"{_text(source, pad)}.{quoted(of)}" if of is not None else f"{_text(source, pad)}[{index}]"
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


def _lines(block: Block, pad: str) -> str:
    inner = f"{pad}  "
    rows = (f"{inner}{_name(name)} = {_text(value, inner)}\n" for name, value in block.bindings)
    return f"(let\n{''.join(rows)}{pad}in {_text(block.result, pad)})"


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
