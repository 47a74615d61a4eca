"""federated_select(keys, max_key, server_val, select_fn): each member gets what its keys stand for.

    federated_select : <{int32[n]}@C,int32@Q,T@Q,(<T,int32> -> U)> -> {U*}@C

Broadcast, then local selection in the order of the keys:

    federated_map((keyed -> sequence_map((key -> select_fn(<keyed[2],key>)),select_keys(<keyed[0],keyed[1]>))),
                  federated_zip(<keys,federated_broadcast(max_key),federated_broadcast(server_val)>))

So whoever holds `server_val` does not learn the keys, and all of it goes down; where it is
selected is the backend's choice, and no part of the meaning.  A key outside [0,max_key] fails
the member that has it.  Source: the operator of the specification, generalised to tiers.
"""

from __future__ import annotations

from typing import Any

from tierfed.errors import TypeMismatch, ValueMismatch
from tierfed.ir.build import apply_intrinsic
from tierfed.ir.intrinsics.aggregate import pair
from tierfed.ir.intrinsics.operator import (
    Arguments,
    Operator,
    Parameter,
    World,
    at,
    federated,
    function,
    per_member,
    placed,
)
from tierfed.ir.intrinsics.sequence import sequence_of
from tierfed.ir.nodes import Call, Lambda, Node, Reference, Selection, Struct
from tierfed.placements import Placement
from tierfed.types import FederatedType, FunctionType, SequenceType, StructType, TensorType, Type
from tierfed.types.difference import shown
from tierfed.types.values import Rows

_NAME, _KEYS = "federated_select", "select_keys"
_KEY = TensorType("int32")


def _are_keys(t: Type, where: str) -> None:
    if not (isinstance(t, TensorType) and t.name == "int32" and t.shape is not None and len(t.shape) == 1):
        raise TypeMismatch(
            f"keys are of type {shown(t)}, expected int32[n]",
            where=where,
            mend="give each member a list of keys: one dimension, of int32",
        )


def _above(t: Type, keys: FederatedType, name: str) -> FederatedType:
    """Return `t`, which `keys` select from, if it stands elsewhere and is one value; raises TypeMismatch if not."""
    if not t.contains(FederatedType):
        raise TypeMismatch(
            f"{name} is placed nowhere: expected a value above the keys, such as {shown(t)}@SERVER, got {shown(t)}",
            where=_NAME,
            mend=f"place it where server_val is: tierfed.federated_value({name}, tierfed.SERVER)",
        )
    x = federated(t, _NAME, name)
    if x.placement == keys.placement:
        raise TypeMismatch(
            f"{name} stands at {x.placement}, where the keys are: {shown(x)}",
            where=_NAME,
            mend="select where it is, in a leaf: tierfed.federated_map(leaf, (keys, server_val))",
        )
    if not x.all_equal:
        raise TypeMismatch(
            f"{name} differs between the members of {x.placement}: "
            f"expected {shown(x.member)}@{x.placement}, got {shown(x)}",
            where=_NAME,
            mend=f"bring each member its own: tierfed.federated_broadcast({name}), and select in a leaf",
        )
    return x


def _result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    keys = federated(arguments[0], _NAME, "keys")
    _are_keys(keys.member, _NAME)
    max_key, server_val = _above(arguments[1], keys, "max_key"), _above(arguments[2], keys, "server_val")
    if max_key.member != _KEY:
        raise TypeMismatch(
            f"max_key is of type {shown(max_key)}, expected int32@{max_key.placement}",
            where=_NAME,
            mend="give one key, of int32",
        )
    if max_key.placement != server_val.placement:
        raise TypeMismatch(
            f"max_key is at {max_key.placement} and server_val at {server_val.placement}",
            where=_NAME,
            mend="place both at one placement above the keys",
        )
    fn = function(arguments[3], pair(server_val.member, _KEY), _NAME, "select_fn")
    return at(sequence_of(fn.result, _NAME, "select_fn returns"), keys.placement)


