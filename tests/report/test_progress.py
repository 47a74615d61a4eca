"""What a tree is doing, as it is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tierfed.report.progress import Progress
from tierfed.topology import Topology, load_topology, tree

THREE = Path(__file__).parents[2] / "topologies" / "three_tier.yaml"


class Clock:
    """Seconds, set by the test."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def drawn(progress: Progress, width: int, height: int = 24) -> str:
    """Return what is drawn, without its styles."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in progress.lines(width, height))


def fold(
    node: str, whole: int, expected: int, *, closed: bool = False, lost: int = 0, inv: str = "a-1", awaits: str = ""
) -> dict[str, Any]:
    """Return an aggregator's report."""
    report = {"event": "progress", "inv": inv, "node": node, "site": "3.0"}
    return {**report, "whole": whole, "expected": expected, "lost": lost, "closed": closed, "awaits": awaits}


@pytest.fixture
def topology() -> Topology:
    """The shipped tree of three tiers."""
    return load_topology(THREE)


def started(topology: Topology, clock: Clock) -> Progress:
    """Return the progress of a tree that is up and in its fourth round."""
    progress = Progress(topology, clock)
    progress.happened({"event": "ready", "seconds": 1.4})
    traffic = {"EDGE_AGGREGATORS": {"up": 207_616}, "CLIENTS": {"up": 1_440_800}}
    metrics = {"accuracy": 0.7123, "loss": 0.8101, "examples": 1000}
    released = {"round": 2, "of": 10, "metrics": metrics, "seconds": 0.41, "traffic": traffic}
    progress.happened({"event": "released", **released})
    progress.happened({"event": "round", "round": 3, "of": 10})
    return progress


def test_a_tree_that_starts(topology: Topology) -> None:
    """Until it is ready, each placement tells how many are."""
    progress = Progress(topology, Clock())
    ready = {"SERVER": (1, 1), "EDGE_AGGREGATORS": (2, 2), "CLIENTS": (27, 32)}
    progress.happened({"event": "starting", "placements": ready})
    assert drawn(progress, 80) == "✓ SERVER 1/1   ✓ EDGE_AGGREGATORS 2/2   · CLIENTS 27/32"
    assert drawn(progress, 40) == "✓ SERVER 1/1   ✓ EDGE_AGGREGATORS 2/2\n· CLIENTS 27/32"


def test_who_is_waited_for_and_why(topology: Topology) -> None:
    """As many names as there is room for; none once the fold is closed, and none that would be cut."""
    progress = started(topology, Clock())
    progress.happened(fold("server", 1, 2, awaits="edge-us (collecting)"))
    progress.happened(fold("edge-eu", 16, 16, closed=True, awaits="c-eu-01 (computing)"))
    progress.happened(fold("edge-us", 13, 16, awaits="c-us-05 (computing), c-us-07 (sending), c-us-09 (away)"))
    assert drawn(progress, 120).splitlines()[-3:] == [
        "SERVER server                                       collecting 1/2  waits for edge-us (collecting)",
        "├─ edge-eu                                          folded     16/16",
        "└─ edge-us                                          collecting 13/16  waits for c-us-05 (computing), …",
    ]
    assert (
        drawn(progress, 160)
        .splitlines()[-1]
        .endswith("collecting 13/16  waits for c-us-05 (computing), c-us-07 (sending), c-us-09 (away)")
    )
    assert [line.rstrip() for line in drawn(progress, 50).splitlines()[-3:]] == [
        "SERVER server    collecting 1/2",
        "├─ edge-eu       folded     16/16",
        "└─ edge-us       collecting 13/16",
    ]


