"""Each pass does what it is for: tables of small programs, before and after."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.backends.local import interpret
from tierfed.compiler import climbed, lowered
from tierfed.compiler.climb import climb
from tierfed.compiler.expand import expand
from tierfed.compiler.fuse import fuse
from tierfed.compiler.normal_form import bindings_of
from tierfed.compiler.normalise import normalise
from tierfed.compiler.slice import slice_program
from tierfed.compiler.slices import Broadcast, Compute, Fold, Receive, Send, Slice
from tierfed.errors import CompileError
from tierfed.ir.check import check
from tierfed.ir.nodes import Block, Call, Compiled, Intrinsic, Lambda, Literal, Node, Reference, Selection, Struct
from tierfed.language.arguments import hold
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Placement, Tree, placement
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type
from tierfed.types.values import same

EDGE, PHONES = placement("EDGE_AGGREGATORS"), placement("CB_PHONES")
TOP = placement("SG_TOP", singleton=True)
placement("SG_NOWHERE")
TWO = Hierarchy.chain(SERVER, CLIENTS)
THREE = Hierarchy.chain(SERVER, EDGE, CLIENTS)
FOUR = Hierarchy.chain(SERVER, "SG_COUNTRIES", EDGE, CLIENTS)
BRANCHED = Hierarchy({EDGE: SERVER, CLIENTS: EDGE, PHONES: EDGE})
FAN_OUT = {"SG_COUNTRIES": 2, "EDGE_AGGREGATORS": 2, "CLIENTS": 3, "CB_PHONES": 2}
F32 = TensorType("float32")
X = "{float32}@CLIENTS"


@tierfed.py_computation(returns=np.float32)
def seven() -> Any:
    """Return seven."""
    return np.float32(7.0)


def traced(*types: Any) -> Callable[[Callable[..., Any]], Node]:
    """Return a decorator that gives the program of a function."""
    return lambda f: tierfed.federated_computation(*types)(f).node


def calls(program: Node, name: str | None = None) -> list[str]:
    """Return the operators that `program` calls, or the calls of one."""
    found = [n.function.uri for n in program.walk() if isinstance(n, Call) and isinstance(n.function, Intrinsic)]
    return [uri for uri in found if name is None or uri == name]


# ---------------------------------------------------------------- programs that every pass keeps


@traced(X)
def climate(x: Any) -> Any:
    """Two means of one value, and the most of one of them."""
    return {
        "world": tierfed.federated_mean(x),
        "regions": tierfed.federated_mean(x, to=EDGE),
        "hottest": tierfed.federated_max(tierfed.federated_mean(x, to=EDGE)),
    }


@traced("float32@SERVER", X, "float32")
def trained(model: Any, x: Any, rate: Any) -> Any:
    """A broadcast, a map that uses a value without a placement, a weighted mean, a result of each client."""
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), x))
    moved = tierfed.federated_map(lambda p: (p[1] - p[0]) * rate, here)
    return {"model": model + tierfed.federated_mean(moved, weight=x), "moved": moved}


@traced(X)
def folded(x: Any) -> Any:
    """A user's reduce and aggregate, the least, and the sum."""
    return (
        tierfed.federated_reduce(x, np.float32(0.0), lambda a, b: a * 0.5 + b),
        tierfed.federated_aggregate(
            x, np.float32(1.0), lambda a, v: a - v, lambda a, b: a * 0.25 - b, lambda total: total + 1.0
        ),
        tierfed.federated_min(x),
        tierfed.federated_sum(x),
    )


PROGRAMS = {"climate": climate, "trained": trained, "folded": folded}
PASSES: dict[str, Callable[[Node, Hierarchy], Node]] = {
    "normalise": lambda p, h: normalise(p),
    "expand": lambda p, h: expand(p),
    "climb": lambda p, h: climb(normalise(expand(p)), h),
    "fuse": lambda p, h: fuse(climbed(p, h), h),
    "all": lowered,
}


def argument(program: Node, tree: Tree) -> Any:
    """Return numbers for every part of the parameter, of which sums in another order differ in bits."""
    rng = np.random.default_rng(11)
    t = program.type
    assert isinstance(t, FunctionType) and t.parameter is not None

    def value(part: Type) -> Any:
        if isinstance(part, StructType):
            return tuple(value(e) for e in part.parts())
        if isinstance(part, FederatedType) and not part.all_equal:
            return [np.float32(v) for v in rng.exponential(1e3, len(tree.members(part.placement)))]
        return np.float32(rng.standard_normal() * 1e3)

    return hold(value(t.parameter), t.parameter, "argument")


