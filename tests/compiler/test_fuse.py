"""Fuse: what becomes one map, what stays by itself, and that no leaf runs twice."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from agreement import agree, referred
from hypothesis import HealthCheck, given, settings
from programs import Case, cases

import tierfed
from tierfed.backends.local import interpret
from tierfed.compiler import climbed
from tierfed.compiler.fit import called_uri
from tierfed.compiler.fuse import fuse
from tierfed.compiler.normal_form import bindings_of
from tierfed.ir.check import check
from tierfed.ir.nodes import Compiled, Lambda, Leaf, Node, transformed
from tierfed.placements import CLIENTS, SERVER, Hierarchy, Tree, placement

fuse_module = importlib.import_module("tierfed.compiler.fuse")  # the package's `fuse` is the function
EDGE = placement("EDGE_AGGREGATORS")
TWO = Hierarchy.chain(SERVER, CLIENTS)
THREE = Hierarchy.chain(SERVER, EDGE, CLIENTS)
X = "{float32}@CLIENTS"


@tierfed.py_computation(np.float32, returns=np.float32)
def slow(x: Any) -> Any:
    """Return `x`, after thinking about it."""
    return x


@tierfed.py_computation(np.float32, returns=np.float32)
def slower(x: Any) -> Any:
    """Return `x`, after thinking about it for longer."""
    return x


def traced(*types: Any) -> Callable[[Callable[..., Any]], Node]:
    """Return a decorator that gives the program of a function."""
    return lambda f: tierfed.federated_computation(*types)(f).node


def fused(program: Node, hierarchy: Hierarchy = TWO) -> Lambda:
    """Return a program after `fuse`, which is one, of the same type, and stays as it is."""
    made = check(fuse(climbed(program, hierarchy), hierarchy))
    assert isinstance(made, Lambda) and made.type == program.type
    assert fuse(made, hierarchy) == made
    return made


def maps(program: Lambda) -> list[str]:
    """Return the maps and zips that are bound, as text."""
    return [str(node) for _, node in bindings_of(program) if called_uri(node) in ("federated_map", "federated_zip")]


def leaves(program: Node) -> int:
    """Return how many calls of leaves a program has."""
    return sum(isinstance(n, Compiled) for n in program.walk())


def mapped(fn: Any, x: Any) -> Any:
    """Return `federated_map(fn, x)`."""
    return tierfed.federated_map(fn, x)


def zipped(*x: Any) -> Any:
    """Return `federated_zip(x)`."""
    return tierfed.federated_zip(x)


TABLE: dict[str, tuple[tuple[Any, ...], Callable[..., Any], list[str]]] = {
    "a map of a map": (
        (X,),
        lambda x: mapped(slow, mapped(lambda v: v * 2.0, x)),
        ["federated_map[CLIENTS](<(p1 -> (let v2=generic_multiply(<p1,2.0>),v3=comp#test_fuse:slow(v2) in v3)),arg>)"],
    ),
    "a map of a zip": (
        (X, X),
        lambda x, y: mapped(lambda p: p[0] + p[1], zipped(x, y)),
        ["federated_map[CLIENTS](<(p1 -> generic_plus(<p1[0],p1[1]>)),federated_zip[CLIENTS](<arg.0,arg.1>)>)"],
    ),
    "a map of a zip of maps": (
        (X, X),
        lambda x, y: mapped(lambda p: p[0] + p[1], zipped(mapped(lambda v: v * 2.0, x), mapped(lambda v: v - 1.0, y))),
        [
            "federated_map[CLIENTS](<(p1 -> (let v2=generic_multiply(<p1[0],2.0>),v3=generic_minus(<p1[1],1.0>),"
            "v4=generic_plus(<v2,v3>) in v4)),federated_zip[CLIENTS](<arg.0,arg.1>)>)"
        ],
    ),
    "a zip of maps": (
        (X,),
        lambda x: zipped(mapped(lambda v: v * 2.0, x), x),
        ["federated_map[CLIENTS](<(p1 -> (let v2=generic_multiply(<p1,2.0>) in <v2,p1>)),arg>)"],
    ),
    "a zip of a zip": (
        (X, X),
        lambda x, y: zipped(zipped(x, y), y),
        ["federated_zip[CLIENTS](<<arg.0,arg.1>,arg.1>)"],
    ),
    "a chain of selections": (
        ("{<a=<float32,float32>,b=float32>}@CLIENTS",),
        lambda x: x.a[1],
        ["federated_map[CLIENTS](<(p1 -> p1.a[1]),arg>)"],
    ),
    "selections of one leaf's result": (
        (X,),
        lambda x: (lambda both: both[0] + both[1])(mapped(lambda v: (slow(v), v), x)),
        ["federated_map[CLIENTS](<(p1 -> (let v2=comp#test_fuse:slow(p1),v3=generic_plus(<v2,p1>) in v3)),arg>)"],
    ),
    "a value that is used twice in one map": (
        (X,),
        lambda x: (lambda y: y * y)(mapped(slow, x)),
        ["federated_map[CLIENTS](<(p1 -> (let v2=comp#test_fuse:slow(p1),v3=generic_multiply(<v2,v2>) in v3)),arg>)"],
    ),
    "one zip in two maps": (
        (X, X),
        lambda x, y: (lambda z: (mapped(lambda p: p[0] + p[1], z), mapped(lambda p: p[0] - p[1], z)))(zipped(x, y)),
        [
            "federated_map[CLIENTS](<(p1 -> generic_plus(<p1[0],p1[1]>)),federated_zip[CLIENTS](<arg.0,arg.1>)>)",
            "federated_map[CLIENTS](<(p3 -> generic_minus(<p3[0],p3[1]>)),federated_zip[CLIENTS](<arg.0,arg.1>)>)",
        ],
    ),
    "at the server": (
        ("float32@SERVER",),
        lambda x: tierfed.federated_apply(slow, tierfed.federated_apply(slower, x)),
        ["federated_map[SERVER](<(p1 -> (let v2=comp#test_fuse:slower(p1),v3=comp#test_fuse:slow(v2) in v3)),arg>)"],
    ),
    "all-equal at the clients": (
        ("float32@CLIENTS",),
        lambda x: mapped(slow, mapped(slower, x)),
        ["federated_map[CLIENTS](<(p1 -> (let v2=comp#test_fuse:slower(p1),v3=comp#test_fuse:slow(v2) in v3)),arg>)"],
    ),
    "all-equal, and then no longer": (
        ("float32@CLIENTS",),
        lambda x: mapped(lambda p: slow(p[0]), zipped(mapped(slower, x))),
        [
            "federated_map[CLIENTS](<(p1 -> (let v2=comp#test_fuse:slower(p1[0]),v3=comp#test_fuse:slow(v2) in v3)),"
            "federated_zip[CLIENTS](<arg>)>)"
        ],
    ),
    "stays: two users": (
        (X,),
        lambda x: (lambda y: (mapped(lambda v: v * 2.0, y), mapped(lambda v: v * 3.0, y)))(mapped(slow, x)),
        [
            "federated_map[CLIENTS](<comp#test_fuse:slow,arg>)",
            "federated_map[CLIENTS](<(p2 -> generic_multiply(<p2,2.0>)),v1>)",
            "federated_map[CLIENTS](<(p4 -> generic_multiply(<p4,3.0>)),v1>)",
        ],
    ),
    "stays: a result": (
        (X,),
        lambda x: (lambda y: (y, mapped(lambda v: v * 2.0, y)))(mapped(slow, x)),
        [
            "federated_map[CLIENTS](<comp#test_fuse:slow,arg>)",
            "federated_map[CLIENTS](<(p2 -> generic_multiply(<p2,2.0>)),v1>)",
        ],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_is_fused(name: str) -> None:
    """Maps with one user go into it, zips into every map; what has two users stays by itself."""
    types, body, expected = TABLE[name]
    count = len(types)
    taking = {1: lambda a: body(a), 2: lambda a, b: body(a, b)}[count]
    program = traced(*types)(taking)
    found = [text.replace("tests.compiler.", "") for text in maps(fused(program))]
    assert found == expected
    assert leaves(fused(program)) == leaves(climbed(program, TWO))


def test_what_waits_for_nothing_is_not_held_up() -> None:
    """What a client makes of its data while the model is under way stays a step before the model comes."""

    @traced("float32@SERVER")
    def program(model: Any) -> Any:
        own = mapped(slow, tierfed.federated_data("train", np.float32, CLIENTS))
        here = zipped(tierfed.federated_broadcast(model), own)
        return tierfed.federated_sum(mapped(lambda v: v * 2.0, mapped(lambda p: p[0] * p[1], here)))

    texts = maps(fused(program))
    assert len(texts) == 2
    assert "slow,v1" in texts[0] and "slow" not in texts[1] and texts[1].count("generic_multiply") == 2
    clients = tierfed.compile(program, TWO).slices[CLIENTS].steps
    kinds = [type(step).__name__ for step in clients]
    assert kinds == ["Load", "Compute", "Receive", "Compute", "Compute", "Send"]


def test_a_leaf_that_draws_stays_by_itself() -> None:
    """Neither what it is given nor what is made of it goes into its map."""
    program = climbed(traced(X)(lambda x: mapped(lambda v: v * 2.0, mapped(slow, mapped(lambda v: v - 1.0, x)))), TWO)

    def drawing(node: Node) -> Node:
        if isinstance(node, Compiled):
            leaf = Leaf(node.leaf.kind, node.leaf.name, node.leaf.digest, node.leaf.content, stateful=True)
            return Compiled(leaf, node.of)
        return node

    assert len(maps(fuse(program, TWO))) == 1
    assert len(maps(fuse(transformed(program, drawing), TWO))) == 3


def test_inside_a_loop_and_not_across_it() -> None:
    """The maps of a turn are one; what the loop starts from and what is made of its end stay outside."""

    @traced(X)
    def program(x: Any) -> Any:
        def once(v: Any) -> Any:
            return mapped(lambda v: v - 1.0, mapped(slow, v))

        return mapped(slower, tierfed.federated_iterate(once, mapped(slower, x), 3, at=CLIENTS))

    made = fused(program)
    assert len(maps(made)) == 2
    (loop,) = (node for _, node in bindings_of(made) if called_uri(node) == "federated_iterate")
    step = next(n for n in loop.walk() if isinstance(n, Lambda))
    assert len(maps(step)) == 1 and leaves(step) == 1


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(cases())
def test_keeps_bits_and_leaves(case: Case) -> None:
    """Whatever the program: the same bits, the same type, as many calls of leaves at most, and twice is once."""
    program = case.program.computation().node
    hops = climbed(program, case.tree.hierarchy)
    made = fused(program, case.tree.hierarchy)
    agree(referred(made, case), referred(program, case), program.type.result, "the fused program", case)  # type: ignore[attr-defined]
    assert leaves(made) <= leaves(hops)
    assert sum(1 for n in made.walk() if called_uri(n) in ("federated_map", "federated_apply")) <= sum(
        1 for n in hops.walk() if called_uri(n) in ("federated_map", "federated_apply")
    )


def test_a_map_with_two_users_would_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property above sees a pass that does not ask how many users a map has: its leaf is there twice."""
    monkeypatch.setattr(fuse_module._Body, "_only", lambda self, *rest: True)
    types, body, _ = TABLE["stays: two users"]
    program = traced(*types)(lambda a: body(a))
    assert leaves(fuse(climbed(program, TWO), TWO)) == 2 > leaves(climbed(program, TWO))


def test_parts_in_another_order_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that takes the parts of a zip in another order gives other bits."""
    right = fuse_module.apply_intrinsic

    def turned(uri: str, arguments: Any, **more: Any) -> Any:
        if uri == "federated_zip" and len(arguments[0].elements) == 2:
            arguments = (type(arguments[0])(arguments[0].elements[::-1]),)
        return right(uri, arguments, **more)

    monkeypatch.setattr(fuse_module, "apply_intrinsic", turned)

    program = traced(X, X)(lambda x, y: mapped(lambda p: p[0] - p[1], zipped(mapped(slow, x), mapped(lambda v: v, y))))
    given = (np.float32(1), np.float32(2)), (np.float32(3), np.float32(5))
    tree = Tree.grown(TWO, {"CLIENTS": 2})
    before, after = (interpret(node, given, tree) for node in (program, fuse(climbed(program, TWO), TWO)))
    assert before == (-2.0, -3.0) and after == (2.0, 3.0)
