"""Members who come and go: who is there, who is lost and why, and when they are back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_programs import added, kept, total

import tierfed
from tierfed import RoundFailed
from tierfed.topology import load_topology, parse_topology

TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: hours
seed: 3
placements:
  SERVER: {{collect: {{quorum: {quorum}, deadline: 60s}}}}
  CLIENTS:
    parent: SERVER
    per_parent: 4
    link: {{delay: 50ms}}
    codec: {{up: {codec}}}
    compute: {{time: 4s}}
    overrides:
      - {{match: {{i: 2-3}}, available: {window}}}
"""
NIGHT = "{from: 22h, to: 6h}"
DAY = "{from: 9h, to: 17h}"
AWHILE = "{from: 0s, to: 10s, every: 20s}"
VALUES = [np.float32(v) for v in (1, 2, 3, 4)]
GROUPED, NODES = "none", "error_feedback+int8"  # leaves as one group, and each as a node of its own


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are nobody's."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))


def fleet(window: str, codec: str = GROUPED, quorum: str = "50%") -> tierfed.RunTree:
    """Four clients, two of them with hours."""
    return tierfed.simulate(parse_topology(TREE.format(window=window, codec=codec, quorum=quorum)))


def lost(tree: tierfed.RunTree) -> dict[str, str]:
    """Who was lost so far, and why."""
    return {loss["node"]: loss["reason"] for loss in tree.recorder.lost}


@pytest.mark.parametrize("codec", [GROUPED, NODES])
def test_who_is_there_at_night(codec: str) -> None:
    """A run begins at midnight: who is there at night takes part, who is there by day is lost, with when it comes."""
    with fleet(NIGHT, codec) as tree:
        assert tree.invoke(total, [1, 2, 3, 4]) == 10
        assert lost(tree) == {}
    with fleet(DAY, codec) as tree:
        assert tree.invoke(total, [1, 2, 3, 4]) == 3
        why = "it is not connected: it is not there until 32400 s"
        assert lost(tree) == {"clients-2": why, "clients-3": why}


@pytest.mark.parametrize("codec", [GROUPED, NODES])
def test_who_leaves_in_mid_round_comes_back_for_a_later_one(codec: str) -> None:
    """Rounds take 4.1 s: two with all four, one that two leave, two without them, and from 20 s on all again."""
    with fleet(AWHILE, codec) as tree:
        contributors, means = [], []
        for number in range(7):
            tree.recorder.round_begins(number, 7)
            means.append(float(tree.invoke(added, VALUES)))
            contributors.append(4 - len(tree.recorder._lost_now))
            tree.recorder.round_ends()
        assert contributors == [4, 4, 2, 2, 2, 4, 4]
        assert tree.now == pytest.approx(7 * 4.1, abs=0.1)
        assert means == [float(np.mean(VALUES[:n]) + 1) for n in contributors]
        first = {loss["round"]: loss["reason"] for loss in tree.recorder.lost}
        gone, away = "its connection was lost", "it is not connected"
        assert first == {n: f"{gone if n == 2 else away}: it is not there until 20 s" for n in (2, 3, 4)}


def test_an_aggregator_that_leaves() -> None:
    """Its clients are lost with it, and contribute again when it is back."""
    text = """
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {collect: {quorum: 50%, deadline: 60s}}
  EDGES: {parent: SERVER, members: {e-0: {}, e-1: {available: {from: 0s, to: 6s, every: 20s}}}}
  CLIENTS: {parent: EDGES, per_parent: 2, compute: {time: 5s}}
"""
    with tierfed.simulate(parse_topology(text)) as tree:
        assert [float(tree.invoke(added, VALUES)) for _ in range(5)] == [3.5, 2.5, 2.5, 2.5, 3.5]
        assert lost(tree) == {"e-1": "its connection was lost: it is not there until 20 s"}


