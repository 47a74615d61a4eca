"""The command as the tests start it, and a scan of /proc that shares nothing with the code under test."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path

Command = subprocess.Popen[str]

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds until a test gives up; none waits that long when all is well

TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: small
placements:
  SERVER:
  EDGE_AGGREGATORS:
    parent: SERVER
    per_parent: 2
    colocate: 2
    collect: {quorum: 50%}
    codec: {up: bf16}
    name: "edge-{i}"
  CLIENTS:
    parent: EDGE_AGGREGATORS
    per_parent: 2
    colocate: 4
    codec: {up: int8}
    name: "c-{n}"
job: {program: "cli_jobs:train", params: {rounds: 2}}
"""


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command: runs in `folder`, and nothing that colours its output."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TIERFED_", "_TIERFED_"))}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "TIERFED_HOME": str(folder / ".tierfed")}


def marked(folder: Path, home: str = ".tierfed") -> dict[int, str]:
    """Return the processes of runs in `folder`: pid -> command line, zombies left out."""
    wanted = f"TIERFED_HOME={folder / home}".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if wanted in variables and command:
            found[int(process.name)] = command.decode().replace("\0", " ")
    return found


def left_over(folder: Path, home: str = ".tierfed") -> dict[int, str]:
    """Wait until no process of a run in `folder` is left, and return those that will not go."""
    until = time.monotonic() + PATIENCE
    while (found := marked(folder, home)) and time.monotonic() < until:
        _wait_gone(next(iter(found)), until - time.monotonic())
    return found


def _wait_gone(pid: int, seconds: float) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([fd], [], [], max(0.0, seconds))
    finally:
        os.close(fd)


def read_until(command: Command, text: str) -> list[str]:
    """Return the lines of a command's stdout up to the first with `text` in it."""
    lines: list[str] = []
    assert command.stdout is not None
    for line in command.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"it never said {text!r}: {''.join(lines)}")
