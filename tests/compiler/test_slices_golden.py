"""What the compiler cuts, word for word, for programs of every shape.

The texts stand in `golden/`, one file a program and hierarchy.  After a change that is meant,

    python tests/compiler/test_slices_golden.py

writes them again, and the difference is read before it is committed.  The hash of a program
with leaves changes with the bytes of its leaves' modules, so there it is blanked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.compiler import Compiled
from tierfed.ir.nodes import Compiled as LeafNode
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


CASES: dict[str, tuple[Any, tierfed.Hierarchy]] = {
    "climate_three_tiers": (climate, THREE),
    "fedavg_two_tiers": (fedavg.step, TWO),
    "fedavg_three_tiers": (fedavg.step, THREE),
    "fedavg_five_tiers": (fedavg.step, FIVE),
    "regions_three_tiers": (regions.step, THREE),
    "two_kinds_of_leaves": (two_kinds, BRANCHED),
    "returned_values": (returned, THREE),
    "captured_values": (captured, THREE),
}


def shown(name: str) -> str:
    """Return the slices of a case as its golden file has them."""
    program, hierarchy = CASES[name]
    compiled = tierfed.compile(program, hierarchy)
    return written(compiled)


def written(compiled: Compiled) -> str:
    """Return the slices as text, without the hash if it depends on the bytes of a leaf's module."""
    text = str(compiled) + "\n"
    if any(isinstance(node, LeafNode) for node in compiled.program.walk()):
        text = text.replace(f"program {compiled.hash[:12]} ", f"program {'.' * 12} ", 1)
    return text


@pytest.mark.parametrize("name", CASES)
def test_slices_are_as_they_were(name: str) -> None:
    """The slices of each program read as the golden file says; a change is either meant or a fault."""
    assert shown(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_golden_file_has_its_program() -> None:
    """No golden file is left over from a program that is gone."""
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(CASES)


def test_only_leaves_blank_the_hash() -> None:
    """The texts of programs without leaves pin their hashes; the others, and no more, have theirs blanked."""
    blanked = {name for name in CASES if f"program {'.' * 12} " in shown(name)}
    assert blanked == {name for name in CASES if name.startswith(("fedavg", "regions"))}


def rewrite(write: Callable[[str], Any] = sys.stdout.write) -> None:
    """Write every golden file again."""
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.iterdir():
        if path.stem not in CASES:
            path.unlink()
    for name in CASES:
        (GOLDEN / f"{name}.txt").write_text(shown(name), encoding="utf-8")
        write(f"{GOLDEN / name}.txt\n")


if __name__ == "__main__":
    rewrite()
