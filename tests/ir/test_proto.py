"""The serialized form: everything comes back, the public form is read, and hostile bytes are refused by name."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.ir.node_strategies import nodes
from tests.strategies import EDGE, HUB, types
from tierfed.errors import ProtocolError, TypeMismatch
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
from tierfed.ir.proto import computation_pb2 as pb
from tierfed.ir.proto import node_from_bytes, node_to_bytes, type_from_bytes, type_to_bytes
from tierfed.ir.proto.limits import MAX_DEPTH, MAX_NODES
from tierfed.ir.proto.serialize import node_to_public_bytes
from tierfed.placements import CLIENTS, Placement, placement
from tierfed.types import FederatedType, FunctionType, StructType, TensorType, Type, parse

ROOT = Path(__file__).parents[2]
PUBLIC = json.loads((Path(__file__).parent / "federated_language_0_5_4.json").read_text())
INT = TensorType("int32")
X = Reference("x", INT)


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """Forget the placements that mutated bytes declare."""
    registry = _declared()
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


# ---------------------------------------------------------------- round trips


@given(types)
def test_types_come_back(t: Type) -> None:
    """Every type is read as it was written, with its placements' flags, and written alike again."""
    data = type_to_bytes(t)
    back = type_from_bytes(data)
    assert back == t and type_to_bytes(back) == data
    for a, b in zip(t.walk(), back.walk(), strict=True):
        if isinstance(a, FederatedType) and isinstance(b, FederatedType):
            assert a.placement.singleton == b.placement.singleton


@given(nodes)
def test_nodes_come_back(node: Node) -> None:
    """Every program is read as it was written, and written alike again."""
    data = node_to_bytes(node)
    back = node_from_bytes(data)
    assert back == node and back.type == node.type and str(back) == str(node)
    assert node_to_bytes(back) == data


def test_containers_are_not_written() -> None:
    """A struct comes back equal and without its container."""
    back = node_from_bytes(node_to_bytes(Struct((("a", X),), dict)))
    assert isinstance(back, Struct) and back.container is None
    assert isinstance(back.type, StructType) and back.type.container is None


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FC00000, 0xFFC12345, 0x7F800000, 0x00000001, 0x80000000])
@pytest.mark.parametrize("name", ["float32", "complex64"])
def test_every_nan_comes_back(bits: int, name: str) -> None:
    """Floats come back bit for bit, signalling NaNs and subnormals too, which a list of floats would change."""
    content = bits.to_bytes(4, "little") * (2 if name == "complex64" else 1)
    literal = Literal(TensorType(name), content)
    assert node_from_bytes(node_to_bytes(literal)) == literal


def test_placements_say_their_name_and_flag() -> None:
    """A placement of ours is written with its uri, its name and its flag; the predeclared two by uri alone."""
    message = pb.Computation.FromString(node_to_bytes(PlacementLiteral(HUB))).placement
    assert (message.uri, message.name, message.singleton) == ("hub", "Hub", True)
    message = pb.Computation.FromString(node_to_bytes(PlacementLiteral(CLIENTS))).placement
    assert (message.uri, message.name, message.singleton) == ("clients", "", False)


def test_reading_declares() -> None:
    """A placement that is new to the reader is declared with its flag, once the message has been read whole."""
    data = node_to_bytes(PlacementLiteral(Placement("PR_fresh", True)))
    assert "PR_fresh" not in _declared()
    node_from_bytes(data)
    assert _declared()["PR_fresh"].singleton


def test_reading_in_vain_declares_nothing() -> None:
    """A message that cannot be read as a whole declares none of its placements."""
    good = pb.Computation.FromString(node_to_bytes(PlacementLiteral(Placement("PR_vain", True))))
    bad = pb.Computation.FromString(node_to_bytes(Struct(((None, PlacementLiteral(EDGE)), (None, X)))))
    bad.struct.element[0].value.CopyFrom(good)
    bad.struct.element[1].value.reference.name = ""
    with pytest.raises(TypeMismatch):
        node_from_bytes(bad.SerializeToString())
    assert "PR_vain" not in _declared()


