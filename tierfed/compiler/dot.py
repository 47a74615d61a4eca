"""Dot: programs and slices as pictures, in the language of Graphviz.

    tierfed compile PROGRAM -t FILE --form dot | dot -Tsvg > program.svg

Of slices, a column a placement: what its members do from top to bottom, thin edges from where a
value is bound to where it is used, and an edge for each message, with its site and what it carries.
A loop is a frame around its steps, with dashed edges for what goes from turn to turn.
Of a program, a box an operation, in a frame for each placement that it has values at.

A step is drawn from what it binds, uses, sends and receives: see `_Drawn`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
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
    Site,
    Slice,
    Slot,
    Step,
    incoming,
)
from tierfed.ir.nodes import Block, Lambda, Node, Reference, free_names
from tierfed.ir.text import text
from tierfed.placements import Placement
from tierfed.types import FederatedType

_WIDTH = 44  # characters after which a line in a box is broken
_LINES = 4
_CUT = 36  # characters of a type
_HEAD = (
    "  rankdir=TB; newrank=true;",
    '  fontname="Helvetica"; node [shape=box, style=filled, fillcolor=white, fontname="Helvetica", fontsize=10];',
    '  edge [fontname="Helvetica", fontsize=9, color=gray50, arrowsize=0.6];',
)
_MESSAGE = "color=blue, fontcolor=blue, penwidth=1.5"

_Message: TypeAlias = tuple[Site, Placement]  # and the placement at its lower end
_Ends: TypeAlias = dict[_Message, tuple[str, tuple[Slot, ...]]]  # the box at one end, and what travels


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What the picture of a step needs."""

    label: str
    binds: tuple[Slot, ...] = ()
    uses: Iterable[str] = ()
    sends: _Message | None = None
    receives: _Message | None = None
    carries: tuple[Slot, ...] = ()


def slices_dot(compiled: Compiled, name: str) -> str:
    """Return the picture of all slices, with the messages between them."""
    return _picture(name, [compiled.slices[p] for p in compiled.hierarchy.placements])


def slice_dot(slice_: Slice, name: str) -> str:
    """Return the picture of one slice; its messages come from outside, and go there."""
    return _picture(name, [slice_])


def _picture(name: str, slices: list[Slice]) -> str:
    lines: list[str] = []
    sent: _Ends = {}
    received: _Ends = {}
    for slice_ in slices:
        lines += _column(slice_, sent, received)
    for message, (box, slots) in sent.items():
        lines.append(_message(box, received[message][0] if message in received else None, message, slots))
    for message, (box, slots) in received.items():
        if message not in sent:
            lines.append(_message(None, box, message, slots))
    return "\n".join([f"digraph {_quoted(name)} {{", *_HEAD, *lines, "}"]) + "\n"


def _column(slice_: Slice, sent: _Ends, received: _Ends) -> Iterator[str]:
    """Yield the lines of one slice, and note its ends of messages."""
    placement = slice_.placement
    edges: dict[str, None] = {}

    def draw(steps: tuple[Step, ...], stem: str, bound: dict[str, str], pad: str) -> Iterator[str]:
        """Yield the boxes of `steps`; what they bind is added to `bound`, and how it flows to `edges`."""
        for at, step in enumerate(steps):
            box = f"{stem}_{at}"
            drawn = _drawn(step, placement)
            flows = {_arrow(bound[used], box): None for used in drawn.uses if used in bound}
            edges.update(flows)
            bound |= {slot.name: box for slot in drawn.binds}
            if drawn.sends is not None:
                sent[drawn.sends] = box, drawn.carries
            if drawn.receives is not None:
                received[drawn.receives] = box, drawn.carries
            if not isinstance(step, Loop):
                yield f"{pad}{_quoted(box)} [label={_quoted(drawn.label)}];"
                continue
            inner = dict(bound)
            yield f'{pad}subgraph {_quoted(f"cluster_{box}")} {{ label=""; style=dashed; color=gray50;'
            yield f"{pad}  {_quoted(box)} [label={_quoted(drawn.label)}, shape=box3d];"
            yield from draw(step.steps, box, inner, f"{pad}  ")
            if step.carried:  # what the next turn begins with, and what is there after the last
                foot = f"{box}_then"
                then = "\n".join(f"then {c.slot.name} = {c.next}" for c in step.carried)
                yield f"{pad}  {_quoted(foot)} [label={_quoted(then)}];"
                edges.update({_arrow(inner[c.next], foot): None for c in step.carried if c.next in inner})
                edges[_arrow(foot, box, " [style=dashed, constraint=false]")] = None
                bound |= {c.slot.name: foot for c in step.carried}
            yield f"{pad}}}"

    yield from _frame(placement)
    yield from draw(slice_.steps, str(placement), {}, "    ")
    yield from (f"    {edge}" for edge in edges)
    yield "  }"


def _arrow(start: str, end: str, look: str = "") -> str:
    return f"{_quoted(start)} -> {_quoted(end)}{look};"


