"""Trees of real processes; however a test ends, nothing of them is left, and their histories hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_gate import Gate
from fault_trees import Brought, bring_up


@pytest.fixture(scope="module")
def fault_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of runs of the module's own, and the entries of the tests where a zygote finds them."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIERFED_HOME", str(home))
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        for name in ("TIERFED_RUN", "TIERFED_LOG", "TIERFED_LEAF_THREADS"):
            patch.delenv(name, raising=False)
        yield home


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Where leaves wait until the test says what becomes of them."""
    with Gate() as gate:
        yield gate


@pytest.fixture
def brought(fault_home: Path) -> Iterator[Callable[..., Brought]]:
    """Bring up trees with `brought(topology)`; each is down, without a trace, when the test ends."""
    up: list[Brought] = []

    def bring(*args: object, **settings: object) -> Brought:
        up.append(bring_up(*args, **settings))
        return up[-1]

    yield bring
    for one in up:
        one.end()
