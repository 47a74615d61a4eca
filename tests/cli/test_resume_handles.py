"""A job whose state stays at its clients, killed and gone on with: real processes, real files."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from cli_command import Command, left_over, read_until

from tierfed.jobs import checkpoint

Run = Callable[..., tuple[int, str, str]]

JOBS = """
import asyncio
from typing import NamedTuple

import numpy as np

import tierfed

OWN = tierfed.to_type("<total=float64,seen=int32>")
OWNS = tierfed.FederatedType(OWN, tierfed.CLIENTS)
MEMBER = tierfed.to_type("<index=int32,seed=uint64>")


class State(NamedTuple):
    owns: object
    rounds: int


@tierfed.py_computation(OWN, MEMBER, np.int32, returns=OWN)
def on(own, member, number):
    drawn = np.random.default_rng((int(member["seed"]), int(number))).random()
    return {"total": own["total"] / 3 + drawn, "seen": np.int32(own["seen"] + 1)}


@tierfed.federated_computation(OWNS, np.int32)
def step(owns, number):
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    after = tierfed.federated_map(lambda p: on(p[0], p[1], number), (owns, member))
    return after, tierfed.federated_sum(after.total), tierfed.federated_min(after.seen)


@tierfed.job(round=step)
async def train(tree, *, rounds=4, stop=-1):
    state = await tree.resume() or {"owns": [{"total": 0.0, "seen": 0}] * 4, "rounds": 0}
    owns = state["owns"]
    for r in tree.rounds(rounds):
        if r == stop:
            print("stops before round", r)
            await asyncio.get_running_loop().create_future()
        owns, total, seen = await tree.ainvoke(step, owns, r)
        assert seen == r + 1, "each client has been in every round"
        tree.release(r, {"total": total})
        await tree.checkpoint(r, State(owns, r + 1))
"""


def test_a_job_that_is_killed_goes_on_from_what_its_clients_had(
    start: Callable[..., Command], tierfed: Run, folder: Path
) -> None:
    """Two rounds, an end in the third, and two more from the checkpoint give the bits of four in a row."""
    (folder / "handle_jobs.py").write_text(JOBS)
    job = ("--set", "job.program=handle_jobs:train", "--set", "job.params={rounds: 4}")
    code, out, err = tierfed("up", "tree.yaml", *job, "--json")
    assert code == 0, err
    whole = json.loads(out)

    command = start("up", "tree.yaml", *job, "--set", "job.params.stop=2")
    read_until(command, "stops before round 2")
    command.send_signal(signal.SIGKILL)
    command.communicate(timeout=30)
    assert left_over(folder) == {}
    runs = folder / ".tierfed" / "runs"
    (cut,) = (path for path in runs.iterdir() if path.name != whole["run"])
    number, state = checkpoint.of_run(cut)
    assert number == 1 and state["rounds"] == 2 and isinstance(state["owns"], list)
    assert [own["seen"] for own in state["owns"]] == [2] * 4

    code, out, err = tierfed(
        "run", "handle_jobs:train", "--resume", cut.name, "-p", "rounds=4", "-p", "stop=-1", "--json"
    )
    assert code == 0, err
    again = json.loads(out)
    assert again["rounds"] == 2 and again["metrics"] == whole["metrics"]
    assert checkpoint.of_run(Path(again["run_dir"])) == checkpoint.of_run(Path(whole["run_dir"]))
