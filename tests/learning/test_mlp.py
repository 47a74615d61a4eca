"""The perceptron: its gradient against finite differences, its training against what must not happen."""

import numpy as np
import pytest

from tierfed.learning import mlp

RNG = np.random.default_rng(1)
X = RNG.random((24, 784), np.float32)
Y = RNG.integers(0, 10, 24).astype(np.int32)
MODEL = mlp.initial_model(3)


def loss64(model: mlp.Model, x: mlp.Array, y: mlp.Array) -> float:
    """The mean cross entropy, written out once more, in float64."""
    wide = {name: part.astype(np.float64) for name, part in model.items()}
    scores = np.maximum(x.astype(np.float64) @ wide["w1"] + wide["b1"], 0) @ wide["w2"] + wide["b2"]
    return float(np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(scores, y, strict=True)]))


@pytest.mark.parametrize("part", ["w1", "b1", "w2", "b2"])
def test_the_gradient_is_that_of_the_loss(part: str) -> None:
    """Central differences in float64 along random directions of each part, relu's corners being avoided."""
    model = {**MODEL, "b1": RNG.normal(size=64).astype(np.float32), "b2": RNG.normal(size=10).astype(np.float32)}
    slope = mlp.gradient(model, X, Y)[part]
    for _ in range(5):
        along = RNG.normal(size=slope.shape)
        along /= np.linalg.norm(along)
        ahead, behind = ({**model, part: model[part].astype(np.float64) + s * along} for s in (1e-5, -1e-5))
        measured = (loss64(ahead, X, Y) - loss64(behind, X, Y)) / 2e-5
        assert np.sum(slope * along) == pytest.approx(measured, rel=2e-3, abs=2e-5)


def test_the_score_counts_and_adds_up() -> None:
    """The sum of the losses is the mean's times the images; the count is that of the largest scores."""
    correct, loss = mlp.score(MODEL, X, Y)
    assert loss / len(Y) == pytest.approx(loss64(MODEL, X, Y), rel=1e-5)
    chosen = [int(np.argmax(mlp.forward(MODEL, row[None])[1])) for row in X]
    assert correct == sum(c == y for c, y in zip(chosen, Y, strict=True))


def test_scores_beyond_float32s_exponent_lose_nothing() -> None:
    """Softmax of 1e4 and -1e4 is one and zero, without a warning."""
    chances = mlp.log_softmax(np.array([[1e4, 0, -1e4]], np.float32))
    assert chances.tolist() == [[0, -1e4, -2e4]]


def test_training_learns_the_examples_by_heart() -> None:
    """Twenty-four random images: all wrong or nearly so before, all right after."""
    after = mlp.sgd(MODEL, X, Y, lr=0.1, epochs=150, batch=8, seed=0)
    assert mlp.score(MODEL, X, Y)[0] < 8
    assert mlp.score(after, X, Y)[0] == 24


def test_training_leaves_its_arguments_alone() -> None:
    """The model and the examples that a leaf is given belong to others."""
    model, x, y = {name: part.copy() for name, part in MODEL.items()}, X.copy(), Y.copy()
    for array in (*model.values(), x, y):
        array.setflags(write=False)
    after = mlp.sgd(model, x, y, lr=0.1, epochs=1, batch=5, seed=0)
    assert not any(np.shares_memory(after[name], model[name]) for name in model)


def test_training_is_a_function_of_its_seed() -> None:
    """The same seed gives the same bits, another round's or member's does not."""
    first, again, round_, member = (
        mlp.sgd(MODEL, X, Y, lr=0.1, epochs=2, batch=5, seed=seed)["w1"] for seed in ((7, 1), (7, 1), (7, 2), (8, 1))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, round_) and not np.array_equal(first, member)


def test_one_batch_of_everything_is_one_step_down_the_gradient() -> None:
    """sgd with a single batch is model - lr * gradient, up to the order of the images."""
    slopes = mlp.gradient(MODEL, X, Y)
    after = mlp.sgd(MODEL, X, Y, lr=0.5, epochs=1, batch=100, seed=0)
    for name, part in MODEL.items():
        np.testing.assert_allclose(after[name], part - np.float32(0.5) * slopes[name], atol=1e-6)
        assert after[name].dtype == np.float32


def test_every_example_is_seen_in_every_pass() -> None:
    """Also those of the last, smaller batch: 24 images in batches of 5, each image's own input unit is moved."""
    x = np.zeros((24, 784), np.float32)
    x[np.arange(24), np.arange(24)] = 1
    moved = (mlp.sgd(MODEL, x, Y, lr=0.1, epochs=1, batch=5, seed=0)["w1"] != MODEL["w1"]).any(1)
    assert moved[:24].all() and not moved[24:].any()


def test_models_to_start_from_are_reproducible_and_of_hes_spread() -> None:
    """Seeds decide, and the weights' variance is 2 / inputs."""
    assert np.array_equal(mlp.initial_model(3)["w1"], MODEL["w1"])
    assert not np.array_equal(mlp.initial_model(4)["w1"], MODEL["w1"])
    assert MODEL["w1"].std() == pytest.approx((2 / 784) ** 0.5, rel=0.02)
    assert not MODEL["b1"].any() and MODEL["w2"].dtype == np.float32
