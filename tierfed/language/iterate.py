"""federated_iterate as a Python function: what the step captures becomes part of its data.

    def edge_round(m, data):                           # m : {MODEL}@EDGE_AGGREGATORS
        here = federated_zip((federated_broadcast(m, to=CLIENTS), data))
        return m + federated_mean(federated_map(local_update, here), to=EDGE)

    federated_iterate(edge_round, model, 5, data=data, at=EDGE)

A step in the IR is closed.  In Python it need not be: placed values of the body around it are
handed in behind `data`, so `lambda m: m + delta` means what it says.  What has no placement
is the same in every turn and is used as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.ir.build import apply_intrinsic
from tierfed.ir.intrinsics.iterate import NAME, cleared, placed_parts
from tierfed.ir.nodes import Block, Lambda, Node, PlacementLiteral, Reference, Selection, Struct
from tierfed.language.trace import Value, as_node, bound, loosened, trace
from tierfed.placements import Placement, as_placement
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type
from tierfed.types.difference import told
from tierfed.user_line import at_user_line, located

_INT32 = TensorType("int32")


def federated_iterate(step: Any, state: Any, rounds: Any, data: Any = (), at: Placement | str | None = None) -> Value:
    """Return `state` after every member of `at` has repeated `step` over its own subtree `rounds` times.

        federated_iterate : <(<S,D> -> S),S,D,int32,placement> -> S

    `step` takes the state and `data` (the state alone if there is none) and returns the next
    state.  State and data are values, or structs of values, placed at `at` or below; no message
    crosses the links above it.  Zero rounds return `state`; a negative number is a ValueMismatch.

    `step` mentions `at` and what is below it; what it captures from the body around it is the same
    in every turn.  It returns the type of the state, whose all-equal bits are cleared at placements
    that are no singletons: after a turn members need not agree.  `rounds` is a number, or an int32
    without a placement, and the same for all members.  Loops nest.

    Raises TypeMismatch, with the mend.

    >>> EDGE = tierfed.placement("EDGE_AGGREGATORS")
    >>> @tierfed.federated_computation("{float32}@CLIENTS", np.int32)
    ... def nearby(readings, rounds):
    ...     def turn(m, x):
    ...         away = x - tierfed.federated_broadcast(m)
    ...         return m + 0.5 * tierfed.federated_mean(away, to=EDGE)
    ...     start = tierfed.federated_value(np.float32(0), EDGE)
    ...     return tierfed.federated_iterate(turn, start, rounds, data=readings, at=EDGE)
    >>> with tierfed.local(topology=tierfed.tree({"EDGE_AGGREGATORS": 2, "CLIENTS": 2})):
    ...     nearby([1, 2, 3, 6], 2)
    [np.float32(1.125), np.float32(3.375)]
    """
    with located(NAME):
        if at is None:
            raise TypeMismatch(
                "at= is missing: where is the step repeated?",
                where=NAME,
                mend="pass at=, the placement whose members repeat it",
            )
        if not callable(step):
            raise TypeMismatch(
                f"step is {step!r}, expected a function", where=NAME, mend="pass a function of the state"
            )
        start = as_node(state)
        placed_parts(start.type, "state")
        target = cleared(start.type)
        start = loosened(start, target)
        given = as_node(data)
        placed_parts(given.type, "data")
        count = as_node(rounds, _INT32)
        if count.type.contains(FederatedType):
            raise TypeMismatch(
                f"rounds is placed: expected int32, got {count.type}",
                where=NAME,
                mend="pass a number, or a parameter of type int32 without a placement: every member repeats as often",
            )
        fn = _step(step, target, given.type)
        fn, given = _with_captures(fn, given)
        return bound(apply_intrinsic(NAME, (fn, start, given, count, PlacementLiteral(as_placement(at)))))


def _step(step: Callable[..., Any], state: Type, data: Type) -> Lambda:
    """Return `step` traced on a struct of state and data; its result is made of the type of the state."""
    alone = _takes_the_state_alone(step, data)

    def run(pair: Value) -> Value:
        result = loosened(as_node(step(pair[0]) if alone else step(pair[0], pair[1]), state), state)
        if not state.is_assignable_from(result.type):
            raise TypeMismatch(
                told(state, result.type, "state is {}, and step returns {}"),
                where=at_user_line(NAME),
                mend="let the step return the type of the state that it takes",
            )
        return Value(result)

    return trace(run, StructType((state, data)))


def _takes_the_state_alone(step: Callable[..., Any], data: Type) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in inspect.signature(step).parameters.values() if p.kind in kinds]
    needed = sum(p.default is p.empty for p in parameters)
    if needed == 1 and not isinstance(data, FederatedType) and not placed_parts(data, "data"):
        return True
    if needed > 2 or len(parameters) < 2:
        raise TypeMismatch(
            f"step takes {len(parameters)} arguments, expected the state and the data",
            where=NAME,
            mend="let it take these two, or the state alone if no data is given",
        )
    return False


def _with_captures(fn: Lambda, data: Node) -> tuple[Lambda, Node]:
    """Return a step that uses nothing placed but its parameter, and the data that its captures are now part of."""
    new: dict[Node, Reference] = {}
    captured: list[tuple[str, Node]] = []

    def inside(outer: Node) -> Node:
        if isinstance(outer.type, FunctionType):
            return outer
        if outer not in new:
            if outer.type.contains(FederatedType):
                name = f"{fn.parameter}.{len(captured)}"
                captured.append((name, outer))
                new[outer] = Reference(name, outer.type)
            elif isinstance(outer, Reference):
                return outer
            else:  # a part of a struct that may have placed ones too
                named = bound(outer)._node
                assert isinstance(named, Reference)
                new[outer] = named
        return new[outer]

    body = _replaced(fn.body, frozenset({fn.parameter or ""}), inside)
    if not captured:
        return Lambda(fn.parameter, fn.parameter_type, body), data
    assert fn.parameter is not None and isinstance(fn.parameter_type, StructType)
    more = Struct(((None, data), *((None, node) for _, node in captured)))
    placed_parts(more.type, "data")
    p, whole = f"{fn.parameter}.given", StructType((fn.parameter_type[0], more.type))
    given = Selection(Reference(p, whole), 1)
    pair = Struct(((None, Selection(Reference(p, whole), 0)), (None, Selection(given, 0))))
    bindings = [(fn.parameter, pair), *((name, Selection(given, i + 1)) for i, (name, _) in enumerate(captured))]
    return Lambda(p, whole, Block(tuple(bindings), body)), more


def _replaced(node: Node, known: frozenset[str], inside: Callable[[Node], Node]) -> Node:
    """Return `node` with `inside` of each free name, or selection of one, in its place; `known` are not free."""
    source = node
    while isinstance(source, Selection):
        source = source.source
    if isinstance(source, Reference):
        return node if source.name in known else inside(node)
    match node:
        case Lambda(parameter=parameter, body=body):
            return node.rebuilt((_replaced(body, known | {parameter} if parameter is not None else known, inside),))
        case Block(bindings=bindings, result=result):
            written = []
            for name, value in bindings:
                written.append((name, _replaced(value, known, inside)))
                known = known | {name}
            return Block(tuple(written), _replaced(result, known, inside))
    return node.rebuilt(tuple(_replaced(child, known, inside) for child in node.children()))
