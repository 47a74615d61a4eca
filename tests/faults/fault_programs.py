"""Programs whose leaves do what a test tells them, and what they mean, in numpy.

Each client is passed its number and an order (see fault_gate): "" is to compute and send.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fault_gate import obey

import tierfed

FEW = 5
WIDE = 400_000
MANY = 2_200_000  # float32: 8.8 MB, nine frames of a chunk each
CLIENTS = tierfed.CLIENTS
EDGES = tierfed.placement("EDGE_AGGREGATORS")


@tierfed.py_computation(np.int32, str, returns=(np.float32, [FEW]))
def reading(number: Any, order: Any) -> Any:
    """A small update."""
    obey(str(order))
    return update(int(number), FEW)


@tierfed.py_computation(np.int32, str, returns=(np.float32, [MANY]))
def model(number: Any, order: Any) -> Any:
    """An update of 8.8 MB."""
    obey(str(order))
    return update(int(number), MANY)


@tierfed.py_computation(np.int32, str, returns=(np.float32, [FEW]))
def spoilt(number: Any, order: Any) -> Any:
    """A small update; with the order "nan", its third element is none."""
    found = update(int(number), FEW)
    if str(order) == "nan":
        found[2] = np.nan
    else:
        obey(str(order))
    return found


@tierfed.py_computation(np.int32, str, returns=(np.float32, [WIDE]))
def wide(number: Any, order: Any) -> Any:
    """An update of two chunks; with the order "nan", an element of the second is none."""
    found = update(int(number), WIDE)
    if str(order) == "nan":
        found[300_017] = np.nan
    return found


_NUMBERS = tierfed.FederatedType(np.int32, CLIENTS)
_ORDERS = tierfed.FederatedType(str, CLIENTS)


@tierfed.federated_computation(_NUMBERS, _ORDERS)
def mean_reading(numbers: Any, orders: Any) -> Any:
    """The mean of small updates."""
    return tierfed.federated_mean(tierfed.federated_map(reading, (numbers, orders)))


@tierfed.federated_computation(_NUMBERS, _ORDERS)
def mean_model(numbers: Any, orders: Any) -> Any:
    """The mean of updates of 8.8 MB."""
    return tierfed.federated_mean(tierfed.federated_map(model, (numbers, orders)))


@tierfed.federated_computation(_NUMBERS, _ORDERS)
def mean_spoilt(numbers: Any, orders: Any) -> Any:
    """The mean of updates of which one may have a NaN."""
    return tierfed.federated_mean(tierfed.federated_map(spoilt, (numbers, orders)))


@tierfed.federated_computation(_NUMBERS, _ORDERS)
def mean_wide(numbers: Any, orders: Any) -> Any:
    """The mean of updates of 400,000 elements, of which one may have a NaN."""
    return tierfed.federated_mean(tierfed.federated_map(wide, (numbers, orders)))


def update(number: int, size: int) -> np.ndarray[Any, Any]:
    """The update of the client of that number: any bits, so that the order of a sum shows."""
    return np.random.default_rng(number).standard_normal(size).astype(np.float32)


def mean_of(*groups: Sequence[int], size: int = FEW) -> np.ndarray[Any, Any]:
    """The mean over the survivors: for each edge that is in, the numbers of its clients that are, in member order.

    An explicit left fold along the tree, in plain numpy: nothing of the runtime is used.
    """
    partials = []
    for numbers in groups:
        partial = np.zeros(size, np.float32)
        for number in numbers:
            partial = partial + update(number, size)
        partials.append(partial)
    total = partials[0]
    for partial in partials[1:]:
        total = total + partial
    return total / np.float32(sum(map(len, groups)))
