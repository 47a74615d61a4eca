"""Computations as bytes: `serialize` and `deserialize`.

    data = tierfed.serialize(get_average_temperature)
    tierfed.deserialize(data)([68.5, 70.3, 69.8])

The form is protobuf with the field numbers of the public `computation.proto` (see
`ir.proto`).  Containers do not travel: a struct comes back as a dict when all of its elements
are named, as a tuple when none is.
"""

from __future__ import annotations

from tierfed.errors import ProtocolError
from tierfed.ir.check import check
from tierfed.ir.proto.serialize import node_from_bytes, node_to_bytes
from tierfed.language.computation import Computation
from tierfed.types import FunctionType


def serialize(computation: Computation) -> bytes:
    """Return `computation` as bytes; equal computations give equal bytes."""
    return node_to_bytes(computation.node)


def deserialize(data: bytes) -> Computation:
    """Return the computation that `data` holds.

    Raises ProtocolError for bytes that are none, and TypeMismatch for a program that is not
    well formed.
    """
    node = check(node_from_bytes(data))
    if not isinstance(node.type, FunctionType):
        raise ProtocolError(f"a value of {node.type}, and no computation", where="deserialize", mend="send a function")
    return Computation(node, "deserialized")
