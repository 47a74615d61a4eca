"""A whole run on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from cli_command import environment, left_over
from terminal_screen import screen


def test_a_run_on_a_narrow_terminal(folder: Path) -> None:
    """The tree is drawn while it runs and gone at the end; what the job prints has a line of its own; it all fits."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    settings = {**environment(folder), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        settings.pop(name, None)
    command = subprocess.Popen(
        [sys.executable, "-P", "-m", "tierfed", "up", "tree.yaml", "--set", "job.params.bad=1"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=settings,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # how a terminal says that nobody holds its other end any more
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert command.wait() == 0
    text = written.decode()
    assert "\033[2K" in text and ("collecting" in text or "waiting" in text)
    lines = screen(text)
    told = [line for line in lines if not line.startswith("  | ")]
    assert [re.sub(r"\d+\.\d+ s\b|\d+ s\b", "T", line) for line in told[:3]] == [
        "✓ SERVER 1/1  ✓ EDGE_AGGREGATORS 2/2",
        "  ✓ CLIENTS 4/4  ready in T",
        "the job prints this",
    ]
    assert sum(line.startswith("⚠ lost c-1: ") for line in told) == 1
    assert any(line.startswith("✓ 2 rounds in ") for line in told)
    assert told[-1].startswith("  .tierfed/runs/")
    assert all(len(line) <= 40 for line in told)
    assert left_over(folder) == {}
