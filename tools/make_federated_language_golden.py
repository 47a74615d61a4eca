"""Write tests/ir/federated_language_0_5_4.json: types, programs and literals as federated-language serializes them.

    pip install 'tierfed[interop]'
    python tools/make_federated_language_golden.py

Beside it tests/backends/federated_language_programs.json has the programs of `federated_language_programs`.
The output is committed, and what it says must stay readable.
"""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

import federated_language as fl
import federated_language_programs
import ml_dtypes
import numpy as np
from google.protobuf import any_pb2

TESTS = Path(__file__).resolve().parent.parent / "tests"
OUT = TESTS / "ir" / "federated_language_0_5_4.json"
PROGRAMS = TESTS / "backends" / "federated_language_programs.json"
CLIENTS, SERVER = fl.CLIENTS, fl.SERVER
T, At = fl.TensorType, fl.FederatedType

TYPES = {
    "float32": T(np.float32),
    "int32[?,3]": T(np.int32, [None, 3]),
    "float32[...]": T(np.float32, None),
    "str[2]": T(np.str_, [2]),
    "bfloat16[4]": T(ml_dtypes.bfloat16, [4]),
    "bool": T(np.bool_),
    "int8": T(np.int8),
    "int16": T(np.int16),
    "int64": T(np.int64),
    "uint8": T(np.uint8),
    "uint16": T(np.uint16),
    "uint32": T(np.uint32),
    "uint64": T(np.uint64),
    "float16": T(np.float16),
    "float64": T(np.float64),
    "complex64": T(np.complex64),
    "complex128": T(np.complex128),
    "<a=int32,bool>": fl.StructType([("a", np.int32), np.bool_]),
    "<>": fl.StructType([]),
    "<x=float32[?,784],y=int32>*": fl.SequenceType(collections.OrderedDict(x=T(np.float32, [None, 784]), y=np.int32)),
    "(int32 -> float32)": fl.FunctionType(np.int32, np.float32),
    "( -> int32)": fl.FunctionType(None, np.int32),
    "{int32}@CLIENTS": At(np.int32, CLIENTS),
    "int32@CLIENTS": At(np.int32, CLIENTS, True),
    "float32@SERVER": At(np.float32, SERVER),
    "placement": fl.PlacementType(),
    "T": fl.AbstractType("T"),
}

LITERALS = {
    "bool[2]": np.array([True, False]),
    "int8[2]": np.array([-1, 7], np.int8),
    "int16": np.int16(-300),
    "int32": np.int32(-5),
    "int64": np.int64(-(2**60)),
    "uint8": np.uint8(255),
    "uint16": np.uint16(65535),
    "uint32": np.uint32(2**32 - 1),
    "uint64": np.uint64(2**64 - 1),
    "float16[2]": np.array([1.5, -2], np.float16),
    "float32[2,2]": np.array([[1.5, -0.0], [np.inf, 0.1]], np.float32),
    "float64": np.float64(0.1),
    "bfloat16[2]": np.array([1.5, -2], ml_dtypes.bfloat16),
    "complex64": np.complex64(1 - 2j),
    "complex128[2]": np.array([1j, 2]),
    "str": "hello",
    "str[2]": np.array([b"a", b"bc"], object),
    "float32[0,3]": np.zeros([0, 3], np.float32),
}


@fl.federated_computation(At(np.float32, CLIENTS))
def mean(x: Any) -> Any:
    return fl.federated_mean(x)


@fl.federated_computation(At(np.float32, CLIENTS), At(np.float32, CLIENTS))
def weighted_mean(x: Any, w: Any) -> Any:
    return fl.federated_mean(x, w)


@fl.federated_computation(At(np.int32, SERVER))
def broadcast(x: Any) -> Any:
    return fl.federated_broadcast(x)


@fl.federated_computation(At(np.int32, CLIENTS), At(np.float32, CLIENTS))
def zip_at_clients(x: Any, y: Any) -> Any:
    return fl.federated_zip([x, y])


@fl.federated_computation(At(np.int32, SERVER), At(np.float32, SERVER))
def zip_at_server(x: Any, y: Any) -> Any:
    return fl.federated_zip(collections.OrderedDict(a=x, b=y))