def equal(a: Any, b: Any, t: Type) -> bool:
    """Return whether two held results are equal bit for bit."""
    if isinstance(t, FederatedType):
        if t.all_equal:
            return same(a, b, t.member)
        return len(a) == len(b) and all(same(v, w, t.member) for v, w in zip(a, b, strict=True))
    if isinstance(t, StructType) and t.contains(FederatedType):
        return all(equal(v, w, e) for v, w, e in zip(a, b, t.parts(), strict=True))
    return same(a, b, t)


@pytest.mark.parametrize("hierarchy", [THREE, FOUR], ids=["three", "four"])
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_keeps_the_meaning(program: str, pass_: str, hierarchy: Hierarchy) -> None:
    """What a pass gives is a program of the same type that computes the same bits, and a second time changes none."""
    before = PROGRAMS[program]
    after = check(PASSES[pass_](before, hierarchy))
    tree = Tree.grown(hierarchy, FAN_OUT)
    assert after.type == before.type
    given = argument(before, tree)
    result = before.type.result  # type: ignore[attr-defined]
    assert equal(interpret(after, given, tree), interpret(before, given, tree), result)
    itself = {"climb": climb, "fuse": fuse}.get(pass_, PASSES[pass_])
    again = itself(after, hierarchy)
    assert again == after


def test_equality_looks_at_bits() -> None:
    """The comparison above tells one bit apart."""
    t = FederatedType(F32, CLIENTS)
    one = np.float32(1.0)
    assert equal((one, one), (one, one), t)
    assert not equal((one, one), (one, np.nextafter(one, np.float32(2.0))), t)


# ---------------------------------------------------------------- normalise


def test_normalise_inlines_calls() -> None:
    """The example of the module: a called lambda is gone, its operation stands once and has a name."""
    t = FederatedType(F32, CLIENTS)
    total = Intrinsic("federated_sum", FunctionType(t, FederatedType(F32, SERVER, True)))
    y = Reference("y", t)
    inner = Lambda("y", t, Struct(((None, Call(total, y)), (None, Call(total, y)))))
    whole = StructType([("a", t)])
    program = Lambda("x", whole, Call(inner, Selection(Reference("x", whole), 0)))
    flat = check(normalise(program))
    assert str(flat) == "(args -> (let arg.0=args.a,v1=federated_sum[SERVER](arg.0) in <v1,v1>))"


def test_normalise_inlines_computations() -> None:
    """A computation that is called by another leaves no lambda outside the arguments of operators."""
    mean = tierfed.federated_computation(X)(lambda x: tierfed.federated_mean(x))
    flat = normalise(traced(X)(lambda x: mean(x) + mean(x)))
    assert calls(flat, "federated_mean") == ["federated_mean"]
    assert not any(isinstance(n, Call) and isinstance(n.function, Lambda) for n in flat.walk())


def test_normalise_gives_unique_names() -> None:
    """Names that were bound twice, in two lambdas and in the blocks around them, are bound once each."""
    one = Lambda("v1", F32, Block((("v2", Reference("v1", F32)),), Reference("v2", F32)))
    t = FederatedType(F32, CLIENTS)

    def mapped(x: Node, fn: Node) -> Node:
        function = FunctionType(StructType((fn.type, t)), t)
        return Call(Intrinsic("federated_map", function), Struct(((None, fn), (None, x))))

    program = Lambda("v1", t, Block((("v1", mapped(Reference("v1", t), one)),), mapped(Reference("v1", t), one)))
    flat = normalise(program)
    bound = [name for n in flat.walk() if isinstance(n, Block) for name, _ in n.bindings]
    bound += [n.parameter for n in flat.walk() if isinstance(n, Lambda) and n.parameter]
    assert len(bound) == len(set(bound)) == 6, bound


def test_normalise_computes_once() -> None:
    """An operation on equal arguments is done once, at the top and inside a function; unequal ones are not merged."""

    @traced(X)
    def program(x: Any) -> Any:
        a = tierfed.federated_map(lambda v: (v * 3.0) + (v * 3.0), x)
        b = tierfed.federated_sum(a) + tierfed.federated_sum(a)
        return b, tierfed.federated_sum(x)

    flat = normalise(program)
    assert len(calls(program, "federated_sum")) == 3
    assert len(calls(flat, "federated_sum")) == 2
    assert len(calls(program, "generic_multiply")) == 2
    assert len(calls(flat, "generic_multiply")) == 1


