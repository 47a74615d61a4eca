"""`tierfed compile`: what it writes, where, and what it says of programs that are not there or do not fit.

The texts stand in `golden/`; after a change that is meant, `python tests/cli/test_compile.py` writes them
again.  Hashes depend on the bytes of leaves' modules, and are blanked there.
"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from cli_command import Command, environment

import tierfed
from tierfed.cli.compile import command
from tierfed.compiler.serialize import compiled_from_bytes
from tierfed.ir.text import formatted
from tierfed.learning import regions

GOLDEN = Path(__file__).parent / "golden"
THREE = str(Path(__file__).parents[2] / "topologies" / "three_tier.yaml")
STEP = "tierfed.learning.regions:step"
PROGRAM = """\
import numpy as np
import tierfed

@tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
def mean(readings):
    return tierfed.federated_mean(readings)
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """Modules that a test wrote are forgotten after it, and the folder is off the path."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("cc_") or name == "cli_jobs":
            del sys.modules[name]


@pytest.fixture
def program(folder: Path) -> Path:
    """A user's program of one computation."""
    (folder / "cc_mean.py").write_text(PROGRAM)
    return folder / "cc_mean.py"


def masked(text: str) -> str:
    """Return `text` with its hashes blanked."""
    return re.sub(r"\b[0-9a-f]{64}\b", "." * 12, text)


CASES: dict[str, tuple[str, ...]] = {
    "compile.txt": (),
    "compile.dot": ("--form", "dot"),
    "compile_program.dot": ("--form", "dot", "--stage", "normalised"),
}


@pytest.mark.parametrize("golden", CASES)
def test_what_is_written_of_regions(golden: str, here: Run) -> None:
    """The program that names the edges, word for word: IR, slices and hashes, and both pictures."""
    code, out, err = here("compile", STEP, "-t", THREE, *CASES[golden])
    assert (code, err) == (0, "")
    assert masked(out) == (GOLDEN / golden).read_text()
    assert "…" not in out or golden.endswith(".dot")  # a pipe gets long types whole


def test_each_pass_is_shown_alone(here: Run) -> None:
    """A stage is the program after that pass and nothing else, so that two can be compared."""
    shown = {stage: here("compile", STEP, "-t", THREE, "--stage", stage)[1] for stage in _stages()}
    assert len(set(shown.values())) == 6
    assert "federated_weighted_mean" in shown["program"] and "v10 = (x1 -> (let" in shown["program"]
    assert "federated_weighted_mean" in shown["normalised"] and shown["normalised"].count("(let") == 1
    assert "federated_aggregate" in shown["expanded"] and "federated_weighted_mean" not in shown["expanded"]
    assert "hop_merge" in shown["climbed"] and "federated_aggregate" not in shown["climbed"]
    assert "federated_map[CLIENTS](<(p10 -> (let" in shown["fused"] and "hop_merge" in shown["fused"]
    assert shown["slices"].startswith("CLIENTS  ") and "\nSERVER  " in shown["slices"]


def _stages() -> list[str]:
    option = next(p for p in command.params if p.name == "stage")
    assert isinstance(option.type, click.Choice)
    return list(option.type.choices)


def test_the_first_passes_need_no_tiers(here: Run, program: Path) -> None:
    """Before a program is climbed it is the same on every tree."""
    assert here("compile", "cc_mean", "--stage", "normalised") == (
        0,
        "(args -> (let arg=args,v1=federated_mean[SERVER](arg) in v1))\n",
        "",
    )
    code, _, err = here("compile", "cc_mean", "--stage", "climbed")
    assert code == 2 and "no tiers to compile for: give -t FILE, or --tiers SERVER,CLIENTS" in err


def test_tiers_by_name(here: Run, program: Path) -> None:
    """A chain from the root down is a hierarchy as that of a file is."""
    by_name = json.loads(here("compile", "cc_mean", "--tiers", "SERVER, EDGE_AGGREGATORS,CLIENTS", "--json")[1])
    by_file = json.loads(here("compile", "cc_mean", "-t", "tree.yaml", "--json")[1])
    assert by_name == by_file and by_name["hierarchy"] == "SERVER > EDGE_AGGREGATORS > CLIENTS"