def _drawn(step: Step, placement: Placement) -> _Drawn:
    match step:
        case Receive(site=site, slots=slots):
            return _Drawn(_box("receive", _names(slots)), binds=slots, receives=(site, placement), carries=slots)
        case Load(slot=slot, uri=uri):
            return _Drawn(_box("load", f"{slot.name} = data#{uri}"), binds=(slot,))
        case Compute(slot=slot, expression=expression):
            return _Drawn(_box("", _bound(slot.name, expression)), binds=(slot,), uses=free_names(expression))
        case Broadcast(site=site, to=to, slots=slots):
            return _Drawn(_box("broadcast", _names(slots)), uses=_used(slots), sends=(site, to), carries=slots)
        case Scatter(site=site, to=to, slots=slots):
            return _Drawn(_box("scatter", _names(slots)), uses=_used(slots), sends=(site, to), carries=slots)
        case Fold(site=site, source=source, folds=folds):
            return _Drawn(
                "\n".join(_box("fold", _folded(f)) for f in folds) or "fold nothing",
                binds=tuple(f.slot for f in folds),
                uses=[n for f in folds for e in (f.zero, f.operator) if e is not None for n in free_names(e)],
                receives=(site, source),
                carries=incoming(folds),
            )
        case Send(site=site, slots=slots):
            return _Drawn(_box("send", _names(slots)), uses=_used(slots), sends=(site, placement), carries=slots)
        case Keep(slot=slot):
            return _Drawn(_box("keep", slot.name), uses=(slot.name,))
        case Recall(slot=slot, default=default):
            other = "" if default is None else f", or {default}"
            return _Drawn(
                _box("recall", f"{slot.name}{other}"), binds=(slot,), uses=() if default is None else (default,)
            )
        case Loop(turns=turns, carried=carried):
            carries = "\n".join(f"{c.slot.name} = {c.first}" for c in carried)
            return _Drawn(
                f"{_box('loop', f'{text(turns)} times')}\n{carries}".rstrip(),
                binds=tuple(c.slot for c in carried),
                uses=(*free_names(turns), *(c.first for c in carried)),
            )
    raise AssertionError(type(step))


def _names(slots: tuple[Slot, ...]) -> str:
    return ", ".join(slot.name for slot in slots) or "nothing"


def _used(slots: tuple[Slot, ...]) -> list[str]:
    return [slot.name for slot in slots]


def _folded(fold: FoldSlot) -> str:
    return f"{fold.slot.name} = {'sum' if fold.plus else fold.kind} {fold.incoming.name}"


def _message(start: str | None, end: str | None, message: _Message, slots: tuple[Slot, ...]) -> str:
    """Return the edge of a message; an end that is in none of these slices is a point."""
    lines = [str(message[0]), *(f"{slot.name}: {_cut(str(slot.type), _CUT)}" for slot in slots)]
    point = f"{start or end}_end"
    declared = "" if start and end else f"  {_quoted(point)} [shape=point];\n"
    label = _quoted("".join(f"  {line}\n" for line in lines), left=True)
    return f"{declared}  {_quoted(start or point)} -> {_quoted(end or point)} [label={label}, {_MESSAGE}];"


# -- programs


def program_dot(program: Node, name: str) -> str:
    """Return the picture of a program: a box for each operation of its outermost block."""
    frames: dict[Placement | None, list[str]] = {}
    edges: dict[tuple[str, str], None] = {}
    bound: dict[str, str] = {}

    def draw(label: str, node: Node, look: str = "") -> str:
        box = f"n{sum(map(len, frames.values()))}"
        t = node.type
        home, member = (t.placement, t.member) if isinstance(t, FederatedType) else (None, t)
        told = _quoted(f"{_wrapped(label)}\n: {_cut(str(member), _CUT)}")
        frames.setdefault(home, []).append(f"{_quoted(box)} [label={told}{look}];")
        edges.update({(bound[used], box): None for used in free_names(node) if used in bound})
        return box

    body = program
    if isinstance(program, Lambda):
        body = program.body
        if program.parameter is not None and program.parameter_type is not None:
            bound[program.parameter] = draw(program.parameter, Reference(program.parameter, program.parameter_type))
    if isinstance(body, Block):
        for local, value in body.bindings:
            bound[local] = draw(_bound(local, value), value)
        body = body.result
    draw(text(body), body, ", penwidth=2")
    arrows = (f"  {_arrow(start, end)}" for start, end in edges)
    return "\n".join([f"digraph {_quoted(name)} {{", *_HEAD, *_framed(frames), *arrows, "}"]) + "\n"


def _framed(frames: Mapping[Placement | None, list[str]]) -> Iterator[str]:
    for placement, boxes in frames.items():
        if placement is None:
            yield from (f"  {box}" for box in boxes)
            continue
        yield from _frame(placement)
        yield from (f"    {box}" for box in boxes)
        yield "  }"


def _frame(placement: Placement) -> Iterator[str]:
    yield f"  subgraph {_quoted(f'cluster_{placement}')} {{"
    yield f'    label={_quoted(str(placement))}; style="rounded,filled"; color=gray70; fillcolor=gray95;'


# -- text


def _bound(name: str, value: Node) -> str:
    return f"{name} = {text(value)}"


def _box(verb: str, what: str) -> str:
    return _wrapped(f"{verb} {what}".strip())


def _wrapped(line: str) -> str:
    """Return `line` broken into a few, the last of which is cut if there would be more."""
    spaced = line.replace(",", ", ").replace(",  ", ", ")
    lines = [_cut(x, 2 * _WIDTH) for x in textwrap.wrap(spaced, _WIDTH, break_long_words=False, break_on_hyphens=False)]
    return "\n".join(lines if len(lines) <= _LINES else [*lines[: _LINES - 1], f"{lines[_LINES - 1]} …"])


def _cut(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _quoted(text_: str, *, left: bool = False) -> str:
    """Return `text_` as Graphviz reads it, its lines centred unless `left`."""
    escaped = text_.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\l" if left else "\\n")
    return f'"{escaped}"'
