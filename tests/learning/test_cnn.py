"""The Keras network: its gradient steps, and its job on a tree of forked daemons."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is the extra [tf]", allow_module_level=True)

from cli_command import environment, left_over

from tierfed.leaves import tf as tf_leaves

REPOSITORY = Path(__file__).parents[2]
HYPER = {"lr": 0.1, "epochs": 2, "batch": 4}


@pytest.fixture
def cnn(monkeypatch):
    """The module; its leaves are none of later tests' trees, which would import TensorFlow for them."""
    monkeypatch.setattr(tf_leaves, "_made", False)
    from tierfed.learning import cnn

    return cnn


def images(n):
    rng = np.random.default_rng(n)
    return {"x": rng.random((n, 784), np.float32), "y": rng.integers(0, 10, n, np.int32)}


def test_a_model_to_start_from(cnn):
    """Kernels have He's spread, biases are zero, and a seed gives one model."""
    model, again, other = cnn.initial(3), cnn.initial(3), cnn.initial(4)
    assert all(model[name].tobytes() == again[name].tobytes() for name in model)
    assert not np.array_equal(model["k1"], other["k1"])
    assert [float(model[b].any()) for b in ("b1", "b2", "b3")] == [0, 0, 0]
    assert np.std(model["k3"]) == pytest.approx((2 / 784) ** 0.5, rel=0.05)


def test_a_step_goes_down_the_slope(cnn):
    """The change of one step of the whole batch, divided by -lr, is the slope: as finite differences have it."""
    model, data = cnn.initial(1), images(6)
    member = {"index": 0, "seed": 2**64 - 1}
    change, examples = cnn.local_update(model, data, member, {"lr": 0.5, "epochs": 1, "batch": 6}, 0)
    assert examples == 6
    for name, at in (("k1", (1, 1, 0, 2)), ("k2", (0, 2, 3, 5)), ("k3", (100, 7)), ("b3", (2,))):
        lost = []
        for nudge in (-1e-2, 1e-2):
            nudged = {part: value.copy() for part, value in model.items()}
            nudged[name][at] += nudge
            lost.append(float(cnn.score(nudged, data)["loss"]))
        assert change[name][at] / -0.5 == pytest.approx((lost[1] - lost[0]) / 2e-2, abs=2e-4, rel=0.02), name


def test_an_update_is_a_function_of_its_arguments(cnn):
    """The same member and round give the same bits; another round, or another member, another order."""
    model, data = cnn.initial(1), images(30)

    def update(seed, number):
        return cnn.local_update(model, data, {"index": 0, "seed": seed}, HYPER, number)[0]["k2"].tobytes()

    assert update(5, 1) == update(5, 1)
    assert len({update(5, 1), update(5, 2), update(6, 1)}) == 3


@pytest.mark.slow
def test_the_shipped_job_learns_on_forked_daemons_and_nothing_is_left(tmp_path):
    """Five rounds of topologies/three_tier_tf.yaml pass .7 on forked processes, and every process ends."""
    file = REPOSITORY / "topologies" / "three_tier_tf.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "tierfed", "up", str(file), "--set", "job.params.rounds=5", "--json"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "absl" not in done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["lost"], found["rounds"]) == ("ok", [], 5)
    assert found["metrics"]["accuracy"] > 0.7
    assert left_over(tmp_path) == {}
