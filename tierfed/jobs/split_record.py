"""The split of a run, written down: `split.json`, when a program that asks for shared-out data comes to the tree.

    {"schema_version": 1, "dataset": "chem97", "rule": {"by": ["authority", "school"]}, "seed": 7, "holdout": null,
     "labels": ["0", …], "members": {"c-0": [12, …], …}, "placements": {"CLIENTS": {"members": 32, "sha256": "9f…"}}}

`members` counts each one's examples by class, held-out ones among them.  A split is a function of its rule, its seed
and the tree, so `split: RULE` and `seed: N` in another file's `job.data` give it again; `sha256`, over everybody's
examples, tells whether they did (numpy may draw other numbers in another version: `numpy` says which did here).
Counts of more than two million numbers are left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tierfed.compiler.slices import Compiled, Load
from tierfed.data import check
from tierfed.data.provider import Shared
from tierfed.data.tally import Tally, tally
from tierfed.placements import as_placement
from tierfed.topology import Topology, plan

FILE = "split.json"
_SHARED_OUT = ("train", "holdout")
_MOST = 2_000_000  # counts that are written


class SplitRecord:
    """Checks programs for a topology, and writes `split.json` into `run_dir` for those that ask for shares."""

    def __init__(self, run_dir: Path, topology: Topology) -> None:
        self._path = run_dir / FILE
        self._topology = topology
        self._written: set[str] = set()  # placements

    def __call__(self, compiled: Compiled) -> None:
        """Raise what `plan.check` raises of a program; then write the split of its placements."""
        plan.check(self._topology, compiled)
        new = [p for p in asking(compiled) if p not in self._written]
        job = self._topology.job
        named = check(job.data) if job is not None and new else None
        if job is None or job.data is None or not isinstance(named, Shared):
            return
        known: dict[str, Any] = {}
        if self._path.exists():  # of another program, or of the process that brought the tree up
            known = json.loads(self._path.read_text(encoding="utf-8"))
        document = {
            "schema_version": 1,
            "dataset": named.dataset.name,
            "rule": job.data.get("split", "iid"),
            "seed": self._topology.seed if named.seed is None else named.seed,
            "holdout": job.data.get("holdout"),
            "numpy": np.__version__,
            "labels": [],
            "members": known.get("members", {}),
            "placements": known.get("placements", {}),
        }
        for placement in new:
            counted = counts(self._topology, named, placement)
            document["labels"] = list(counted.labels)
            document["placements"][placement] = {"members": len(counted.members), "sha256": counted.digest}
            if len(counted.members) * len(counted.labels) <= _MOST:
                document["members"] |= {name: of.tolist() for name, of in counted.members.items()}
        self._path.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
        self._written.update(new)


def asking(compiled: Compiled) -> list[str]:
    """Return the placements whose members ask for a share."""
    return [
        str(placement)
        for placement, part in compiled.slices.items()
        if any(isinstance(step, Load) and step.uri in _SHARED_OUT for step in part.walk())
    ]


def counts(topology: Topology, named: Shared, placement: str) -> Tally:
    """Return the split among the members of a placement, counted."""
    names = [node.name for node in topology.members(placement)]
    return tally(named, placement, names, topology.seed, plan.crowd(topology, as_placement(placement)))
