"""Assignability: what may stand where a type is expected (target <- source).

| case | rule |
|---|---|
| dtype | equal, no widening |
| shape | `[?]` <- `[3]`, unknown rank <- any; never the reverse |
| struct | element by element; named <- unnamed, never unnamed <- named |
| sequence | covariant |
| function | parameter contravariant, result covariant; `( -> T)` is not `(<> -> T)` |
| federated | same placement, by name; `{T}@P` <- `T@P`, never the reverse |
"""

from __future__ import annotations

from tierfed.types.types import (
    AbstractType,
    FederatedType,
    FunctionType,
    PlacementType,
    SequenceType,
    Shape,
    StructType,
    TensorType,
    Type,
)


def is_assignable(target: Type, source: Type) -> bool:
    """Return whether a value of `source` may stand where `target` is expected."""
    if target is source:  # of thousands of tensors, as a rule
        return True
    match target, source:
        case TensorType(), TensorType():
            return target.name == source.name and _shape_fits(target.shape, source.shape)
        case StructType(), StructType():
            return len(target) == len(source) and all(
                (sn is None or sn == tn) and is_assignable(t, s)
                for (tn, t), (sn, s) in zip(target.elements, source.elements, strict=True)
            )
        case SequenceType(), SequenceType():
            return is_assignable(target.element, source.element)
        case FunctionType(), FunctionType():
            if target.parameter is None or source.parameter is None:
                fits = target.parameter is source.parameter
            else:
                fits = is_assignable(source.parameter, target.parameter)
            return fits and is_assignable(target.result, source.result)
        case FederatedType(), FederatedType():
            return (
                target.placement == source.placement
                and (source.all_equal or not target.all_equal)
                and is_assignable(target.member, source.member)
            )
        case PlacementType(), PlacementType():
            return True
        case AbstractType(), AbstractType():
            return target.label == source.label
    return False


def _shape_fits(target: Shape, source: Shape) -> bool:
    if target is None:
        return True
    return (
        source is not None
        and len(target) == len(source)
        and all(t is None or t == s for t, s in zip(target, source, strict=True))
    )
