"""Who has which images: one class a client, and two ways to put clients under edges.

    edge_iid       every edge has one client of each class
    edge_noniid    every edge has clients of five classes: edge 0 of 0 to 4, edge 1 of 2 to 6, edge 2 of 4 to 8, …

    job: {data: {provider: hierfavg_split:edge_iid}}

In both there are as many clients of each class, so that the whole is the same and only the edges differ.  Edges of five
classes stand on a ring of the ten, each two further than the one before, so an even class is under three of five edges
and an odd one under two.  2, 3, 2, 2 and 1 clients of an edge's five classes give each class its five.

A client has 80 of the 4,000 training images of `mnist-5k`, which are drawn by the run's seed; `test` is the data set's
own.

Source: Liu et al. 2020, arXiv:1905.06641, section IV: clients of one class, edges of ten classes or of five.
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import numpy as np

from tierfed.data import MemberInfo
from tierfed.data.archive import dataset

Array: TypeAlias = "np.ndarray[Any, Any]"

CLASSES, EDGES, CLIENTS = 10, 5, 10  # clients of an edge
FIVE = (0, 0, 1, 1, 1, 2, 2, 3, 3, 4)  # the classes of an edge's clients, counted from its first


def classes(iid: bool) -> list[int]:
    """Return the class of each client, in member order."""
    if iid:
        return [client for _ in range(EDGES) for client in range(CLIENTS)]
    return [(2 * edge + further) % CLASSES for edge in range(EDGES) for further in FIVE]


def edge_iid(uri: str, type: Any, member: MemberInfo) -> tuple[Array, ...]:
    """Return a member's images and labels where edges are alike."""
    return _examples(uri, member, iid=True)


def edge_noniid(uri: str, type: Any, member: MemberInfo) -> tuple[Array, ...]:
    """Return a member's images and labels where each edge has five classes."""
    return _examples(uri, member, iid=False)


def _examples(uri: str, member: MemberInfo, iid: bool) -> tuple[Array, ...]:
    x, y = images(uri)
    if uri == "test":
        return x, y
    rows = shares(iid, member.seed)[member.index]
    return x[rows], y[rows]


@functools.lru_cache(maxsize=4)
def shares(iid: bool, seed: int) -> list[Array]:
    """Return the rows of the training images that each of the fifty clients has."""
    rng, labels = np.random.default_rng(seed), images("train")[1]
    parts = [iter(np.array_split(rng.permutation(np.flatnonzero(labels == c)), EDGES)) for c in range(CLASSES)]
    return [next(parts[label]) for label in classes(iid)]


@functools.cache
def images(part: str) -> tuple[Array, ...]:
    """Return the images of `train` or `test`, float32[?,784] in [0, 1], and their labels."""
    return dataset("mnist-5k").examples(part)
