"""Commands that start nothing: what they say, to whom, and their exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from cli_command import TREE, environment

from tierfed.cli import COMMANDS, commands
from tierfed.report.nodes import head

REPOSITORY = Path(__file__).parents[2]
THREE = str(REPOSITORY / "topologies" / "three_tier.yaml")

Run = Callable[..., tuple[int, str, str]]


# -- the group


def test_help_lists_what_works_and_nothing_else(here: Run) -> None:
    """Every command has a line, in the order in which a newcomer needs them."""
    code, out, _ = here("--help")
    assert code == 0
    assert [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines()] == list(COMMANDS)
    first = "init validate show compile codecs data up run simulate sweep"
    then = "advise report compare ps logs trace link fault down"
    assert " ".join(COMMANDS) == f"{first} {then}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_does(name: str, here: Run) -> None:
    """The line in the table, which is read without the command, is the command's own."""
    command = commands.get_command(click.Context(commands), name)
    assert command is not None and command.name == name
    assert command.get_short_help_str(100) == COMMANDS[name]
    code, out, _ = here(name, "--help")
    assert code == 0 and out.startswith(f"Usage: tierfed {name} ")


def test_help_is_quick_and_imports_click_alone(folder: Path) -> None:
    """Within 250 ms, since completion asks for as much: nothing heavy is imported."""
    script = (
        "import sys\nfrom tierfed.cli import commands\n"
        "try: commands.main(['--help'])\nexcept SystemExit: print(sorted(sys.modules))\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(folder))
    loaded = set(told.stdout.strip().rpartition("\n")[2].strip("[]").replace("'", "").split(", "))
    assert "click" in loaded and "tierfed.cli" in loaded
    assert {name.partition(".")[0] for name in loaded if name.startswith("tierfed.")} == {"tierfed"}
    assert {n for n in loaded if n.startswith("tierfed.")} == {"tierfed._version", "tierfed.cli"}
    assert not loaded & {"numpy", "pydantic", "networkx", "aiohttp", "rich", "ruamel", "asyncio", "google"}
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "tierfed", "--help"], stdout=subprocess.DEVNULL, env=environment(folder), check=True
        )
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.25


def test_no_arguments_are_help(here: Run) -> None:
    """Somebody who types the name alone wants to know what there is."""
    assert here() == here("--help")


def test_the_version(here: Run) -> None:
    """`--version` is one line."""
    assert here("--version")[:2] == (0, "tierfed 0.1.0\n")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["shwo"], "error: tierfed: no command 'shwo'; did you mean 'tierfed show'?\n  to mend: see tierfed --help\n"),
        (["quux"], "error: tierfed: no command 'quux'; see tierfed --help\n  to mend: see tierfed --help\n"),
        (["up"], "error: tierfed up: missing argument 'FILE'\n  to mend: see tierfed up --help\n"),
        (["up", "-d", "--keep", "x"], "error: tierfed up: -d and --keep exclude each other\n"),
        (["up", "x", "--wait-timeout", "soon"], "'soon' is no quantity"),
        (["up", "x", "--wait-timeout", "20parsec"], "no unit 'parsec' here"),
        (["up", "x", "--wait-timeout", "0"], "0 is no time to wait"),
        (["show", "tree.yaml", "--format", "svg"], "'svg' is not one of 'tree', 'json', 'mermaid', 'dot'"),
        (["show", "tree.yaml", "--resolved", "--format", "dot"], "--resolved is written as YAML, or with --json"),
        (["run", "-t", "x", "--run", "y"], "-t brings a tree up and --run uses one that is up; give one of them"),
        (["run", "--set", "a=b"], "--set changes a file; give one with -t"),
        (["run", "x:y", "-p", "rounds"], "error: -p rounds: expected name=value\n"),
        (["run", "x:y", "-p", "ro unds=3"], "expected name=value"),
        (["run", "x:y", "-p", "rounds=[1"], "error: -p rounds=[1: not YAML: "),
        (["ps", "--all", "x"], "--all lists every run; leave RUN out"),
        (["down", "--all", "x"], "--all takes every tree down; leave RUN out"),
        (["logs", "--level", "loud"], "'loud' is not one of 'debug', 'info', "),
        (["init", "--template", "six-tier"], "'six-tier' is not one of 'two-tier', 'three-tier', 'four-tier'"),
    ],
)
def test_wrong_use_is_exit_code_2(args: list[str], told: str, here: Run) -> None:
    """What is wrong, on stderr, and nothing on stdout."""
    code, out, err = here(*args)
    assert (code, out) == (2, "")
    assert told in err and err.startswith("error: ")


