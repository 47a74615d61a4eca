"""Collapse: the names of siblings as one.

    c-00, c-01, …, c-15                 ->      c-[00-15]
    c-00, …, c-04, c-06, …, c-15        ->      c-[00-04,06-15]
    eu-0-edge-0, …, us-1-edge-3         ->      eu-0-edge-0 … us-1-edge-3

Digits are the parts that may differ; what is written stands for these names and no others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_DIGITS = re.compile(r"([0-9]+)")
_RANGES = 3  # in one name; beyond, the first and the last say more


def collapsed(names: Sequence[str]) -> str:
    """Return `names`, in their order, as one: with ranges for their numbers, or else `first … last`."""
    if len(names) == 1:
        return names[0]
    ends = f"{names[0]} … {names[-1]}"
    split = [_DIGITS.split(name) for name in names]
    texts = {tuple(parts[::2]) for parts in split}
    numbers = [tuple(parts[1::2]) for parts in split]
    if len(texts) != 1 or not numbers[0]:
        return ends
    product, columns = 1, []
    for column in zip(*numbers, strict=True):
        values = sorted(set(column), key=lambda digits: (int(digits), digits))
        if len({len(v) for v in values}) != 1 and any(v.startswith("0") and v != "0" for v in values):
            return ends  # 7 and 07 both, or 007: a range of them would be read in more ways than one
        product *= len(values)
        columns.append(_ranges(values))
    if product != len(names) or any(column is None for column in columns):
        return ends
    pieces = list(next(iter(texts)))
    return "".join(text + digits for text, digits in zip(pieces, [*filter(None, columns), ""], strict=True))


def _ranges(values: list[str]) -> str | None:
    """Return sorted `values` as `[00-04,06-15]`, None if that takes too many ranges."""
    if len(values) == 1:
        return values[0]
    runs: list[list[str]] = []
    for value in values:
        if runs and int(value) == int(runs[-1][-1]) + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    if len(runs) > _RANGES:
        return None
    return "[" + ",".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) + "]"