def _declared() -> dict[str, Placement]:
    registry: dict[str, Placement] = importlib.import_module("tierfed.placements.placement")._declared
    return registry


# ---------------------------------------------------------------- the public form


@pytest.mark.parametrize("text", PUBLIC["types"])
def test_public_types(text: str) -> None:
    """A type that federated-language wrote is read, and we write the same bytes."""
    data = bytes.fromhex(PUBLIC["types"][text])
    assert type_from_bytes(data) == parse(text)
    assert type_to_bytes(parse(text)) == data


LITERALS: dict[str, Any] = {
    "bool[2]": [True, False],
    "int8[2]": [-1, 7],
    "int16": -300,
    "int32": -5,
    "int64": -(2**60),
    "uint8": 255,
    "uint16": 65535,
    "uint32": 2**32 - 1,
    "uint64": 2**64 - 1,
    "float16[2]": [1.5, -2],
    "float32[2,2]": [[1.5, -0.0], [np.inf, 0.1]],
    "float64": 0.1,
    "bfloat16[2]": [1.5, -2],
    "complex64": 1 - 2j,
    "complex128[2]": [1j, 2],
    "str": "hello",
    "str[2]": ["a", "bc"],
    "float32[0,3]": np.zeros((0, 3)),
}


@pytest.mark.parametrize("text", PUBLIC["literals"])
def test_public_literals(text: str) -> None:
    """A literal that federated-language wrote is read, bit for bit, and we write the same bytes."""
    data = bytes.fromhex(PUBLIC["literals"][text])
    t = parse(text)
    assert isinstance(t, TensorType)
    expected = Literal.make(LITERALS[text], t)
    assert node_from_bytes(data) == expected
    assert node_to_bytes(expected) == data


PROGRAMS = {
    "mean": "(mean_arg -> (let fc_mean_symbol_0=federated_mean[SERVER](mean_arg) in fc_mean_symbol_0))",
    "value": (
        "( -> (let fc_value_symbol_0=federated_value[CLIENTS](5),"
        "fc_value_symbol_1=federated_value[SERVER](0.5) in <fc_value_symbol_0,fc_value_symbol_1>))"
    ),
    "zip_at_server": (
        "(zip_at_server_arg -> (let fc_zip_at_server_symbol_0="
        "federated_zip[SERVER](<a=zip_at_server_arg.x,b=zip_at_server_arg.y>) in fc_zip_at_server_symbol_0))"
    ),
    "map_all_equal": "federated_map[CLIENTS]",
    "placement": "CLIENTS",
    "block": "(let a=1 in <n=a,a>[1])",
}


@pytest.mark.parametrize("name", [n for n in PUBLIC["programs"] if n not in ("generic_zero", "data by content")])
def test_public_programs(name: str) -> None:
    """A program that federated-language wrote is read at its type, and we write the same bytes."""
    public = PUBLIC["programs"][name]
    node = node_from_bytes(bytes.fromhex(public["hex"]))
    assert str(node.type) == public["type"]
    assert node_to_bytes(node).hex() == public["hex"]
    assert str(node) == PROGRAMS.get(name, str(node))


def test_public_zero() -> None:
    """The public generic_zero is a value; ours is a function of nothing, and is called."""
    node = node_from_bytes(bytes.fromhex(PUBLIC["programs"]["generic_zero"]["hex"]))
    assert node == Call(Intrinsic("generic_zero", FunctionType(None, INT)))