def test_normalise_drops_what_nobody_uses() -> None:
    """Neither an unused operation, nor what only it used, nor an unused argument is left; and no gap in the names."""

    @traced(X, "float32", "float32")
    def program(x: Any, rate: Any, unused: Any) -> Any:
        tierfed.federated_mean(tierfed.federated_map(lambda v: v + unused, x))
        return tierfed.federated_sum(tierfed.federated_map(lambda v: v * rate, x))

    @traced(X, "float32", "float32")
    def without(x: Any, rate: Any, unused: Any) -> Any:
        return tierfed.federated_sum(tierfed.federated_map(lambda v: v * rate, x))

    flat = normalise(program)
    assert "federated_mean" not in calls(flat)
    assert [name for name, _ in bindings_of(flat)][:2] == ["arg.0", "arg.1"]
    assert "arg.2" not in str(flat)
    renamed = Lambda(flat.parameter, normalise(without).parameter_type, flat.body)
    assert str(renamed) == str(normalise(without))


def test_normalise_refuses() -> None:
    """What is no function, and a program that takes a function, are refused in these words."""
    with pytest.raises(CompileError) as caught:
        normalise(Literal.make(np.float32(1.0), F32))
    assert str(caught.value) == "compile: a program is a function, got float32\n  to mend: compile a computation"
    f = FunctionType(F32, F32)
    with pytest.raises(CompileError) as caught:
        normalise(Lambda("f", f, Call(Reference("f", f), Literal.make(np.float32(1.0), F32))))
    assert str(caught.value) == (
        "compile: the program takes a function: ((float32 -> float32) -> float32)\n"
        "  to mend: compile it with the function in it: `lambda x: program(function, x)`, traced, or call the program"
    )


# ---------------------------------------------------------------- expand

DERIVED = {
    "mean": lambda x: tierfed.federated_mean(x),
    "weighted mean": lambda x: tierfed.federated_mean(x, weight=x),
    "sum": lambda x: tierfed.federated_sum(x),
    "min": lambda x: tierfed.federated_min(x),
    "max": lambda x: tierfed.federated_max(x),
    "reduce": lambda x: tierfed.federated_reduce(x, np.float32(0.0), lambda a, b: a + b),
    "reduce with merge": lambda x: tierfed.federated_reduce(
        x, np.int32(0), lambda a, b: a * a, merge=lambda a, b: a + b
    ),
}


@pytest.mark.parametrize("name", DERIVED)
def test_expand_gives_aggregates(name: str) -> None:
    """Each derived aggregate becomes one federated_aggregate, with what the clients do first as a map."""
    program = normalise(traced(X)(DERIVED[name]))
    wide = check(expand(program))
    assert calls(program, "federated_aggregate") == []
    placed = collections.Counter(uri for uri in calls(wide) if uri.startswith("federated_"))
    assert placed.pop("federated_aggregate") == 1
    assert set(placed) <= {"federated_map", "federated_zip"}
    assert expand(wide) == wide
    assert wide.type == program.type


def test_expand_leaves_a_reduce_that_cannot_merge() -> None:
    """A reduce to another type without merge stays, to be one hop or an error."""
    program = traced(X)(lambda x: tierfed.federated_reduce(x, np.int32(0), lambda a, b: a + a))
    assert calls(expand(program), "federated_reduce") == ["federated_reduce"]
    assert "hop_accumulate" in calls(climb(expand(program), TWO))


# ---------------------------------------------------------------- climb


@pytest.mark.parametrize(("hierarchy", "merges"), [(TWO, 0), (THREE, 1), (FOUR, 2)], ids=["two", "three", "four"])
def test_climb_makes_hops(hierarchy: Hierarchy, merges: int) -> None:
    """An aggregate is an accumulate and a merge for each tier between, a broadcast one hop a tier."""

    @traced("float32@SERVER", X)
    def program(model: Any, x: Any) -> Any:
        here = tierfed.federated_zip((tierfed.federated_broadcast(model), x))
        return tierfed.federated_sum(tierfed.federated_map(lambda p: p[0] * p[1], here))

    hops = check(climb(normalise(expand(normalise(program))), hierarchy))
    found = collections.Counter(uri for uri in calls(hops) if not uri.startswith("generic_"))
    assert found["hop_accumulate"] == 1
    assert found["hop_merge"] == merges
    assert found["hop_broadcast"] == merges + 1
    assert not {"federated_aggregate", "federated_broadcast", "federated_reduce"} & set(found)
    assert climb(hops, hierarchy) == hops
    assert hops.type == program.type


def region_sum(x: Any) -> Any:
    """Return the sum at a tier that no hierarchy here has."""
    return tierfed.federated_sum(x, to=placement("SG_NOWHERE"))


