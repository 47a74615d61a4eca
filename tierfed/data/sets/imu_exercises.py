"""IMU: ten people who do seven shoulder exercises with a watch on their wrist, from the package seglearn.

    x = float32[?,100,6]     two seconds at 50 Hz: acceleration (ax ay az) and rotation (wx wy wz), as recorded
    y = int32[?]             PEN ABD FEL IR ER TRAP ROW, in this order

A recording is of one person, exercise and side.  Its windows do not overlap; the last fifth of them, in time, is
`test`, so nothing of a test window is trained on.  The package keeps them as a pickle, which is read and not run
(`inert`).

Source: Burns et al. 2018, arXiv:1802.01489.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tierfed.data import inert
from tierfed.data.recipe import Recipe, Source, coded
from tierfed.errors import DataError

_FILE = "seglearn/data/watch_dataset.npy"
_NPY = b"\x93NUMPY\x01\x00"
LENGTH = 100  # samples of a window, two seconds
_TEST = 5  # one of so many windows of a recording
EXERCISES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")


def convert(files: Mapping[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the windows of the two parts; raises DataError for recordings of another kind."""
    table = _table(files[_FILE])
    recordings = [inert.array(one) for one in table["X"]]
    exercises, subjects, sides = (inert.array(table[name]).astype(int) for name in ("y", "subject", "side"))
    wrong = any(one.ndim != 2 or one.shape[1] != 6 for one in recordings)
    if tuple(table["y_labels"]) != EXERCISES or wrong or len(recordings) != len(exercises):
        raise DataError("it holds no recordings of six channels and seven exercises", where=_FILE)
    x: dict[str, list[np.ndarray[Any, Any]]] = {"train": [], "test": []}
    y: dict[str, list[int]] = {"train": [], "test": []}
    who: list[tuple[str, str, str]] = []
    for samples, exercise, subject, side in zip(recordings, exercises, subjects, sides, strict=True):
        count = len(samples) // LENGTH
        windows = samples[: count * LENGTH].astype(np.float32).reshape(count, LENGTH, 6)
        cut = count - max(1, count // _TEST)
        x["train"].append(windows[:cut])
        x["test"].append(windows[cut:])
        y["train"] += [exercise] * cut
        y["test"] += [exercise] * (count - cut)
        who += [(f"{subject:02}", EXERCISES[exercise], "right" if side else "left")] * cut
    made = {f"{part}_x": np.concatenate(x[part]) for part in x} | {
        f"{part}_y": np.array(y[part], np.uint8) for part in y
    }
    for at, column in enumerate(("subject", "exercise", "side")):
        made |= coded(column, np.array([one[at] for one in who]))
    return made


def _table(data: bytes) -> dict[str, Any]:
    """Return the dict in the one cell of the .npy."""
    length = int.from_bytes(data[8:10], "little")
    if not data.startswith(_NPY):
        raise DataError("it is no .npy of version 1", where=_FILE)
    cell = inert.document(data[10 + length :])
    try:
        (table,) = cell.state[4]
        if {"X", "y", "subject", "side", "y_labels"} <= table.keys():
            return dict(table)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise DataError("it holds no one table", where=_FILE) from error
    raise DataError("it lacks a column", where=_FILE)


RECIPE = Recipe(
    name="imu-exercises",
    title="exercises as a watch records them",
    licence="BSD-3-Clause",
    source=Source(
        "pip", "seglearn", 11_320_941, "1.2.5", "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
    ),
    files=(_FILE,),
    notice="seglearn-*.dist-info/LICENSE",
    type=f"<x=float32[?,{LENGTH},6],y=int32[?]>",
    train=1_953,
    test=416,
    digest="a04630b7639c27408f7ca0350f407f13abc4d08f75ea7165ef66410c44f4eef3",
    convert=convert,
    columns=("subject", "exercise", "side"),
    classes=EXERCISES,
)