URIS = [
    ("federated_value", "(int32 -> int32@CLIENTS)", "federated_value_at_clients"),
    ("federated_value", "(int32 -> int32@SERVER)", "federated_value_at_server"),
    ("federated_value", "(int32 -> int32@EDGE_AGGREGATORS)", "federated_value"),
    ("federated_eval", "(( -> int32) -> {int32}@CLIENTS)", "federated_eval_at_clients"),
    ("federated_eval", "(( -> int32) -> int32@SERVER)", "federated_eval_at_server"),
    ("federated_zip", "(<{int32}@CLIENTS,{int32}@CLIENTS> -> {<int32,int32>}@CLIENTS)", "federated_zip_at_clients"),
    ("federated_zip", "(<int32@SERVER> -> <int32>@SERVER)", "federated_zip_at_server"),
    ("federated_zip", "(<{int32}@EDGE_AGGREGATORS> -> {<int32>}@EDGE_AGGREGATORS)", "federated_zip"),
    ("federated_map", "(<(int32 -> int32),{int32}@CLIENTS> -> {int32}@CLIENTS)", "federated_map"),
    ("federated_map", "(<(int32 -> int32),int32@CLIENTS> -> int32@CLIENTS)", "federated_map_all_equal"),
    ("federated_map", "(<(int32 -> int32),int32@SERVER> -> int32@SERVER)", "federated_map"),
    ("federated_apply", "(<(int32 -> int32),int32@SERVER> -> int32@SERVER)", "federated_apply"),
    ("federated_weighted_mean", "(<{float32}@CLIENTS,{float32}@CLIENTS> -> float32@SERVER)", "federated_weighted_mean"),
    ("federated_sum", "({int32}@CLIENTS -> int32@SERVER)", "federated_sum"),
    ("federated_collect", "({int32}@CLIENTS -> int32*@SERVER)", "federated_collect"),
]


@pytest.mark.parametrize(("uri", "text", "public"), URIS, ids=[f"{p} {t}" for _, t, p in URIS])
def test_uris(uri: str, text: str, public: str) -> None:
    """An intrinsic goes by its public name where the public one takes and gives the same, and comes back as ours."""
    t: Any = parse(text)
    data = node_to_bytes(Intrinsic(uri, t))
    assert pb.Computation.FromString(data).intrinsic.uri == public
    assert node_from_bytes(data) == Intrinsic(uri, t)


def test_public_name_in_a_program_of_ours() -> None:
    """A public name is none of ours, or reading would change the program."""
    t: Any = parse("(int32 -> int32@SERVER)")
    with pytest.raises(ProtocolError) as caught:
        node_to_bytes(Intrinsic("federated_value_at_server", t))
    assert str(caught.value) == (
        "program: federated_value_at_server is the public name of federated_value\n"
        "  to mend: call federated_value in a program of ours"
    )


def test_package() -> None:
    """Our messages live in a package of our own, so theirs can be loaded beside them."""
    assert pb.DESCRIPTOR.package == "tierfed.v1"
    own = [f.number for f in pb.Computation.DESCRIPTOR.fields if f.number >= 1000]
    assert sorted(own) == [1000, 1001, 1002]


# ---------------------------------------------------------------- depth


def nested(depth: int) -> Node:
    """Return a program nested `depth` deep, of every class that nests."""
    node: Node = X
    wrap: tuple[Callable[[Node], Node], ...] = (
        lambda n: Call(Reference("f", FunctionType(INT, INT)), n),
        lambda n: Struct((("a", n),)),
        lambda n: Selection(n, 0),
        lambda n: Block((("b", n),), X),
        lambda n: Block((), n),
        lambda n: Lambda(None, None, n),
        lambda n: Call(n),
    )
    for i in range(depth - 1):
        node = wrap[i % len(wrap)](node)
    return node


@pytest.mark.parametrize("depth", [1, 2, 15, 30, 40, 50, 100, MAX_DEPTH])
def test_deep_programs_come_back(depth: int) -> None:
    """Programs deeper than protobuf reads are written in parts, and come back whole."""
    node = nested(depth)
    assert node_from_bytes(node_to_bytes(node)) == node


def test_shallow_programs_have_no_parts() -> None:
    """A program that fits is written in one part, as the public form has it; a deep one is not."""
    assert not pb.Computation.FromString(node_to_bytes(nested(30))).detached
    assert pb.Computation.FromString(node_to_bytes(nested(100))).detached


def test_deep_types_in_deep_programs() -> None:
    """A deep type leaves less room for the program around it, and both come back."""
    t = parse("<" * 22 + "int32" + ">" * 22)
    node: Node = Reference("x", t)
    for _ in range(60):
        node = Block((("y", node),), Reference("y", t))
    assert node_from_bytes(node_to_bytes(node)) == node