def test_a_round_at_80_columns(topology: Topology) -> None:
    """Every aggregator has a line: how far it is, how long it still waits, whom it has lost."""
    clock = Clock()
    progress = started(topology, clock)
    progress.happened(fold("server", 1, 2))
    progress.happened(fold("edge-eu", 16, 16, closed=True))
    progress.happened(fold("edge-us", 13, 16))
    progress.happened({"event": "lost", "node": "c-us-05", "reason": "killed"})
    clock.now = 21.0
    assert (
        drawn(progress, 80)
        == """\
round 4/10 ━━━━━━━─────────────────   accuracy 0.712   loss 0.810   0.41 s/round
↑ a round  CLIENTS 1.4 MB · EDGE_AGGREGATORS 208 kB
SERVER server                   collecting 1/2
├─ edge-eu                      folded     16/16
└─ edge-us                      collecting 13/16  9 s left  ⚠ c-us-05 lost"""
    )


def test_a_round_at_40_columns(topology: Topology) -> None:
    """On a narrow terminal nothing is wider than it, and nothing that matters is left out."""
    clock = Clock()
    progress = started(topology, clock)
    progress.happened(fold("edge-us", 13, 16))
    progress.happened({"event": "lost", "node": "c-us-05", "reason": "killed"})
    clock.now = 21.0
    text = drawn(progress, 40)
    assert (
        text
        == """\
round 4/10 ━━━───────
accuracy 0.712   loss 0.810
0.41 s/round
SERVER server waiting
├─ edge-eu    waiting
└─ edge-us    collecting 13/16  9 s left
     ⚠ c-us-05 lost"""
    )
    assert all(len(line) <= 40 for line in text.splitlines())


def test_whole_but_not_closed_is_folding(topology: Topology) -> None:
    """When all are there and the sum is still being made, it says so; losses count as there."""
    progress = started(topology, Clock())
    progress.happened(fold("edge-eu", 15, 16, lost=1))
    assert "folding    15/16  ⚠ 1 lost" in drawn(progress, 80)


def test_another_invocation_begins_anew(topology: Topology) -> None:
    """What an aggregator did in an earlier invocation is not shown for the next."""
    progress = started(topology, Clock())
    progress.happened(fold("edge-eu", 16, 16, closed=True))
    progress.happened(fold("edge-us", 1, 16, inv="a-2"))
    text = drawn(progress, 80)
    assert "edge-us                      collecting 1/16" in text
    assert "edge-eu                      waiting" in text


def test_of_several_folds_the_open_one_is_shown(topology: Topology) -> None:
    """An aggregator with two sites shows the one that it waits for."""
    progress = started(topology, Clock())
    progress.happened(fold("server", 2, 2, closed=True))
    progress.happened({**fold("server", 1, 2), "site": "5.0"})
    assert "collecting 1/2" in drawn(progress, 80)


def test_a_large_tree_fits_the_screen() -> None:
    """More aggregators than lines: those that fit, and how many there are."""
    progress = Progress(tree({"EDGE_AGGREGATORS": 40, "CLIENTS": 1}), Clock())
    progress.happened({"event": "ready", "seconds": 1.0})
    text = drawn(progress, 80, 10).splitlines()
    assert len(text) <= 10
    assert text[-1] == "… 41 aggregators in all"


def test_many_losses_are_counted(topology: Topology) -> None:
    """They are named together; the next round starts without them."""
    progress = started(topology, Clock())
    progress.happened(fold("edge-us", 12, 16, lost=4))
    for i in range(4):
        progress.happened({"event": "lost", "node": f"c-us-0{i}", "reason": "killed"})
    assert "⚠ c-us-[00-03] lost" in drawn(progress, 80)
    progress.happened({"event": "round", "round": 4, "of": 10})
    progress.happened(fold("edge-us", 12, 16, inv="a-2"))
    assert "⚠" not in drawn(progress, 80)


def test_what_is_not_known_changes_nothing(topology: Topology) -> None:
    """Events of other kinds, and of nodes that are not in the tree, are passed over."""
    progress = started(topology, Clock())
    before = drawn(progress, 80)
    progress.happened({"event": "checkpoint", "round": 3})
    progress.happened(fold("nobody", 1, 2))
    progress.happened({"event": "lost", "node": "nobody", "reason": "?"})
    assert drawn(progress, 80) == before
