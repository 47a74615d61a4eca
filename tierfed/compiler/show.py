"""Show: slices as people read them.

CLIENTS
  receive   v1                                     1.0
  compute   v2 = comp#fedavg:local_update(<v1,v3>)
  send      v2                                     2.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tierfed.compiler.slices import (
    Broadcast,
    Compiled,
    Compute,
    Fold,
    FoldSlot,
    Keep,
    Load,
    Loop,
    Recall,
    Receive,
    Scatter,
    Send,
    Slice,
    Slot,
    Step,
)

_Cut: TypeAlias = Callable[[object, int], str]  # what is shown, within a number of characters if need be
_WIDTH = 96


def show(compiled: Compiled) -> str:
    """Return the slices of `compiled` as text, the deepest tier first."""
    lines = [f"program {compiled.hash[:12]} over {compiled.hierarchy}", f"type    {compiled.program.type}"]
    for placement in reversed(compiled.hierarchy.placements):
        lines += ["", *slice_lines(compiled.slices[placement])]
    return "\n".join(lines)


def slice_lines(slice_: Slice, *, whole: bool = False) -> list[str]:
    """Return the lines that show one slice; `whole` leaves long types and expressions uncut."""
    head = str(slice_.placement) if slice_.steps else f"{slice_.placement}  (takes no part)"
    return [head, *(f"  {line}" for step in slice_.steps for line in _lines(step, _whole if whole else _cut))]


def _lines(step: Step, cut: _Cut) -> list[str]:
    """Return the line of a step; of a loop, those of its steps between two of its own."""
    if not isinstance(step, Loop):
        return [_line(step, cut)]
    first = "; ".join(f"{_typed(c.slot, cut)} from {c.first}" for c in step.carried)
    then = "; ".join(f"{c.slot.name} = {c.next}" for c in step.carried)
    head = _row("loop", f"{cut(step.turns, _WIDTH)} times{f', {first}' if first else ''} {{", step.site)
    inner = [f"  {line}" for s in step.steps for line in _lines(s, cut)]
    return [head, *inner, f"}}{f' then {then}' if then else ''}"]


def _line(step: Step, cut: _Cut) -> str:
    match step:
        case Receive(site=site, slots=slots):
            return _row("receive", _names(slots, cut), site)
        case Load(slot=slot, uri=uri):
            return _row("load", f"{_typed(slot, cut)} = data#{uri}")
        case Compute(slot=slot, expression=expression):
            return _row("compute", f"{_typed(slot, cut)} = {cut(expression, _WIDTH)}")
        case Broadcast(site=site, to=to, slots=slots):
            return _row("broadcast", f"{_names(slots, cut)} to {to}", site)
        case Scatter(site=site, to=to, slots=slots):
            return _row("scatter", f"{_names(slots, cut)} over {to}", site)
        case Fold(site=site, source=source, folds=folds):
            return _row("fold", f"{'; '.join(_fold(f, cut) for f in folds) or 'nothing'} of {source}", site)
        case Send(site=site, slots=slots):
            return _row("send", _names(slots, cut) or "nothing", site)
        case Keep(slot=slot):
            return _row("keep", _typed(slot, cut))
        case Recall(slot=slot, default=default):
            return _row("recall", _typed(slot, cut) + (f", or {default}" if default is not None else ""))
    raise AssertionError(type(step))


def _row(verb: str, what: str, site: object = "") -> str:
    return f"{verb:<10}{what}" + (f"   phase {site}" if site else "")


def _names(slots: tuple[Slot, ...], cut: _Cut) -> str:
    return ", ".join(_typed(s, cut) for s in slots)


def _typed(slot: Slot, cut: _Cut) -> str:
    return f"{slot.name}:{cut(slot.type, 40)}" + (f" of each of {slot.many}" if slot.many is not None else "")


def _fold(fold: FoldSlot, cut: _Cut) -> str:
    if fold.kind == "gather":
        return f"{fold.slot.name} = gather {fold.incoming.name}"
    how = "sum" if fold.plus else fold.kind
    operator = "" if fold.plus or fold.operator is None else f" with {cut(fold.operator, 60)}"
    return f"{_typed(fold.slot, cut)} = {how} {fold.incoming.name}{operator}"


def _cut(what: object, limit: int) -> str:
    shown = str(what)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _whole(what: object, limit: int) -> str:
    return str(what)
