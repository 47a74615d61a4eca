"""federated_min and federated_max: element by element, over the members below.

    federated_max : {T}@P -> {T}@Q

A partial carries the number of members that it stands for, and an empty one is skipped, so
no neutral element is needed.  Over nobody at a member of Q: EmptyAggregate.  NaN propagates,
as in numpy's minimum and maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tierfed.errors import EmptyAggregate
from tierfed.ir.build import apply_intrinsic, local, zero_node
from tierfed.ir.intrinsics.arithmetic import numeric, structurally
from tierfed.ir.intrinsics.folding import fold_up
from tierfed.ir.intrinsics.operator import Operator, Parameter, World, at, federated, per_member, placed, rises
from tierfed.ir.intrinsics.sum import has_zero
from tierfed.ir.nodes import Node
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type
from tierfed.types.dtypes import COMPLEX
from tierfed.types.values import zero


def partial_type(t: Type) -> StructType:
    """Return the type of what rises: `<value=T,count=int64>`."""
    return StructType([("value", t), ("count", TensorType("int64"))])


def _extremum(name: str, operation: Callable[..., Any], example: str) -> tuple[Operator, ...]:
    """Return the operators of `federated_<name>`: itself and the three local ones that it expands to."""
    uri = f"federated_{name}"

    def result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
        x = federated(arguments[0], uri)
        numeric(x.member, uri, ("bool", "str", *COMPLEX))
        has_zero(x.member, uri)
        return at(x.member, rises(x, to, uri))

    def merge(a: Any, b: Any, t: Type) -> Any:
        if a[1] == 0:
            return b
        if b[1] == 0:
            return a
        return structurally(t, operation, a[0], b[0]), a[1] + b[1]

    def report(partial: Any) -> Any:
        if partial[1] == 0:
            raise EmptyAggregate(
                f"a {name} over no members", where=uri, mend="have at least one member below, or lower the quorum"
            )
        return partial[0]

    def meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
        assert world is not None
        source, result_type = t.parameter, t.result
        assert isinstance(source, FederatedType) and isinstance(result_type, FederatedType)
        member = source.member
        folded = fold_up(
            world.tree,
            source.placement,
            result_type.placement,
            per_member(values[0], source, world.tree),
            zero=zero(partial_type(member), uri),
            accumulate=lambda p: merge(p[0], (p[1], np.int64(1)), member),
            merge=lambda p: merge(p[0], p[1], member),
            report=report,
        )
        return placed(folded, result_type)

    def expand(arguments: tuple[Node, ...], t: FunctionType) -> Node:
        assert isinstance(t.parameter, FederatedType) and isinstance(t.result, FederatedType)
        member = t.parameter.member
        partial = partial_type(member)
        return apply_intrinsic(
            "federated_aggregate",
            (
                arguments[0],
                zero_node(partial),
                local(f"{name}_accumulate", FunctionType(StructType((partial, member)), partial)),
                local(f"{name}_merge", FunctionType(StructType((partial, partial)), partial)),
                local(f"{name}_report", FunctionType(partial, member)),
            ),
            to=t.result.placement,
        )

    def internal(stem: str, signature: str, run: Any, of: Any) -> Operator:
        return Operator(f"{name}_{stem}", signature, (Parameter("value"),), "stays", of, run, public=False)

    return (
        Operator(
            uri,
            "{T}@P -> {T}@Q",
            (Parameter("value", federated=True),),
            "rises",
            result,
            meaning,
            expand,
            doc=f"Return the elementwise {name}imum of the members' values at each member of `to`.",
            about=f"""
                Tensors of real numbers and structs of them, of known sizes.  NaN propagates, as in numpy's
                {name}imum.  A partial says how many members it stands for and an empty one is skipped, so no
                neutral element is needed.  Over nobody at a member of `to` it is EmptyAggregate.
                """,
            example=f"""
                >>> @tierfed.federated_computation("{{float32[2]}}@CLIENTS")
                ... def {name}imum(x):
                ...     return tierfed.federated_{name}(x)
                >>> {name}imum([[1, 5], [3, 4]])
                array({example}, dtype=float32)
                """,
        ),
        internal(
            "accumulate",
            "<<value=T,count=int64>,T> -> <value=T,count=int64>",
            lambda world, values, t: merge(values[0][0], (values[0][1], np.int64(1)), t.parameter[1]),
            lambda arguments, to: arguments[0][0],
        ),
        internal(
            "merge",
            "<<value=T,count=int64>,<value=T,count=int64>> -> <value=T,count=int64>",
            lambda world, values, t: merge(values[0][0], values[0][1], t.result[0]),
            lambda arguments, to: arguments[0][0],
        ),
        internal(
            "report",
            "<value=T,count=int64> -> T",
            lambda world, values, t: report(values[0]),
            lambda arguments, to: arguments[0][0],
        ),
    )


MIN = _extremum("min", np.minimum, "[1., 4.]")
MAX = _extremum("max", np.maximum, "[3., 5.]")
