"""The error at the root: what is predicted is what a simulation of the tree finds, within 5 %."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.codecs import Stream, link_codec
from tierfed.compiler import compile
from tierfed.placements import CLIENTS
from tierfed.topology import Topology, parse_topology, tree
from tierfed.topology.draw import FORMATS, errors
from tierfed.topology.error import RootError, at_root
from tierfed.topology.plan import summed
from tierfed.types import FederatedType, TensorType, to_type

SIZE = 1 << 15
UNEVEN = """\
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {}
  REGION: {parent: SERVER, members: {r-0: {}, r-1: {}}, codec: {up: eden(2)}}
  EDGE:
    parent: REGION
    members: {e-0: {parent: r-0}, e-1: {parent: r-0}, e-2: {parent: r-1}, e-3: {parent: r-1}}
    codec: {up: qsgd(4)}
  CLIENTS:
    parent: EDGE
    members: {MEMBERS}
    codec: {up: eden(1)}
    overrides: [{match: {name: "c-2-*"}, codec: {up: "eden(3)+zstd"}}]
""".replace(
    "MEMBERS", ", ".join(f"c-{e}-{i}: {{parent: e-{e}}}" for e, n in enumerate((1, 3, 12, 0)) for i in range(n))
)


def shape(fans: tuple[int, ...], up: str) -> Topology:
    """Return a tree of tiers A, B, C … from the top, each with this codec up."""
    names = "ABC"[: len(fans)]
    return tree(dict(zip(names, fans, strict=True)), codec={name: {"up": up} for name in names})


def predicted(topology: Topology, correlation: float = 0.5, **more: Any) -> RootError:
    """Return the prediction."""
    error = at_root(topology, correlation, **more)
    assert error is not None
    return error


def simulated(topology: Topology, correlation: float, size: int = SIZE) -> tuple[float, dict[str, float]]:
    """Return the error of a sum over the tree, and what each tier's coding has added to it.

    Clients have normal numbers of that pairwise correlation; each member codes the sum of what it got.
    """
    random = np.random.default_rng(0)
    common = random.standard_normal(size)
    truth = np.zeros(size)
    added = {str(p): np.zeros(size) for p in topology.hierarchy.placements}
    t = TensorType("float32", (size,))

    def sent(name: str) -> np.ndarray[Any, Any]:
        node = topology.nodes[name]
        if node.placement == str(topology.hierarchy.placements[-1]):
            own = random.standard_normal(size)
            value = (correlation**0.5 * common + (1 - correlation) ** 0.5 * own).astype(np.float32)
            np.add(truth, value, out=truth)
        else:
            value = np.zeros(size, np.float32)
            for child in node.children:
                value += sent(child)
        if node.parent is None:
            return value
        by = link_codec(node.codec_up).at("")
        back = by.decode(by.encode(value, Stream.of(name)), t)
        added[node.placement] += back.astype(np.float64) - value
        return back

    total = sent(topology.root.name)
    whole = (truth**2).sum()
    parts = {placement: float((errors**2).sum() / whole) for placement, errors in added.items()}
    return float(((total - truth) ** 2).sum() / whole), parts


@pytest.mark.parametrize(
    ("fans", "up", "page"),
    [
        ((64,), "eden(4)", 2.9e-4),
        ((8, 8), "eden(4)", 1.6e-3),
        ((4, 4, 4), "eden(4)", 3.5e-3),
        ((64,), "eden(1)", 0.0175),
        ((8, 8), "eden(1)", 0.107),
        ((4, 4, 4), "eden(1)", 0.263),
    ],
)
def test_the_published_table(fans: tuple[int, ...], up: str, page: float) -> None:
    """64 clients of correlation .5 over one, two and three hops: the figures of the design, within two per cent."""
    assert predicted(shape(fans, up)).nmse == pytest.approx(page, rel=0.02)


@pytest.mark.parametrize(
    ("fans", "up", "correlation"),
    [
        ((64,), "eden(1)", 0.5),
        ((8, 8), "eden(1)", 0.5),
        ((4, 4, 4), "eden(1)", 0.5),
        ((4, 4, 4), "eden(bits=auto)", 0.5),
        ((8, 8), "int8(stochastic=true)", 0.0),
        ((8, 8), "eden(2)+zstd", 1.0),
    ],
)
def test_even_trees_err_as_predicted(fans: tuple[int, ...], up: str, correlation: float) -> None:
    """Within 5 % of a simulation, in all and tier by tier."""
    topology = shape(fans, up)
    held(topology, correlation)


@pytest.mark.parametrize("correlation", [0.2, 0.8])
def test_an_uneven_tree_errs_as_predicted(correlation: float) -> None:
    """Families of 1, 3 and 12, an edge with nobody, other codecs by tier and by member: real counts, within 5 %."""
    held(parse_topology(UNEVEN), correlation)


def held(topology: Topology, correlation: float) -> None:
    """Compare the prediction of a topology with its simulation."""
    error = predicted(topology, correlation)
    found, parts = simulated(topology, correlation)
    assert error.nmse == pytest.approx(found, rel=0.05)
    assert error.nmse == pytest.approx(sum(tier.nmse or 0 for tier in error.tiers.values()))
    assert {name: tier.nmse for name, tier in error.tiers.items()} == {
        name: pytest.approx(part, rel=0.05) for name, part in parts.items() if name in error.tiers
    }


def test_noise_from_below_is_coded_too() -> None:
    """What the upper tier sends has the noise of the lower in it: .107 over 8-8, .097 if it had not."""
    both = predicted(shape((8, 8), "eden(1)"))
    alone = predicted(tree({"A": 8, "B": 8}, codec={"A": {"up": "eden(1)"}}))
    clean = predicted(tree({"A": 8, "B": 8}, codec={"B": {"up": "eden(1)"}}))
    assert both.nmse == pytest.approx(0.107, rel=0.01)
    assert (alone.nmse or 0) + (clean.nmse or 0) == pytest.approx(0.097, rel=0.01)


@pytest.mark.parametrize(
    ("codecs", "whys", "known"),
    [
        (("int8", "eden(1)"), {"B": "int8 is biased"}, {"A"}),
        (("eden(1)", "bf16"), {"A": "bf16 is biased"}, {"B"}),
        (("sign", "eden(1)"), {"B": "sign is biased", "A": "is above a biased codec"}, set()),
        (
            ("clip(0.5)+none", "eden(1)"),
            {"B": "clip(limit=0.5)+none errs by what the values make of it", "A": "is above a biased codec"},
            set(),
        ),
    ],
)
def test_no_number_is_claimed_for_what_is_not_known(
    codecs: tuple[str, str], whys: dict[str, str], known: set[str]
) -> None:
    """A biased codec is told as such, so is a tier above much bias, and there is no sum over all."""
    below, above = codecs
    error = predicted(tree({"A": 8, "B": 8}, codec={"A": {"up": above}, "B": {"up": below}}))
    assert {name: tier.why for name, tier in error.tiers.items() if tier.nmse is None} == whys
    assert {name for name, tier in error.tiers.items() if tier.nmse is not None} == known
    assert error.nmse is None


def test_what_loses_nothing_adds_nothing() -> None:
    """Without codecs, and with those that pack bytes, the error is zero, and people are told nothing."""
    error = predicted(tree({"A": 8, "B": 8}, codec={"B": {"up": "none+zstd"}, "A": {"up": "auto"}}))
    assert error.nmse == 0 and errors(error) == ""
    assert at_root(tree({})) is None


def test_drawings_tell_it() -> None:
    """Hop by hop from the leaves up with the correlation it is for; the document has each tier's part."""
    topology = shape((8, 8), "eden(1)")
    error = predicted(topology, 0.25)
    found = FORMATS["tree"](topology, None, error).splitlines()[-1]
    assert found == "NMSE at the root, clients correlated 0.25: 0.147 = B 0.0341 + A 0.113"
    assert f"%% {found}" in FORMATS["mermaid"](topology, None, error)
    assert f"\\n{found}" in FORMATS["dot"](topology, None, error)
    plain = json.loads(FORMATS["json"](topology, None, error))
    assert plain["error"] == {"correlation": 0.25, "nmse": error.nmse}
    assert [tier.get("error") for tier in plain["tiers"]] == [
        None,
        {"nmse": error.tiers["A"].nmse},
        {"nmse": error.tiers["B"].nmse},
    ]
    half = predicted(tree({"A": 8, "B": 8}, codec={"A": {"up": "bf16"}, "B": {"up": "eden(1)"}}))
    assert errors(half) == "NMSE at the root, clients correlated 0.5: unknown: B 0.0176 · A bf16 is biased"
    assert "error" not in json.loads(FORMATS["json"](topology, None))