NO_TIER = "to mend: add {0} to `placements:` in the topology, or use a tier it lists"
CLIMB_ERRORS: dict[str, tuple[str, Callable[..., Any], Hierarchy, str]] = {
    "no such tier": (
        X,
        region_sum,
        THREE,
        "federated_sum of {float32}@CLIENTS to SG_NOWHERE: no tier SG_NOWHERE in the hierarchy "
        "SERVER > EDGE_AGGREGATORS > CLIENTS\n  " + NO_TIER.format("SG_NOWHERE"),
    ),
    "no such tier between": (
        X,
        lambda x: tierfed.federated_sum(region_sum(x)),
        THREE,
        "federated_sum of {float32}@CLIENTS to SG_NOWHERE: no tier SG_NOWHERE in the hierarchy "
        "SERVER > EDGE_AGGREGATORS > CLIENTS\n  " + NO_TIER.format("SG_NOWHERE"),
    ),
    "an argument of no tier": (
        "{float32}@SG_NOWHERE",
        lambda x: x,
        THREE,
        "a value of {float32}@SG_NOWHERE: no tier SG_NOWHERE in the hierarchy "
        "SERVER > EDGE_AGGREGATORS > CLIENTS\n  " + NO_TIER.format("SG_NOWHERE"),
    ),
    "does not rise": (
        X,
        lambda x: tierfed.federated_sum(x, to=PHONES),
        BRANCHED,
        "federated_sum of {float32}@CLIENTS to CB_PHONES: CB_PHONES is not above CLIENTS in "
        "SERVER > EDGE_AGGREGATORS > (CLIENTS, CB_PHONES)\n"
        "  to mend: an aggregate rises: name a placement above the value's with to=, here EDGE_AGGREGATORS or SERVER",
    ),
    "does not descend": (
        "float32@SERVER",
        lambda x: tierfed.federated_broadcast(x, to=CLIENTS),
        Hierarchy({SERVER: TOP, CLIENTS: TOP}),
        "federated_broadcast of float32@SERVER to CLIENTS: CLIENTS is not below SERVER in "
        "SG_TOP > (SERVER, CLIENTS)\n"
        "  to mend: a broadcast descends, and there is no tier below: use the value where it is",
    ),
    "cannot merge": (
        X,
        lambda x: tierfed.federated_reduce(x, np.int32(0), lambda a, b: a + a),
        THREE,
        "federated_reduce: from CLIENTS to SERVER are 2 hops in SERVER > EDGE_AGGREGATORS > CLIENTS, "
        "and op, which adds a member's value to a partial result, cannot merge two partial results\n"
        "  to mend: give merge=, a function of two partial results: merge=lambda a, b: …",
    ),
}


@pytest.mark.parametrize("name", CLIMB_ERRORS)
def test_climb_refuses(name: str) -> None:
    """A program that does not fit the hierarchy is refused, in these words."""
    t, f, hierarchy, text = CLIMB_ERRORS[name]
    with pytest.raises(CompileError) as caught:
        lowered(traced(t)(f), hierarchy)
    line, _, told = str(caught.value).partition(": ")
    if name == "an argument of no tier":  # which no call has, and so no line
        assert f"{line}: {told}" == text
    else:
        assert re.fullmatch(re.escape(__file__) + r":\d+", line)
        assert told == text


# ---------------------------------------------------------------- slice


def sliced(program: Node, hierarchy: Hierarchy = THREE) -> dict[Placement, Slice]:
    """Return the slices of `program`."""
    return slice_program(lowered(program, hierarchy), hierarchy)


def steps(slices: dict[Placement, Slice], at: Placement, *kinds: type[Any]) -> list[Any]:
    """Return the steps of some kinds at one placement."""
    return [step for step in slices[at].walk() if isinstance(step, kinds)]


def arriving(slices: dict[Placement, Slice], at: Placement) -> set[str]:
    """Return the names of what comes down to `at`."""
    return {slot.name for step in steps(slices, at, Receive) for slot in step.slots}


def test_one_upload_a_phase() -> None:
    """The climate program costs each client and each edge one upload, though it folds three times."""
    slices = sliced(climate)
    assert [len(steps(slices, at, Send)) for at in (CLIENTS, EDGE, SERVER)] == [1, 1, 1]
    (up,) = steps(slices, CLIENTS, Send)
    assert len(up.slots) == 1
    for hierarchy in (TWO, FOUR):
        both = sliced(traced(X)(lambda x: (tierfed.federated_sum(x), tierfed.federated_max(x))), hierarchy)
        assert len(steps(both, CLIENTS, Send)) == 1


