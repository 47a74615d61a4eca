"""Origin: `origin.json` in a run's folder, what it was made by and what would make it again.

    {"schema_version": 1, "created": "2025-01-31T12:00:00Z", "folder": "/home/me/demo", "clock": "virtual",
     "versions": {"tierfed": "0.1.0", "python": "3.11.2", "numpy": "2.1.0"}, "machine": "Linux x86_64, 8 cores",
     "commands": [["tierfed", "simulate", "three_tier.yaml", "--set", "seed=3"]]}

A tree that is brought up by one command and used by others has them all, in their order.  A program's own command is
that program's; code without a file, such as a notebook's cell, has none.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tierfed._version import __version__

NAME = "origin.json"
SCHEMA_VERSION = 1
_TIERFED = ("tierfed", "tierfed.exe")
_OURS = Path(__file__).parent.parent / "__main__.py"


def write(run_dir: Path, *, virtual: bool) -> None:
    """Write down what makes the run in `run_dir`."""
    plain = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "folder": os.getcwd(),
        "clock": "virtual" if virtual else "real",
        "versions": {"tierfed": __version__, "python": platform.python_version(), "numpy": np.__version__},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "commands": [told] if (told := command(sys.argv, sys.orig_argv)) else [],
    }
    (run_dir / NAME).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def virtual(run_dir: Path) -> bool:
    """Return whether the run in `run_dir` says that its clock was a virtual one."""
    try:
        plain = json.loads((run_dir / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(plain, dict) and plain.get("clock") == "virtual"


def add(run_dir: Path) -> None:
    """Write down that this command, too, uses the tree of `run_dir`."""
    told = command(sys.argv, sys.orig_argv)
    with contextlib.suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
        plain = json.loads((run_dir / NAME).read_text(encoding="utf-8"))
        if told and told not in plain["commands"]:
            plain["commands"].append(told)
            (run_dir / NAME).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def command(argv: Sequence[str], whole: Sequence[str]) -> list[str]:
    """Return the command that was given, from `sys.argv` and `sys.orig_argv`; none for code without a file."""
    program = Path(argv[0]) if argv and argv[0] else None
    if program is None or program.name in ("-c", "ipykernel_launcher.py", "colab_kernel_launcher.py"):
        return []
    if program.name in _TIERFED or program == _OURS:
        return ["tierfed", *argv[1:]]
    return ["python", *whole[1:]]
