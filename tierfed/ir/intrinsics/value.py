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
)