@fl.federated_computation()
def value() -> Any:
    return fl.federated_value(np.int32(5), CLIENTS), fl.federated_value(np.float32(0.5), SERVER)


@fl.federated_computation(np.int32)
def identity(x: Any) -> Any:
    return x


@fl.federated_computation()
def one() -> Any:
    return np.int32(1)


@fl.federated_computation(np.int32, np.int32)
def first(u: Any, t: Any) -> Any:
    return u


@fl.federated_computation()
def eval_() -> Any:
    return fl.federated_eval(one, CLIENTS), fl.federated_eval(one, SERVER)


@fl.federated_computation(At(np.int32, CLIENTS), At(np.int32, CLIENTS, True), At(np.int32, SERVER))
def maps(x: Any, y: Any, z: Any) -> Any:
    return fl.federated_map(identity, x), fl.federated_map(identity, y), fl.federated_map(identity, z)


@fl.federated_computation(At(np.int32, CLIENTS))
def aggregate(x: Any) -> Any:
    return fl.federated_aggregate(x, np.int32(0), first, first, identity)


@fl.federated_computation(At(np.int32, CLIENTS))
def sum_min_max(x: Any) -> Any:
    return collections.OrderedDict(s=fl.federated_sum(x), lo=fl.federated_min(x), hi=fl.federated_max(x))


@fl.federated_computation(fl.SequenceType(np.int32))
def sequences(x: Any) -> Any:
    return fl.sequence_map(identity, x), fl.sequence_sum(x), fl.sequence_reduce(x, np.int32(0), first)


def by_hand() -> dict[str, Any]:
    """Return building blocks that no traced program has."""
    blocks = fl.framework
    int32, one = T(np.int32), blocks.Literal(np.int32(1), T(np.int32))
    a = blocks.Reference("a", int32)
    all_equal = fl.FunctionType(
        [fl.FunctionType(np.int32, np.int32), At(np.int32, CLIENTS, True)], At(np.int32, CLIENTS, True)
    )
    return {
        "placement": blocks.Placement(CLIENTS),
        "block": blocks.Block([("a", one)], blocks.Selection(blocks.Struct([("n", a), (None, a)]), index=1)),
        "map_all_equal": blocks.Intrinsic("federated_map_all_equal", all_equal),
        "generic_zero": blocks.Intrinsic("generic_zero", int32),
        "data by content": blocks.Data(any_pb2.Any(), At(np.int32, CLIENTS)),
    }


def hexadecimal(message: Any) -> str:
    return message.SerializeToString(deterministic=True).hex()


def described(programs: dict[str, Any]) -> dict[str, Any]:
    """Return text, type and bytes of each program."""
    return {
        name: {"text": b.compact_representation(), "type": str(b.type_signature), "hex": hexadecimal(b.to_proto())}
        for name, b in programs.items()
    }


def main() -> None:
    """Write the files."""
    traced = {
        "mean": mean,
        "weighted_mean": weighted_mean,
        "broadcast": broadcast,
        "zip_at_clients": zip_at_clients,
        "zip_at_server": zip_at_server,
        "value": value,
        "eval": eval_,
        "maps": maps,
        "aggregate": aggregate,
        "sum_min_max": sum_min_max,
        "sequences": sequences,
    }
    programs = {name: c.to_building_block() for name, c in traced.items()} | by_hand()
    PROGRAMS.write_text(json.dumps(described(federated_language_programs.corpus()), indent=1) + "\n")
    out = {
        "types": {text: hexadecimal(t.to_proto()) for text, t in TYPES.items()},
        "literals": {text: hexadecimal(fl.framework.Literal(v, typed(v)).to_proto()) for text, v in LITERALS.items()},
        "programs": described(programs),
    }
    OUT.write_text(json.dumps(out, indent=1) + "\n")


def typed(value: Any) -> Any:
    """Return the type of a literal."""
    of_text = isinstance(value, str) or value.dtype == object
    return T(np.str_ if of_text else value.dtype.type, np.shape(value))


if __name__ == "__main__":
    main()