def test_too_deep_to_write() -> None:
    """A program or a type that nobody could read is refused when it is written, with the mend."""
    with pytest.raises(TypeMismatch) as caught:
        node_to_bytes(nested(MAX_DEPTH + 1))
    assert str(caught.value) == "serialize: a program nested deeper than 200\n  to mend: name parts of it"
    with pytest.raises(TypeMismatch) as caught:
        type_to_bytes(parse("<" * 30 + ">" * 30))
    assert str(caught.value) == "serialize: a type nested more than 70 messages deep\n  to mend: flatten its structs"


def test_too_deep_to_read() -> None:
    """Parts that add up to more than the limit are refused."""
    message = pb.Computation.FromString(node_to_bytes(nested(MAX_DEPTH - 1)))
    outer = pb.Computation()
    outer.detached.extend(message.detached)
    outer.detached.add().MergeFrom(message)
    del outer.detached[-1].detached[:]
    outer.type.CopyFrom(message.type)
    inner = outer
    for _ in range(3):
        inner.type.CopyFrom(message.type)
        inner = inner.block.result
    inner.detached_at = len(outer.detached) - 1
    refused(outer, "a program nested deeper than 200")


# ---------------------------------------------------------------- hostile bytes


def refused(message: Any, what: str, mend: str | None = None) -> None:
    """Assert that the bytes of `message` are refused in these words."""
    with pytest.raises((ProtocolError, TypeMismatch)) as caught:
        node_from_bytes(message.SerializeToString())
    assert caught.value.what == what
    assert mend is None or caught.value.mend == mend


def message_of(node: Node) -> pb.Computation:
    """Return a node's message, to be spoilt."""
    return pb.Computation.FromString(node_to_bytes(node))


CALL = Call(Lambda("x", INT, X), X)


def test_lying_types() -> None:
    """A node whose type is not what its parts give it is refused."""
    message = message_of(CALL)
    message.type.tensor.dims.append(3)
    refused(message, "a node says that it is of type int32[3], and is of type int32", "write the type that it has")


def test_missing_types() -> None:
    """Every node has its type."""
    message = message_of(CALL)
    message.call.argument.ClearField("type")
    refused(message, "a node without its type", "write the type of every node")
    message.call.argument.type.SetInParent()
    refused(message, "a type that says nothing", "write each type in full")


def test_call_of_another_type() -> None:
    """A call whose argument does not fit is refused as it is when traced."""
    message = message_of(CALL)
    message.call.argument.type.tensor.dtype = pb.BOOL
    refused(message, "(x -> x) takes int32, got bool", "pass a value of the type that it takes")


def test_empty_messages() -> None:
    """Nothing is no program, and no part of one."""
    refused(pb.Computation(), "a node without its type")
    refused(pb.Computation(type=message_of(X).type), "a computation that says nothing", "write each node in full")
    message = message_of(Selection(Struct(((None, X),)), 0))
    message.selection.ClearField("source")
    refused(message, "a node without its type")


@pytest.mark.parametrize(("kind", "what"), [("tensorflow", "a TensorFlow graph"), ("xla", "an XLA module")])
def test_compiled_elsewhere(kind: str, what: str) -> None:
    """A graph of another framework is refused by name."""
    message = pb.Computation(type=message_of(CALL.function).type)
    setattr(message, kind, b"\x0a\x00")
    mend = "write local computations with tierfed.tf_computation or tierfed.py_computation"
    refused(message, f"{what} is not supported by this version", mend)


def test_data_by_content() -> None:
    """Data by content, as federated-language writes it, is a URI when the content is a string, and else refused."""
    with pytest.raises(ProtocolError) as caught:
        node_from_bytes(bytes.fromhex(PUBLIC["programs"]["data by content"]["hex"]))
    assert str(caught.value) == (
        "program: data by content of the type '' is not known here\n"
        "  to mend: name data by its URI, in a google.protobuf.StringValue"
    )
    data = Data("train", parse("{int32}@CLIENTS"))
    written = node_to_public_bytes(data)
    assert node_from_bytes(written) == data and pb.Computation.FromString(written).data.WhichOneof("data") == "content"
    message = message_of(data)
    for content in (b"\xff", b"\x0a\x02ab\x12\x01x", pb.Computation.FromString(written).data.content + b"\x12\x01\xff"):
        message.data.content = content
        with pytest.raises(ProtocolError, match="data (whose content is no message|by content of the type)"):
            node_from_bytes(message.SerializeToString())


