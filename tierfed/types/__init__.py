"""Types: the classes, their notation, assignability, and values of them."""

from tierfed.types.convert import to_type
from tierfed.types.notation import compact, formatted, parse
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
    unit,
)

__all__ = [
    "AbstractType",
    "FederatedType",
    "FunctionType",
    "PlacementType",
    "SequenceType",
    "Shape",
    "StructType",
    "TensorType",
    "Type",
    "compact",
    "formatted",
    "parse",
    "to_type",
    "unit",
]
