"""Random nodes: of any type, of every class, nested in every way."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.strategies import federated_types, local_types, names, placements, types, values_of
from tierfed.ir.nodes import (
    Block,
    Call,
    Compiled,
    Data,
    Intrinsic,
    Lambda,
    Leaf,
    Literal,
    Node,
    PlacementLiteral,
    Reference,
    Selection,
    Struct,
)
from tierfed.types import FederatedType, FunctionType, PlacementType, StructType, TensorType, Type

uris = st.sampled_from(
    [
        "federated_value",
        "federated_eval",
        "federated_zip",
        "federated_map",
        "federated_apply",
        "federated_mean",
        "federated_weighted_mean",
        "federated_collect",
        "generic_plus",
        "ours/ä",
    ]
)
leaves = st.builds(
    Leaf, st.sampled_from(["py", "tf", ""]), st.sampled_from(["m:f", "ä b", ""]), st.just("ab12"), st.binary(max_size=4)
)


@st.composite
def node_of(draw: st.DrawFn, t: Type, depth: int = 3) -> Node:
    """A node of the type `t`."""
    kinds = ["reference"]
    if isinstance(t, TensorType) and t.is_static:
        kinds.append("literal")
    if isinstance(t, FederatedType):
        kinds.append("data")
    if isinstance(t, PlacementType):
        kinds.append("placement")
    if isinstance(t, FunctionType):
        kinds += ["intrinsic", "leaf"]
    if depth > 0:
        kinds += ["block", "call", "selection"]
        if isinstance(t, StructType):
            kinds.append("struct")
        if isinstance(t, FunctionType):
            kinds.append("lambda")
    below = depth - 1
    match draw(st.sampled_from(kinds)):
        case "literal":
            assert isinstance(t, TensorType)
            return Literal.make(draw(values_of(t)), t)
        case "data":
            return Data(draw(names), t)
        case "placement":
            return PlacementLiteral(draw(placements))
        case "intrinsic":
            assert isinstance(t, FunctionType)
            return Intrinsic(draw(uris), t)
        case "leaf":
            assert isinstance(t, FunctionType)
            return Compiled(draw(leaves), t)
        case "block":
            values = draw(st.lists(st.tuples(names, types.flatmap(lambda s: node_of(s, 0))), max_size=2))
            return Block(tuple(values), draw(node_of(t, below)))
        case "call":
            parameter = draw(st.one_of(st.none(), local_types, federated_types))
            function = draw(node_of(FunctionType(parameter, t), below))
            return Call(function, None if parameter is None else draw(node_of(parameter, below)))
        case "selection":
            others = draw(st.lists(local_types, max_size=2))
            at = draw(st.integers(0, len(others)))
            parts = [(None, e) for e in others]
            parts.insert(at, (draw(st.one_of(st.none(), names)), t))  # type: ignore[arg-type]
            return Selection(draw(node_of(StructType(parts), below)), at)
        case "struct":
            assert isinstance(t, StructType)
            return Struct(tuple((n, draw(node_of(e, below))) for n, e in t.elements))
        case "lambda":
            assert isinstance(t, FunctionType)
            name = None if t.parameter is None else draw(names)
            return Lambda(name, t.parameter, draw(node_of(t.result, below)))
    return Reference(draw(names), t)


nodes: st.SearchStrategy[Node] = types.flatmap(node_of)
