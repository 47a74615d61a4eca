"""What docs/language.md says is so: its operators and signatures, its listings and its error."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import tierfed
from tierfed.ir.intrinsics import TABLE
from tierfed.language.operators import CALLABLES

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
ROWS = [
    (re.findall(r"`(\w+)\(([^`]*)\)`", cells[0]), cells[1].strip(" `"))
    for line in PAGE.splitlines()
    if line.startswith("| `") and (cells := line.strip("| ").split(" | "))
]


def _written(parameter: inspect.Parameter) -> str:
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default}"


def test_the_table_of_operators():
    """Each operator once, with its parameters, its defaults and its signature."""
    calls = [call for names, _ in ROWS for call in names]
    assert sorted(name for name, _ in calls) == sorted(CALLABLES)
    for names, signature in ROWS:
        for name, parameters in names:
            expected = ", ".join(map(_written, inspect.signature(CALLABLES[name]).parameters.values()))
            assert parameters == expected, name
            assert name not in TABLE or signature == TABLE[name].signature, name


def _listings() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_listings(tmp_path, monkeypatch):
    """They run, and give what stands beside them."""
    climate_listing, loop_listing, leaf_listing = _listings()
    (tmp_path / "language_listing.py").write_text(
        climate_listing.replace("    climate([1, 2, 3, 6])", "    result = climate([1, 2, 3, 6])")
        + "\n"
        + loop_listing.replace("    nearby([1, 2, 3, 6], 2)", "    looped = nearby([1, 2, 3, 6], 2)")
        + "\n"
        + leaf_listing
    )
    monkeypatch.syspath_prepend(tmp_path)
    import language_listing as listing

    assert listing.result == {"world": 3.0, "regions": [1.5, 4.5]}
    assert f"# {list(map(float, listing.looped))}" in loop_listing
    assert f"# {listing.climate.type_signature}" in climate_listing
    batch = {"x": np.ones((2, 4), np.float32), "y": [1, 2]}
    assert listing.local_update(np.zeros(4, np.float32), [batch, batch]).tolist() == [-2] * 4


def test_the_error():
    """It is word for word what the program is told."""
    with pytest.raises(tierfed.TypeMismatch) as error:
        tierfed.federated_computation("{float32}@CLIENTS", "float32@SERVER")(lambda x, y: tierfed.federated_zip((x, y)))
    told = str(error.value).partition(": ")[2]
    assert told in PAGE
