"""examples/tierfed-blosc2, installed as a user installs it: listed, in chains, on a link, its own tests passed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tierfed-blosc2"
TREE = """\
apiVersion: tierfed/v1
kind: Topology
name: shuffled
placements:
  SERVER:
  CLIENTS: {parent: SERVER, count: 2, codec: {up: "int8+blosc2(typesize=1)"}}
job: {program: "tierfed.learning.fedavg:train", data: {dataset: fashion-mnist-6k}}
"""
ROUND_TRIP = """\
import numpy as np
from tierfed.codecs import codec
from tierfed.types import TensorType

chain = codec("none+blosc2")
x = np.linspace(-1, 1, 5003, dtype=np.float32)
data = chain.encode(x)
back = chain.decode(data, TensorType("float32", x.shape))
print(chain, len(data) < x.nbytes, back.tobytes() == x.tobytes(), chain.lossy)
"""

pytest.importorskip("blosc2")  # of the extra `dev`

Run = Callable[..., str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python where the package is installed: `installed("-m", "tierfed", "codecs")` is its stdout."""
    folder = tmp_path_factory.mktemp("blosc2")
    shutil.copytree(EXAMPLE, folder / "source")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("TIERFED_", "_TIERFED_"))}

    def run(*args: str, path: str = str(ROOT)) -> str:
        ran = subprocess.run(
            [sys.executable, *args],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
            cwd=folder,
            env={**plain, "PYTHONPATH": path},
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    alone = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    run("-m", "pip", "install", *alone, "--target", str(folder / "site"), str(folder / "source"), path="")
    return lambda *args: run(*args, path=f"{folder / 'site'}{os.pathsep}{ROOT}")


def test_it_is_listed_with_the_package_that_it_is_of(installed: Run) -> None:
    """Behind ours, with what it declares, its options and its source."""
    stages = json.loads(installed("-m", "tierfed", "codecs", "--json"))
    assert stages["broken"] == []
    one = stages["codecs"][-1]
    assert (one["name"], one["kind"], one["package"]) == ("blosc2", "bytes → bytes", "tierfed-blosc2 0.1.0")
    assert one["options"] == {"typesize": 4, "level": 5, "codec": "zstd"}
    assert one["about"].startswith("the bytes of elements sorted by") and "c-blosc2" in one["source"]
    assert {stage["package"] for stage in stages["codecs"][:-1]} == {None}


def test_it_takes_part_in_chains(installed: Run) -> None:
    """What comes back is what was written, in fewer bytes."""
    assert installed("-c", ROUND_TRIP) == "none+blosc2 True True False\n"


def test_a_link_may_name_it(installed: Run, tmp_path: Path) -> None:
    """A topology with it on a link is right, its program and its codec held against each other."""
    (tmp_path / "tree.yaml").write_text(TREE)
    told = installed("-m", "tierfed", "validate", str(tmp_path / "tree.yaml"))
    assert told == f"{tmp_path / 'tree.yaml'}: ok · 3 nodes · 2 tiers · job tierfed.learning.fedavg:train\n"


def test_its_own_tests_pass(installed: Run) -> None:
    """Bombs and damaged headers among them."""
    assert " passed" in installed("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "source/tests")
