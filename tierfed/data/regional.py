"""Regional: a split in two levels, because there are tiers: first among subtrees, then within each.

    {dirichlet: {alpha_region: 1, alpha_client: 0.3}}
    {dirichlet: {alpha_region: 1, alpha_client: 0.3, regions: EDGE_AGGREGATORS}}

Of each class, the regions' shares are one draw from Dirichlet, and of what a region has, its members' shares are
another.  The regions are the members' parents, or those of their ancestors that are of the named placement.
`alpha_region` is of equal regions; where they are not, each expects as much as it has members, so that both
alphas towards infinity are `iid` by class.  A small
alpha_region makes regions differ, a small alpha_client the members of one.

Source: Hsu et al. 2019, arXiv:1909.06335, has one level; the second is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tierfed.data.crowd import Crowd, Need, Runs
from tierfed.data.shares import Indices, above_zero, at_least, enough, mixed, nobody_empty
from tierfed.errors import DataError


@dataclass(frozen=True, slots=True)
class RegionalDirichlet:
    """See the module docstring.  Both alphas > 0; `regions` names a placement above, "" the one just above."""

    FORM: ClassVar[str] = "{dirichlet: {alpha_region: 1, alpha_client: 0.3}}"
    alpha_region: float
    alpha_client: float
    regions: str = ""

    def __post_init__(self) -> None:
        """Raise DataError unless the alphas are finite numbers above 0 and the placement is a name."""
        above_zero(self.alpha_region, "alpha_region", "split dirichlet", self.FORM)
        above_zero(self.alpha_client, "alpha_client", "split dirichlet", self.FORM)
        if not isinstance(self.regions, str):
            raise DataError(
                f"regions is {self.regions!r}", where="split dirichlet", mend="name a placement above the data's"
            )

    @property
    def need(self) -> Need:
        """Whose subtree each member is in."""
        return Need(self.regions)

    def bound(self, crowd: Crowd, columns: Mapping[str, Any]) -> AmongRegions:
        """Return the split among these regions; raises DataError if there are none."""
        if not crowd.regions:
            raise DataError(
                f"no {self.regions or 'region'} is above the members that ask for data",
                where="split dirichlet",
                mend="let `regions` name a placement above theirs, or leave it out: their parents",
            )
        return AmongRegions(self, crowd.regions)


@dataclass(frozen=True, slots=True)
class AmongRegions:
    """The split of a crowd whose regions are known."""

    rule: RegionalDirichlet
    regions: Runs

    def shares(self, labels: np.ndarray[Any, Any], count: int, seed: int) -> list[Indices]:
        """Return shares with a Dirichlet mix of each class in each region, and in each member of it."""
        sizes = [number for _, number in self.regions]
        if sum(sizes) != count:
            raise DataError(f"the regions have {sum(sizes)} members, not {count}", where="split dirichlet")
        enough(len(labels), count)
        rng = np.random.default_rng(seed)
        weights = self.rule.alpha_region * np.array(sizes) / np.mean(sizes)
        regions = at_least(mixed(rng, labels, np.arange(len(labels)), weights), sizes)
        found: list[Indices] = []
        for rows, size in zip(regions, sizes, strict=True):
            alphas = np.full(size, float(self.rule.alpha_client))
            found += nobody_empty(mixed(rng, labels, np.sort(rows), alphas))
        return [np.sort(mine) for mine in found]
