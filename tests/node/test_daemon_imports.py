"""What a daemon's process, and an import of the package alone, may bring in."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("networkx", "ruamel", "pydantic", "rich", "click", "matplotlib")


def loaded(statement: str, names: tuple[str, ...]) -> list[str]:
    """Return which of `names` a fresh interpreter has loaded after `statement`."""
    code = f"import sys; {statement}; print(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_daemon_imports_nothing_heavy() -> None:
    """A node's process has no graph library, no validation, no YAML, no terminal and no plots."""
    assert loaded("import tierfed.node.daemon", HEAVY) == []


def test_the_package_alone_imports_no_numpy() -> None:
    """`import tierfed` loads what is used when it is used."""
    assert loaded("import tierfed", ("numpy", *HEAVY)) == []


@pytest.mark.parametrize("name", ["numpy", "click"])
def test_what_is_loaded_is_seen(name: str) -> None:
    """The probe does see a library that a statement loads."""
    assert loaded(f"import {name}", ("numpy", *HEAVY)) == [name]
