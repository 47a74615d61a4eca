"""Bundles: siblings that are alike, drawn once.

    c-eu-00, c-eu-01, …, c-eu-15      ->      c-eu-[00-15] ×16

Members are alike if their placement, labels, settings and subtrees are.  The members below
alike parents are bundled together, so a regular tree of any size takes a line a tier.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tierfed.topology.model import Node, Topology

_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Alike members, in member order, and the bundles of their children."""

    members: tuple[Node, ...]
    below: tuple[Bundle, ...]

    @property
    def first(self) -> Node:
        """A member to stand for all."""
        return self.members[0]

    @property
    def name(self) -> str:
        """The members' names as one, with their number if there are several."""
        names = [m.name for m in self.members]
        return names[0] if len(names) == 1 else f"{collapsed(names)} ×{len(names)}"


def bundles(topology: Topology) -> Bundle:
    """Return the root as a bundle of one, with everything below it."""
    kinds: dict[Any, int] = {}
    kind: dict[str, int] = {}
    for placement in reversed(topology.hierarchy.placements):  # children before their parents
        for node in topology.members(placement):
            below: dict[int, int] = {}
            for child in node.children:
                below[kind[child]] = below.get(kind[child], 0) + 1
            of = (node.placement, tuple(sorted(node.labels.items())), node.settings, tuple(below.items()))
            kind[node.name] = kinds.setdefault(of, len(kinds))
    return _bundle(topology, (topology.root,), kind)


def _bundle(topology: Topology, members: tuple[Node, ...], kind: dict[str, int]) -> Bundle:
    below: dict[int, list[Node]] = {}
    for member in members:
        for child in member.children:
            below.setdefault(kind[child], []).append(topology.nodes[child])
    return Bundle(members, tuple(_bundle(topology, tuple(of), kind) for of in below.values()))


def collapsed(names: Sequence[str]) -> str:
    """Return `names` as one: `c-[00-15]` if their numbers make up whole ranges, else `first … last`."""
    split = [_DIGITS.split(name) for name in names]
    texts = {tuple(parts[::2]) for parts in split}
    numbers = [tuple(parts[1::2]) for parts in split]
    ends = f"{names[0]} … {names[-1]}"
    if len(texts) != 1 or not numbers[0]:
        return ends
    product, ranges = 1, []
    for column in zip(*numbers, strict=True):
        values = sorted(set(column), key=lambda digits: (int(digits), digits))
        low, high = int(values[0]), int(values[-1])
        widths = {len(v) for v in values}
        padded = len(widths) == 1 or not any(v.startswith("0") and v != "0" for v in values)
        if [int(v) for v in values] != list(range(low, high + 1)) or not padded:
            return ends
        product *= len(values)
        ranges.append(values[0] if len(values) == 1 else f"[{values[0]}-{values[-1]}]")
    if product != len(names):
        return ends
    pieces = list(next(iter(texts)))
    return "".join(text + digits for text, digits in zip(pieces, [*ranges, ""], strict=True))
