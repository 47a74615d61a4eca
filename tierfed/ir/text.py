"""The compact text of programs, as in the field.

    (x -> (let y=federated_sum(x) in <y,n=x[0]>))      comp#module:name(a)      data#train
"""

from __future__ import annotations

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


def text(node: Node) -> str:
    """Return `node` in compact form; long literals are cut."""
    match node:
        case Reference(name=name):
            return name
        case Lambda(parameter=parameter, body=body):
            return f"({parameter or ''} -> {text(body)})"
        case Call(function=function, argument=argument):
            return f"{text(function)}({'' if argument is None else text(argument)})"
        case Block(bindings=bindings, result=result):
            locals_ = ",".join(f"{name}={text(value)}" for name, value in bindings)
            return f"(let {locals_} in {text(result)})"
        case Struct(elements=elements):
            return "<" + ",".join(text(e) if n is None else f"{quoted(n)}={text(e)}" for n, e in elements) + ">"
        case Selection(source=source, index=index):
            name = node.name
            return f"{text(source)}.{quoted(name)}" if name is not None else f"{text(source)}[{index}]"
        case Intrinsic(uri=uri):
            to = destination(node.of.result)
            return f"{uri}[{to}]" if to else uri
        case PlacementLiteral(placement=placement):
            return str(placement)
        case Data(uri=uri):
            return f"data#{uri}"
        case Literal():
            return _literal(node)
        case Compiled(leaf=leaf):
            return f"comp#{leaf.name}"
    raise AssertionError(type(node))


def destination(t: Type) -> str:
    """Return the placement of a federated type as text; nothing for an unplaced one."""
    match t:
        case FederatedType(placement=placement):
            return str(placement)
        case StructType() if len(t):
            return destination(t[0])
    return ""


def _literal(node: Literal) -> str:
    value = node.value
    if node.of.shape == ():
        return repr(value) if isinstance(value, str) else str(value)
    flat = value.reshape(-1)
    shown = ",".join(str(v) for v in flat[:_SHOWN_ELEMENTS])
    return f"{node.of}{{{shown}{',…' if flat.size > _SHOWN_ELEMENTS else ''}}}"
