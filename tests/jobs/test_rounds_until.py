"""Rounds that end early: what `until` is told, and what such a run leaves behind."""

import numpy as np

import tierfed


@tierfed.federated_computation
def members():
    return tierfed.federated_sum(tierfed.federated_value(1, tierfed.CLIENTS))


@tierfed.job
async def grows(tree, *, rounds=9, enough=3.0):
    for number in tree.rounds(rounds, until=lambda metrics: metrics["grown"] >= enough):
        assert await tree.ainvoke(members) == np.int32(2)
        tree.release(number, {"grown": float(number)})
    return number


def test_the_round_that_is_enough_is_the_last_and_has_its_row(tmp_path, monkeypatch):
    """`until` sees what the round released; no round is begun after it, and none is missing."""
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    for enough, last in ((3.0, 3), (0.0, 0), (99.0, 8)):
        with tierfed.simulate(tierfed.tree({"CLIENTS": 2})) as fleet:
            assert fleet.run_job(grows, {"enough": enough}) == last
            rows = (fleet.run_dir / "rounds.csv").read_text().splitlines()
            begun = (fleet.run_dir / "events.jsonl").read_text().count('"event": "round"')
        assert [row.split(",")[0] for row in rows[1:]] == [str(n) for n in range(last + 1)]
        assert begun == last + 1