def test_protobuf_is_read_back(folder: Path) -> None:
    """What goes into a pipe is the compiled program, and its hash is the one that is shown."""
    args = [sys.executable, "-P", "-m", "tierfed", "compile", STEP, "-t", THREE]
    written = subprocess.run([*args, "--form", "protobuf"], capture_output=True, check=True, env=environment(folder))
    told = subprocess.run([*args, "--json"], capture_output=True, check=True, env=environment(folder))
    read = compiled_from_bytes(written.stdout)
    hierarchy = tierfed.load_topology(THREE).hierarchy
    assert read == tierfed.compile(regions.step, hierarchy)
    assert json.loads(told.stdout)["hashes"]["slices"] == read.hash


@pytest.mark.parametrize("stage", _stages()[:5])
def test_the_protobuf_of_a_stage_is_a_program(stage: str, here: Run, folder: Path, program: Path) -> None:
    """What `tierfed.deserialize` reads of any pass is the text of that pass."""
    assert here("compile", "cc_mean", "-t", "tree.yaml", "--stage", stage, "--form", "protobuf", "-o", "x")[0] == 0
    read = tierfed.deserialize((folder / "x").read_bytes())
    assert f"{formatted(read.node)}\n" == here("compile", "cc_mean", "-t", "tree.yaml", "--stage", stage)[1]


def test_a_folder_gets_the_whole_and_each_slice(here: Run, folder: Path, program: Path) -> None:
    """Each hash is what `sha256sum` says of the file; the program is what `tierfed.deserialize` reads."""
    code, out, _ = here("compile", "cc_mean", "-t", "tree.yaml", "--form", "protobuf", "-o", "out/", "--json")
    document = json.loads(out)
    hashes = document["hashes"]
    files = {Path(path).name: (folder / path).read_bytes() for path in document["written"]}
    assert code == 0
    assert list(files) == ["compiled.pb", "program.pb", "CLIENTS.pb", "EDGE_AGGREGATORS.pb", "SERVER.pb"]
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert digests["program.pb"] == hashes["program"]
    assert {p: digests[f"{p}.pb"] for p in hashes["slice"]} == hashes["slice"]
    assert compiled_from_bytes(files["compiled.pb"]).hash == hashes["slices"]
    again = tierfed.deserialize(files["program.pb"])
    assert again.node == tierfed.deserialize(tierfed.serialize(sys.modules["cc_mean"].mean)).node
    assert again([1.0, 2.0]) == 1.5


def test_a_file_is_written_whole(here: Run, folder: Path, program: Path) -> None:
    """What a file gets is what a pipe gets, and a line says where it is."""
    piped = here("compile", "cc_mean", "-t", "tree.yaml")[1]
    assert here("compile", "cc_mean", "-t", "tree.yaml", "-o", "mean.txt") == (0, "wrote mean.txt\n", "")
    assert (folder / "mean.txt").read_text() == piped
    assert here("compile", "cc_mean", "-t", "tree.yaml", "--form", "dot", "-o", ".", "--stage", "slices")[1] == (
        "wrote slices.dot, CLIENTS.dot, EDGE_AGGREGATORS.dot, SERVER.dot\n"
    )
    assert (folder / "CLIENTS.dot").read_text().count("subgraph") == 1


