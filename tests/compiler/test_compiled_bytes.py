"""Slices as bytes: they come back, their hash is theirs, and slices that do not fit together are refused."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tierfed
from tierfed.compiler import Compiled, compile
from tierfed.compiler.agree import check_slices
from tierfed.compiler.serialize import compiled_from_bytes, compiled_to_bytes, slices_hash
from tierfed.compiler.slices import (
    Broadcast,
    Carried,
    Compute,
    Fold,
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
)
from tierfed.errors import ProtocolError, TypeMismatch
from tierfed.ir.nodes import Reference
from tierfed.ir.proto import slices_pb2
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Placement, placement
from tierfed.types import TensorType

EDGE, PHONES = placement("EDGE_AGGREGATORS"), placement("CB_PHONES")
HIERARCHIES = {
    "two": Hierarchy.chain(SERVER, CLIENTS),
    "three": Hierarchy.chain(SERVER, EDGE, CLIENTS),
    "branched": Hierarchy({EDGE: SERVER, CLIENTS: EDGE, PHONES: EDGE}),
}


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """Forget the placements that mutated bytes declare."""
    registry = importlib.import_module("tierfed.placements.placement")._declared
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


@tierfed.federated_computation("float32@SERVER", "{float32}@CLIENTS", "float32")
def everything(model: Any, x: Any, rate: Any) -> Any:
    """Return values that go down, up, are folded in two ways and gathered."""
    own = tierfed.federated_data("train", "float32", tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), x, own))
    moved = tierfed.federated_map(lambda p: p[0] + p[1] * rate + p[2], here)
    return {
        "mean": tierfed.federated_mean(moved),
        "most": tierfed.federated_map(lambda v: v - 1.0, tierfed.federated_max(moved)),
        "moved": moved,
        "x": x,
    }


@tierfed.federated_computation("float32@SERVER", "{float32}@CLIENTS", "{float32}@CLIENTS", "int32")
def rounds(model: Any, x: Any, kept: Any, n: Any) -> Any:
    """Return what the server and the clients have after loops, one inside another, from what the clients kept."""

    def moved(v: Any, x: Any) -> Any:
        return tierfed.federated_map(lambda p: p[0] + p[1], (v, x))

    def once(state: Any, x: Any) -> Any:
        here = tierfed.federated_map(lambda p: p[0] - p[1], (tierfed.federated_broadcast(state[0]), state[1]))
        again = tierfed.federated_iterate(moved, here, 2, x, at=CLIENTS)
        return tierfed.federated_mean(again), again

    model, own = tierfed.federated_iterate(once, (model, kept), n, x, at=SERVER)
    return model, own


@tierfed.federated_computation("{int32}@CLIENTS")
def total(x: Any) -> Any:
    """Return the sum."""
    return tierfed.federated_sum(x)


COMPILED = {name: compile(everything, h, keep=False) for name, h in HIERARCHIES.items()}
THREE = COMPILED["three"]
RECALLED = frozenset({"arg.2", "arg.2.default"})
LOOPED = {name: compile(rounds, h, recalled=RECALLED) for name, h in HIERARCHIES.items()}


@pytest.mark.parametrize("program", ["everything", "rounds", "total"])
@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_come_back(program: str, hierarchy: str) -> None:
    """What the compiler cuts is read as it was written, and shows alike."""
    known = {"everything": COMPILED, "rounds": LOOPED}.get(program)
    compiled = known[hierarchy] if known is not None else compile(total, HIERARCHIES[hierarchy])
    back = compiled_from_bytes(compiled_to_bytes(compiled))
    assert back == compiled
    assert str(back) == str(compiled)
    assert back.hierarchy.placements == compiled.hierarchy.placements


def test_every_step_is_covered() -> None:
    """The programs of these tests have steps of every kind, or they would show little."""
    kinds = {type(step) for c in (THREE, LOOPED["three"]) for s in c.slices.values() for step in s.walk()}
    assert kinds == {Receive, Load, Compute, Broadcast, Scatter, Fold, Send, Keep, Recall, Loop}
    loops = [step for step in LOOPED["three"].slices[CLIENTS].walk() if isinstance(step, Loop)]
    assert len(loops) == 2 and all(isinstance(c, Carried) for loop in loops for c in loop.carried)
    assert {step.default for step in LOOPED["three"].slices[CLIENTS].steps if isinstance(step, Recall)} == {
        "arg.2.default"
    }
    folds = [f for s in THREE.slices.values() for step in s.steps if isinstance(step, Fold) for f in step.folds]
    assert {f.kind for f in folds} == {"accumulate", "merge", "gather"}


def test_hash() -> None:
    """The hash is SHA-256 of the bytes of hierarchy and slices; the program has no part in it."""
    message = slices_pb2.Compiled.FromString(compiled_to_bytes(THREE))
    expected = hashlib.sha256(message.sliced.SerializeToString(deterministic=True)).hexdigest()
    assert THREE.hash == message.hash == expected == slices_hash(THREE.hierarchy, THREE.slices)
    assert len({c.hash for c in COMPILED.values()}) == len(COMPILED)
    assert compile(total, THREE.hierarchy).hash != THREE.hash


def test_hash_is_the_same_in_another_process() -> None:
    """Compiling the same file elsewhere gives the same hash, whatever the seed of Python's hashes."""
    code = "import importlib.util as u, sys; s = u.spec_from_file_location('m', sys.argv[1]); m = u.module_from_spec(s); s.loader.exec_module(m); print(m.THREE.hash)"  # noqa: E501
    done = subprocess.run(
        [sys.executable, "-c", code, __file__],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.strip() == THREE.hash, done.stderr


# ---------------------------------------------------------------- slices that do not fit together


def spoilt(at: Placement, change: Callable[[Step], Step | None | tuple[Step, ...]]) -> Compiled:
    """Return THREE with the steps of one placement changed, under their right hash."""
    steps: list[Step] = []
    for step in THREE.slices[at].steps:
        new = change(step)
        steps.extend(() if new is None else new if isinstance(new, tuple) else (new,))
    assert tuple(steps) != THREE.slices[at].steps, "the change changes nothing"
    slices = {**THREE.slices, at: Slice(at, tuple(steps))}
    return replace(THREE, slices=slices, hash=slices_hash(THREE.hierarchy, slices))


def only(kind: type[Any], change: Callable[[Any], Any]) -> Callable[[Step], Any]:
    """Return a change of the first step of one kind."""
    done: list[Step] = []

    def act(step: Step) -> Any:
        if isinstance(step, kind) and not done:
            done.append(step)
            return change(step)
        return step

    return act


def renamed(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Return slots of which the first has another name."""
    return (replace(slots[0], name="nowhere"), *slots[1:])


def retyped(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Return slots of which the first has another type."""
    return (replace(slots[0], type=TensorType("int8")), *slots[1:])


def passed_on_as_int8(step: Step) -> Step:
    """Return a step of the middle tier that takes and passes on the rate as another type."""
    if isinstance(step, Receive | Broadcast):
        int8 = TensorType("int8")
        return replace(step, slots=tuple(replace(s, type=int8) if s.name == "arg.2" else s for s in step.slots))
    return step


def of_another_tier(step: Step) -> Step:
    """Return a step of the middle tier that scatters what it has of each client as if it were of each edge."""
    if isinstance(step, Receive | Scatter):
        return replace(step, slots=tuple(replace(s, many=EDGE) if s.many == CLIENTS else s for s in step.slots))
    return step


def first_fold(**changes: Any) -> Callable[[Fold], Fold]:
    """Return a change of the first slot of a fold."""
    return lambda fold: replace(fold, folds=(replace(fold.folds[0], **changes), *fold.folds[1:]))


WRONG: list[tuple[Placement, Callable[[], Callable[[Step], Any]], str]] = [
    (CLIENTS, lambda: only(Send, lambda s: None), "between CLIENTS and EDGE_AGGREGATORS has one end only"),
    (CLIENTS, lambda: only(Receive, lambda s: None), "is bound nowhere"),
    (EDGE, lambda: only(Fold, lambda s: None), "is not bound as"),
    (EDGE, lambda: only(Broadcast, lambda s: None), "between CLIENTS and EDGE_AGGREGATORS has one end only"),
    (EDGE, lambda: only(Broadcast, lambda s: replace(s, slots=renamed(s.slots))), "nowhere is not bound as"),
    (EDGE, lambda: only(Broadcast, lambda s: replace(s, slots=s.slots[1:])), "is sent as .* and received as"),
    (
        EDGE,
        lambda: only(Broadcast, lambda s: replace(s, to=EDGE)),
        "EDGE_AGGREGATORS is not just below EDGE_AGGREGATORS",
    ),
    (EDGE, lambda: only(Scatter, lambda s: Broadcast(s.site, s.to, s.slots)), "is not bound as"),
    (EDGE, lambda: only(Fold, lambda s: replace(s, source=SERVER)), "SERVER is not just below EDGE_AGGREGATORS"),
    (EDGE, lambda: only(Fold, lambda s: (s, s)), r"the message \d+\.\d+ stands twice"),
    (CLIENTS, lambda: only(Receive, lambda s: replace(s, slots=retyped(s.slots))), "is used as"),
    (
        EDGE,
        lambda: of_another_tier,
        "is sent as <.* of each of CLIENTS> and received as <.* of each of EDGE_AGGREGATORS>",
    ),
    (EDGE, lambda: passed_on_as_int8, r"is sent as <.*arg\.2=float32> and received as <.*arg\.2=int8>"),
    (CLIENTS, lambda: only(Receive, lambda s: replace(s, site=Site(99, 0))), "comes too late, after phase 99"),
    (CLIENTS, lambda: only(Send, lambda s: replace(s, slots=renamed(s.slots))), "nowhere is not bound as"),
    (
        CLIENTS,
        lambda: only(Compute, lambda s: replace(s, slot=replace(s.slot, type=TensorType("int8")))),
        "is of type int8",
    ),
    (
        CLIENTS,
        lambda: only(Compute, lambda s: replace(s, expression=Reference("nowhere", s.slot.type))),
        "nowhere is bound nowhere",
    ),
    (
        CLIENTS,
        lambda: only(Load, lambda s: replace(s, slot=Slot("v", tierfed.to_type("{int8}@CLIENTS")))),
        "value of one member",
    ),
    (
        CLIENTS,
        lambda: only(Receive, lambda s: replace(s, slots=(replace(s.slots[0], many=PHONES), *s.slots[1:]))),
        "no tier CB_PHONES",
    ),
    (EDGE, lambda: only(Fold, first_fold(zero=None)), "is folded without a zero and an operator"),
    (EDGE, lambda: only(Fold, first_fold(operator=None)), "is folded without a zero and an operator"),
    (EDGE, lambda: only(Fold, first_fold(kind="gather")), "is gathered, and needs no zero or operator"),
    (
        EDGE,
        lambda: only(Fold, first_fold(kind="gather", zero=None, operator=None, plus=False)),
        "does not hold what is gathered from CLIENTS",
    ),
    (EDGE, lambda: only(Fold, first_fold(zero=Reference("nowhere", TensorType("int8")))), "nowhere is bound nowhere"),
    (EDGE, lambda: only(Fold, first_fold(incoming=Slot("v", TensorType("int8")))), "cannot be folded from"),
    (SERVER, lambda: lambda s: None, "the result is not sent once, as the last step"),
    (SERVER, lambda: only(Send, lambda s: (s, s)), "the result is not sent once, as the last step"),
    (
        SERVER,
        lambda: only(Receive, lambda s: (s, replace(s, site=Site(0, 1)))),
        "arguments are received after the first step",
    ),
]


@pytest.mark.parametrize(("at", "change", "what"), WRONG, ids=[f"{i} {row[2][:40]}" for i, row in enumerate(WRONG)])
def test_do_not_fit(at: Placement, change: Callable[[], Callable[[Step], Any]], what: str) -> None:
    """Slices that would hang or fail a node are refused when read, in the name of the tier at fault."""
    compiled = spoilt(at, change())
    with pytest.raises((ProtocolError, TypeMismatch), match=what) as caught:
        compiled_from_bytes(compiled_to_bytes(compiled))
    assert "slice" in str(caught.value.where)
    assert caught.value.mend


def test_what_the_compiler_cuts_fits() -> None:
    """The slices that the compiler cuts pass the same check."""
    for compiled in (*COMPILED.values(), *LOOPED.values()):
        check_slices(compiled.hierarchy, compiled.slices)


# ---------------------------------------------------------------- hostile bytes


def test_another_hash() -> None:
    """Slices under a hash that is not theirs are refused."""
    with pytest.raises(ProtocolError) as caught:
        compiled_from_bytes(compiled_to_bytes(replace(THREE, hash="0" * 64)))
    assert str(caught.value) == (
        f"slices: the hash is {THREE.hash[:12]}…, and is said to be '000000000000'…\n  to mend: send the program again"
    )


def refused(change: Callable[[Any], None], what: str) -> None:
    """Assert that the message is refused in these words after a change."""
    message = slices_pb2.Compiled.FromString(compiled_to_bytes(THREE))
    change(message)
    with pytest.raises((ProtocolError, TypeMismatch)) as caught:
        compiled_from_bytes(message.SerializeToString())
    assert caught.value.what == what


def test_wrong_slices() -> None:
    """Each tier of the hierarchy has one slice, and each slice a tier."""
    refused(lambda m: m.sliced.slice.__delitem__(1), "no slice of EDGE_AGGREGATORS")
    refused(lambda m: m.sliced.slice.add().CopyFrom(m.sliced.slice[0]), "a slice too many, of SERVER")
    refused(lambda m: m.sliced.hierarchy.edge.__delitem__(1), "a slice too many, of CLIENTS")
    refused(
        lambda m: m.sliced.hierarchy.edge.add().CopyFrom(m.sliced.hierarchy.edge[0]),
        "EDGE_AGGREGATORS has two placements above it",
    )
    refused(
        lambda m: m.sliced.hierarchy.edge[0].above.CopyFrom(m.sliced.hierarchy.edge[1].below),
        "no way from the root SERVER to CLIENTS, EDGE_AGGREGATORS",
    )
    refused(
        lambda m: m.sliced.hierarchy.edge.extend([m.sliced.hierarchy.edge[0]] * 256),
        "a hierarchy of more than 256 placements",
    )


def test_wrong_steps() -> None:
    """A step says what it is, and its slots are named."""
    refused(lambda m: m.sliced.slice[0].step.add(), "a step that says nothing")
    refused(lambda m: setattr(m.sliced.slice[0].step[0].receive.slot[0], "name", ""), "a slot without a name")

    def no_kind(m: Any) -> None:
        fold = next(s.fold for s in m.sliced.slice[0].step if s.WhichOneof("step") == "fold")
        fold.fold[0].kind = 9

    refused(no_kind, "no fold has the number 9")
    refused(lambda m: m.ClearField("program"), "a node without its type")


def test_no_message() -> None:
    """Bytes that are no slices, and more than the limit, are refused."""
    with pytest.raises(ProtocolError, match="the 7 bytes are no slices"):
        compiled_from_bytes(b"garbage")
    with pytest.raises(ProtocolError, match="more than the 100 that are read"):
        compiled_from_bytes(compiled_to_bytes(THREE), limit=100)


@pytest.mark.parametrize("compiled", [COMPILED["two"], LOOPED["two"]], ids=["everything", "rounds"])
@given(st.data())
def test_mutated_bytes(compiled: Compiled, data: st.DataObject) -> None:
    """Spoilt bytes are refused by an error of ours, and never read as other slices under this hash."""
    spoilt_bytes = bytearray(compiled_to_bytes(compiled))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(spoilt_bytes) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                spoilt_bytes[at] = data.draw(st.integers(0, 255))
            case "cut":
                del spoilt_bytes[at : at + data.draw(st.integers(1, 8))]
            case _:
                spoilt_bytes[at:at] = data.draw(st.binary(min_size=1, max_size=4))
    try:
        back = compiled_from_bytes(bytes(spoilt_bytes))
    except (ProtocolError, TypeMismatch):
        return
    assert back.slices == compiled.slices
    assert back.hash == compiled.hash
