"""Natural: examples that belong together stay together: a person's recordings, a role's lines, a school's pupils.

    {by: subject}                 a member has one subject, or some whole ones
    {by: [authority, school]}     a region has authorities, a member of it schools of these

The values of a column go to members whose label of that name says which (`labels: {subject: "07"}`, own or an
ancestor's); members with one label share its examples out at random.  Where no member has such a label, values are
dealt in their order, to members in theirs: one each, or whole runs of them.  Of two columns, the first is for the
members' parents.

With labels, examples of a value that nobody's label names are nobody's; else each goes to one member.

Source: natural partitions, as in Caldas et al. 2018, "LEAF", arXiv:1812.01097.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tierfed.data.crowd import Crowd, Need
from tierfed.data.shares import Indices
from tierfed.errors import DataError

Column: TypeAlias = "tuple[np.ndarray[Any, Any], Sequence[str]]"  # of each example, which of the names it has
_MOST = 2  # levels


@dataclass(frozen=True, slots=True)
class By:
    """See the module docstring; `columns` are those of regions and members, or of members alone."""

    columns: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Raise DataError unless there are one or two names."""
        names = all(isinstance(name, str) and name for name in self.columns)
        if not names or not 1 <= len(self.columns) <= _MOST or len(set(self.columns)) < len(self.columns):
            raise DataError(
                f"{', '.join(map(repr, self.columns)) or 'nothing'} is no column",
                where="split by",
                mend="name a column of the data set, {by: subject}, or two, {by: [authority, school]}",
            )

    @property
    def need(self) -> Need:
        """The labels that are called like the columns, and of two columns the parents."""
        return Need("", self.columns)

    def check(self, columns: Sequence[str], of: str) -> None:
        """Raise DataError unless the data set called `of` has these columns."""
        for name in self.columns:
            if name not in columns:
                near = difflib.get_close_matches(name, columns, 1)
                raise DataError(
                    f"{of} has no column {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                    where="split by",
                    mend=f"split it by {' or '.join(columns)}" if columns else "use iid, dirichlet or shards",
                )

    def bound(self, crowd: Crowd, columns: Mapping[str, Column]) -> AmongValues:
        """Return the split among this crowd, of these columns."""
        return AmongValues(self.columns, crowd, columns)


@dataclass(frozen=True, slots=True, eq=False)
class AmongValues:
    """The split of a data set whose columns are known, among a crowd whose labels are."""

    names: tuple[str, ...]
    crowd: Crowd
    columns: Mapping[str, Column]

    def shares(self, labels: np.ndarray[Any, Any], count: int, seed: int) -> list[Indices]:
        """Return whole values of the columns; the seed matters where members share one."""
        rng = np.random.default_rng(seed)
        rows = np.arange(len(labels))
        if len(self.names) == 1:
            found = self._dealt(rng, rows, list(range(count)), self.names[0], [1] * count)
            return [np.sort(mine) for mine in found]
        sizes = [number for _, number in self.crowd.regions]
        starts = [sum(sizes[:at]) for at in range(len(sizes))]
        found = []
        for mine, start, size in zip(self._dealt(rng, rows, starts, self.names[0], sizes), starts, sizes, strict=True):
            found += self._dealt(rng, mine, list(range(start, start + size)), self.names[1], [1] * size)
        return [np.sort(mine) for mine in found]

    def _dealt(
        self, rng: np.random.Generator, rows: Indices, members: Sequence[int], column: str, sizes: Sequence[int]
    ) -> list[Indices]:
        """Return the part of `rows` for each of `members`, of which a region stands for so many as `sizes` says."""
        codes, names = self.columns[column]
        codes = codes[rows]
        seen = self.crowd.label(column)
        if not seen:
            values = np.unique(codes)
            if len(values) < len(members):
                raise DataError(
                    f"{len(values)} values of {column} cannot be dealt to {len(members)} members",
                    where="split by",
                    mend=f"use fewer members, or give several one label, as in labels: {{{column}: {names[0]!r}}}",
                )
            return [rows[np.isin(codes, mine)] for mine in np.array_split(values, len(members))]
        wanted = [_code(seen[at], column, names) for at in members]
        found: dict[int, Indices] = {}
        for value in sorted(set(wanted)):
            sharing = [i for i, other in enumerate(wanted) if other == value]
            of_value = rng.permutation(rows[codes == value])
            if len(of_value) < sum(sizes[i] for i in sharing):
                raise DataError(
                    f"{column} {names[value]!r} has {len(of_value)} examples there, "
                    f"for {sum(sizes[i] for i in sharing)} members",
                    where="split by",
                    mend=f"give fewer members the label {column}: {names[value]!r}",
                )
            edges = np.cumsum([sizes[i] for i in sharing])
            cuts = edges[:-1] * len(of_value) // edges[-1]
            found |= dict(zip(sharing, np.split(of_value, cuts), strict=True))
        return [found[i] for i in range(len(members))]


def _code(value: str, column: str, names: Sequence[str]) -> int:
    """Return which of the names a member's label is; raises DataError if it is none."""
    at = int(np.searchsorted(names, value)) if value else len(names)
    if at < len(names) and names[at] == value:
        return at
    near = difflib.get_close_matches(value, list(names), 1)
    what = f"a label says {column}: {value!r}, and there is no such {column}" if value else f"a member has no {column}"
    some = ", ".join(map(repr, list(names)[:4])) + (", …" if len(names) > 4 else "")
    raise DataError(
        what + (f"; did you mean {near[0]!r}?" if near else ""),
        where="split by",
        mend=f"give each member a label {column}, one of {some}, or give it to none",
    )
