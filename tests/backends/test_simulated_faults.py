"""Faults on purpose, in virtual time: who is lost, when and why, and who is back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from simulated_programs import added

import tierfed
from tierfed.topology import parse_topology

sys.path.insert(0, str(Path(__file__).parents[1] / "checker"))

from history_checker import check, load

TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: faulty
placements:
  SERVER: {{collect: {{quorum: 50%, deadline: 10s}}}}
  EDGES: {{parent: SERVER, per_parent: 2, name: "e-{{i}}", collect: {{quorum: 50%, deadline: 8s}}}}
  CLIENTS:
    parent: EDGES
    per_parent: 2
    name: "c-{{n}}"
    colocate: {colocate}
    codec: {{up: {codec}}}
    compute: {{time: 1s}}
faults:
{faults}
"""
VALUES = [np.float32(v) for v in (1, 2, 3, 4)]
THREE = float(np.float32(11) / np.float32(3))  # the mean without c-1
EITHER = pytest.mark.parametrize("codec", ["none", "error_feedback+int8"])  # leaves as groups, and each as a node


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are nobody's."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))


def ran(rounds: int, *faults: str, codec: str = "none", colocate: int = 1) -> list[tuple[float, float, dict[str, str]]]:
    """Of each round, its result, when it was over, and who was lost with the reason."""
    text = TREE.format(faults="\n".join(f"  - {{{fault}}}" for fault in faults), codec=codec, colocate=colocate)
    with tierfed.simulate(parse_topology(text)) as tree:
        told = []
        for number in tree.rounds(rounds):
            mean = float(tree.invoke(added, VALUES))
            lost = {loss["node"]: loss["reason"] for loss in tree.recorder.lost if loss["round"] == number}
            told.append((mean, round(tree.now, 1), lost))
        events = [json.loads(line) for line in (tree.run_dir / "events.jsonl").read_text().splitlines()]
    happened = [event["node"] for event in events if event["event"] == "fault" and not event["over"]]
    assert happened == [fault.partition("node: ")[2].partition(",")[0] for fault in faults]
    return told


@EITHER
def test_a_client_is_killed_and_begins_anew(codec: str) -> None:
    """At the beginning of the second round, for a round and a half."""
    gone = {"c-1": "it is not connected: c-1 was killed"}
    assert ran(4, "at: {round: 2}, node: c-1, do: kill, for: 1500ms", codec=codec) == [
        (3.5, 1.0, {}),
        (THREE, 2.0, gone),
        (THREE, 3.0, gone),
        (3.5, 4.0, {}),
    ]


@EITHER
def test_an_aggregator_is_killed_in_mid_round(codec: str) -> None:
    """Its clients are lost with it, find it when it is back, and contribute again."""
    assert ran(5, "at: {time: 1500ms}, node: e-1, do: kill, for: 2s", codec=codec) == [
        (3.5, 1.0, {}),
        (2.5, 2.0, {"e-1": "its connection was lost: e-1 was killed"}),
        (2.5, 3.0, {"e-1": "it is not connected: e-1 was killed"}),
        (2.5, 4.0, {"e-1": "it is not connected: e-1 was killed"}),
        (3.5, 5.0, {}),
    ]


@EITHER
def test_who_is_stopped_is_waited_for_until_taken_for_dead(codec: str) -> None:
    """Until the deadline, 8 s, then until nothing was heard for 15 s; from then on nobody waits."""
    assert ran(4, "at: {round: 2}, node: c-1, do: stop", codec=codec) == [
        (3.5, 1.0, {}),
        (THREE, 9.0, {"c-1": "deadline"}),
        (THREE, 16.0, {"c-1": "its connection was lost: no sign of life for 15 s"}),
        (THREE, 17.0, {"c-1": "it is not connected: no sign of life for 15 s"}),
    ]


