"""Programs written for federated-language: what it reads, at the same type, and what is refused by name.

The package has no executor of its own that runs without TensorFlow, so its part is to load the
bytes, whose building blocks check themselves, and to say the same type.  What they mean is seen
by reading them back and running them here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_trees import EDGE, HIERARCHIES
from programs import cases
from test_agreement import grown, referred

import tierfed
from tierfed import CLIENTS, SERVER, CompileError, FederatedType, TypeMismatch
from tierfed.ir.build import apply_intrinsic
from tierfed.ir.nodes import Intrinsic, Lambda, Literal, PlacementLiteral, Reference, Selection, Struct
from tierfed.ir.proto.public import COUNTERPARTS, RESERVED, published
from tierfed.types import StructType, TensorType, parse
from tierfed.types.values import same

CORPUS = json.loads((Path(__file__).parent / "federated_language_programs.json").read_text())
TREE = grown(HIERARCHIES["two tiers"], {"CLIENTS": [3]})
PUBLIC = "federated-language"
program = tierfed.federated_computation
I32, F = np.int32, np.float32
X, Y = FederatedType(I32, CLIENTS), FederatedType(F, CLIENTS)
ALL = FederatedType(I32, CLIENTS, True)
AT_SERVER = FederatedType(I32, SERVER)


@pytest.fixture(scope="module")
def fl() -> Any:
    """The package."""
    return pytest.importorskip("federated_language", reason="pip install 'tierfed[interop]'")


def loaded(fl: Any, data: bytes) -> Any:
    """Return the building block that the package reads in `data`."""
    from federated_language.proto import computation_pb2

    return fl.framework.ComputationBuildingBlock.from_proto(computation_pb2.Computation.FromString(data))


@program(I32, I32)
def plus(a: Any, b: Any) -> Any:
    """Named parameters, where the public signatures have none."""
    return a + b


WRITTEN: dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = {
    "an aggregate of named functions": (
        lambda x: tierfed.federated_aggregate(x, 0, plus, plus, lambda s: {"sum": s}),
        (X,),
        ([1, 2, 3],),
    ),
    "an aggregate whose zero has names": (
        lambda x: tierfed.federated_aggregate(
            x, {"n": 0, "s": 0}, lambda s, v: (s.n + 1, s.s + v), lambda a, b: a + b, lambda s: s.s
        ),
        (X,),
        ([1, 2, 3],),
    ),
    "a reduce": (lambda x: tierfed.federated_reduce(x, 0, plus), (X,), ([1, 2, 3],)),
    "a reduce with a merge": (
        lambda x: tierfed.federated_reduce(x, I32(0), lambda s, v: s + I32(1), merge=plus),
        (Y,),
        ([1, 2, 3],),
    ),
    "sums and extrema": (
        lambda x: (tierfed.federated_sum(x), tierfed.federated_min(x), tierfed.federated_max(x)),
        (X,),
        ([4, 2, 3],),
    ),
    "means": (lambda x, w: (tierfed.federated_mean(x), tierfed.federated_mean(x, w)), (Y, X), ([1, 2, 4], [2, 1, 1])),
    "folds of what is all-equal": (
        lambda x: (tierfed.federated_sum(x), tierfed.federated_reduce(x, 1, plus)),
        (ALL,),
        (5,),
    ),
    "a map at the server": (lambda x: tierfed.federated_map(lambda v: v + v, x), (AT_SERVER,), (5,)),
    "a map of what is all-equal": (
        lambda x: tierfed.federated_map(lambda v: v + v, tierfed.federated_broadcast(x)),
        (AT_SERVER,),
        (5,),
    ),
    "an apply": (lambda x: tierfed.federated_apply(lambda v: v + v, x), (AT_SERVER,), (5,)),
    "zips": (
        lambda x, y, s: (tierfed.federated_zip({"a": x, "b": (y, x)}), tierfed.federated_zip((s, s))),
        (X, ALL, AT_SERVER),
        ([1, 2, 3], 5, 6),
    ),
    "arithmetic": (lambda x, y: (x + y, x - y, x * y), (X, X), ([1, 2, 3], [2**31 - 1, 5, -(2**31)])),
    "arithmetic of floats": (
        lambda x, y: (x - y, x / y),
        (Y, Y),
        ([0.0, np.inf, 1e-40], [0.0, np.inf, -0.1]),
    ),
    "a difference of structs": (
        lambda x: x.a - x.b,
        (FederatedType({"a": (np.uint8, (F, [2])), "b": (np.uint8, (F, [2]))}, CLIENTS),),
        ([{"a": (i, [i, 0.5]), "b": (2, [0.1, -0.0])} for i in range(3)],),
    ),
    "a difference as a function": (
        lambda x: tierfed.federated_reduce(x, 0, lambda a, b: a - b, merge=plus),
        (X,),
        ([1, 2, 3],),
    ),
    "values and evaluations": (
        lambda: (
            tierfed.federated_value({"a": (1, 2.5)}, CLIENTS),
            tierfed.federated_value("text", SERVER),
            tierfed.federated_eval(lambda: np.int8(7), CLIENTS),
            tierfed.federated_eval(lambda: tierfed.generic_zero((F, [2])), SERVER),
        ),
        (),
        (),
    ),
    "a select": (
        lambda k, m, v: tierfed.federated_select(k, m, v, lambda s, key: {"s": s, "k": key}),
        (FederatedType((I32, [2]), CLIENTS), AT_SERVER, FederatedType(F, SERVER)),
        ([[0, 1]] * 3, 1, 0.5),
    ),
    "sequences": (
        lambda x: (
            tierfed.sequence_map(lambda v: v + v, x),
            tierfed.sequence_sum(x),
            tierfed.sequence_reduce(x, 0, plus),
        ),
        (FederatedType("int32*", CLIENTS),),
        ([[1], [], [2, 3]],),
    ),
    "every dtype": (
        lambda: tuple(np.zeros(2, d) for d in ("bool", "int8", "uint16", "uint64", "float16", "float64", "complex64")),
        (),
        (),
    ),
    "nothing": (lambda x: x, (X,), ([1, 2, 3],)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_programs_of_ours(fl: Any, name: str) -> None:
    """A program is loaded there at its own type, and read back it means here what it meant."""
    body, types, arguments = WRITTEN[name]
    ours = program(*types)(body)
    data = tierfed.serialize(ours, for_=PUBLIC)
    assert str(loaded(fl, data).type_signature) == str(ours.type_signature)
    back = tierfed.deserialize(data)
    with tierfed.local(topology=TREE) as context:
        assert repr(context.invoke(back, *arguments)) == repr(context.invoke(ours, *arguments))
    assert tierfed.serialize(back, for_=PUBLIC) == data
    assert tierfed.deserialize(tierfed.serialize(ours)) == ours  # the native form is what it was


@pytest.mark.parametrize("name", sorted({*CORPUS} - {"secure_select", "function_of_all_equal"}))
def test_programs_of_theirs(name: str) -> None:
    """What the package wrote, read here, is written again to the byte."""
    data = bytes.fromhex(CORPUS[name]["hex"])
    assert tierfed.serialize(tierfed.deserialize(data), for_=PUBLIC) == data


def test_a_function_that_had_to_be_wrapped() -> None:
    """A function that takes one value for all where one a member is taken is wrapped once, and then stays."""
    once = tierfed.serialize(tierfed.deserialize(bytes.fromhex(CORPUS["function_of_all_equal"]["hex"])), for_=PUBLIC)
    assert tierfed.serialize(tierfed.deserialize(once), for_=PUBLIC) == once


def test_the_corpus_is_what_the_package_writes(fl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The committed bytes are those of the programs of tools/, written by the installed package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    import federated_language_programs

    corpus = federated_language_programs.corpus()
    assert {n: b.to_proto().SerializeToString(deterministic=True).hex() for n, b in corpus.items()} == {
        n: entry["hex"] for n, entry in CORPUS.items()
    }
    assert {n: b.compact_representation() for n, b in corpus.items()} == {n: e["text"] for n, e in CORPUS.items()}


def test_the_table_is_the_packages(fl: Any) -> None:
    """Every intrinsic of the package is in the table, at its signature; its reserved names are ours."""
    from federated_language.compiler import intrinsic_defs

    theirs = {u: str(d.type_signature).replace("Ks", "KS") for u, d in intrinsic_defs._intrinsic_registry.items()}
    assert {public: signature for public, signature, _ in COUNTERPARTS} == theirs
    assert {n for n in dir(fl.StructType) if not n.startswith("__")} == RESERVED


def test_the_page(fl: Any) -> None:
    """What docs/interop.md lists is the table, and what it shows runs as it stands."""
    page = (Path(__file__).parents[2] / "docs" / "interop.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| `?(\w+)`? \|$", page, re.MULTILINE)
    assert rows == [(public, signature, ours or "refused") for public, signature, ours in COUNTERPARTS]
    names: dict[str, Any] = {}
    try:
        for listing in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(compile(listing, "docs/interop.md", "exec"), names)
    finally:
        fl.framework.set_no_default_context()
    assert np.allclose(names["mean"]([68.5, 70.3, 69.8]), 69.53333) and np.allclose(names["average"], 69.53333)


def test_every_public_intrinsic_is_in_the_corpus() -> None:
    """Each row of the table is called by a program of the corpus."""
    texts = " ".join(entry["text"] for entry in CORPUS.values())
    assert [public for public, _, _ in COUNTERPARTS if public not in texts.replace("(", " ").replace(")", " ")] == []


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_random_programs(fl: Any, data: st.DataObject) -> None:
    """A random program is loaded at its type and means what it meant, or is refused for what it has."""
    case = data.draw(cases(on=[HIERARCHIES["two tiers"]], least=1))
    ours = case.program.computation()
    try:
        written = tierfed.serialize(ours, for_=PUBLIC)
    except CompileError as refused:
        assert "no counterpart" in refused.what
        return
    assert str(loaded(fl, written).type_signature) == str(ours.type_signature)
    back = tierfed.deserialize(written)
    wanted, got = referred(ours.node, case), referred(back.node, case)
    if isinstance(wanted, type) or isinstance(got, type):
        assert wanted is got
    else:
        assert same(got, wanted, ours.type_signature.result)


# ---------------------------------------------------------------- what is refused


@tierfed.py_computation(I32, returns=I32)
def leaf(v: Any) -> Any:
    """A Python leaf."""
    return v


REFUSED: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str, str]] = {
    "a placement": (
        lambda x: tierfed.federated_sum(tierfed.federated_sum(x, to=EDGE)),
        (X,),
        "the placement EDGE_AGGREGATORS has no counterpart: there are SERVER and CLIENTS alone",
        "write the program between these two; on a tree its aggregates pass every tier between all the same",
    ),
    "a leaf": (
        lambda x: tierfed.federated_map(leaf, x),
        (X,),
        f"the leaf {__name__}:leaf, of kind py, has no counterpart",
        "compute with the generic and sequence operators",
    ),
    "collect": (
        tierfed.federated_collect,
        (X,),
        "federated_collect has no counterpart",
        "write that part with what both have: docs/interop.md",
    ),
    "a modular sum": (
        lambda x: tierfed.federated_secure_modular_sum(x, 7),
        (X,),
        "federated_secure_modular_sum has no counterpart",
        "write that part with what both have: docs/interop.md",
    ),
    "a reduce that cannot merge": (
        lambda x: tierfed.federated_reduce(x, I32(0), lambda s, v: s + I32(1)),
        (Y,),
        "federated_reduce has no counterpart",
        "write that part with what both have: docs/interop.md",
    ),
    "a broadcast of what differs": (
        lambda x: tierfed.federated_broadcast(x),
        (FederatedType(I32, SERVER, False),),
        "federated_broadcast of ({int32}@SERVER -> {int32}@CLIENTS) has no counterpart",
        "there is federated_broadcast of (T@SERVER -> T@CLIENTS)",
    ),
    "a map of what differs at the server": (
        lambda x: tierfed.federated_map(lambda v: v + v, x),
        (FederatedType(I32, SERVER, False),),
        "federated_map of (<(int32 -> int32),{int32}@SERVER> -> {int32}@SERVER) has no counterpart",
        "there is federated_map of (<(T -> U),{T}@CLIENTS> -> {U}@CLIENTS), and "
        "federated_map_all_equal of (<(T -> U),T@CLIENTS> -> U@CLIENTS)",
    ),
    "a difference of unknown sizes": (
        lambda x: x - x,
        ("{float32[?]}@CLIENTS",),
        "generic_minus of float32[?] has no counterpart",
        "declare the sizes in the type",
    ),
    "a complex difference": (
        lambda x: x - x,
        ("{complex64}@CLIENTS",),
        "generic_minus of complex64 has no counterpart",
        "subtract real and imaginary parts",
    ),
    "a reserved name": (
        lambda x: x.items,
        ("<items=int32>",),
        "a struct there has no element called items",
        "rename it",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart(name: str) -> None:
    """It is refused by name, with what would mend it, and the native form still has it."""
    body, types, what, mend = REFUSED[name]
    ours = program(*types)(body)
    with pytest.raises(CompileError) as error:
        tierfed.serialize(ours, for_=PUBLIC)
    assert str(error.value) == f"serialize for federated-language: {what}\n  to mend: {mend}"
    assert tierfed.deserialize(tierfed.serialize(ours)) == ours


def test_iterate_has_no_counterpart() -> None:
    """A loop below the server is refused by name."""
    ours = program(AT_SERVER)(lambda s: tierfed.federated_iterate(lambda s: s + s, s, 3, at=SERVER))
    with pytest.raises(CompileError, match="federated_iterate has no counterpart"):
        tierfed.serialize(ours, for_=PUBLIC)


def test_placements_as_values() -> None:
    """A placement of ours is refused as a value too."""
    with pytest.raises(CompileError, match="the placement EDGE_AGGREGATORS has no counterpart"):
        published(PlacementLiteral(EDGE))


def test_uncalled_intrinsics() -> None:
    """An intrinsic that stands as a value keeps its type, as a function around the one that is there."""
    for uri, text in (
        ("federated_sum", "(int32@CLIENTS -> int32@SERVER)"),
        ("federated_map", "(<(int32 -> int32),int32@SERVER> -> int32@SERVER)"),
        ("generic_minus", "(<int32,int32> -> int32)"),
        ("federated_reduce", "(<{int32}@CLIENTS,int32,(<int32,int32> -> int32)> -> int32@SERVER)"),
        ("generic_zero", "( -> int32)"),
    ):
        t: Any = parse(text)
        assert published(Intrinsic(uri, t)).type == t


def test_maps_that_are_no_conversions() -> None:
    """A map that selects from something else than its own zip is no conversion, and stays."""
    pair = StructType((TensorType("int32"), TensorType("int32")))
    outer, x = Reference("outer", pair), Reference("x", ALL)
    zipped = apply_intrinsic("federated_zip", (Struct(((None, x),)),))
    member = zipped.type.member
    kept = {}
    for name, source in (("own", Reference("p", member)), ("another", outer)):
        mapped = apply_intrinsic("federated_map", (Lambda("p", member, Selection(source, 0)), zipped))
        summed = apply_intrinsic("federated_sum", (mapped,), to=SERVER)
        kept[name] = str(published(Lambda("outer", pair, Lambda("x", ALL, summed))).body.body)
    assert kept["own"] == "federated_sum[SERVER](x)"
    assert (
        kept["another"]
        == "federated_sum[SERVER](federated_map[CLIENTS](<(p -> outer[0]),federated_zip[CLIENTS](<x>)>))"
    )


def test_another_form() -> None:
    """A form that there is not is refused, with the one that there is."""
    ours = program(X)(tierfed.federated_sum)
    with pytest.raises(TypeMismatch) as error:
        tierfed.serialize(ours, for_="tff")
    assert str(error.value) == (
        "serialize: no form is called 'tff'\n  to mend: leave for_ out, or say for_='federated-language'"
    )


def test_too_deep() -> None:
    """A program that protobuf would not read there is refused; the native form writes it in parts."""

    ours = program(I32)(lambda x: tierfed.federated_value(_nested(x, 20), SERVER))
    with pytest.raises(TypeMismatch, match="a program nested deeper than protobuf reads"):
        tierfed.serialize(ours, for_=PUBLIC)
    assert tierfed.deserialize(tierfed.serialize(ours)) == ours


def _nested(x: Any, depth: int) -> Any:
    return x if not depth else (_nested(x, depth - 1),)


@pytest.mark.parametrize("bits", [0x7F800001, 0xFFC12345])
def test_every_nan_is_loaded(fl: Any, bits: int) -> None:
    """A NaN that a list of floats changes is written in such a list all the same, the one form that is read there."""
    literal = Literal(TensorType("float32"), bits.to_bytes(4, "little"))
    data = tierfed.serialize(tierfed.Computation(Lambda(None, None, literal), "nan"), for_=PUBLIC)
    assert np.isnan(loaded(fl, data).result.value)


def test_data_is_loaded(fl: Any) -> None:
    """Data by URI is loaded as data with a message that says it, and comes back."""
    ours = program()(lambda: tierfed.federated_sum(tierfed.federated_data("train", I32, CLIENTS)))
    data = tierfed.serialize(ours, for_=PUBLIC)
    assert str(loaded(fl, data).type_signature) == "( -> int32@SERVER)"
    assert tierfed.deserialize(data) == ours
