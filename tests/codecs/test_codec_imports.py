"""What a process pays for codecs that it does not use: nothing."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ["zstandard", "ml_dtypes", "numba", "importlib.metadata", "tierfed.ir", "tierfed.wire"]


def loaded_after(program: str) -> list[str]:
    """Return which of HEAVY a fresh interpreter has imported after `program`."""
    shown = f"{program}\nimport sys\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout.split()


def test_codecs_of_numpy_import_numpy_alone():
    """Building every codec, and coding float32 with those that need no library, imports none."""
    assert (
        loaded_after(
            "import numpy as np\n"
            "from tierfed.codecs import TABLE, codec\n"
            "from tierfed.types import TensorType\n"
            "x = np.ones(300, np.float32)\n"
            "for spec in [n for n in TABLE if n not in ('zstd', 'auto', 'error_feedback')]:\n"
            "    codec(spec + '+zstd').most_bytes(300, 'bfloat16')\n"
            "    codec(spec).decode(codec(spec).encode(x), TensorType('float32', (300,)))\n"
        )
        == []
    )


def test_zstd_imports_its_library_when_it_is_used():
    """The library comes with the first frame."""
    assert loaded_after("from tierfed.codecs import codec\ncodec('zstd').encode([1.0])") == ["zstandard"]