@EITHER
@pytest.mark.parametrize("node", ["c-1", "e-1"])
@pytest.mark.parametrize("do", ["stop", "partition"])
def test_what_waits_arrives_when_it_is_over(codec: str, node: str, do: str) -> None:
    """A stop or a partition of 3 s makes a round last so much longer, and nobody is lost; the next is as usual."""
    assert ran(3, f"at: {{time: 1500ms}}, node: {node}, do: {do}, for: 3s", codec=codec) == [
        (3.5, 1.0, {}),
        (3.5, 4.5, {}),
        (3.5, 5.5, {}),
    ]


@EITHER
def test_a_long_partition_ends(codec: str) -> None:
    """The link is made again: what was under way over it is not delivered late."""
    rounds = ran(5, "at: {time: 1500ms}, node: e-1, do: partition, for: 20s", codec=codec)
    assert [(mean, over) for mean, over, _ in rounds[:3]] == [(3.5, 1.0), (2.5, 11.0), (2.5, 16.5)]
    assert [lost.get("e-1") for _, _, lost in rounds[1:3]] == [
        "deadline",
        "its connection was lost: no sign of life for 15 s",
    ]
    assert rounds[4][:2] == (2.5, 18.5)


def test_a_process_dies_as_a_whole() -> None:
    """Who shares a process with one that is killed is killed with it."""
    [_, second, third] = ran(3, "at: {round: 2}, node: c-0, do: kill, for: 500ms", colocate=2)
    assert second == (4.5, 2.0, {"e-0": second[2]["e-0"]}) and "c-0 was killed" in second[2]["e-0"]
    assert third == (3.5, 3.0, {})


def test_the_same_seed_is_the_same_disaster() -> None:
    """With all kinds at once, to the bit and the moment."""
    faults = (
        "at: {round: 2}, node: c-1, do: stop, for: 20s",
        "at: {time: 1500ms}, node: e-1, do: kill, for: 9s",
        "at: {time: 12s}, node: c-3, do: partition, for: 1s",
    )
    once = ran(6, *faults, codec="error_feedback+int8")
    assert once == ran(6, *faults, codec="error_feedback+int8")
    assert {name for _, _, lost in once for name in lost} >= {"c-1", "e-1"}


@EITHER
def test_histories_hold(codec: str) -> None:
    """The checker of daemons' histories finds nothing wrong: no epoch comes twice, nobody counts who was gone."""
    faults = """\
  - {at: {round: 2}, node: c-1, do: stop, for: 20s}
  - {at: {time: 1500ms}, node: e-1, do: kill, for: 9s}
  - {at: {time: 12s}, node: c-3, do: partition, for: 1s}"""
    hours = "overrides: [{match: {i: 0}, available: {from: 0s, to: 5s, every: 8s, spread: 3s}}]\n    compute"
    text = TREE.format(codec=codec, colocate=1, faults=faults).replace("compute", hours)
    results = []
    with tierfed.simulate(parse_topology(text), histories=True) as tree:
        for _ in tree.rounds(8):
            try:
                results.append(float(tree.invoke(added, VALUES)))
            except tierfed.RoundFailed:
                results.append(None)
    assert None in results and len(set(results)) > 2
    assert check(load(tree.run_dir / "history")) == []


@EITHER
def test_a_link_has_other_figures_for_a_while(codec: str) -> None:
    """One that nothing is modelled of is 300 ms long each way for the second round; nobody is lost."""
    told = ran(3, "at: {round: 2}, node: c-1, do: link, link: {delay: 300ms}, for: 1500ms", codec=codec)
    assert told == [(3.5, 1.0, {}), (3.5, 2.6, {}), (3.5, 3.6, {})]


@EITHER
def test_the_link_of_an_aggregator_changes_from_a_time_on(codec: str) -> None:
    """In mid-round: what comes up later takes the new figures."""
    told = ran(3, "at: {time: 1500ms}, node: e-1, do: link, link: {delay: 200ms}", codec=codec)
    assert told == [(3.5, 1.0, {}), (3.5, 2.2, {}), (3.5, 3.6, {})]