def test_public_names_that_nothing_stands_for() -> None:
    """A public intrinsic without a counterpart is refused by name, with the mend."""
    message = message_of(Intrinsic("federated_sum", parse("({int32}@CLIENTS -> int32@SERVER)")))  # type: ignore[arg-type]
    message.intrinsic.uri = "federated_secure_select"
    refused(
        message,
        "federated_secure_select has no counterpart here",
        "call federated_select, if all of the value at the server may go down to every member",
    )


def test_public_name_at_another_type() -> None:
    """A public name at a placement that it does not have is refused."""
    t: Any = parse("(int32 -> int32@EDGE_AGGREGATORS)")
    message = message_of(Intrinsic("federated_value", t))
    message.intrinsic.uri = "federated_value_at_clients"
    refused(message, f"federated_value_at_clients of type {t}", "use federated_value at that type")


def test_functions_that_are_none() -> None:
    """A lambda, an intrinsic and a leaf are functions."""
    for node, name in (
        (Lambda("x", INT, X), "a lambda"),
        (Intrinsic("generic_plus", FunctionType(INT, INT)), "generic_plus"),
        (Compiled(Leaf("py", "f", ""), FunctionType(INT, INT)), "a leaf"),
    ):
        message = message_of(node)
        message.type.CopyFrom(message_of(X).type)
        refused(message, f"{name} of type int32", "give it the type of a function")


def test_empty_names() -> None:
    """Names that are empty are refused where they stand."""
    for node in (
        X,
        Data("u", INT),
        Intrinsic("u", FunctionType(INT, INT)),
        Lambda("p", INT, X),
    ):
        message = message_of(node)
        for path in ("reference.name", "data.uri", "intrinsic.uri", "abstraction.parameter_name"):
            part, field = path.split(".")
            if message.WhichOneof("computation") == part:
                setattr(getattr(message, part), field, "")
        refused(message, "a name is empty", "use a non-empty string")
    message = message_of(Block((("a", X),), X))
    message.block.local[0].name = ""
    refused(message, "a name is empty")


def test_parts_are_used_once() -> None:
    """A detached part is there, comes before its use, is used once, and lies in the outermost computation."""
    message = message_of(nested(100))
    assert len(message.detached) > 1
    spare = pb.Computation.FromString(message.SerializeToString())
    spare.detached.append(message_of(X))
    refused(spare, "a detached part that is used nowhere", "write each part once")
    short = pb.Computation.FromString(message.SerializeToString())
    last = len(short.detached) - 1
    del short.detached[last]
    gone = "the detached part {} is not there, not yet, or not any more"
    refused(short, gone.format(last), "use each part once, after its own")
    itself = pb.Computation.FromString(message.SerializeToString())
    itself.detached[0].Clear()
    itself.detached[0].detached_at = 0
    refused(itself, gone.format(0))
    twice = message_of(Struct(((None, X), (None, X))))
    twice.detached.append(message_of(X))
    for element in twice.struct.element:
        element.value.Clear()
        element.value.detached_at = 0
    refused(twice, gone.format(0))
    inside = message_of(Selection(Struct(((None, X),)), 0))
    inside.selection.source.detached.append(message_of(X))
    refused(inside, "detached parts inside a computation", "write them in the outermost one")


def test_too_many_nodes() -> None:
    """More nodes than the limit are refused, however few bytes each takes."""
    message = message_of(Struct(tuple((None, X) for _ in range(10))))
    one = message.struct.element[0].SerializeToString()
    many = pb.Struct.FromString((b"\x0a" + bytes([len(one)]) + one) * (MAX_NODES + 1))
    message.struct.CopyFrom(many)
    refused(message, f"a program of more than {MAX_NODES} nodes")


