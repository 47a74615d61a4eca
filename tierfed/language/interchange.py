"""Computations as bytes: `serialize` and `deserialize`.

    data = tierfed.serialize(get_average_temperature)
    tierfed.deserialize(data)([68.5, 70.3, 69.8])
    tierfed.serialize(get_average_temperature, for_="federated-language")

The form is protobuf with the field numbers of the public `computation.proto` (see
`ir.proto`), so what the package federated-language writes is read too; what it reads is
written on demand.  Containers do not travel: a struct comes back as a dict when all of its
elements are named, as a tuple when none is.
"""

from __future__ import annotations

from tierfed.errors import ProtocolError, TypeMismatch
from tierfed.ir.check import check
from tierfed.ir.loosen import loosen
from tierfed.ir.proto.public import published
from tierfed.ir.proto.serialize import node_from_bytes, node_to_bytes, node_to_public_bytes
from tierfed.language.computation import Computation
from tierfed.types import FunctionType

PUBLIC = "federated-language"


def serialize(computation: Computation, for_: str | None = None) -> bytes:
    """Return `computation` as bytes; equal computations give equal bytes.

    With `for_="federated-language"` that package reads them; raises CompileError, which names it,
    for what has no counterpart there.

    >>> @tierfed.federated_computation("{float32}@CLIENTS")
    ... def mean(readings):
    ...     return tierfed.federated_mean(readings)
    >>> data = tierfed.serialize(mean)
    >>> tierfed.deserialize(data) == mean
    True
    >>> public = tierfed.serialize(mean, for_="federated-language")
    """
    if for_ is None:
        return node_to_bytes(computation.node)
    if for_ != PUBLIC:
        raise TypeMismatch(
            f"no form is called {for_!r}", where="serialize", mend=f"leave for_ out, or say for_={PUBLIC!r}"
        )
    return node_to_public_bytes(check(published(computation.node)))


def deserialize(data: bytes) -> Computation:
    """Return the computation that `data` holds.

    Bytes that federated-language wrote are read too.  They are hostile until checked: sizes are
    limited, and every type is worked out again.  Raises ProtocolError for bytes that are none, and
    TypeMismatch for a program that is not well formed.

    >>> @tierfed.federated_computation("{float32}@CLIENTS")
    ... def mean(readings):
    ...     return tierfed.federated_mean(readings)
    >>> tierfed.deserialize(tierfed.serialize(mean))([68.5, 70.3, 69.8])
    np.float32(69.53333)
    """
    node = loosen(check(node_from_bytes(data)))
    if not isinstance(node.type, FunctionType):
        raise ProtocolError(f"a value of {node.type}, and no computation", where="deserialize", mend="send a function")
    return Computation(node, "deserialized")
