"""Loops, and what is kept and recalled, in slices that do not fit together: refused when they are read.

Each row spoils one thing in slices that the compiler cut, under their right hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.compiler import Compiled, compile
from tierfed.compiler.serialize import compiled_from_bytes, compiled_to_bytes, slices_hash
from tierfed.compiler.slices import Broadcast, Compute, Keep, Loop, Recall, Receive, Send, Site, Slice, Slot, Step
from tierfed.errors import ProtocolError, TypeMismatch
from tierfed.ir.nodes import Literal, Reference
from tierfed.ir.proto import slices_pb2
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Placement, placement
from tierfed.types import TensorType

EDGE = placement("EDGE_AGGREGATORS")
F, INT32 = TensorType("float32"), TensorType("int32")
ONE = Literal.make(np.int32(1), INT32)


@tierfed.federated_computation("float32@SERVER", "{float32}@CLIENTS", "{float32}@CLIENTS", "int32")
def rounds(model: Any, x: Any, kept: Any, n: Any) -> Any:
    """Return what the server and the clients have after loops, one inside another, from what the clients kept."""

    def moved(v: Any, x: Any) -> Any:
        return tierfed.federated_map(lambda p: p[0] + p[1], (v, x))

    def once(state: Any, x: Any) -> Any:
        here = tierfed.federated_map(lambda p: p[0] - p[1], (tierfed.federated_broadcast(state[0]), state[1]))
        again = tierfed.federated_iterate(moved, here, 2, x, at=CLIENTS)
        return tierfed.federated_mean(again), again

    return tierfed.federated_iterate(once, (model, kept), n, x, at=SERVER)


LOOPS = compile(rounds, Hierarchy.chain(SERVER, EDGE, CLIENTS), recalled=frozenset({"arg.2", "arg.2.default"}))


def changed(steps: tuple[Step, ...], change: Callable[[Step], Any]) -> tuple[Step, ...]:
    """Return steps after a change of each, those in loops first."""
    found: list[Step] = []
    for step in steps:
        new = change(replace(step, steps=changed(step.steps, change)) if isinstance(step, Loop) else step)
        found.extend(() if new is None else new if isinstance(new, tuple) else (new,))
    return tuple(found)


def wrongly(compiled: Compiled, *rows: tuple[Placement, Callable[[tuple[Step, ...]], tuple[Step, ...]]]) -> Compiled:
    """Return `compiled` with the steps of some placements changed, under their right hash."""
    slices = dict(compiled.slices)
    for at, change in rows:
        slices[at] = Slice(at, change(slices[at].steps))
        assert slices[at] != compiled.slices[at], "the change changes nothing"
    return replace(compiled, slices=slices, hash=slices_hash(compiled.hierarchy, slices))


def in_all(kind: type[Any], change: Callable[[Any], Any]) -> Callable[[tuple[Step, ...]], tuple[Step, ...]]:
    """Return a change of every step of one kind, in loops and around them."""
    return lambda steps: changed(steps, lambda step: change(step) if isinstance(step, kind) else step)


def outer(**changes: Any) -> Callable[[tuple[Step, ...]], tuple[Step, ...]]:
    """Return a change of the loops that stand in no other."""
    return lambda steps: tuple(replace(s, **changes) if isinstance(s, Loop) else s for s in steps)


def carrying(**changes: Any) -> Callable[[Loop], Loop]:
    """Return a change of what a loop carries."""
    return lambda loop: replace(loop, carried=tuple(replace(c, **changes) for c in loop.carried))


def moved_out(kind: type[Any]) -> Callable[[tuple[Step, ...]], tuple[Step, ...]]:
    """Return a change by which the steps of one kind in a loop stand after it."""

    def change(step: Step) -> Any:
        if not isinstance(step, Loop) or not any(isinstance(s, kind) for s in step.steps):
            return step
        out = tuple(s for s in step.steps if isinstance(s, kind))
        return (replace(step, steps=tuple(s for s in step.steps if not isinstance(s, kind))), *out)

    return lambda steps: changed(steps, change)


def inside_out(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps in which a loop and the one in it have changed places."""

    def change(step: Step) -> Any:
        if isinstance(step, Loop) and any(isinstance(s, Loop) for s in step.steps):
            (inner,) = (s for s in step.steps if isinstance(s, Loop))
            return replace(step, site=inner.site, steps=(replace(inner, site=step.site, turns=step.turns),))
        return step

    return changed(steps, change)


