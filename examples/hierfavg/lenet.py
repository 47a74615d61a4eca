"""The convolutional network of the paper's MNIST experiments in numpy: 21,840 parameters.

    28×28 ─ conv 5×5 ─▶ 10×24×24 ─ max 2×2, relu ─▶ 10×12×12 ─ conv 5×5 ─▶ 20×8×8 ─ max 2×2, relu ─▶ 320 ─▶ 50 ─▶ 10

    k1 250 + b1 10 + k2 5,000 + b2 20 + w3 16,000 + b3 50 + w4 500 + b4 10 = 21,840

Images of a batch are the last axis, so that a convolution is one matrix product with columns that are copied in runs
of a row of the image times the batch.  Going back, a maximum gives all of its slope to one of its four pixels: on an
empty background all four are equal.  Bias and `relu` after the maximum are those before it, at a quarter of the work.
What is no matrix product is in `lenet_loops.py`, compiled where numba is installed.

`descend` is a function of its arguments, seed included: the same bits in any process whose BLAS has one thread.

Source: Liu et al. 2020, arXiv:1905.06641, section IV (the size); LeCun et al. 1998, *Gradient-based learning applied
to document recognition* (the kind).  Theirs has dropout at two places, which this one has not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import lenet_loops
import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Model: TypeAlias = dict[str, Array]

pooled, unpooled, spread = lenet_loops.FAST or lenet_loops.SLOW

SHAPES = {
    "k1": (10, 25),
    "b1": (10,),
    "k2": (20, 250),
    "b2": (20,),
    "w3": (50, 320),
    "b3": (50,),
    "w4": (10, 50),
    "b4": (10,),
}


def initial_model(seed: int | Sequence[int]) -> Model:
    """Return a model to start from: uniform in ±1/√inputs, weights and biases, as PyTorch draws them."""
    rng = np.random.default_rng(seed)
    inputs = {"1": 25, "2": 250, "3": 320, "4": 50}
    return {
        name: rng.uniform(-(inputs[name[1]] ** -0.5), inputs[name[1]] ** -0.5, shape).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def columns(maps: Array) -> Array:
    """Return what a 5×5 convolution multiplies: [channels, height, width, images] as [channels·25, pixels·images]."""
    channels, height, width, images = maps.shape
    c, y, x, i = maps.strides
    shape = channels, 5, 5, height - 4, width - 4, images
    copies: Array = np.ndarray(shape, maps.dtype, maps, strides=(c, y, x, y, x, i))
    return copies.reshape(channels * 25, -1)


def log_chances(scores: Array) -> Array:
    """Return the logarithms of the classes' probabilities, one column an image; no score overflows."""
    shifted = scores - scores.max(0)
    normalised: Array = shifted - np.log(np.exp(shifted).sum(0))
    return normalised


def forward(model: Model, x: Array) -> tuple[Array, ...]:
    """Return the scores of the images `x`, [images, 784], one column an image, and what the way back needs."""
    images = len(x)
    first = columns(np.ascontiguousarray(x.T).reshape(1, 28, 28, images))
    one, which_one = pooled((model["k1"] @ first).reshape(10, 24, 24, images), model["b1"])
    second = columns(one)
    two, which_two = pooled((model["k2"] @ second).reshape(20, 8, 8, images), model["b2"])
    third = two.reshape(320, images)
    hidden = model["w3"] @ third
    hidden += model["b3"][:, None]
    np.maximum(hidden, 0, out=hidden)
    return model["w4"] @ hidden + model["b4"][:, None], first, which_one, second, which_two, third, hidden


def gradient(model: Model, x: Array, y: Array, out: Model | None = None) -> Model:
    """Return the gradient of the mean loss, by the eight parts of the model; in `out` if given."""
    out = {name: np.empty_like(part) for name, part in model.items()} if out is None else out
    scores, first, which_one, second, which_two, third, hidden = forward(model, x)
    images = len(y)
    back = np.exp(log_chances(scores))  # the loss by the scores, times the images
    back[y, np.arange(images)] -= 1
    back /= images
    deeper = model["w4"].T @ back
    deeper *= hidden > 0
    np.matmul(back, hidden.T, out=out["w4"])
    np.add.reduce(back, 1, out=out["b4"])
    np.matmul(deeper, third.T, out=out["w3"])
    np.add.reduce(deeper, 1, out=out["b3"])
    maps = unpooled((model["w3"].T @ deeper).reshape(20, 4, 4, images), which_two).reshape(20, -1)
    out["k2"][...] = (second @ maps.T).T  # faster than maps @ second.T
    np.add.reduce(maps, 1, out=out["b2"])
    maps = unpooled(spread(model["k2"].T @ maps, (10, 12, 12, images)), which_one).reshape(10, -1)
    np.matmul(maps, first.T, out=out["k1"])
    np.add.reduce(maps, 1, out=out["b1"])
    return out


def whole(parts: Model | None = None) -> tuple[Array, Model]:
    """Return one vector for all parameters, and the parts that it consists of; filled with `parts` if given."""
    vector = np.empty(sum(map(math.prod, SHAPES.values())), np.float32)
    ends = np.cumsum([math.prod(shape) for shape in SHAPES.values()])
    views = {n: v.reshape(s) for (n, s), v in zip(SHAPES.items(), np.split(vector, ends[:-1]), strict=True)}
    for name, part in (parts or {}).items():
        views[name][...] = part
    return vector, views


def descend(model: Model, x: Array, y: Array, *, steps: int, lr: float, batch: int, seed: Sequence[int]) -> Model:
    """Return `model` after so many steps of plain gradient descent on batches of `x`; `model` stays as it is.

    Batches are runs of a shuffled order; when it is used up there is another.
    """
    vector, new = whole(model)
    slope, slopes = whole()
    rng, rate = np.random.default_rng(seed), np.float32(lr)
    per_pass = len(y) // batch
    for step in range(steps):
        if step % per_pass == 0:
            order = rng.permutation(len(y))
        at = step % per_pass * batch
        rows = order[at : at + batch]
        gradient(new, x[rows], y[rows], slopes)
        slope *= rate
        vector -= slope
    return new


def score(model: Model, x: Array, y: Array) -> tuple[int, float]:
    """Return how many of the images are put into their class, and the sum of their losses."""
    right, lost = 0, 0.0
    for start in range(0, len(y), 100):
        chances = log_chances(forward(model, x[start : start + 100])[0])
        labels = y[start : start + 100]
        right += int((chances.argmax(0) == labels).sum())
        lost -= float(chances[labels, np.arange(len(labels))].sum(dtype=np.float64))
    return right, lost