@traced("float32@SERVER", X)
def two_rounds(model: Any, x: Any) -> Any:
    """Up, down and up again: the second upload needs the first."""
    middle = tierfed.federated_mean(x) + model
    here = tierfed.federated_zip((tierfed.federated_broadcast(middle), x))
    return tierfed.federated_sum(tierfed.federated_map(lambda p: p[0] - p[1], here))


def test_as_many_messages_as_phases() -> None:
    """What needs what came back is a second message, in a later phase."""
    first, second = steps(sliced(two_rounds), CLIENTS, Send)
    assert first.site.phase < second.site.phase
    assert not {s.name for s in first.slots} & {s.name for s in second.slots}


def test_unplaced_values_go_where_they_are_used() -> None:
    """A value without a placement is computed at the root and reaches the edges that use it, and no client."""

    @traced(X, "float32")
    def program(x: Any, rate: Any) -> Any:
        half = rate * 0.5
        edges = tierfed.federated_sum(x, to=EDGE)
        return tierfed.federated_sum(tierfed.federated_map(lambda v: v * half, edges))

    slices = sliced(program)
    (made,) = (s for s in steps(slices, SERVER, Compute) if "generic_multiply" in str(s.expression))
    assert made.slot.name in arriving(slices, EDGE)
    assert arriving(slices, CLIENTS) == {"arg.0"}
    assert not any(step.slots[0].name == made.slot.name for step in steps(slices, EDGE, Broadcast))


def test_leaves_without_a_placement_run_once() -> None:
    """A leaf on no placed value runs at the root only, and its value is sent."""

    @traced(X)
    def program(x: Any) -> Any:
        rate = seven()
        return tierfed.federated_sum(tierfed.federated_map(lambda v: v * rate, x))

    slices = sliced(program)

    def runs(at: Placement) -> int:
        return sum(isinstance(n, Compiled) for s in steps(slices, at, Compute) for n in s.expression.walk())

    assert [runs(at) for at in (SERVER, EDGE, CLIENTS)] == [1, 0, 0]
    (made,) = (s.slot.name for s in steps(slices, SERVER, Compute) if "seven" in str(s.expression))
    assert made in arriving(slices, CLIENTS)


def test_unused_arguments_are_not_sent() -> None:
    """Arguments that the result does not need reach nobody, the root included; tiers that are not needed sleep."""

    @traced("float32@SERVER", X, "float32")
    def program(model: Any, x: Any, unused: Any) -> Any:
        return model + 1.0

    slices = sliced(program)
    assert arriving(slices, SERVER) == {"arg.0"}
    assert slices[EDGE].steps == slices[CLIENTS].steps == ()


def test_constants_are_written_out() -> None:
    """What needs neither an argument nor a leaf is written where it is used, and travels in no message."""

    @traced(X)
    def program(x: Any) -> Any:
        c = tierfed.generic_zero(np.float32) + np.float32(3.0)
        return tierfed.federated_sum(tierfed.federated_map(lambda v: v * c, x)), tierfed.federated_value(c, EDGE)

    slices = sliced(program)
    assert arriving(slices, CLIENTS) == arriving(slices, EDGE) == {"arg"}
    for at in (CLIENTS, EDGE):
        assert any("3.0" in str(s.expression) for s in steps(slices, at, Compute)), at


def test_results_of_clients_are_gathered() -> None:
    """A result that lives at the clients is brought up side by side, hop by hop; one that came as argument is not."""
    slices = sliced(traced(X)(lambda x: {"twice": tierfed.federated_map(lambda v: v + v, x), "x": x}))
    assert len(steps(slices, CLIENTS, Send)) == 1
    for at, source in ((EDGE, CLIENTS), (SERVER, EDGE)):
        (fold,) = steps(slices, at, Fold)
        (gathered,) = fold.folds
        assert (fold.source, gathered.kind, gathered.slot.many) == (source, "gather", CLIENTS)
        assert gathered.incoming.many == (None if source == CLIENTS else CLIENTS)
    (result,) = steps(slices, SERVER, Send)
    assert [(s.name == "arg", s.many) for s in result.slots] == [(False, CLIENTS), (True, CLIENTS)]


def test_slice_refuses_what_is_not_lowered() -> None:
    """An intrinsic that the passes before should have turned into hops is named."""
    program = normalise(traced(X)(lambda x: tierfed.federated_sum(x)))
    with pytest.raises(CompileError) as caught:
        slice_program(program, THREE)
    assert str(caught.value) == (
        "federated_sum[SERVER](arg): federated_sum is not run by daemons in this version\n"
        "  to mend: use an intrinsic of the table in docs/language.md"
    )
