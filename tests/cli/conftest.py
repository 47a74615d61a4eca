"""A folder with a topology and jobs, the command in it, and a look at what it has left behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tierfed.cli import commands

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))  # for the modules that stand beside the tests

from cli_command import TREE, Command, environment, left_over


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: `tree.yaml`, `cli_jobs.py`, and their runs."""
    (tmp_path / "tree.yaml").write_text(TREE)
    shutil.copy(Path(__file__).parent / "cli_jobs.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIERFED_HOME", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Command]]:
    """Start commands in the folder with `start("up", "tree.yaml")`; nothing of them is left when the test ends."""
    started: list[Command] = []

    def begin(*args: str) -> Command:
        started.append(
            subprocess.Popen(
                [sys.executable, "-P", "-m", "tierfed", *args],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                cwd=folder,
                env=environment(folder),
            )
        )
        return started[-1]

    yield begin
    for one in started:
        one.kill()
        one.communicate()
    assert left_over(folder) == {}


@pytest.fixture
def tierfed(start: Callable[..., Command]) -> Callable[..., tuple[int, str, str]]:
    """Run a command to its end: `tierfed("ps")` is its exit code, stdout and stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        command = start(*args)
        out, err = command.communicate(timeout=60)
        return command.returncode, out, err

    return run


@pytest.fixture
def here(folder: Path) -> Callable[..., tuple[int, str, str]]:
    """Run a command within this process, in the user's folder."""

    def run(*args: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(commands, args)
        return result.exit_code, result.stdout, result.stderr

    return run
