"""`link`: what the links of a running tree are, changed while it runs; and a partition by `fault`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

PROGRAM = """\
import numpy as np, tierfed
@tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
def total(x):
    return tierfed.federated_sum(x)
@tierfed.job
async def train(tree, *, rounds: int = 1):
    for number in tree.rounds(rounds):
        tree.release(number, {"total": await tree.ainvoke(total, [1, 2])})
"""
TINY = """\
apiVersion: tierfed/v1
kind: Topology
placements:
  SERVER: {collect: {quorum: 50%}}
  CLIENTS: {parent: SERVER, members: {c-0: {}, c-1: {link: {delay: 20ms, jitter: 1ms}}}}
"""


@pytest.mark.slow
def test_a_link_changes_while_its_tree_runs(tierfed: Run, here: Run, folder: Path) -> None:
    """A round is later by what is modelled, down and up; `show` says so, the record too, and `clear` brings it back."""
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "tiny.py").write_text(PROGRAM)
    code, out, err = tierfed("up", "-d", "tiny.yaml", "--json")
    assert code == 0, err
    run = json.loads(out)["run"]

    def round_of() -> float:
        code, out, err = tierfed("run", "tiny:train", "--run", run, "--json")
        assert code == 0, err
        return float(json.loads(out)["seconds"]["per_round"][0])

    shown = "TIER     LINK  RATE          DELAY\nCLIENTS  c-0   not modelled\nCLIENTS  c-1                 20±1ms\n"
    assert here("link", "show", run) == (0, shown, "")
    before = round_of()

    assert here("link", "set", run[:4], "c-0", "delay=700ms", "loss=1%") == (0, "c-0: delay=700ms loss=1%\n", "")
    assert "CLIENTS  c-0   700ms   1%    not modelled\n" in here("link", "show", run)[1]
    assert round_of() >= 1.4 > before
    code, out, _ = here("link", "set", run, "c-[0-1]", "rate=1mbit", "delay=30ms", "--json")
    told = json.loads(out)
    assert (code, told["status"], told["run"]) == (0, "ok", run)
    assert told["set"] == {"rate.up": "1mbit", "rate.down": "1mbit", "delay": "30ms"}
    assert [link["link"]["loss"] for link in told["links"] if "loss" in link["link"]] == ["1%"]  # stays
    assert told["links"][1]["given"] == {"delay": "20ms", "jitter": "1ms"} and told["links"][1]["changed"]
    assert here("link", "set", run, "c-1", "none", "delay=40ms")[0] == 0
    assert "CLIENTS  c-1   40ms   delay 20ms, jitter 1ms\n" in here("link", "show", run, "c-1")[1]
    assert here("link", "set", run, "c-1", "none")[1] == "c-1: modelled no more\n"
    assert "CLIENTS  c-1   not modelled  20±1ms\n" in here("link", "show", run, "c-1")[1]
    assert here("link", "clear", run, "*")[1] == "c-[0-1] ×2: as the topology says\n"
    assert here("link", "show", run)[1] == shown

    assert here("fault", run, "c-0", "--do", "partition")[1] == "c-0 is cut off from server\n"
    assert "CLIENTS  c-0   cut           not cut\n" in here("link", "show", run)[1]
    assert here("fault", run, "c-0", "--do", "heal")[1] == "c-0 hears server again\n"
    assert round_of() < 1.4

    events = [json.loads(line) for line in (folder / ".tierfed/runs" / run / "events.jsonl").read_text().splitlines()]
    told = [(e["event"], e.get("set") or e["do"]) for e in events if e["event"] in ("link", "fault")]
    assert told[0] == ("link", {"delay": "700ms", "loss": "1%"})
    assert [what for kind, what in told if kind == "fault"] == ["partition", "partition"] and len(told) == 7

    for who, code, what in (
        ("server", 2, f"run {run}: server is the root: it has no link\n"),
        ("c-9", 5, f"run {run}: no node and no placement 'c-9'\n"),
    ):
        failed = here("link", "set", run, who, "delay=1s")
        assert failed[0] == code and what in failed[2]
    code, _, err = here("fault", run, "server", "--do", "partition")
    assert code == 2 and "server is the root: it has no link" in err
    assert here("fault", run, "server", "--do", "stop")[0] == 0
    code, _, err = here("link", "show", run)
    assert code == 3 and "server, the parent of these links, did not answer within 5 s" in err
    assert here("fault", run, "server", "--do", "cont")[0] == 0
    assert here("down")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("show", "7f3"), 5, "no run 7f3 is up"),
        (("set", "7f3", "c-0", "delay=1s"), 5, "no run 7f3 is up"),
        (("clear", "7f3", "c-0"), 5, "no run 7f3 is up"),
        (("set", "7f3", "c-0", "delay=20"), 2, "error: delay=20: 20 has no unit; write 20ms\n"),
        (("set", "7f3", "c-0", "rate=0mbit"), 2, "error: rate=0mbit: a rate of 0 carries nothing"),
        (("set", "7f3", "c-0", "dely=1s"), 2, "error: dely=1s: unknown field; did you mean 'delay'?\n"),
        (("set", "7f3", "c-0", "none", "delay=1"), 2, "error: delay=1: 1 has no unit; write 1ms\n"),
        (("set", "7f3", "c-0"), 2, "missing argument 'NAME=VALUE"),
        (("show",), 2, "missing argument 'RUN'"),
    ],
)
def test_wrong_words(words: tuple[str, ...], code: int, told: str, here: Run) -> None:
    """Each with its exit code, and no run is looked for where the words are wrong already."""
    ended = here("link", *words)
    assert ended[0] == code and told in ended[2]
