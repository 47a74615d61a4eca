"""The data sets there are: one comes with TierFed, the others are added (`add`).

| name | `train` | `test` |
|---|---|---|
| `fashion-mnist-6k` | a share of 6,000 images, 600 a class | all of 1,000 others, 100 a class |
| … of `sets` | a share of what their files say | all of the rest |

Images arrive as float32[?,784] in [0, 1], row by row, labels as int32[?].  They are kept as
bytes and loaded once a process; load them before a fork (`before_fork`) and the children share the
pages.  `tools/make_fashion_mnist_6k.py` makes the shipped archive from Debian's package.

Source: Xiao et al. 2017, arXiv:1708.07747.
"""

from __future__ import annotations

import difflib
import functools
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tierfed.data import store
from tierfed.data.crowd import ALONE, Crowd
from tierfed.data.natural import Column
from tierfed.data.recipe import Recipe
from tierfed.data.sets import SETS, fashion_mnist_60k
from tierfed.data.shares import Indices
from tierfed.data.splits import Split, Unbound
from tierfed.errors import DataError
from tierfed.types import StructType, TensorType, Type, to_type

EXAMPLES: Type = to_type("<x=float32[?,784],y=int32[?]>")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled examples: `train` is shared out, `test` is whole at whoever asks.  Without a `recipe` it is shipped."""

    name: str
    archive: str
    type: Type
    recipe: Recipe | None = None
    uris: tuple[str, ...] = ("train", "test")

    @property
    def path(self) -> Path:
        """Where the archive is: beside this file, or in the store."""
        return Path(__file__).with_name(self.archive) if self.recipe is None else store.path(self.name)

    def ready(self) -> Dataset:
        """Return this; raises DataError, with the command that adds it, if it is not here."""
        if self.recipe is not None and not self.path.exists():
            raise DataError(
                f"{self.name} is not here", where="data", mend=f"fetch it, once: `tierfed data add {self.name}`"
            )
        return self

    def examples(self, part: str, rows: Indices | None = None) -> tuple[np.ndarray[Any, Any], ...]:
        """Return the elements of `rows` of a part, images and labels, all of them if None; the caller's to keep."""
        arrays = self.arrays()
        return tuple(_held(arrays[self._stored(part, name)], rows, dtype) for name, dtype in self.elements())

    def share(self, split: Split | Unbound, index: int, count: int, seed: int, crowd: Crowd = ALONE) -> Indices:
        """Return the rows of `train` that member `index` of `count` has under `split`."""
        return self.shares(split, count, seed, crowd)[index]

    def shares(self, split: Split | Unbound, count: int, seed: int, crowd: Crowd = ALONE) -> tuple[Indices, ...]:
        """Return the rows of `train` of each of `count` members; nobody writes to them."""
        return _shares(self, split, count, seed, crowd)

    @property
    def natural(self) -> tuple[str, ...]:
        """The names of the columns that it can be split by."""
        return self.recipe.columns if self.recipe is not None else ()

    def columns(self) -> dict[str, Column]:
        """Return the natural columns: of each training example, which of the names it has."""
        arrays = self.arrays()
        return {n: (arrays[f"by_{n}"], [str(one) for one in arrays[f"names_{n}"]]) for n in self.natural}

    def labels(self) -> np.ndarray[Any, Any]:
        """Return the class of each training example, as splits mix them."""
        arrays = self.arrays()
        return arrays[f"by_{self.label}" if f"by_{self.label}" in arrays else self._stored("train", self.label)]

    @property
    def label(self) -> str:
        """The element or the column whose values are the classes."""
        return self.recipe.label if self.recipe is not None else "y"

    def elements(self) -> list[tuple[str, np.dtype[Any]]]:
        """Return the names and dtypes of the struct of tensors that an example is."""
        assert isinstance(self.type, StructType)
        return [(str(name), part.dtype) for name, part in self.type.elements if isinstance(part, TensorType)]

    def label_names(self, values: Iterable[Any]) -> list[str]:
        """Return what the classes are called: the names of the column, those of the recipe, or the numbers."""
        arrays = self.arrays()
        names: Sequence[Any] | np.ndarray[Any, Any] = arrays.get(f"names_{self.label}", self.classes)
        return [str(names[int(v)]) if len(names) else str(v) for v in values]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of `y`, if they have names."""
        return self.recipe.classes if self.recipe is not None else fashion_mnist_60k.CLASSES

    def load(self) -> None:
        """Read the archive, unless this process or the one it was forked from has."""
        self.arrays()

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return all that the archive holds, read-only."""
        self.ready()
        return _arrays(self, self.path)

    def size(self, part: str) -> int:
        """Return how many examples a part has."""
        if self.recipe is not None:
            return self.recipe.train if part == "train" else self.recipe.test
        return len(self.arrays()[self._stored(part, "y")])

    def _stored(self, part: str, element: str) -> str:
        return f"{part}_{_SHIPPED[element] if self.recipe is None else element}"


_SHIPPED = {"x": "images", "y": "labels"}  # as the shipped archive calls them

DATASETS = {
    d.name: d
    for d in (
        Dataset("fashion-mnist-6k", "fashion_mnist_6k.npz", EXAMPLES),
        *(Dataset(r.name, f"{r.name}.npz", to_type(r.type), r) for r in SETS),
    )
}


def dataset(name: object, mend: str = "") -> Dataset:
    """Return the data set called `name`; raises DataError, with the nearest name, if there is none."""
    if isinstance(name, str) and name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(str(name), DATASETS, 1, 0.4)
    raise DataError(
        f"no data set {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        where="data",
        mend=mend or f"use one of {', '.join(DATASETS)}, or write `provider: module:function`",
    )


def _held(stored: np.ndarray[Any, Any], rows: Indices | None, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return rows as they are given out; bytes that are asked for as floats are pixels of 0 to 1."""
    values = (stored if rows is None else stored[rows]).astype(dtype)
    if stored.dtype == np.uint8 and dtype == np.float32:
        values /= np.float32(255)
    return values


@functools.cache
def _arrays(of: Dataset, path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{of.archive} cannot be read: {error}",
            where="data",
            mend="install tierfed again: the file is part of it"
            if of.recipe is None
            else f"add it again: `tierfed data add {of.name}`",
        ) from error
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


@functools.lru_cache(maxsize=64)
def _shares(of: Dataset, split: Split | Unbound, count: int, seed: int, crowd: Crowd) -> tuple[Indices, ...]:
    bound = split.bound(crowd, of.columns()) if isinstance(split, Unbound) else split
    return tuple(bound.shares(of.labels(), count, seed))
