"""What each pass gives and what the compiler cuts, word for word, for programs of every shape.

The texts stand in `golden/`, one file of slices a program and hierarchy, and in `golden/passes/` the
programs after each pass.  After a change that is meant,

    python tests/compiler/test_slices_golden.py

writes them again, and the difference is read before it is committed.  The hash of a program
with leaves changes with the bytes of its leaves' modules, so there it is blanked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.compiler import Compiled, climbed
from tierfed.compiler.expand import expand
from tierfed.compiler.fuse import fuse
from tierfed.compiler.normalise import normalise
from tierfed.ir.nodes import Compiled as LeafNode
from tierfed.ir.text import formatted
from tierfed.learning import fedavg, regions

GOLDEN = Path(__file__).parent / "golden"
EDGE = tierfed.placement("EDGE_AGGREGATORS")
PHONES = tierfed.placement("CB_PHONES")
TWO = tierfed.Hierarchy.chain("SERVER", "CLIENTS")
THREE = tierfed.Hierarchy.chain("SERVER", EDGE, "CLIENTS")
FIVE = tierfed.Hierarchy.chain("SERVER", "SG_CONTINENTS", "SG_COUNTRIES", EDGE, "CLIENTS")
BRANCHED = tierfed.Hierarchy({EDGE: "SERVER", "CLIENTS": EDGE, PHONES: EDGE})
READINGS = tierfed.FederatedType(np.float32, tierfed.CLIENTS)


@tierfed.federated_computation(READINGS)
def climate(readings: Any) -> Any:
    """Return a mean for the world and one for each region, and the hottest region's."""
    return {
        "world": tierfed.federated_mean(readings),
        "regions": tierfed.federated_mean(readings, to=EDGE),
        "hottest": tierfed.federated_max(tierfed.federated_mean(readings, to=EDGE)),
    }


@tierfed.federated_computation(READINGS, tierfed.FederatedType(np.float32, PHONES))
def two_kinds(clients: Any, phones: Any) -> Any:
    """Return the sums over two kinds of leaves that stand under one parent."""
    return {"clients": tierfed.federated_sum(clients), "phones": tierfed.federated_sum(phones, to=EDGE)}


@tierfed.federated_computation("float32@SERVER", "{float32}@CLIENTS")
def returned(model: Any, x: Any) -> Any:
    """Return values of each client, what was broadcast to them, an argument as it came, and a server's value."""
    down = tierfed.federated_broadcast(model)
    return {"errors": tierfed.federated_map(lambda p: p[0] - p[1], (down, x)), "down": down, "x": x, "model": model}


@tierfed.federated_computation("{float32}@CLIENTS", "float32", "float32")
def captured(x: Any, rate: Any, offset: Any) -> Any:
    """Return a user's fold of what each client makes of two values without a placement."""
    moved = tierfed.federated_map(lambda v: v * rate + 2.0, x)
    zero = {"total": np.float32(0.0), "most": np.float32(-1.0)}
    both = tierfed.federated_aggregate(
        moved,
        zero,
        lambda total, v: {"total": total.total + v, "most": total.most + v * v},
        lambda a, b: {"total": a.total + b.total, "most": a.most + b.most},
        lambda total: total.total / total.most + offset,
    )
    return both


@tierfed.federated_computation(READINGS)
def mean(readings: Any) -> Any:
    """Return the mean."""
    return tierfed.federated_mean(readings)


@tierfed.federated_computation(READINGS, READINGS)
def weighted(readings: Any, weights: Any) -> Any:
    """Return the mean, and the mean of each region, by weight."""
    return (
        tierfed.federated_mean(readings, weight=weights),
        tierfed.federated_mean(readings, weight=weights, to=EDGE),
    )


@tierfed.federated_computation("float32@SERVER", "float32")
def announced(model: Any, rate: Any) -> Any:
    """Return how many clients and edges have what was broadcast over one tier and over several, with its sum."""
    far, near = tierfed.federated_broadcast(model), tierfed.federated_broadcast(model, to=EDGE)
    scaled = tierfed.federated_map(lambda p: (p[0] + p[1]) * rate, (far, tierfed.federated_broadcast(near)))
    return tierfed.federated_sum(scaled), tierfed.federated_sum(near)