# -- of a program's tensors


def program(text: str, *, gathers: bool = False) -> Any:
    """Return a program that sums, or collects, values of a type over the clients."""

    @tierfed.federated_computation(FederatedType(to_type(text), CLIENTS))
    def total(values: Any) -> Any:
        return tierfed.federated_collect(values) if gathers else tierfed.federated_sum(values)

    return total


def of_program(text: str, up: object, **more: Any) -> dict[str, Any]:
    """Return what each member sends to be summed."""
    topology = tree({"EDGE": 2, "CLIENTS": 3}, codec={"CLIENTS": {"up": up}})
    return summed(topology, compile(program(text, **more), topology.hierarchy))


def test_small_tensors_err_nothing() -> None:
    """They go raw: what errs is the share of the floats that are coded; integers do not count."""
    text = "<w=float32[6000],b=float32[2000],n=int64[3000]>"
    topology = tree({"CLIENTS": 64}, codec={"CLIENTS": {"up": "eden(1)"}})
    sent = summed(topology, compile(program(text), topology.hierarchy))
    assert predicted(topology, sent=sent).nmse == pytest.approx(0.75 * (predicted(topology).nmse or 0))
    small = summed(topology, compile(program("float32[4095]"), topology.hierarchy))
    assert predicted(topology, sent=small).nmse == 0


def test_rules_err_by_their_tensors() -> None:
    """By the elements of each; without a program nothing is claimed, unless all rules lose nothing."""
    text = "<w=float32[6000],b=float32[18000]>"
    up = {"default": "eden(1)", "b": "none"}
    topology = tree({"CLIENTS": 64}, codec={"CLIENTS": {"up": up}})
    sent = summed(topology, compile(program(text), topology.hierarchy))
    whole = predicted(tree({"CLIENTS": 64}, codec={"CLIENTS": {"up": "eden(1)"}})).nmse or 0
    assert predicted(topology, sent=sent).nmse == pytest.approx(whole / 4)
    alone = predicted(topology)
    assert alone.nmse is None and alone.tiers["CLIENTS"].why == "has rules, and no job says what of"
    assert predicted(tree({"CLIENTS": 2}, codec={"CLIENTS": {"up": {"default": "zstd", "b": "none"}}})).nmse == 0


def test_what_is_collected_is_not_summed() -> None:
    """Values that rise side by side average out nothing."""
    assert set(of_program("float32[6000]", "eden(1)")) == {
        *(f"clients-{i}" for i in range(6)),
        *(f"edge-{i}" for i in range(2)),
    }
    assert of_program("float32[6000]", "eden(1)", gathers=True) == {}