def test_the_document(here: Run, program: Path) -> None:
    """With --json one document has all of it: type, tiers, hashes, texts."""
    document = json.loads(here("compile", "cc_mean", "-t", "tree.yaml", "--json")[1])
    assert document["schema_version"] == 1 and document["status"] == "ok" and document["written"] == []
    assert (document["program"], document["type"]) == ("cc_mean:mean", "({float32}@CLIENTS -> float32@SERVER)")
    assert list(document["text"]) == ["compiled", "program", "CLIENTS", "EDGE_AGGREGATORS", "SERVER"]
    assert list(document["hashes"]["slice"]) == ["CLIENTS", "EDGE_AGGREGATORS", "SERVER"]
    assert document["text"]["CLIENTS"].startswith(f"CLIENTS  {document['hashes']['slice']['CLIENTS']}\n")


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("cc_mean:mean", "cc_mean:mean"),
        ("cc_mean", "cc_mean:mean"),
        ("cc_mean.py", "cc_mean:mean"),
        ("./cc_mean.py:mean", "cc_mean:mean"),
        ("cli_jobs:train", "cli_jobs:step"),
        ("cli_jobs", "cli_jobs:step"),  # its leaf is no program of its own
        (f"{Path(regions.__file__)}:step", STEP),
        (None, "cli_jobs:step"),  # the job of the topology
    ],
)
def test_ways_to_name_a_program(spec: str | None, found: str, here: Run, program: Path) -> None:
    """By module, by file, by job, and not at all where there is one only."""
    code, out, _ = here("compile", *([] if spec is None else [spec]), "-t", "tree.yaml", "--json")
    assert code == 0
    assert json.loads(out)["program"] == found


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nowhere:step", "-t", "tree.yaml"], "error: program nowhere:step: no module nowhere\n  to mend: install it"),
        (["cc_mean:maen", "-t", "tree.yaml"], "cc_mean has no maen; did you mean 'mean'?\n  to mend: it has: mean\n"),
        (["cc_mean:np", "-t", "tree.yaml"], "cc_mean:np is no computation, but a value of module\n"),
        (["cc_mean:", "-t", "tree.yaml"], "error: program: 'cc_mean:' names no program\n"),
        (["cli_jobs:raises", "-t", "tree.yaml"], "the job raises names no round\n  to mend: write @tierfed.job(round="),
        (["nowhere.py:step", "-t", "tree.yaml"], "error: nowhere.py: no such file\n"),
        (["cc_mean", "-t", "nowhere.yaml"], "nowhere.yaml: error: no such file\n"),
        (["cc_mean", "-t", "tree.yaml", "--tiers", "SERVER"], "-t and --tiers both say which tiers there are"),
        (["cc_mean", "--tiers", "SERVER,CLIENTS,SERVER"], "a placement stands twice"),
        (["cc_mean", "--tiers", "SERVER"], "no tier CLIENTS in the hierarchy SERVER\n  to mend: add CLIENTS"),
        (["--tiers", "SERVER,CLIENTS"], "no program: name one, as module:name or path/to/file.py:name\n"),
        (["cc_mean", "-t", "tree.yaml", "--stage", "sliced"], "'sliced' is not one of 'program', 'normalised',"),
        (["cc_mean", "-t", "tree.yaml", "-o", "no/such/file"], "-o no/such/file: no such file or directory\n"),
        (["cc_mean", "-t", "tree.yaml", "-o", "tree.yaml/"], "-o tree.yaml: file exists\n"),
        (["cc_mean", "-t", "tree.yaml", "--form", "protobuf", "--json"], "protobuf is bytes and --json has stdout"),
    ],
)
def test_what_is_wrong_is_exit_code_2(args: list[str], told: str, here: Run, program: Path) -> None:
    """What is wrong, on stderr, with what would mend it; nothing on stdout but a document that was asked for."""
    code, out, err = here("compile", *args)
    assert code == 2 and (out == "" or "--json" in args)
    assert told in err and err.count("error: ") == 1


