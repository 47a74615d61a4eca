"""federated_value(x, P): the same value at every member.

federated_value : T -> T@P
"""

from __future__ import annotations

from typing import Any

from tierfed.ir.intrinsics.operator import Operator, Parameter, World, unplaced
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, Type


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    assert to is not None
    return FederatedType(unplaced(arguments[0], "federated_value", "value"), to, True)


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    return values[0]


VALUE = Operator(
    "federated_value",
    "T -> T@P",
    (Parameter("value"),),
    "at",
    _result,
    _meaning,
    doc="Return `value`, the same at every member of `placement`.",
    about="""
        The result is all-equal at any placement.  `value` is placed nowhere: a constant, a parameter
        without a placement, or a struct of such.  Each member has it, so a sum of it counts members.
        """,
    example="""
        >>> @tierfed.federated_computation("{float32}@CLIENTS")
        ... def count(readings):
        ...     return tierfed.federated_sum(tierfed.federated_value(np.int32(1), tierfed.CLIENTS))
        >>> count([68.5, 70.3, 69.8])
        np.int32(3)
        """,
)
