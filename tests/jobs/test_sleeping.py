"""Jobs that let time pass: on a fleet at once, with those who come and go; on daemons by this machine's clock."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import tierfed
from tierfed import JobError
from tierfed.topology import parse_topology

TREE = """
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {collect: {quorum: 50%}}
  CLIENTS:
    parent: SERVER
    per_parent: 2
    energy: {idle: 2W}
    overrides: [{match: {i: 1}, available: {from: 22h, to: 6h}}]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are nobody's."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))


@tierfed.federated_computation("{int32}@CLIENTS")
def total(x):
    """Return a sum."""
    return tierfed.federated_sum(x)


def test_a_day_passes_by() -> None:
    """Who is there at night is counted at midnight, not at noon, and again at the next midnight."""

    @tierfed.job
    async def day(tree: tierfed.RunTree) -> list[tuple[float, int]]:
        sums = []
        for _ in tree.rounds(3):
            sums.append((tree.now, int(await tree.ainvoke(total, [1, 2]))))
            await tree.sleep(12 * 3600)
        return sums

    with tierfed.simulate(parse_topology(TREE)) as fleet:
        begun = time.monotonic()
        told = fleet.run_job(day)
        assert [s for _, s in told] == [3, 1, 3]
        assert [round(at) for at, _ in told] == [0, 43200, 86400]
        assert time.monotonic() - begun < 60
        fleet.wait(1800)
        assert fleet.now == pytest.approx(131400, abs=1)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "8h", True, None])
def test_what_is_no_number_of_seconds(seconds: object) -> None:
    """Each is told, by the call that it was given to."""
    with tierfed.simulate(parse_topology(TREE)) as fleet:
        with pytest.raises(JobError, match=r"^tree.wait: .* is no number of seconds"):
            fleet.wait(seconds)  # type: ignore[arg-type]
        with pytest.raises(JobError, match=r"^tree.sleep: .* is no number of seconds"):
            asyncio.run(fleet.sleep(seconds))  # type: ignore[arg-type]


@pytest.mark.slow
def test_daemons_sleep_by_this_machines_clock() -> None:
    """A tenth of a second takes no less, blocking and not."""
    with tierfed.up(tierfed.tree({"CLIENTS": 1})) as tree:
        for sleep in (tree.wait, lambda seconds: asyncio.run(tree.sleep(seconds))):
            begun = time.monotonic()
            sleep(0.05)
            assert time.monotonic() - begun >= 0.05
