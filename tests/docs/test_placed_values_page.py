"""The listing of docs/placed-values.md, run as a script on a tree of daemons, prints what its comments say."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_listing_prints_what_it_says(tmp_path: Path) -> None:
    """Each print has its output beside it."""
    page = (ROOT / "docs" / "placed-values.md").read_text("utf-8")
    match = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert match is not None
    (tmp_path / "listing.py").write_text(match[1])
    said = re.findall(r"print\(.*\) +# ([^:\n]*)", match[1])
    assert len(said) == 3
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TIERFED_HOME": str(tmp_path / "runs")}
    command = [sys.executable, "-P", str(tmp_path / "listing.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == said
