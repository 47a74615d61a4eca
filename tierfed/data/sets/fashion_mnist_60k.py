"""Fashion-MNIST, all of it: 60,000 and 10,000 images of clothes, from Debian's `dataset-fashion-mnist`.

    00 00 08 03  00 00 ea 60  00 00 00 1c  00 00 00 1c  …      IDX: uint8 of rank 3, 60000 x 28 x 28, and the bytes

The parts are the publishers', in their order, with what they have twice.  `fashion-mnist-6k` is drawn from these.

Source: Xiao et al. 2017, arXiv:1708.07747; IDX: LeCun's description of MNIST's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tierfed.data.recipe import Recipe, Source
from tierfed.data.unpack import gunzipped
from tierfed.errors import DataError

_FOLDER = "usr/share/datasets/fashion-mnist/"
_STEMS = {"train": "train", "test": "t10k"}
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def convert(files: Mapping[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the two parts; raises DataError for files that are no IDX of bytes."""
    made = {}
    for part, stem in _STEMS.items():
        images = _idx(files, f"{_FOLDER}{stem}-images-idx3-ubyte.gz", 3)
        made[f"{part}_x"] = images.reshape(len(images), -1)
        made[f"{part}_y"] = _idx(files, f"{_FOLDER}{stem}-labels-idx1-ubyte.gz", 1)
    return made


def _idx(files: Mapping[str, bytes], name: str, rank: int) -> np.ndarray[Any, Any]:
    data = gunzipped(files.get(name, b""))
    start = 4 + 4 * rank
    if data[:4] != bytes((0, 0, 8, rank)) or len(data) < start:
        raise DataError(f"it is no IDX of bytes of rank {rank}", where=name)
    shape = [int(n) for n in np.frombuffer(data, ">u4", rank, 4)]
    if len(data) - start != np.prod(shape):
        raise DataError(f"it has {len(data) - start} bytes for the shape {shape}", where=name)
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


RECIPE = Recipe(
    name="fashion-mnist-60k",
    title="clothes in ten kinds, 28x28",
    licence="MIT",
    source=Source("apt-get", "dataset-fashion-mnist", 30_900_652),
    files=(f"{_FOLDER}*-ubyte.gz",),
    notice="usr/share/doc/dataset-fashion-mnist/copyright",
    type="<x=float32[?,784],y=int32[?]>",
    train=60_000,
    test=10_000,
    digest="47dfa64ba721dcdab1602a6762e557f743f2f70a6657f5fd30e463930deb0490",
    convert=convert,
    classes=CLASSES,
)