def test_with_json_wrong_use_has_its_document(here: Run) -> None:
    """Exactly one document, though the command line could not be read."""
    code, out, err = here("up", "--json")
    assert code == 2 and err
    assert json.loads(out) == {
        "schema_version": 1,
        "status": "failed",
        "error": {
            "where": "tierfed up",
            "what": "missing argument 'FILE'",
            "mend": "see tierfed up --help",
            "node": None,
            "traceback": None,
        },
    }


def test_a_defect_of_ours_is_exit_code_1(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it is one, with its traceback, in the document too."""

    def fails() -> Any:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr("tierfed.launch.runs.every", fails)
    code, out, err = here("ps", "--json")
    assert code == 1
    assert err.startswith("error: internal: KeyError: 'nobody thought of this'\n  to mend: this is a defect of tierfed")
    assert "  | Traceback (most recent call last):" in err
    assert "in fails" in json.loads(out)["error"]["traceback"]


def test_an_interruption_is_exit_code_130(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a command that has nothing to clear up."""

    def interrupted() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("tierfed.launch.runs.every", interrupted)
    code, out, _ = here("ps", "--json")
    document = json.loads(out)
    assert (code, document["status"], document["error"]["what"]) == (130, "interrupted", "interrupted")


def test_a_reader_that_has_had_enough(folder: Path) -> None:
    """A closed pipe is no error: nothing on stderr."""
    command = subprocess.Popen(
        [sys.executable, "-m", "tierfed", "show", THREE, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(folder),
    )
    assert command.stdout is not None and command.stderr is not None
    command.stdout.close()
    assert command.stderr.read() == b""
    assert command.wait() == 141
    command.stderr.close()


# -- validate


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check jobs in this process, as the other one would: it takes a second to start."""
    from tierfed.errors import TierfedError
    from tierfed.jobs import program

    def check(spec: str, params: Any, folder: Any, file: Any, sets: Any) -> list[TierfedError]:
        request = {"spec": spec, "params": dict(params), "folder": str(folder), "file": str(file), "sets": list(sets)}
        return [TierfedError.from_dict(error) for error in program._answer(request)]

    monkeypatch.setattr(program, "check_in_subprocess", check)


def test_validate_says_what_is_right(here: Run) -> None:
    """A line a file, with its job imported and checked elsewhere."""
    assert here("validate", "tree.yaml") == (0, "tree.yaml: ok · 7 nodes · 3 tiers · job cli_jobs:train\n", "")


def test_figures_without_effect_are_noted(here: Run) -> None:
    """A jitter of no delay is told by those who read a file, and changes no exit code."""
    jitter = ["--set", "CLIENTS.link.jitter=5ms"]
    told = (
        "note: --set CLIENTS.link.jitter=5ms: placements.CLIENTS.link.jitter: c-0 has 5ms of jitter about no delay, "
        "and none can be less than 0; add link.delay\n"
    )
    for verb in ("validate", "show"):
        code, _, err = here(verb, "tree.yaml", *jitter)
        assert code == 0 and err.startswith(told)
    code, out, _ = here("validate", "tree.yaml", *jitter, "--json")
    [file] = json.loads(out)["files"]
    assert (code, file["status"], [one["where"] for one in file["warnings"]]) == (
        0,
        "ok",
        ["--set CLIENTS.link.jitter=5ms: placements.CLIENTS.link.jitter"],
    )


def test_validate_says_all_that_is_wrong(here: Run, folder: Path) -> None:
    """Every problem of every file, those of the others all the same; one document."""
    bad = TREE.replace("colocate", "colocat").replace("SERVER:", "SERVER: {deadline: 3s}", 1)
    (folder / "bad.yaml").write_text(bad)
    code, out, err = here("validate", "bad.yaml", "nowhere.yaml", "tree.yaml")
    assert (code, out) == (2, "tree.yaml: ok · 7 nodes · 3 tiers · job cli_jobs:train\n")
    assert (
        err
        == """\
bad.yaml:5:12: error: placements.SERVER.deadline: unknown field; did you mean 'collect.deadline'?
bad.yaml:9:5: error: placements.EDGE_AGGREGATORS.colocat: unknown field; did you mean 'colocate'?
bad.yaml:16:5: error: placements.CLIENTS.colocat: unknown field; did you mean 'colocate'?
nowhere.yaml: error: no such file
"""
    )
    code, out, err = here("validate", "bad.yaml", "tree.yaml", "--json")
    document = json.loads(out)
    assert (code, document["status"]) == (2, "failed")
    assert [one["status"] for one in document["files"]] == ["failed", "ok"]
    assert [(p["line"], p["column"]) for p in document["files"][0]["problems"]] == [(5, 12), (9, 5), (16, 5)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "job.params={roundz: 3}",
            "error: tree.yaml: job.params: train has no parameter roundz\n  to mend: did you mean 'rounds'?\n",
        ),
        (
            "job.params.rounds=many",
            "error: tree.yaml: job.params: train takes rounds as int, got 'many'\n  to mend: write 10, say\n",
        ),
        ("job.program=cli_jobs:trian", "cli_jobs has no trian; did you mean 'train'?"),
        ("job.program=cli_job:train", "no module cli_job\n"),
        ("job.data={dataset: mnist}", "no data set"),
        ("CLIENTS.codec.up=bf17", "bf17"),
    ],
)
def test_validate_looks_into_the_job(change: str, told: str, here: Run, in_process: None) -> None:
    """Program, parameters, data and codecs, each with what would mend it."""
    code, out, err = here("validate", "tree.yaml", "--set", change)
    assert (code, out) == (2, "")
    assert told in err


def test_validate_holds_the_round_against_the_codecs(here: Run, folder: Path, in_process: None) -> None:
    """A large tensor of a dtype that a codec does not carry is an error before launch, where the codec is set."""
    program = (folder / "cli_jobs.py").read_text()
    program = program.replace("big=float32[5000]", "big=int64[5000]").replace("federated_mean", "federated_sum")
    (folder / "ints.py").write_text(program)
    code, _, err = here("validate", "tree.yaml", "--set", "job.program=ints:train")
    assert code == 2
    assert "error: tree.yaml: placements.CLIENTS.codec.up: int8 carries " in err and "not int64[5000]" in err


# -- show


@pytest.mark.parametrize(
    ("args", "golden"), [((), "tree.txt"), (("--format", "mermaid"), "mermaid.txt"), (("--format", "dot"), "dot.txt")]
)
def test_show_draws(args: tuple[str, ...], golden: str, here: Run) -> None:
    """The picture, with the bytes of a round."""
    code, out, err = here("show", THREE, *args)
    assert (code, err) == (0, "")
    assert out == (Path(__file__).parent / "golden" / golden).read_text()


def test_show_json_has_the_bytes_of_a_round(here: Run) -> None:
    """Raw, nominal and header bytes of each tier, and whether they are exact."""
    code, out, _ = here("show", THREE, "--json")
    document = json.loads(out)
    assert (code, document["round"]) == (0, "step")
    server, edges, clients = document["tiers"]
    assert "predicted" not in server
    assert clients["predicted"]["exact_up"] is False and edges["predicted"]["exact_up"] is True
    assert clients["predicted"]["nominal_bytes_up"] * 3 < clients["predicted"]["raw_bytes_up"]
    assert clients["predicted"]["header_bytes_up"] == 32 * 512


def test_show_resolved_loads_as_the_same_tree(here: Run, folder: Path) -> None:
    """Every value with its origin, as a file that means the same."""
    code, out, _ = here("show", "tree.yaml", "--resolved", "--set", "CLIENTS.codec.up=bf16")
    assert code == 0
    assert "      up: bf16                            # --set CLIENTS.codec.up=bf16\n" in out
    (folder / "again.yaml").write_text(out)
    assert here("show", "again.yaml")[1] == here("show", "tree.yaml", "--set", "CLIENTS.codec.up=bf16")[1]


def test_show_says_why_it_predicts_nothing(here: Run) -> None:
    """The tree is drawn all the same; why there are no bytes is a note on stderr."""
    code, out, err = here("show", "tree.yaml", "--set", "job.program=cli_jobs:raises")
    assert code == 0 and "predicted" not in out and "edge-[0-1]" in out
    assert err == "note: no prediction: raises names no round; write @tierfed.job(round=step)\n"
    code, out, err = here("show", "tree.yaml", "--set", "job.program=nowhere:train")
    assert code == 0 and "edge-[0-1]" in out
    assert err.startswith("note: no prediction: job.program nowhere:train: no module nowhere\n")


def test_show_lets_programs_print_to_people(here: Run, folder: Path) -> None:
    """What a program prints when it is imported does not get into a document."""
    (folder / "talks.py").write_text("from cli_jobs import train\n\nprint('imported')\n")
    code, out, err = here("show", "tree.yaml", "--json", "--set", "job.program=talks:train")
    assert code == 0 and json.loads(out)["round"] == "step"
    assert err == "imported\n"


# -- runs, from their manifests


def manifest(folder: Path, run: str, state: str = "down", created: str = "2025-01-31T12:00:00.000000Z") -> Path:
    """Write the manifest of a run that is over, or whose supervisor was killed; return its folder."""
    run_dir = folder / ".tierfed" / "runs" / run
    (run_dir / "logs").mkdir(parents=True)
    row = {"process": "p", "pid": None, "start": None, "address": None, "state": "ended"}
    nodes = {"server": {**row, "placement": "SERVER", "parent": None}}
    for i in range(12):
        ended = i == 5 and state != "down"
        told = "ended" if ended else "ready"
        nodes[f"c-{i:02d}"] = {**row, "placement": "CLIENTS", "parent": "server", "state": told}
    written = {"schema_version": 1, "id": run, "state": state, "created": created, "machine": "another", "nodes": nodes}
    written |= {"processes": {}, "supervisor": None, "zygote": None, "control": "/nowhere", "info": {"topology": "t"}}
    (run_dir / "manifest.json").write_text(json.dumps(written))
    return run_dir


def test_ps_of_nothing(here: Run, folder: Path) -> None:
    """It says so, and where it looked; for programs it is an empty list."""
    assert here("ps") == (0, "nothing is up in .tierfed/runs\n", "")
    assert json.loads(here("ps", "--json")[1]) == {"schema_version": 1, "runs": []}
    manifest(folder, "0badcafe")
    assert here("ps")[1] == "nothing is up in .tierfed/runs; 1 earlier: tierfed ps --all\n"


def test_ps_of_a_run_that_is_over(here: Run, folder: Path) -> None:
    """By the beginning of its id: a line for siblings in one state."""
    manifest(folder, "0badcafe", created="not a date")
    code, out, _ = here("ps", "0bad")
    assert (code, out) == (
        0,
        "run 0badcafe · t · down · 0/13 nodes ready\n"
        "TIER     NODE           STATE\n"
        "SERVER   server         ended\n"
        "CLIENTS  c-[00-11] ×12  ended\n",
    )


def test_ps_all_lists_the_latest_first(here: Run, folder: Path) -> None:
    """One line a run; of one that claims to be up and is not, that it is lost."""
    manifest(folder, "0badcafe", created="2024-01-01T00:00:00Z")
    manifest(folder, "deadbeef", state="ready")
    lines = here("ps", "-a")[1].splitlines()
    assert lines[0].split() == ["RUN", "STATE", "TOPOLOGY", "NODES", "BEGUN"]
    assert [line.split()[:2] for line in lines[1:]] == [["deadbeef", "lost"], ["0badcafe", "down"]]


def test_the_age_of_a_run() -> None:
    """A run that is up says for how long; one that is over when it began."""
    from datetime import UTC, datetime

    from tierfed.launch.runs import Run as Recorded

    kept = {"state": "down", "created": "2025-01-31T12:00:00Z", "machine": "", "info": {}}
    run = Recorded("0badcafe", Path("/x"), kept)
    told = head(run, [], datetime(2025, 1, 31, 14, 0, tzinfo=UTC))
    assert told == "run 0badcafe · ? · down · 0/0 nodes ready · begun 2 h ago"


@pytest.mark.parametrize(
    "args", [("ps", "ffff"), ("down",), ("down", "ffff"), ("logs",), ("run",), ("run", "--resume", "ff")]
)
def test_what_is_not_there_is_exit_code_5(args: tuple[str, ...], here: Run) -> None:
    """No such run: what there is, and what would bring one up."""
    code, out, err = here(*args)
    assert (code, out) == (5, "") and "no run" in err and "tierfed up FILE -d" in err


def test_down_of_several_wants_a_choice(here: Run, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """With two trees up, none is taken down by chance."""
    from tierfed.launch import runs

    for name in ("0badcafe", "deadbeef"):
        manifest(folder, name, state="ready")
    monkeypatch.setattr(runs.Run, "running", property(lambda self: True))
    code, _, err = here("down")
    assert code == 2 and "2 runs are up: 0badcafe, deadbeef; name one, or use --all" in err


# -- logs


def test_logs_merges_and_filters(here: Run, folder: Path) -> None:
    """By node or tier, by level, the last ones, from a time on; tracebacks are shown."""
    logs = manifest(folder, "0badcafe") / "logs"

    def write(node: str, *lines: tuple[str, str, str]) -> None:
        rows = [
            {"time": f"2025-01-31T12:00:0{second}Z", "level": level, "logger": "x", "message": message}
            for second, level, message in lines
        ]
        (logs / f"{node}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    write("server", ("1", "INFO", "one"), ("3", "WARNING", "three"))
    write("c-00", ("2", "ERROR", "two"), ("4", "INFO", "four"))
    everything = here("logs")[1].splitlines()
    assert [line.split()[-1] for line in everything] == ["one", "two", "three", "four"]
    assert everything[1] == "2025-01-31T12:00:02Z ERROR   c-00  two"
    assert here("logs", "CLIENTS", "--tail", "1")[1].split()[-1] == "four"
    assert [line.split()[-1] for line in here("logs", "--level", "warning")[1].splitlines()] == ["two", "three"]
    assert here("logs", "server", "--since", "2025-01-31T12:00:02Z")[1].split()[-1] == "three"
    assert here("logs", "-f", "server")[1].count("\n") == 2  # of a run that is over, following ends
    code, _, err = here("logs", "servr")
    assert code == 5 and "no node and no placement 'servr'" in err
    code, _, err = here("logs", "--since", "yesterday")
    assert code == 2 and "--since: 'yesterday' is no time; write 90s, 10m" in err


# -- init


def test_init_overwrites_nothing(here: Run, folder: Path) -> None:
    """Not even one of its files, and it says which."""
    (folder / "demo").mkdir()
    (folder / "demo" / "program.py").write_text("mine")
    code, _, err = here("init", "demo")
    assert code == 2 and "demo/program.py is there already; init overwrites nothing" in err
    assert [path.name for path in (folder / "demo").iterdir()] == ["program.py"]


def test_init_into_the_folder_one_is_in(here: Run, folder: Path) -> None:
    """Without DIR it is here, beside what is here; the schema accepts the topology."""
    code, out, _ = here("init", "--template", "two-tier")
    assert code == 0 and out.endswith("next: tierfed up two_tier.yaml\n")
    import jsonschema

    from tierfed.topology import load_topology

    schema = json.loads((folder / ".tierfed" / "topology.schema.json").read_text())
    jsonschema.validate(load_topology("two_tier.yaml").to_dict(), schema)


def test_a_place_that_cannot_be_used(here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where a folder should be is told as what it is, not as a defect."""
    (folder / "taken").write_text("")
    for args in (("init", "taken/demo"), ("ps",)):
        monkeypatch.setenv("TIERFED_HOME", str(folder / "taken"))
        code, _, err = here(*args)
        assert code == 4 and ": not a directory\n  to mend: runs are kept in ./.tierfed, or where TIERFED_HOME" in err
