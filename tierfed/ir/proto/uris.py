"""The public names of intrinsics: what federated-language calls ours, at its two placements.

    federated_value : int32 -> int32@CLIENTS        federated_value_at_clients
    federated_value : int32 -> int32@SERVER         federated_value_at_server
    federated_value : int32 -> int32@REGIONS        federated_value

A row applies where its condition holds on the type, so writing maps no two of ours to one
public name, and reading back gives what was written.  An intrinsic without a row is called
the same in both, or is ours alone.
"""

from __future__ import annotations

from collections.abc import Callable

from tierfed.errors import ProtocolError
from tierfed.placements import CLIENTS, SERVER, Placement
from tierfed.types import FederatedType, FunctionType


def _to(placement: Placement) -> Callable[[FunctionType], bool]:
    def holds(t: FunctionType) -> bool:
        return isinstance(t.result, FederatedType) and t.result.placement == placement

    return holds


def _all_equal_at_clients(t: FunctionType) -> bool:
    return isinstance(t.result, FederatedType) and t.result.placement == CLIENTS and t.result.all_equal


PUBLIC: tuple[tuple[str, str, Callable[[FunctionType], bool]], ...] = (
    ("federated_value", "federated_value_at_clients", _to(CLIENTS)),
    ("federated_value", "federated_value_at_server", _to(SERVER)),
    ("federated_eval", "federated_eval_at_clients", _to(CLIENTS)),
    ("federated_eval", "federated_eval_at_server", _to(SERVER)),
    ("federated_zip", "federated_zip_at_clients", _to(CLIENTS)),
    ("federated_zip", "federated_zip_at_server", _to(SERVER)),
    ("federated_map", "federated_map_all_equal", _all_equal_at_clients),
)

WITHOUT: dict[str, str] = {
    "federated_secure_select": "call federated_select, if all of the value at the server may go down to every member",
}
"""Public names that none of ours stands for, with what would mend it."""


def public_uri(uri: str, t: FunctionType) -> str:
    """Return what our intrinsic `uri` at the type `t` is called on the wire."""
    for ours, public, holds in PUBLIC:
        if uri == public:
            raise ProtocolError(
                f"{uri} is the public name of {ours}", where="program", mend=f"call {ours} in a program of ours"
            )
        if uri == ours and holds(t):
            return public
    return uri


def native_uri(uri: str, t: FunctionType) -> str:
    """Return our name of the intrinsic that is called `uri` on the wire, at the type `t`.

    Raises ProtocolError for a public name at a type that it does not have, or that nothing here stands for.
    """
    if uri in WITHOUT:
        raise ProtocolError(f"{uri} has no counterpart here", where="program", mend=WITHOUT[uri])
    for ours, public, holds in PUBLIC:
        if uri == public:
            if not holds(t):
                raise ProtocolError(f"{uri} of type {t}", where="program", mend=f"use {ours} at that type")
            return ours
    return uri