def improved(model: Any, x: Any, to: Any) -> Any:
    """Return `model` after one round below `to`."""
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), x))
    return model + tierfed.federated_mean(tierfed.federated_map(lambda p: (p[1] - p[0]) * 0.5, here), to=to)


@tierfed.federated_computation("float32@SERVER", READINGS, "int32")
def edge_rounds(model: Any, x: Any, n: Any) -> Any:
    """Return the mean of what the edges have after rounds of their own."""
    start = tierfed.federated_broadcast(model, to=EDGE)
    found = tierfed.federated_iterate(lambda m, x: improved(m, x, EDGE), start, n, x, at=EDGE)
    return tierfed.federated_mean(found)


@tierfed.federated_computation("float32@SERVER", READINGS, "int32", "int32")
def rounds_of_rounds(model: Any, x: Any, rounds: Any, edge: Any) -> Any:
    """Return a model after cloud rounds, each of so many edge rounds: HierFAVG."""

    def cloud(m: Any, x: Any) -> Any:
        start = tierfed.federated_broadcast(m, to=EDGE)
        found = tierfed.federated_iterate(lambda m, x: improved(m, x, EDGE), start, edge, x, at=EDGE)
        return tierfed.federated_mean(found)

    return tierfed.federated_iterate(cloud, model, rounds, x, at=tierfed.SERVER)


@tierfed.federated_computation(READINGS, "int32", "float32")
def local_rounds(x: Any, n: Any, rate: Any) -> Any:
    """Return the sum of what each client has after steps of its own, without a message between them."""
    stepped = tierfed.federated_iterate(
        lambda v: tierfed.federated_map(lambda v: v - v * rate, v), x, n, at=tierfed.CLIENTS
    )
    return tierfed.federated_sum(stepped)


@tierfed.federated_computation("float32@SERVER", READINGS)
def one_after_another(model: Any, x: Any) -> Any:
    """Return what two loops make, of which the second begins with what the first ends with."""
    start = tierfed.federated_broadcast(model, to=EDGE)
    once = tierfed.federated_iterate(lambda m, x: improved(m, x, EDGE), start, 2, x, at=EDGE)
    twice = tierfed.federated_iterate(lambda m, x: improved(m, x, EDGE), once, 3, x, at=EDGE)
    return tierfed.federated_sum(once), tierfed.federated_sum(twice)


@tierfed.federated_computation("float32@SERVER", READINGS, "int32")
def beside(model: Any, x: Any, n: Any) -> Any:
    """Return what a loop makes, in which two sums rise together, and two sums that rise together beside it."""

    def once(m: Any, x: Any) -> Any:
        own = tierfed.federated_map(lambda p: p[0] * p[1], (tierfed.federated_broadcast(m), x))
        return m + tierfed.federated_sum(own, to=EDGE) + tierfed.federated_max(own, to=EDGE)

    start = tierfed.federated_broadcast(model, to=EDGE)
    found = tierfed.federated_iterate(once, start, n, x, at=EDGE)
    return tierfed.federated_sum(found), tierfed.federated_sum(x), tierfed.federated_min(x)


@tierfed.federated_computation(READINGS, READINGS)
def remembered(x: Any, before: Any) -> Any:
    """Return, at the clients, what they kept of an earlier call with what they are given now; and its sum."""
    now = tierfed.federated_map(lambda p: p[0] * 0.5 + p[1], (before, x))
    return {"kept": now, "total": tierfed.federated_sum(now)}


@dataclass(frozen=True)
class Case:
    """A program, a hierarchy, and the arguments that members have kept."""

    program: Any
    hierarchy: tierfed.Hierarchy
    recalled: frozenset[str] = frozenset()
    keep: bool = True