def checked_keys(keys: Any, max_key: Any, where: str) -> Rows:
    """Return `keys` one by one; raises ValueMismatch for one outside [0,max_key]."""
    for key in keys:
        if not 0 <= key <= max_key:
            raise ValueMismatch(
                f"the key {key} is outside [0,{max_key}]", where=where, mend="keys count from 0, up to max_key"
            )
    return Rows(keys)


def _meaning(world: World | None, values: tuple[Any, ...], t: FunctionType) -> Any:
    assert world is not None and isinstance(t.parameter, StructType) and isinstance(t.result, FederatedType)
    source, above, *_ = t.parameter.parts()
    assert isinstance(source, FederatedType) and isinstance(above, FederatedType)
    keys, max_key, server_val, select_fn = values
    world.tree.hierarchy.path(source.placement, above.placement)  # raises if it is not above
    members = world.tree.members(source.placement)
    chosen = (
        checked_keys(own, max_key, f"{_NAME} at {member.name}")
        for member, own in zip(members, per_member(keys, source, world.tree), strict=True)
    )
    return placed(tuple(Rows(select_fn((server_val, key)) for key in own) for own in chosen), t.result)


def _expand(arguments: tuple[Node, ...], t: FunctionType) -> Node:
    keys, max_key, server_val, select_fn = arguments
    assert isinstance(keys.type, FederatedType)
    down = (apply_intrinsic("federated_broadcast", (x,), to=keys.type.placement) for x in (max_key, server_val))
    both = apply_intrinsic("federated_zip", (Struct(tuple((None, x) for x in (keys, *down))),))
    assert isinstance(both.type, FederatedType)
    keyed, key = Reference("keyed", both.type.member), Reference("key", _KEY)
    select = Lambda("key", _KEY, Call(select_fn, Struct(((None, Selection(keyed, 2)), (None, key)))))
    own = apply_intrinsic(_KEYS, (Selection(keyed, 0), Selection(keyed, 1)))
    return apply_intrinsic(
        "federated_map", (Lambda("keyed", both.type.member, apply_intrinsic("sequence_map", (select, own))), both)
    )


def _selected(given: Arguments) -> Type:
    return pair(federated(given["server_val"], _NAME, "server_val").member, _KEY)


SELECT = Operator(
    _NAME,
    "<{int32[n]}@C,int32@Q,T@Q,(<T,int32> -> U)> -> {U*}@C",
    (
        Parameter("keys", federated=True),
        Parameter("max_key", federated=True),
        Parameter("server_val", federated=True),
        Parameter("select_fn", function_of=_selected),
    ),
    "stays",
    _result,
    _meaning,
    _expand,
    doc="Return, at each member, the sequence of `select_fn(server_val, key)` for its keys, in their order.",
    about="""
        `max_key` and `server_val` are all-equal at one placement above the keys.  All of `server_val`
        goes down, and is selected from where the keys are: who holds it does not learn them.  A key
        outside `[0,max_key]` is a ValueMismatch at the member that has it.
        """,
    example="""
        >>> @tierfed.py_computation("float32[4,2]", np.int32, returns="float32[2]")
        ... def row(table, key):
        ...     return table[key]
        >>> @tierfed.federated_computation("{int32[2]}@CLIENTS", "float32[4,2]@SERVER")
        ... def rows(keys, table):
        ...     last = tierfed.federated_value(np.int32(3), tierfed.SERVER)
        ...     return tierfed.federated_select(keys, last, table, row)
        >>> rows([[0, 3], [2, 2]], np.arange(8, dtype=np.float32).reshape(4, 2))[0]
        [array([0., 1.], dtype=float32), array([6., 7.], dtype=float32)]
        """,
)


def _keys_result(arguments: tuple[Type, ...], to: Placement | None) -> Type:
    _are_keys(arguments[0], _KEYS)
    if arguments[1] != _KEY:
        raise TypeMismatch(f"a bound of type {arguments[1]}, expected int32", where=_KEYS, mend="give one key")
    return SequenceType(_KEY)


SELECT_KEYS = Operator(
    _KEYS,
    "<int32[n],int32> -> int32*",
    (Parameter("keys"), Parameter("max_key")),
    "stays",
    _keys_result,
    lambda world, values, t: checked_keys(values[0], values[1], _NAME),
    public=False,
)
