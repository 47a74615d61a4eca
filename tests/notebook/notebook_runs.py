"""Execute a notebook in a kernel of its own: `executed(NOTEBOOK, FOLDER)["said"]["cell id"]`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def executed(notebook: Path, folder: Path, seconds: int = 90) -> dict[str, Any]:
    """Run `notebook` in `folder`, within so many seconds; see run_notebook.py for what is returned."""
    script = Path(__file__).with_name("run_notebook.py")
    given = {k: v for k, v in os.environ.items() if k not in ("TIERFED_HOME", "NO_COLOR")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, notebook, folder, str(seconds)],
        env={**given, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=seconds + 20,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
