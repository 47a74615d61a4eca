"""Show: slices as people read them.

CLIENTS
  receive   v1                                     1.0
  compute   v2 = comp#fedavg:local_update(<v1,v3>)
  send      v2                                     2.0
"""

from __future__ import annotations

from tierfed.compiler.slices import (
    Broadcast,
    Compiled,
    Compute,
    Fold,
    FoldSlot,
    Load,
    Receive,
    Scatter,
    Send,
    Slot,
    Step,
)
from tierfed.ir.nodes import Node

_WIDTH = 96


def show(compiled: Compiled) -> str:
    """Return the slices of `compiled` as text, the deepest tier first."""
    lines = [f"program {compiled.hash[:12]} over {compiled.hierarchy}", f"type    {compiled.program.type}"]
    for placement in reversed(compiled.hierarchy.placements):
        steps = compiled.slices[placement].steps
        lines.append("")
        lines.append(str(placement) if steps else f"{placement}  (takes no part)")
        lines.extend(f"  {_line(step)}" for step in steps)
    return "\n".join(lines)


def _line(step: Step) -> str:
    match step:
        case Receive(site=site, slots=slots):
            return _row("receive", _names(slots), site)
        case Load(slot=slot, uri=uri):
            return _row("load", f"{_typed(slot)} = data#{uri}")
        case Compute(slot=slot, expression=expression):
            return _row("compute", f"{_typed(slot)} = {_cut(expression)}")
        case Broadcast(site=site, to=to, slots=slots):
            return _row("broadcast", f"{_names(slots)} to {to}", site)
        case Scatter(site=site, to=to, slots=slots):
            return _row("scatter", f"{_names(slots)} over {to}", site)
        case Fold(site=site, source=source, folds=folds):
            return _row("fold", f"{'; '.join(_fold(f) for f in folds)} of {source}", site)
        case Send(site=site, slots=slots):
            return _row("send", _names(slots) or "nothing", site)
    raise AssertionError(type(step))


def _row(verb: str, what: str, site: object = "") -> str:
    return f"{verb:<10}{what}" + (f"   phase {site}" if site else "")


def _names(slots: tuple[Slot, ...]) -> str:
    return ", ".join(_typed(s) for s in slots)


def _typed(slot: Slot) -> str:
    return f"{slot.name}:{_cut(slot.type, 40)}" + (f" of each of {slot.many}" if slot.many is not None else "")


def _fold(fold: FoldSlot) -> str:
    if fold.kind == "gather":
        return f"{fold.slot.name} = gather {fold.incoming.name}"
    how = "sum" if fold.plus else fold.kind
    operator = "" if fold.plus or fold.operator is None else f" with {_cut(fold.operator, 60)}"
    return f"{_typed(fold.slot)} = {how} {fold.incoming.name}{operator}"


def _cut(what: Node | object, limit: int = _WIDTH) -> str:
    shown = str(what)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
