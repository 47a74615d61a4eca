"""What a daemon's transport may bring into its process."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ["click", "ml_dtypes", "networkx", "pydantic", "rich", "ruamel", "tensorflow", "uvloop"]


def test_the_transport_imports_nothing_heavy():
    """A zygote that imports it stays small: no graph library, no validation, no terminal."""
    code = (
        "import sys, tierfed.node.transport, tierfed.node.memory_transport, tierfed.node.receive_buffers;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
