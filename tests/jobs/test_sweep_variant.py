"""Variants: each a process of its own; all of them over when `run_all` is, whatever ended it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tierfed.jobs.sweep import variant as variants
from tierfed.jobs.sweep.variant import MARK, Outcome, Variant, run_all, run_variant
from tierfed.launch.pids import ProcessId

FILE = Path("/no/where/tree.yaml")
DOCUMENT = {
    "run": "7f3a90c2",
    "status": "ok",
    "metrics": {"accuracy": 0.75},
    "seconds": {"job": 2.5},
    "tiers": {"SERVER": {"nodes": 1}, "CLIENTS": {"nodes": 4, "bytes_up": 100, "joules": 0.5}},
}


def says(document: object, code: int = 0) -> list[str]:
    """Return a command that writes `document` and ends with `code`."""
    return [sys.executable, "-S", "-c", f"import sys; print({json.dumps(document)!r}); sys.exit({code})"]


def hangs(flag: Path) -> list[str]:
    """Return a command that heeds no SIGTERM, has a child of its own session, and tells both pids in `flag`."""
    script = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = [sys.executable, '-S', '-c', 'import time; time.sleep(600)']\n"
        "child = subprocess.Popen(child, start_new_session=True)\n"
        f"open({str(flag)!r} + '~', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(flag)!r} + '~', {str(flag)!r})\n"
        "time.sleep(600)\n"
    )
    return [sys.executable, "-S", "-c", script]


def by_seed(commands: dict[int | None, list[str]]) -> Callable[[Variant], list[str]]:
    """Return a `command` that picks one by the variant's seed."""
    return lambda variant: commands[variant.seed]


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody here ends when it is asked to."""
    monkeypatch.setattr(variants, "GRACE", 0.05)
    yield


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        (Variant(FILE), ["simulate", str(FILE), "--no-history"]),
        (
            Variant(FILE, ("a=1", "b=[x, y]"), seed=3, clients=10, history=True),
            ["simulate", str(FILE), "--set", "a=1", "--set", "b=[x, y]", "--set", "seed=3"]
            + ["--clients", "10", "--history"],
        ),
        (Variant(FILE, clock="real"), ["up", str(FILE), "--set", "clock=real"]),
    ],
)
def test_what_runs_a_variant(variant: Variant, words: list[str]) -> None:
    """The command line that a user would type; the seed comes after the sets, so it counts."""
    assert variant.arguments() == words
    assert variants.command(variant)[-len(words) - 1 :] == [*words, "--json"]


def test_an_outcome_has_the_document_of_its_run(tmp_path: Path) -> None:
    """Metrics, bytes and joules by name, tiers that send nothing left out."""
    outcome = run_variant(Variant(FILE), tmp_path, command=lambda variant: says(DOCUMENT))
    assert (outcome.status, outcome.run, outcome.error) == ("ok", "7f3a90c2", None)
    assert (outcome.metrics, outcome.bytes_up, outcome.joules) == (
        {"accuracy": 0.75},
        {"CLIENTS": 100},
        {"CLIENTS": 0.5},
    )
    assert outcome.job_seconds == 2.5


def test_outcomes_come_in_order_and_failures_are_outcomes(tmp_path: Path) -> None:
    """One that says why, one that says nothing, one that was killed: the others run on."""
    error = {"where": "round 3", "what": "below quorum", "mend": None, "node": "c-1", "traceback": None}
    commands = {
        0: says({**DOCUMENT, "status": "failed", "error": error}, 4),
        1: [sys.executable, "-S", "-c", "import sys; print('half', file=sys.stderr); sys.exit(1)"],
        2: [sys.executable, "-S", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"],
        3: says(DOCUMENT),
        4: says({"status": "failed", "error": error}, 2),
    }
    done: list[int] = []
    outcomes = run_all(
        [Variant(FILE, seed=seed) for seed in commands],
        tmp_path,
        jobs=2,
        command=by_seed(commands),
        on_done=lambda at, outcome: done.append(at),
    )
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert [one.variant.seed for one in outcomes] == [0, 1, 2, 3, 4]
    assert [one.status for one in outcomes] == ["failed", "failed", "failed", "ok", "failed"]
    assert [str(one.error).partition("\n")[0] for one in outcomes] == [
        "round 3: below quorum",
        "simulate: it ended with exit code 1, and has not said why",
        "simulate: it was ended by SIGKILL, and has not said why",
        "None",
        "round 3: below quorum",
    ]
    assert outcomes[0].error is not None and outcomes[0].error.node == "c-1"
    assert outcomes[1].error is not None and outcomes[1].error.remote_traceback == "half"
    assert (outcomes[0].run, outcomes[4].run) == ("7f3a90c2", None)


def test_no_more_run_at_once_than_are_allowed(tmp_path: Path) -> None:
    """Variants are taken as there is room: with two at once, the third is taken after the first is done."""
    happened: list[str] = []

    def each() -> Iterator[Variant]:
        for seed in range(4):
            happened.append("taken")
            yield Variant(FILE, seed=seed)

    run_all(
        each(),
        tmp_path,
        jobs=2,
        command=lambda variant: says(DOCUMENT),
        on_done=lambda at, outcome: happened.append("done"),
    )
    at_once = [happened[: at + 1].count("taken") - happened[: at + 1].count("done") for at in range(len(happened))]
    assert max(at_once) == 2 and happened.count("done") == 4


def test_the_home_and_the_mark_are_in_the_environment(tmp_path: Path) -> None:
    """Runs land in the folder of whoever runs them, and what they start can be found."""
    script = (
        "import json, os\n"
        f"print(json.dumps({{'run': os.environ['TIERFED_HOME'], 'status': os.environ['{MARK}'] and 'ok'}}))\n"
    )
    outcome = run_variant(Variant(FILE), tmp_path, command=lambda variant: [sys.executable, "-S", "-c", script])
    assert (outcome.run, outcome.status) == (str(tmp_path), "ok")


def _gone(flag: Path) -> bool:
    return all(ProcessId.of(int(pid)) is None for pid in flag.read_text().split())


def _wait_for(flag: Path, command: Callable[[Variant], list[str]]) -> Callable[[Variant], list[str]]:
    """Return a `command` for a second variant, which ends when the first has written its flag."""
    script = f"import os, json\nwhile not os.path.exists({str(flag)!r}): pass\nprint({json.dumps(DOCUMENT)!r})"
    return lambda variant: [sys.executable, "-S", "-c", script] if variant.seed == 1 else command(variant)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_when_it_is_interrupted(tmp_path: Path, ending: type[BaseException]) -> None:
    """A run that heeds no SIGTERM, and its child in another session, are gone when the exception comes out."""
    flag = tmp_path / "flag"

    def stop(at: int, outcome: Outcome) -> None:
        raise ending

    with pytest.raises(ending):
        run_all(
            [Variant(FILE, seed=0), Variant(FILE, seed=1)],
            tmp_path,
            jobs=2,
            command=_wait_for(flag, lambda variant: hangs(flag)),
            on_done=stop,
        )
    assert _gone(flag)


def test_one_that_takes_too_long_has_failed(tmp_path: Path) -> None:
    """It is ended with all that it has started, and the others go on."""
    flag = tmp_path / "flag"
    outcomes = run_all(
        [Variant(FILE, seed=0), Variant(FILE, seed=1)],
        tmp_path,
        jobs=2,
        timeout=1.5,
        command=_wait_for(flag, lambda variant: hangs(flag)),
    )
    assert [one.status for one in outcomes] == ["failed", "ok"]
    assert outcomes[0].error is not None and outcomes[0].error.what == "it took longer than 1.5 s, and was ended"
    assert _gone(flag)


def test_a_command_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """`tierfed.launch.bound` exits where its parent is another than it was told."""
    told = subprocess.run(
        [sys.executable, "-P", "-m", "tierfed.launch.bound", "1", "--version"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (told.returncode, told.stdout) == (1, "")
    told = subprocess.run(
        [sys.executable, "-P", "-m", "tierfed.launch.bound", str(os.getpid()), "--version"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (told.returncode, told.stdout) == (0, "tierfed 0.1.0\n")
