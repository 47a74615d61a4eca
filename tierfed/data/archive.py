"""The data sets that come with TierFed, each one archive beside this file.

| name | `train` | `test` | licence |
|---|---|---|---|
| `fashion-mnist-6k` | a share of 6,000 images, 600 a class | all of 1,000 others, 100 a class | MIT |

Images arrive as float32[?,784] in [0, 1], row by row, labels as int32[?].  They are kept as
bytes and loaded once a process; load them before a fork (`before_fork`) and the children share the
pages.  `tools/make_fashion_mnist_6k.py` makes the archive from Debian's package.

Source: Xiao et al. 2017, arXiv:1708.07747.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tierfed.data.splits import Indices, Split
from tierfed.errors import DataError
from tierfed.types import Type, to_type

EXAMPLES: Type = to_type("<x=float32[?,784],y=int32[?]>")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled images: `train` is shared out, `test` is whole at whoever asks."""

    name: str
    archive: str
    type: Type
    uris: tuple[str, ...] = ("train", "test")

    def examples(self, part: str, rows: Indices | None = None) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the images and labels of `rows` of a part, all of them if None; the caller's to keep."""
        arrays = _arrays(self.archive)
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if rows is not None:
            images, labels = images[rows], labels[rows]
        x = images.astype(np.float32)
        x /= np.float32(255)
        return x, labels.astype(np.int32)

    def share(self, split: Split, index: int, count: int, seed: int) -> Indices:
        """Return the rows of `train` that member `index` of `count` has under `split`."""
        return _shares(self, split, count, seed)[index]

    def load(self) -> None:
        """Read the archive, unless this process or the one it was forked from has."""
        _arrays(self.archive)

    def size(self, part: str) -> int:
        """Return how many examples a part has."""
        return len(_arrays(self.archive)[f"{part}_labels"])


DATASETS = {d.name: d for d in (Dataset("fashion-mnist-6k", "fashion_mnist_6k.npz", EXAMPLES),)}


def dataset(name: object) -> Dataset:
    """Return the data set called `name`; raises DataError, with the nearest name, if there is none."""
    if isinstance(name, str) and name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(str(name), DATASETS, 1, 0.4)
    raise DataError(
        f"no data set {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        where="data",
        mend=f"use one of {', '.join(DATASETS)}, or write `provider: module:function`",
    )


@functools.cache
def _arrays(archive: str) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with np.load(Path(__file__).with_name(archive), allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{archive} cannot be read: {error}", where="data", mend="install tierfed again: the file is part of it"
        ) from error
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


@functools.lru_cache(maxsize=64)
def _shares(of: Dataset, split: Split, count: int, seed: int) -> tuple[Indices, ...]:
    return tuple(split.shares(_arrays(of.archive)["train_labels"], count, seed))
