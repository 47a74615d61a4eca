"""Virtual time: what a round takes is what its links and devices take, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_programs import VECTOR, added, scaled, step, total

import tierfed
from tierfed import RoundFailed, TypeMismatch

TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: timed
seed: {seed}
placements:
  SERVER: {{interface: {{rate: {interface}}}, collect: {{quorum: {quorum}, deadline: {deadline}}}}}
  CLIENTS:
    parent: SERVER
    per_parent: {clients}
    link: {link}
    compute: {{time: {compute}}}
    overrides:
      - {{match: {{i: 0}}, compute: {{speed: {slowest}}}}}
"""
PLAIN = {
    "seed": 1,
    "interface": "10gbit",
    "quorum": "100%",
    "deadline": "30s",
    "clients": 4,
    "link": "{delay: 50ms}",
    "compute": "100ms",
    "slowest": 1.0,
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs are nobody's."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    return tmp_path


def fleet(**given: object) -> tierfed.RunTree:
    """A fleet of that tree."""
    from tierfed.topology import parse_topology

    return tierfed.simulate(parse_topology(TREE.format(**PLAIN | given)))


def took(tree: tierfed.RunTree, *computations: object) -> list[float]:
    """The virtual seconds of some invocations."""
    seconds = []
    for computation, *arguments in computations:  # type: ignore[misc]
        before = tree.now
        tree.invoke(computation, *arguments)
        seconds.append(tree.now - before)
    return seconds


def test_delay_and_computing() -> None:
    """There and back over 50 ms each way, and 100 ms of a leaf between."""
    with fleet() as tree:
        [seconds] = took(tree, (added, [np.float32(v) for v in range(4)]))
    assert seconds == pytest.approx(0.2, abs=0.001)


def test_windows_begin_small() -> None:
    """40 kB are 28 segments, of which TCP sends ten before it has heard: a round trip more each way."""
    with fleet() as tree:
        [seconds] = took(tree, (step, np.zeros(VECTOR.shape, np.float32)))  # type: ignore[arg-type]
    assert 0.39 < seconds < 0.51


def test_rates_add_to_the_delay() -> None:
    """40 kB over 1 mbit, each way: with 66 bytes of headers on each 1,448, and some of the frame's."""
    with fleet(link="{rate: 1mbit}", compute="1us") as tree:
        [seconds] = took(tree, (step, np.zeros(VECTOR.shape, np.float32)))  # type: ignore[arg-type]
    assert seconds == pytest.approx(2 * 40_000 * 8 / 1e6 * 1514 / 1448, rel=0.1)


def test_an_interface_is_shared() -> None:
    """Four clients who could have 100 mbit each have an interface of 4 mbit among them."""
    with fleet(link="{rate: 100mbit}", interface="4mbit", compute="1us") as tree:
        [seconds] = took(tree, (step, np.zeros(VECTOR.shape, np.float32)))  # type: ignore[arg-type]
    assert seconds == pytest.approx(2 * 4 * 40_000 * 8 / 4e6 * 1514 / 1448, rel=0.1)


def test_the_slowest_is_waited_for_until_the_deadline() -> None:
    """One at a hundredth of the speed takes ten seconds; with a deadline of two the mean is that of the others."""
    values = [np.float32(v) for v in (1000, 1, 2, 3)]
    with fleet(slowest=0.01) as tree:
        assert took(tree, (added, values)) == [pytest.approx(10.1, abs=0.01)]
    with fleet(slowest=0.01, quorum="75%", deadline="2s") as tree:
        before = tree.now
        assert tree.invoke(added, values) == 2 + 1  # each adds one
        assert tree.now - before == pytest.approx(2.0, abs=0.1)
        assert [loss["node"] for loss in tree.recorder.lost] == ["clients-0"]


def test_the_same_seed_is_the_same_run(home: Path) -> None:
    """Times and results, to the bit, over links that jitter and lose; another seed is another run."""

    def run(seed: int) -> tuple[bytes, list[float]]:
        link = "{rate: 2mbit, delay: 40ms, jitter: 10ms, distribution: pareto, loss: 2%}"
        with fleet(seed=seed, link=link, quorum="25%", deadline="900ms") as tree:
            model, seconds = np.zeros(VECTOR.shape, np.float32), []  # type: ignore[arg-type]
            for _ in range(4):
                before = tree.now
                model = tree.invoke(step, model)
                seconds.append(tree.now - before)
            return model.tobytes(), seconds

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_time_stands_while_nobody_asks() -> None:
    """What the caller does between two rounds takes no virtual time."""
    with fleet() as tree:
        tree.invoke(total, [1, 2, 3, 4])
        before = tree.now
        sum(range(100_000))
        assert tree.now == before


def test_batch_forms_are_called_for_all() -> None:
    """Where a leaf has a batch form, it is that which computes; its first and last rows are held against the leaf."""
    values = [np.float32(v) for v in (1, 2, 3, 4)]
    with fleet() as tree:
        assert tree.invoke(scaled("exact"), values) == 20
        with pytest.raises(
            RoundFailed, match="_triple_all of _double: it gives other bits than the leaf itself, in row"
        ):
            tree.invoke(scaled("wrong"), values)
        assert tree.invoke(scaled("near"), values) == pytest.approx(20, rel=1e-3)


def test_tolerance_needs_a_batch_form() -> None:
    """A tolerance for nothing is refused."""
    with pytest.raises(TypeMismatch, match="tolerance= without batch=: nothing may differ"):
        tierfed.py_computation(_double, np.float32, returns=np.float32, tolerance=0.1)


def test_what_cannot_be_stacked_has_no_batch_form() -> None:
    """A sequence has no axis for members."""
    with pytest.raises(TypeMismatch, match="cannot be stacked over members"):
        tierfed.py_computation(_double, "float32*", returns=np.float32, batch=_double)


def _double(x: object) -> object:
    return x


def test_one_seed_has_one_history(home: Path) -> None:
    """What is written of two runs of one seed is the same, byte for byte, from the first round on."""
    link = "{rate: 2mbit, delay: 40ms, jitter: 10ms, loss: 2%}"

    def written() -> tuple[list[str], str]:
        with fleet(link=link, quorum="25%", deadline="900ms") as tree:
            for number in tree.rounds(3):
                tree.release(number, {"sum": float(np.sum(tree.invoke(step, np.zeros(VECTOR.shape, np.float32))))})  # type: ignore[arg-type]
            events = (tree.run_dir / "events.jsonl").read_text().splitlines()
            first = next(i for i, line in enumerate(events) if '"event": "round"' in line)
            return events[first:], (tree.run_dir / "rounds.csv").read_text()

    assert written() == written()


def test_devices_use_energy(home: Path) -> None:
    """Idle watts for the round, those of computing for its part of it, and joules for each byte."""
    from tierfed.topology import parse_topology

    energy = "{idle: 1W, computing: 11W, sent: 1mJ, received: 0nJ}"
    text = TREE.format(**PLAIN).replace("compute: {time: 100ms}", f"compute: {{time: 100ms}}\n    energy: {energy}")
    with tierfed.simulate(parse_topology(text)) as tree:
        for _ in tree.rounds(1):
            tree.invoke(added, [np.float32(v) for v in range(4)])
        spent = tree.summary("ok")["tiers"]["CLIENTS"]
        assert spent["joules"] == pytest.approx(4 * (tree.now + 10 * 0.1) + 1e-3 * spent["bytes_up"], rel=1e-6)
        header, row = (tree.run_dir / "rounds.csv").read_text().split()
        assert dict(zip(header.split(","), row.split(","), strict=True))["joules.CLIENTS"] == str(spent["joules"])


def test_states_of_codecs_are_kept_in_nodes_of_their_own() -> None:
    """Error feedback keeps something from round to round: leaves with it are nodes, and give what daemons give."""
    from tierfed.topology import parse_topology

    text = TREE.format(**PLAIN).replace("link:", "codec: {up: error_feedback+topk(fraction=0.1)}\n    link:")
    model = np.linspace(-1, 1, 10_000, dtype=np.float32)
    results = {}
    with tierfed.simulate(parse_topology(text)) as tree:
        results["here"] = [tree.invoke(step, model).tobytes() for _ in range(3)]
    with tierfed.up(parse_topology(text, sets=["SERVER.interface.rate=10gbit", "CLIENTS.link.delay=0ms"])) as tree:
        results["there"] = [tree.invoke(step, model).tobytes() for _ in range(3)]
    assert results["here"] == results["there"]