def test_too_many_bytes() -> None:
    """More bytes than the limit are neither read nor written."""
    literal = Literal.make(np.zeros(1000, np.int8), TensorType("int8", [1000]))
    data = node_to_bytes(literal)
    for act in (lambda: node_from_bytes(data, limit=999), lambda: node_to_bytes(literal, limit=999)):
        with pytest.raises(ProtocolError) as caught:
            act()
        assert str(caught.value) == (
            f"program: {len(data)} bytes, more than the 999 that are read\n"
            "  to mend: pass large arrays as arguments, not as constants"
        )


def test_unknown_fields() -> None:
    """Fields of a later version are refused: to pass over them would change what is meant."""
    with pytest.raises(ProtocolError) as caught:
        node_from_bytes(node_to_bytes(X) + b"\x82\x7d\x01a")  # field 2000
    assert str(caught.value) == (
        "program: there are fields that this version does not know\n  to mend: use the version of tierfed that wrote it"
    )
    with pytest.raises(ProtocolError, match="fields that this version does not know"):
        type_from_bytes(type_to_bytes(INT) + b"\x7a\x01a")


@pytest.mark.parametrize("data", [b"\xff", b"garbage", b"\x0a\xff\xff\xff\xff\x7f", b"\x1a\x80", b"\x0b" * 300])
def test_no_message(data: bytes) -> None:
    """Bytes that are no message are refused."""
    with pytest.raises(ProtocolError) as caught:
        node_from_bytes(data)
    assert caught.value.what == f"the {len(data)} bytes are no program"
    assert caught.value.mend == "send the bytes that tierfed.serialize wrote"


