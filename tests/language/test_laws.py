"""check_aggregate: it finds broken laws, and lets sound aggregates be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed import TypeMismatch, ValueMismatch, check_aggregate

F, I = np.float32, np.int32  # noqa: E741  # as in the notation


@tierfed.py_computation(I, I, returns=I)
def larger(a: Any, b: Any) -> Any:
    """The larger of two."""
    return max(a, b)


@tierfed.py_computation((I, I), F, returns=(I, I))
def counted(u: Any, t: Any) -> Any:
    """Values seen, and those above zero."""
    return I(u[0] + 1), I(u[1] + (t > 0))


SOUND = {
    "sum": (I, np.int32(0), lambda u, t: u + t, lambda a, b: a + b),
    "float sum": (F, np.float32(0), lambda u, t: u + t, lambda a, b: a + b),
    "sum and count": (F, (F(0), F(0)), lambda u, t: (u[0] + t, u[1] + F(1)), lambda a, b: (a[0] + b[0], a[1] + b[1])),
    "leaf": (F, (I(0), I(0)), counted, lambda a, b: (a[0] + b[0], a[1] + b[1])),
    "open sizes": ("float32[?]", np.zeros(3, F), lambda u, t: u, lambda a, b: a),
    "structs": ("<a=int8,b=<uint64[2],complex64>>", I(0), lambda u, t: u + I(1), lambda a, b: a + b),
    "sequences and text": ("<int32*,str,bool>", I(0), lambda u, t: u, lambda a, b: a),
}
BROKEN = {
    "merge(zero,a) = a": (I, I(0), lambda u, t: u + t, lambda a, b: a - b),
    "merge(a,zero) = a": (I, I(1), lambda u, t: u + t, lambda a, b: b),
    "merge(zero,a) = a is": (I, I(1), lambda u, t: u * t, lambda a, b: a + b),
    "accumulate(merge(a,b),t)": (I, I(0), lambda u, t: u * I(2) + t, lambda a, b: a + b),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound(name: str) -> None:
    """Nothing is said of an aggregate that keeps the laws."""
    if name == "open sizes":  # a zero of the size of the values
        check_aggregate(*SOUND[name], values=[np.ones(3, F)])
    else:
        check_aggregate(*SOUND[name])


@pytest.mark.parametrize("law", BROKEN)
def test_broken(law: str) -> None:
    """The law that is broken is named, with a case, at the user's line."""
    with pytest.raises(ValueMismatch) as caught:
        check_aggregate(*BROKEN[law])
    said = str(caught.value)
    assert "test_laws.py:" in said
    assert law.removesuffix(" is") in said
    assert "is broken: np.int32(" in said
    assert "to mend: let merge put two partials together" in said


def test_values_of_ones_own() -> None:
    """Values may be given, and only they are drawn; a law that they do not break is not told."""
    broken = (I, I(0), larger, lambda a, b: a + b)
    check_aggregate(*broken, values=[0])
    with pytest.raises(ValueMismatch, match=r"accumulate\(merge\(a,b\),t\)"):
        check_aggregate(*broken, values=[3, 4])
    with pytest.raises(ValueMismatch, match=r"values\[1\]: expected int32, got str 'x'"):
        check_aggregate(*broken, values=[3, "x"])


def test_a_mean_of_means() -> None:
    """The classic mistake: averaging partial averages."""
    half = np.float32(0.5)
    with pytest.raises(ValueMismatch, match="is broken"):
        check_aggregate(F, F(0), lambda u, t: (u + t) * half, lambda a, b: (a + b) * half)


def test_types() -> None:
    """What federated_aggregate refuses is refused with its words."""
    with pytest.raises(TypeMismatch, match="accumulate returns another type than zero's"):
        check_aggregate(F, I(0), lambda u, t: t, lambda a, b: a)


def test_the_same_cases_every_time() -> None:
    """A seed fixes the cases, so a failure can be looked at again."""
    told = set()
    for _ in range(2):
        with pytest.raises(ValueMismatch) as caught:
            check_aggregate(*BROKEN["merge(zero,a) = a"], seed=5)
        told.add(caught.value.what)
    assert len(told) == 1
