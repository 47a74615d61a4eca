"""A split, told: of a topology before it runs, or of a run that wrote it down.

planned(topology, None, output)                     the placement whose members ask for `train`
recorded(".tierfed/runs/7f3a90c2/split.json")       what `jobs.split_record` wrote
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tierfed.data import check
from tierfed.data.provider import Shared
from tierfed.errors import DataError, TierfedError
from tierfed.jobs.split_record import asking, counts
from tierfed.report import heat_map
from tierfed.report.fold import folded
from tierfed.report.output import Output
from tierfed.topology import Topology


@dataclass(frozen=True, slots=True)
class Told:
    """Counts by member in the order of `labels`, with what they are counts of."""

    dataset: str
    rule: Any
    seed: int
    holdout: Any
    placement: str
    labels: list[str]
    members: Mapping[str, np.ndarray[Any, Any]]
    sha256: str
    regions: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The line above the map."""
        total = sum(int(of.sum()) for of in self.members.values())
        held = f" · {self.holdout} of each held out" if self.holdout else ""
        return (
            f"{self.dataset} · {_written(self.rule)} · seed {self.seed}{held} · "
            f"{total:,} examples among {len(self.members):,} {self.placement}"
        )

    def drawn(self, width: int | None, encoding: str = "utf-8") -> str:
        """Return the map, that of the regions if there are any, and the figures."""
        shades = heat_map.SHADES
        try:
            shades.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            shades = heat_map.PLAIN
        parts = []
        regions = self._by_region()
        if 1 < len(regions) < len(self.members):
            parts.append(
                heat_map.drawn(regions, self.labels, width, shades).partition("\n" + shades[0] + " none")[0] + "\n"
            )
        parts.append(heat_map.drawn(self.members, self.labels, width, shades))
        parts.append(folded("least / median / most: " + heat_map.stats(self.members), width))
        return "\n".join(parts)

    def document(self) -> dict[str, Any]:
        """Return all of it for programs."""
        members = heat_map.figures(self.members)
        for one in members:
            if one["name"] in self.regions:
                one["region"] = self.regions[one["name"]]
        return {
            "dataset": self.dataset,
            "rule": self.rule,
            "seed": self.seed,
            "holdout": self.holdout,
            "placement": self.placement,
            "labels": self.labels,
            "members": members,
            "regions": heat_map.figures(self._by_region()) if self.regions else [],
            "sha256": self.sha256,
        }

    def _by_region(self) -> dict[str, np.ndarray[Any, Any]]:
        found: dict[str, np.ndarray[Any, Any]] = {}
        for name, region in self.regions.items():
            found[region] = found.get(region, 0) + self.members[name]
        return found


def planned(topology: Topology, placement: str | None, output: Output) -> Told:
    """Return the split that a run of `topology` would have at a placement, by default at the first that asks.

    Raises DataError if it has no data that is shared out.
    """
    where = str(topology.source or topology.name)
    data = topology.job.data if topology.job is not None else None
    named = check(data)
    if data is None or not isinstance(named, Shared):
        raise DataError(
            "its job has no data that is shared out",
            where=where,
            mend="give it `job: {data: {dataset: …, split: …}}`; what a provider gives is known to it alone",
        )
    at = placement if placement is not None else _asking(topology, output)
    counted = counts(topology, named, at)
    seed = topology.seed if named.seed is None else named.seed
    return Told(
        dataset=named.dataset.name,
        rule=data.get("split", "iid"),
        seed=seed,
        holdout=data.get("holdout"),
        placement=at,
        labels=list(counted.labels),
        members=counted.members,
        sha256=counted.digest,
        regions=counted.regions,
    )


def recorded(path: str) -> Told:
    """Return the split that a run wrote down; raises DataError for a file that is none."""
    try:
        with open(path, encoding="utf-8") as file:
            read = json.load(file)
        members = {str(name): np.array(of, np.int64) for name, of in read["members"].items()}
        if not members or {of.shape for of in members.values()} != {(len(read["labels"]),)}:
            raise ValueError("it counts nobody's examples")
        placements = read["placements"]
        return Told(
            dataset=str(read["dataset"]),
            rule=read["rule"],
            seed=int(read["seed"]),
            holdout=read["holdout"],
            placement=", ".join(placements),
            labels=[str(label) for label in read["labels"]],
            members=members,
            sha256=" ".join(one["sha256"] for one in placements.values()),
        )
    except OSError as error:
        raise DataError(
            f"it cannot be read: {error.strerror}", where=path, mend="give a split.json of a run"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"it is no split that a run wrote: {error}", where=path, mend="give .tierfed/runs/…/split.json"
        ) from error


def _asking(topology: Topology, output: Output) -> str:
    """Return the placement whose members ask for a share in the job's round; the lowest if that is not known."""
    from tierfed.compiler import compile
    from tierfed.jobs.program import load_job

    job = topology.job
    lowest = str(max(topology.hierarchy.placements, key=topology.hierarchy.depth))
    if job is None:
        return lowest
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the program prints when it is imported
            found = load_job(job.program, topology.source.parent if topology.source is not None else None)
        named = asking(compile(found.round, topology.hierarchy)) if found.round is not None else []
    except TierfedError as error:
        output.warn(f"who asks for data is not known, so {lowest} is shown: {error}")
        return lowest
    return named[0] if named else lowest


def _written(rule: Any) -> str:
    """Return a split as a topology writes it."""
    if isinstance(rule, Mapping):
        return "{" + ", ".join(f"{k}: {_written(v)}" for k, v in rule.items()) + "}"
    if isinstance(rule, list):
        return "[" + ", ".join(map(_written, rule)) + "]"
    return f"{rule:g}" if isinstance(rule, float) else str(rule)