@pytest.mark.parametrize("tag", [b"\x0a", b"\x2a\x12\x12"])
def test_deep_bytes(tag: bytes) -> None:
    """Bytes nested deeper than protobuf reads end in an error, not in a crash."""
    data = b""
    for _ in range(100_000 // len(tag)):
        data = tag[:1] + _varint(len(data)) + data
        if len(data) > 200_000:
            break
    with pytest.raises(ProtocolError):
        node_from_bytes(data)
    with pytest.raises(ProtocolError):
        type_from_bytes(data)


def _varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


LITERAL = Literal.make([1, 2], TensorType("int8", [2]))


def test_wrong_literals() -> None:
    """A literal's elements are of its dtype, as many as its shape says, and written once."""
    message = message_of(LITERAL)
    message.literal.value.int8_list.value.append(3)
    refused(message, "a literal of type int8[2] with 3 elements", "write 2")
    message = message_of(LITERAL)
    message.literal.value.int8_list.value[0] = 128
    refused(message, "a literal of type int8[2] with an element of 128")
    message = message_of(LITERAL)
    message.literal.value.content = b"12"
    refused(message, "a literal of type int8[2] with int8_list", "write its elements once")
    message.literal.value.ClearField("int8_list")
    assert node_from_bytes(message.SerializeToString()) == Literal(TensorType("int8", [2]), b"12")
    message.literal.value.content = b"123"
    refused(message, "3 bytes are no int8[2]")
    message = message_of(LITERAL)
    message.literal.value.ClearField("int8_list")
    refused(message, "a literal of type int8[2] with no elements", "write int8_list")
    message.literal.value.int16_list.value.extend([1, 2])
    refused(message, "a literal of type int8[2] with int16_list", "write int8_list")
    message = message_of(LITERAL)
    message.literal.value.shape.dim[0] = -1
    refused(message, "a literal of type int8[?]", "write its sizes")
    message.literal.value.shape.dim[0] = 2**62
    refused(message, f"a literal of type int8[{2**62}] with 2 elements")
    message = message_of(LITERAL)
    message.literal.value.dtype = pb.STR
    message.literal.value.ClearField("int8_list")
    message.literal.value.str_list.value.extend([b"a", b"\xff"])
    refused(message, "a string that is not UTF-8", "encode strings as UTF-8")
    message = message_of(Literal.make(True, TensorType("bool")))
    message.literal.value.ClearField("bool_list")
    message.literal.value.content = b"\2"
    refused(message, "a bool that is neither 0 nor 1")
    message = message_of(Literal.make(1, TensorType("float16")))
    message.literal.value.float16_list.value[0] = -1
    refused(message, "a literal of type float16 with an element of -1")


def test_wrong_types() -> None:
    """Types that cannot be are refused in the words of the types."""
    message = message_of(X)
    message.type.tensor.dims.append(-2)
    refused(message, "a negative size in [-2]", "write -1 for an unknown size")
    message.type.tensor.dims[0] = 1
    message.type.tensor.unknown_rank = True
    refused(message, "a tensor of unknown rank with the sizes [1]")
    message.type.tensor.dtype = 99  # type: ignore[assignment]
    refused(message, "no dtype has the number 99")
    message.type.abstract.label = "lower"
    refused(message, "'lower' labels no abstract type")
    message = message_of(Reference("x", parse("int32*")))
    message.type.sequence.element.sequence.element.tensor.dtype = pb.INT32
    refused(message, "a sequence cannot hold int32*")
    message = message_of(Reference("x", parse("<a=int32,b=int32>")))
    message.type.struct.element[1].name = "a"
    refused(message, "the name a stands twice")


def test_wrong_placements() -> None:
    """A placement's name agrees with its uri, and its flag with what is declared here."""
    message = message_of(PlacementLiteral(EDGE))
    message.placement.singleton = True
    refused(
        message,
        "EDGE_AGGREGATORS has singleton=True here, and was declared with singleton=False",
        "declare it alike at both ends",
    )
    message.placement.name = "OTHER"
    refused(message, "'OTHER' cannot be the name of the placement 'edge_aggregators'", "write the name in lower case")
    message.placement.name = message.placement.uri = "not a name"
    refused(message, "'not a name' cannot be the name of the placement 'not a name'")
    message.placement.ClearField("name")
    refused(
        message,
        "no placement is called 'not a name'",
        "declare it with tierfed.placement before reading the program",
    )
    message.placement.uri = "edge_aggregators"
    message.placement.ClearField("singleton")
    assert node_from_bytes(message.SerializeToString()) == PlacementLiteral(EDGE)
    placement("Pr_Two"), placement("PR_TWO")
    message.placement.uri = "pr_two"
    refused(message, "more than one placement is called 'pr_two'")
    message.placement.name, message.placement.uri, message.placement.singleton = "CLIENTS", "clients", True
    refused(message, "CLIENTS has singleton=True here, and was declared with singleton=False")


def test_one_placement_with_two_flags() -> None:
    """Within one message, too, a placement has one flag."""
    new = [message_of(PlacementLiteral(Placement("PR_both", flag))) for flag in (True, False)]
    message = message_of(Struct(((None, PlacementLiteral(EDGE)), (None, PlacementLiteral(EDGE)))))
    for element, value in zip(message.struct.element, new, strict=True):
        element.value.CopyFrom(value)
    refused(message, "PR_both has singleton=False here, and was declared with singleton=True")


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are a program, or are refused by an error of ours."""
    try:
        node = node_from_bytes(data)
    except (ProtocolError, TypeMismatch):
        return
    assert node_from_bytes(node_to_bytes(node)) == node


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The bytes of a program with some changed, cut out, doubled or put in."""
    data = bytearray(node_to_bytes(draw(nodes)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["set", "cut", "insert", "double", "end"])):
            case "set" if at < len(data):
                data[at] = draw(st.one_of(st.integers(0, 255), st.just(data[at] ^ 1), st.just(data[at] ^ 128)))
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=4))
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case _:
                del data[at:]
    return bytes(data)


@given(mutated())
@example(b"")
def test_mutated_bytes(data: bytes) -> None:
    """Bytes that were a program and are spoilt are a program still, or are refused by an error of ours."""
    try:
        node = node_from_bytes(data)
    except (ProtocolError, TypeMismatch):
        return
    str(node)
    assert node_from_bytes(node_to_bytes(node)) == node


def test_generated_modules_are_up_to_date() -> None:
    """The committed modules are what the .proto files say."""
    pytest.importorskip("grpc_tools")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate_proto.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
