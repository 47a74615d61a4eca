"""A perceptron with one hidden layer, in numpy: 784 inputs, 64 hidden units, 10 classes.

    MODEL     <w1=float32[784,64],b1=float32[64],w2=float32[64,10],b2=float32[10]>

    hidden = relu(x w1 + b1),  scores = hidden w2 + b2,  loss = mean of -log softmax(scores)[y]

Everything is float32 and a function of its arguments: `sgd` shuffles with the seed that it is
given, so a local update is the same wherever and whenever it is computed.

Source: the 2NN of McMahan et al. 2017, arXiv:1602.05629, with one hidden layer instead of two;
initial weights of He et al. 2015, arXiv:1502.01852.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Model: TypeAlias = "Mapping[str, Array]"
Seed: TypeAlias = "int | Sequence[int]"
Correction: TypeAlias = "Callable[[Model], Model]"  # of the weights of a moment: what is added to the gradient there

PIXELS, HIDDEN, CLASSES = 784, 64, 10


def initial_model(seed: int) -> dict[str, Array]:
    """Return a model to start from: He's normal weights, zero biases."""
    rng = np.random.default_rng(seed)
    return {
        "w1": _normal(rng, PIXELS, HIDDEN),
        "b1": np.zeros(HIDDEN, np.float32),
        "w2": _normal(rng, HIDDEN, CLASSES),
        "b2": np.zeros(CLASSES, np.float32),
    }


def _normal(rng: np.random.Generator, inputs: int, outputs: int) -> Array:
    return rng.standard_normal((inputs, outputs), np.float32) * np.float32(np.sqrt(2 / inputs))


def forward(model: Model, x: Array) -> tuple[Array, Array]:
    """Return the hidden activations and the scores of `x`, one row an image."""
    hidden = x @ model["w1"]
    hidden += model["b1"]
    np.maximum(hidden, 0, out=hidden)
    return hidden, hidden @ model["w2"] + model["b2"]


def log_softmax(scores: Array) -> Array:
    """Return the logarithms of the classes' probabilities; no score overflows."""
    shifted = scores - scores.max(1, keepdims=True)
    normalised: Array = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return normalised


def gradient(model: Model, x: Array, y: Array) -> dict[str, Array]:
    """Return the gradient of the mean loss by the four parts of the model."""
    hidden, scores = forward(model, x)
    back = np.exp(log_softmax(scores))  # the loss by the scores, times the batch's size
    back[np.arange(len(y)), y] -= 1
    back /= np.float32(len(y))
    deeper = back @ model["w2"].T
    deeper *= hidden > 0
    return {"w1": x.T @ deeper, "b1": deeper.sum(0), "w2": hidden.T @ back, "b2": back.sum(0)}


def sgd(
    model: Model,
    x: Array,
    y: Array,
    *,
    lr: float,
    epochs: int,
    batch: int,
    seed: Seed,
    correction: Correction | None = None,
) -> dict[str, Array]:
    """Return `model` after `epochs` passes of minibatch gradient descent; `model` itself is left as it is.

    The last batch of a pass is what is left, and may be smaller.  What `correction` gives for the
    weights of a step is added to its gradient: algorithms differ by it.
    """
    new = {name: part.copy() for name, part in model.items()}
    rng, step = np.random.default_rng(seed), np.float32(lr)
    for _ in range(epochs):
        order = rng.permutation(len(y))
        x, y = x[order], y[order]
        for start in range(0, len(y), batch):
            slopes = gradient(new, x[start : start + batch], y[start : start + batch])
            more = {} if correction is None else correction(new)
            for name, part in more.items():
                slopes[name] += part
            for name, part in new.items():
                part -= np.multiply(slopes[name], step, out=slopes[name])
    return new


def each_score(model: Model, x: Array, y: Array) -> tuple[Array, Array]:
    """Return whether the model puts each image of `x` into its class, and its loss on each."""
    chances = log_softmax(forward(model, x)[1])
    return chances.argmax(1) == y, -chances[np.arange(len(y)), y]


def score(model: Model, x: Array, y: Array) -> tuple[int, float]:
    """Return how many of the images `x` the model puts into their class, and the sum of its losses on them."""
    right, losses = each_score(model, x, y)
    return int(right.sum()), float(losses.sum(dtype=np.float64))
