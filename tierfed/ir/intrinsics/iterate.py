"""federated_iterate(step, state, rounds, data=(), at=Q): rounds below a tier, without traffic above it.

    federated_iterate : <(<S,D> -> S),S,D,int32,placement> -> S

Every member of Q repeats `step` over its own subtree: edge rounds inside a cloud round.  S and
D are values placed at Q or below, or structs of such; `step` mentions Q and what is below it,
and nothing placed but its parameter.  All-equal bits of S are cleared at placements that are no
singletons: after a turn the members of Q need not agree.  Zero rounds return `state`.

The meaning is simpler than it sounds.  No operation in `step` leaves the subtree of a member
of Q, so to apply `step` to the whole tree is to apply it at each member of Q, side by side.

Source: the loop of HierFAVG, Liu et al. 2020, arXiv:1905.06641, algorithm 1 (kappa_2), as an
operator of a typed language.
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import CompileError, TierfedError, TypeMismatch, ValueMismatch
from tierfed.ir.intrinsics.operator import Operator, Parameter, World
from tierfed.ir.nodes import Node
from tierfed.placements import Hierarchy, Placement
from tierfed.types import FederatedType, FunctionType, PlacementType, StructType, TensorType, Type
from tierfed.types.difference import shown, told

NAME = "federated_iterate"
_ROUNDS = TensorType("int32")


def placed_parts(t: Type, name: str) -> tuple[FederatedType, ...]:
    """Return the placed parts of `t`, the type of the argument `name`, in order: it is one, or a struct of such.

    Raises TypeMismatch for others.
    """
    if isinstance(t, FederatedType):
        return (t,)
    if isinstance(t, StructType):
        return tuple(part for element in t.parts() for part in placed_parts(element, name))
    raise TypeMismatch(
        f"{name} is placed nowhere: expected placed values, got {shown(t)}",
        where=NAME,
        mend=f"place it: tierfed.federated_value({name}, placement)"
        if name == "state"
        else "leave it out: what has no placement is simply used in the step",
    )


def cleared(t: Type) -> Type:
    """Return `t` without all-equal bits, but for those at singletons."""
    if isinstance(t, FederatedType):
        return FederatedType(t.member, t.placement, t.placement.singleton)
    assert isinstance(t, StructType)
    return StructType([(n, cleared(e)) for n, e in t.elements], t.container)


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    step, state, data, rounds, at = arguments
    if not placed_parts(state, "state"):
        raise TypeMismatch(f"the state {state} has no part", where=NAME, mend="iterate over a value")
    placed_parts(data, "data")
    if rounds != _ROUNDS:
        raise TypeMismatch(
            f"rounds is {rounds}, expected int32",
            where=NAME,
            mend="pass an int, or a parameter of type int32 without a placement",
        )
    if not isinstance(at, PlacementType):
        raise TypeMismatch(f"at is {at}, expected a placement", where=NAME, mend="pass at=, a placement")
    if state != cleared(state):
        raise TypeMismatch(
            f"the state is {state}, and after a turn its members need not agree: {cleared(state)}",
            where=NAME,
            mend="let it be all-equal at singletons, and nowhere else",
        )
    given = StructType((state, data))
    if not isinstance(step, FunctionType) or step.parameter is None or not step.parameter.is_assignable_from(given):
        raise TypeMismatch(
            f"the step is {step}, and is given {given}", where=NAME, mend=f"let it take the state and the data: {given}"
        )
    if not step.result.is_equivalent_to(state):
        raise TypeMismatch(
            told(state, step.result, "state is {}, and step returns {}"),
            where=NAME,
            mend="let the step return the type of the state that it takes",
        )
    return state


def stays_within(name: str, part: Node, at: Placement, hierarchy: Hierarchy) -> None:
    """Raise CompileError if a part of a loop, called `name`, mentions what is neither `at` nor below it."""
    for t in (t for n in part.walk() for t in n.type.walk()):
        if isinstance(t, FederatedType) and t.placement != at and not hierarchy.is_above(at, t.placement):
            raise CompileError(
                f"its {name} has a part {t}, and {t.placement} is not below {at} in {hierarchy}",
                where=f"{NAME} at {at}",
                mend=f"bring it down before the loop, tierfed.federated_broadcast(…, to={at}), or iterate higher up",
            )


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    step, state, data, rounds, at = values
    assert world is not None
    world.tree.members(at)  # raises if there is no such tier
    stays_within("step", step.node, at, world.tree.hierarchy)
    for _ in range(turns(rounds)):
        state = step((state, data))
    return state


def turns(rounds: Any) -> int:
    """Return a held number of rounds as an int; raises ValueMismatch for a negative one."""
    if rounds < 0:
        raise ValueMismatch(f"{int(rounds)} rounds", where=NAME, mend="pass 0 rounds or more")
    return int(rounds)


def is_of_turns(error: TierfedError) -> bool:
    """Return whether `error` is what `turns` raises: no member's own, since they all have one number."""
    return isinstance(error, ValueMismatch) and error.where == NAME


ITERATE = Operator(
    NAME,
    "<(<S,D> -> S),S,D,int32,placement> -> S",
    (Parameter("step"), Parameter("state"), Parameter("data"), Parameter("rounds"), Parameter("at")),
    "stays",
    _result,
    _meaning,
    doc="Return `state` after every member of `at` has repeated `step` over its own subtree `rounds` times.",
)