def test_a_module_with_several_lists_them(here: Run, folder: Path) -> None:
    """Without a name the choice is the user's."""
    (folder / "cc_two.py").write_text(PROGRAM + "\n" + PROGRAM.partition("tierfed\n\n")[2].replace("mean", "sum"))
    code, _, err = here("compile", "cc_two", "-t", "tree.yaml")
    assert code == 2
    assert err == ("error: program cc_two: cc_two has 2 computations: mean, sum\n  to mend: name one: cc_two:mean\n")
    (folder / "cc_none.py").write_text("x = 1\n")
    code, _, err = here("compile", "cc_none", "-t", "tree.yaml")
    assert code == 2 and "cc_none: it has no computation\n  to mend: decorate one with @tierfed.feder" in err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PROGRAM + "x = (1,\n", "cc_bad.py:7: cc_bad raised SyntaxError: '(' was never closed\n"),
        (PROGRAM + "\n1 / 0  # the user's own\n", "  |     1 / 0  # the user's own\n"),
        (PROGRAM.replace("(readings)\n", "(readings.x)\n"), "cc_bad.py:6: "),
        ("import sys\nsys.exit(3)\n", "cc_bad raised SystemExit: 3\n"),
        ("import cc_lacking\n", "cc_bad raised ModuleNotFoundError: No module named 'cc_lacking'\n"),
    ],
)
def test_a_module_that_raises_shows_the_users_line(text: str, told: str, here: Run, folder: Path) -> None:
    """The user's own line, and none of ours or of the import system."""
    (folder / "cc_bad.py").write_text(text)
    code, out, err = here("compile", "cc_bad:mean", "-t", "tree.yaml")
    assert (code, out) == (2, "")
    assert told in err
    assert "importlib" not in err and "modules.py" not in err


def test_a_file_that_python_would_not_find(here: Run, folder: Path) -> None:
    """A file whose name another module has already is not quietly taken for that one."""
    (folder / "json.py").write_text(PROGRAM)
    code, _, err = here("compile", "json.py", "-t", "tree.yaml")
    assert code == 2 and "the module json is another file" in err and "rename yours" in err


def test_what_a_program_prints_is_no_part_of_it(here: Run, folder: Path) -> None:
    """A picture stays one, whatever the module says when it is imported."""
    (folder / "cc_talks.py").write_text(PROGRAM + "print('imported')\n")
    code, out, err = here("compile", "cc_talks", "-t", "tree.yaml", "--form", "dot")
    assert (code, err) == (0, "imported\n") and out.startswith('digraph "cc_talks:mean" {\n')


def test_on_a_narrow_terminal(folder: Path, program: Path) -> None:
    """Lines are folded to the terminal and long types cut; protobuf is refused there."""
    columns = {**environment(folder), "COLUMNS": "40", "TERM": "xterm"}

    def on_terminal(*args: str) -> tuple[int, list[str]]:
        ours, theirs = pty.openpty()
        one = subprocess.Popen(
            [sys.executable, "-P", "-m", "tierfed", "compile", *args],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=columns,
        )
        os.close(theirs)
        written = b""
        while part := _read(ours):
            written += part
        os.close(ours)
        assert one.stderr is not None
        lines = written.decode().splitlines() or one.stderr.read().decode().splitlines()
        one.stderr.close()
        return one.wait(), lines

    code, lines = on_terminal(STEP, "-t", THREE)
    assert code == 0 and all(len(line) <= 40 for line in lines)
    assert any("…" in line for line in lines) and not any("\033" in line for line in lines)
    code, lines = on_terminal("cc_mean", "-t", "tree.yaml", "--form", "protobuf")
    assert code == 2
    assert lines[0].endswith("protobuf is bytes and stdout is a terminal: write it to a file with -o, or into a pipe")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how a terminal says that nobody holds its other end any more
        return b""


def test_an_interruption(folder: Path, start: Callable[..., Command]) -> None:
    """Ctrl-C while a module is imported ends the command, with the code for it."""
    (folder / "cc_waits.py").write_text("import signal, sys\nprint('here', flush=True)\nsignal.pause()\n")
    one = start("compile", "cc_waits", "-t", "tree.yaml", "--json")
    assert one.stderr is not None
    assert one.stderr.readline() == "here\n"
    one.send_signal(signal.SIGINT)
    out, err = one.communicate(timeout=20)
    assert (one.returncode, err) == (130, "interrupted\n")
    assert json.loads(out)["status"] == "interrupted"


def rewrite() -> None:
    """Write the golden files again."""
    for name, args in CASES.items():
        told = subprocess.run(
            [sys.executable, "-m", "tierfed", "compile", STEP, "-t", THREE, *args],
            capture_output=True,
            text=True,
            check=True,
        )
        (GOLDEN / name).write_text(masked(told.stdout))


if __name__ == "__main__":
    rewrite()