CASES = {
    "mean_two_tiers": Case(mean, TWO),
    "weighted_three_tiers": Case(weighted, THREE),
    "broadcast_five_tiers": Case(announced, FIVE),
    "climate_three_tiers": Case(climate, THREE),
    "climate_gathered": Case(climate, THREE, keep=False),
    "fedavg_two_tiers": Case(fedavg.step, TWO),
    "fedavg_three_tiers": Case(fedavg.step, THREE),
    "fedavg_five_tiers": Case(fedavg.step, FIVE),
    "regions_three_tiers": Case(regions.step, THREE),
    "two_kinds_of_leaves": Case(two_kinds, BRANCHED),
    "returned_values": Case(returned, THREE),
    "captured_values": Case(captured, THREE),
    "edge_rounds": Case(edge_rounds, THREE),
    "rounds_of_rounds": Case(rounds_of_rounds, THREE),
    "local_rounds": Case(local_rounds, THREE),
    "loops_in_sequence": Case(one_after_another, THREE),
    "loop_beside_sums": Case(beside, THREE),
    "recalled": Case(remembered, THREE, frozenset({"arg.1"})),
    "recalled_or_default": Case(remembered, THREE, frozenset({"arg.1", "arg.1.default"})),
}
PASSES = (
    "mean_two_tiers",
    "weighted_three_tiers",
    "broadcast_five_tiers",
    "climate_three_tiers",
    "fedavg_three_tiers",
    "rounds_of_rounds",
)


def shown(name: str) -> str:
    """Return the slices of a case as its golden file has them."""
    case = CASES[name]
    return written(tierfed.compile(case.program, case.hierarchy, recalled=case.recalled, keep=case.keep))


def written(compiled: Compiled) -> str:
    """Return the slices as text, without the hash if it depends on the bytes of a leaf's module."""
    text = str(compiled) + "\n"
    if any(isinstance(node, LeafNode) for node in compiled.program.walk()):
        text = text.replace(f"program {compiled.hash[:12]} ", f"program {'.' * 12} ", 1)
    return text


def passed(name: str) -> str:
    """Return the program of a case as it was traced and after each pass, as its golden file has them."""
    node, hierarchy = CASES[name].program.node, CASES[name].hierarchy
    normal = normalise(node)
    wide = normalise(expand(normal))
    hops = climbed(node, hierarchy)
    stages = {"traced": node, "normalise": normal, "expand": wide, "climb": hops, "fuse": fuse(hops, hierarchy)}
    assert stages["fuse"] == tierfed.compile(node, hierarchy).program
    return "".join(f"== {stage}\n{formatted(of)}\n\n" for stage, of in stages.items())


@pytest.mark.parametrize("name", PASSES)
def test_passes_are_as_they_were(name: str) -> None:
    """What each pass makes of each program reads as the golden file says; a change is either meant or a fault."""
    assert passed(name) == (GOLDEN / "passes" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_slices_are_as_they_were(name: str) -> None:
    """The slices of each program read as the golden file says; a change is either meant or a fault."""
    assert shown(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_golden_file_has_its_program() -> None:
    """No golden file is left over from a program that is gone."""
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == sorted(CASES)
    assert sorted(path.stem for path in (GOLDEN / "passes").iterdir()) == sorted(PASSES)


def test_only_leaves_blank_the_hash() -> None:
    """The texts of programs without leaves pin their hashes; the others, and no more, have theirs blanked."""
    blanked = {name for name in CASES if f"program {'.' * 12} " in shown(name)}
    assert blanked == {name for name in CASES if name.startswith(("fedavg", "regions"))}


def rewrite(write: Callable[[str], Any] = sys.stdout.write) -> None:
    """Write every golden file again."""
    (GOLDEN / "passes").mkdir(parents=True, exist_ok=True)
    texts = {GOLDEN / f"{name}.txt": shown(name) for name in CASES}
    texts.update({GOLDEN / "passes" / f"{name}.txt": passed(name) for name in PASSES})
    for path in GOLDEN.rglob("*.txt"):
        if path not in texts:
            path.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        write(f"{path}\n")


if __name__ == "__main__":
    rewrite()