def loop_at_the_end(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps with the loops last."""
    return (*(s for s in steps if not isinstance(s, Loop)), *(s for s in steps if isinstance(s, Loop)))


def own_turns(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps in which the turns are of a name that the message has, and that is bound here."""
    renamed = in_all(Receive, lambda s: replace(s, slots=tuple(_as(x, "other") for x in s.slots)))(steps)
    at = next(i for i, s in enumerate(renamed) if isinstance(s, Loop))
    return (*renamed[:at], Compute(Slot("arg.3", INT32), ONE), *renamed[at:])


def _as(slot: Slot, name: str) -> Slot:
    return replace(slot, name=name) if slot.name == "arg.3" else slot


def sent_as(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps that bind another value, and broadcast it where the number of turns was."""
    at = next(i for i, s in enumerate(steps) if isinstance(s, Broadcast))
    sends = in_all(Broadcast, lambda s: replace(s, slots=tuple(_as(x, "other") for x in s.slots)))(steps[at:])
    return (*steps[:at], Compute(Slot("other", INT32), ONE), *sends)


Rows = tuple[tuple[Placement, Callable[[tuple[Step, ...]], tuple[Step, ...]]], ...]
ALL = (SERVER, EDGE, CLIENTS)


def everywhere(change: Callable[[tuple[Step, ...]], tuple[Step, ...]]) -> Rows:
    """Return one change of all slices."""
    return tuple((p, change) for p in ALL)


def in_loop(at: Placement, first: tuple[Step, ...] = (), last: tuple[Step, ...] = ()) -> Rows:
    """Return a change that writes steps into the loop of a placement."""
    return ((at, in_all(Loop, lambda s: replace(s, steps=(*first, *s.steps, *last)))),)


def recalled_first(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps of which what was kept is recalled first."""
    return tuple(sorted(steps, key=lambda step: not isinstance(step, Recall)))


def too_early(step: Any) -> Any:
    """Return a message of the loop under a phase before it."""
    return replace(step, site=Site(1, 5)) if step.site.phase > 2 else step


WRONG: dict[str, tuple[Rows, str]] = {
    # turns
    "other turns": (
        ((EDGE, outer(turns=ONE)),),
        "slice of EDGE_AGGREGATORS: the loop 2.0 has 1 turns here, and arg.3 elsewhere",
    ),
    "turns of no number": (
        everywhere(outer(turns=Reference("arg.2.default", F))),
        "slice of SERVER: turns of loop 2.0 is of type int32, its expression of float32",
    ),
    "turns that were computed": (
        ((CLIENTS, own_turns), (EDGE, sent_as)),
        "slice of CLIENTS: the turns of loop 2.0 depend on arg.3, which does not come from above",
    ),
    "another value as turns": (
        ((EDGE, sent_as),),
        "slice of CLIENTS: the message 2.0 is sent as <arg.2.default=float32,other=int32>"
        " and received as <arg.2.default=float32,arg.3=int32>",
    ),
    # what stands in a loop
    "a loop at one end": (
        ((EDGE, in_all(Loop, lambda s: s.steps)),),
        "slices: the message 3.0 down between EDGE_AGGREGATORS and SERVER has one end only",
    ),
    "a receive outside": (
        ((CLIENTS, moved_out(Receive)),),
        "slice of CLIENTS, v7: in >>v6<<: v6 is bound nowhere",
    ),
    "a send outside": (
        ((CLIENTS, moved_out(Send)),),
        "slice of CLIENTS: v16 is not bound as <v16=<sum=float32,weight=float64,count=int64>>",
    ),
    "a loop missing": (
        ((CLIENTS, in_all(Loop, lambda s: None)),),
        "slice of CLIENTS, v22: in >>v4<<: v4 is bound nowhere",
    ),
    "a loop too late": (
        ((EDGE, loop_at_the_end),),
        "slice of EDGE_AGGREGATORS: the loop 2.0 comes too late, after phase 8",
    ),
    "a loop twice": (
        ((CLIENTS, in_all(Loop, lambda s: (s, replace(s, carried=())) if s.site.phase == 2 else s)),),
        "slice of CLIENTS: the loop 2.0 comes too late, after phase 2",
    ),
    "loops inside out": (
        ((CLIENTS, inside_out),),
        "slice of CLIENTS: the loop 2.0 stands in the loops 4.0 here, in no loop elsewhere",
    ),
    "a message before its loop": (
        everywhere(in_all(Broadcast | Receive, too_early)),
        "slice of SERVER: the message 1.5 comes too late, after phase 2",
    ),
    "a turn's value after the loop": (
        ((SERVER, in_all(Send, lambda s: replace(s, slots=(Slot("v19", F),)))),),
        "slice of SERVER: v19 is not bound as <v19=float32>",
    ),
    "the root sends in a loop": (
        in_loop(SERVER, last=(Send(Site(8, 0), ()),)),
        "slice of SERVER: the result is not sent once, as the last step",
    ),
    "the root receives in a loop": (
        in_loop(SERVER, first=(Receive(Site(3, 0), ()),)),
        "slice of SERVER: arguments are received after the first step",
    ),
    # what is carried
    "a first value that is nowhere": (
        ((SERVER, in_all(Loop, carrying(first="nowhere"))),),
        "slice of SERVER: nowhere, which loop 2.0 starts from, is not bound",
    ),
    "a next value that is nowhere": (
        ((SERVER, in_all(Loop, carrying(next="nowhere"))),),
        "slice of SERVER: nowhere, which loop 2.0 hands on, is not bound as float32",
    ),
    "a first value of another type": (
        ((SERVER, in_all(Loop, carrying(first="arg.3"))),),
        "slice of SERVER: v3 is of type float32, and starts as int32",
    ),
    "a next value of another type": (
        ((SERVER, in_all(Loop, carrying(next="arg.3"))),),
        "slice of SERVER: arg.3, which loop 2.0 hands on, is not bound as float32",
    ),
    "a name carried twice": (
        ((SERVER, in_all(Loop, lambda s: replace(s, carried=s.carried * 2))),),
        "slice of SERVER: v3 is bound twice",
    ),
    # what is kept and recalled
    "kept in a loop": (
        in_loop(SERVER, last=(Keep(Slot("arg.0", F)),)),
        "slice of SERVER: keep arg.0 stands in the loop 2.0",
    ),
    "recalled in a loop": (
        in_loop(SERVER, last=(Recall(Slot("h", F), None),)),
        "slice of SERVER: recall h stands in the loop 2.0",
    ),
    "a default that is nowhere": (
        ((CLIENTS, in_all(Recall, lambda s: replace(s, default="nowhere"))),),
        "slice of CLIENTS: nowhere, the default of arg.2, is not bound as float32",
    ),
    "a default of another type": (
        ((CLIENTS, in_all(Recall, lambda s: replace(s, default="arg.3"))),),
        "slice of CLIENTS: arg.3, the default of arg.2, is not bound as float32",
    ),
    "a default that comes later": (
        ((CLIENTS, recalled_first),),
        "slice of CLIENTS: arg.2.default, the default of arg.2, is not bound as float32",
    ),
    "recalled over an argument": (
        ((CLIENTS, in_all(Recall, lambda s: replace(s, slot=Slot("arg.1", F)))),),
        "slice of CLIENTS: arg.1 is bound twice",
    ),
    "recalled of several": (
        ((CLIENTS, in_all(Recall, lambda s: Recall(Slot("arg.2", tierfed.to_type("{float32}@CLIENTS")), None))),),
        "slice of CLIENTS: arg.2 is a value of one member, and is of type {float32}@CLIENTS",
    ),
    "kept and nowhere": (
        ((CLIENTS, in_all(Keep, lambda s: replace(s, slot=Slot("nowhere", F)))),),
        "slice of CLIENTS: nowhere is not bound as <nowhere=float32>",
    ),
    "kept as another type": (
        ((CLIENTS, in_all(Keep, lambda s: replace(s, slot=Slot(s.slot.name, INT32)))),),
        "slice of CLIENTS: v22 is not bound as <v22=int32>",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_loops_that_do_not_fit(name: str) -> None:
    """Loops that would hang a node, and names that none has, are refused when read, in these words."""
    rows, text = WRONG[name]
    compiled = wrongly(LOOPS, *rows)
    with pytest.raises((ProtocolError, TypeMismatch)) as caught:
        compiled_from_bytes(compiled_to_bytes(compiled))
    assert str(caught.value).splitlines()[0] == text
    assert caught.value.mend


def test_what_the_compiler_cut_is_read() -> None:
    """The slices that are spoilt above are right before."""
    assert compiled_from_bytes(compiled_to_bytes(LOOPS)) == LOOPS


# ---------------------------------------------------------------- loops in loops


def nested(depth: int) -> Any:
    """Return a program of so many loops, one inside another."""

    def step(level: int) -> Callable[[Any], Any]:
        if level == 0:
            return lambda v: tierfed.federated_map(lambda v: v + 1.0, v)
        return lambda v: tierfed.federated_iterate(step(level - 1), v, 1, at=CLIENTS)

    return tierfed.federated_computation("{float32}@CLIENTS")(lambda x: step(depth)(x))


def test_loops_nest_as_deep_as_programs() -> None:
    """What the compiler takes is read again, however deep: protobuf's own limit is no limit of loops."""
    two = Hierarchy.chain(SERVER, CLIENTS)
    deep = compile(nested(40), two)
    assert sum(isinstance(step, Loop) for step in deep.slices[CLIENTS].walk()) == 40
    assert compiled_from_bytes(compiled_to_bytes(deep)) == deep


def hostile(change: Callable[[Any], None]) -> str:
    """Return what is said of the bytes of LOOPS after a change of the root's slice."""
    message = slices_pb2.Compiled.FromString(compiled_to_bytes(LOOPS))
    change(message.sliced.slice[0])
    with pytest.raises(ProtocolError) as caught:
        compiled_from_bytes(message.SerializeToString())
    return str(caught.value.what)


def test_loops_without_end() -> None:
    """Ten thousand loops, one inside another, are refused before anything recurs over them."""

    def deep(part: Any) -> None:
        (loop,) = (s for s in part.step if s.WhichOneof("step") == "loop")
        for i in range(10_000):
            part.step.add().CopyFrom(loop)
            part.step[-1].loop.steps = 9_999 - i

    assert hostile(deep) == "more than 60 loops, one inside another"


def test_a_loop_of_more_steps_than_there_are() -> None:
    """A loop does not reach beyond its slice."""

    def long(part: Any) -> None:
        (loop,) = (s for s in part.step if s.WhichOneof("step") == "loop")
        loop.loop.steps = 2**32 - 1

    assert hostile(long) == "a loop of 4294967295 steps, and 6 follow"