def test_who_is_away_stays_away_when_groups_become_nodes() -> None:
    """A program that keeps values runs on nodes of their own; those who were away are still, and come back."""
    with fleet(AWHILE) as tree:
        for _ in range(3):
            tree.invoke(added, VALUES)
        assert len(tree.invoke(kept, VALUES).fetch()) == 2
        tree.invoke(added, VALUES)
        assert float(tree.invoke(added, VALUES)) == 3.5


def test_a_quorum_counts_who_is_there() -> None:
    """With three of four needed and two away the round fails, at once, and says why."""
    with fleet(DAY, quorum="75%") as tree, pytest.raises(RoundFailed, match="it is not there until 32400 s"):
        tree.invoke(total, [1, 2, 3, 4])


def test_nobody_there() -> None:
    """With everybody away the round fails however small the quorum is, and time stands."""
    text = TREE.format(window=DAY, codec=GROUPED, quorum="1%").replace("i: 2-3", "i: 0-3")
    with tierfed.simulate(parse_topology(text)) as tree:
        with pytest.raises(
            RoundFailed, match="first lost is clients-0: it is not connected: it is not there until 32400 s"
        ):
            tree.invoke(total, [1, 2, 3, 4])
        assert tree.now < 1


def test_the_same_seed_is_the_same_coming_and_going() -> None:
    """Who is in which round, and when: the same each time, spread by the seed."""

    def run(seed: int) -> list[object]:
        text = TREE.format(window="{from: 0s, to: 8s, every: 20s, spread: 9s}", codec=GROUPED, quorum="25%")
        text = text.replace("i: 2-3", "i: 0-3").replace("seed: 3", f"seed: {seed}")
        told: list[object] = []
        with tierfed.simulate(parse_topology(text)) as tree:
            for _ in range(8):
                try:
                    told.append(float(tree.invoke(added, VALUES)))
                except RoundFailed as error:
                    told.append(error.what)
                told.append(tree.now)
            return [*told, tree.recorder.lost]

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("codec", [GROUPED, NODES])
def test_a_trace_is_kept(codec: str, tmp_path: Path) -> None:
    """Who is there is what the file says, span by span; who has no more spans is told so."""
    (tmp_path / "phones.csv").write_text("member,from,until\nclients-2,0,5\nclients-2,20,30\nclients-3,10,1h\n")
    (tmp_path / "tree.yaml").write_text(TREE.format(window="{trace: phones.csv}", codec=codec, quorum="50%"))
    topology = load_topology(tmp_path / "tree.yaml")

    def run() -> list[object]:
        told: list[object] = []
        with tierfed.simulate(topology) as tree:
            for _, at in zip(tree.rounds(4), (0, 12, 21, 40), strict=True):
                tree.wait(at - tree.now)
                told.append(int(tree.invoke(total, [1, 2, 3, 4])))
            told.append([(loss["round"], loss["node"], loss["reason"]) for loss in tree.recorder.lost])
        return told

    away = "it is not connected: it "
    assert run() == [
        6,
        7,
        10,
        7,
        [
            (0, "clients-3", f"{away}is not there until 10 s"),
            (1, "clients-2", f"{away}is not there until 20 s"),
            (3, "clients-2", f"{away}does not come back"),
        ],
    ]
    assert run() == run()


@pytest.mark.parametrize("codec", [GROUPED, NODES])
def test_who_is_away_does_not_idle(codec: str) -> None:
    """Idle watts are counted while a member is there: two of four are for half of each 20 seconds."""
    text = TREE.format(window=AWHILE, codec=codec, quorum="50%").replace("compute:", "energy: {idle: 1W}\n    compute:")
    with tierfed.simulate(parse_topology(text)) as tree:
        for until, joules in ((10, 40), (15, 50), (20, 60), (25, 80), (100, 300)):
            tree.wait(until - tree.now)
            assert tree.summary("ok")["tiers"]["CLIENTS"]["joules"] == pytest.approx(joules, abs=0.01)
