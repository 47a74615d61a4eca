"""Programs of simulated fleets."""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed

VECTOR = tierfed.TensorType("float32", (10_000,))


@tierfed.py_computation(VECTOR, returns=VECTOR)
def _more(model: Any) -> Any:
    return model + np.float32(1)


@tierfed.federated_computation(VECTOR)
def step(model: Any) -> Any:
    """A vector goes down and comes back."""
    here = tierfed.federated_value(model, tierfed.SERVER)
    return tierfed.federated_mean(tierfed.federated_map(_more, tierfed.federated_broadcast(here)))


@tierfed.py_computation(np.float32, returns=np.float32)
def _one_more(x: Any) -> Any:
    return x + np.float32(1)


@tierfed.federated_computation("{float32}@CLIENTS")
def added(x: Any) -> Any:
    """The mean of values that a leaf has added one to."""
    return tierfed.federated_mean(tierfed.federated_map(_one_more, x))


@tierfed.federated_computation("{float32}@CLIENTS")
def kept(x: Any) -> Any:
    """Values that a leaf has added one to, left where they are."""
    return tierfed.federated_map(_one_more, x)


@tierfed.federated_computation("{int32}@CLIENTS")
def total(x: Any) -> Any:
    """A sum."""
    return tierfed.federated_sum(x)


def _double(x: Any) -> Any:
    return x * np.float32(2)


def _double_all(x: Any) -> Any:
    return x * np.float32(2)


def _triple_all(x: Any) -> Any:
    return x * np.float32(3)


def _nearly_double_all(x: Any) -> Any:
    return x * np.float32(2.0001)


_FORMS = {"exact": (_double_all, None), "wrong": (_triple_all, None), "near": (_nearly_double_all, 1e-3)}


def scaled(form: str) -> Any:
    """The sum of doubled values, by one of three batch forms."""
    batch, tolerance = _FORMS[form]
    leaf = tierfed.py_computation(_double, np.float32, returns=np.float32, batch=batch, tolerance=tolerance)

    @tierfed.federated_computation("{float32}@CLIENTS")
    def doubled(x: Any) -> Any:
        return tierfed.federated_sum(tierfed.federated_map(leaf, x))

    return doubled
