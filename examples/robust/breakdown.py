"""The breakdown experiment: each rule, flat and by tier, against liars placed in several ways.

    python examples/robust/breakdown.py [--seeds 0 1] [--quick]

writes `breakdown.csv` beside this file as the runs end, goes on from it when called again, and prints the table of
docs/robust.md: the accuracy after 15 rounds.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import tierfed

HERE = Path(__file__).parent
RULES: dict[str, dict[str, Any]] = {
    "mean": {},
    "clipped mean": {"EDGE_AGGREGATORS": {"clipped_mean": {"norm": 1.0}}},
    "median": {"SERVER": "median"},
    "median, by tier": {"EDGE_AGGREGATORS": "median", "SERVER": "median"},
    "median at edges, then mean": {"EDGE_AGGREGATORS": "median"},
    "trimmed mean": {"SERVER": {"trimmed_mean": {"fraction": 0.4}}},
    "trimmed mean, by tier": {
        "EDGE_AGGREGATORS": {"trimmed_mean": {"fraction": 0.4}},
        "SERVER": {"trimmed_mean": {"fraction": 0.4}},
    },
    "krum": {"SERVER": {"krum": {"attackers": 20}}},
    "multi-krum": {"SERVER": {"multi_krum": {"attackers": 20, "keep": 25}}},
    "multi-krum, by tier": {
        "EDGE_AGGREGATORS": {"multi_krum": {"attackers": 3, "keep": 5}},
        "SERVER": {"multi_krum": {"attackers": 1, "keep": 3}},
    },
    "geometric median": {"SERVER": {"geometric_median": {"iterations": 20}}},
    "geometric median, by tier": {
        "EDGE_AGGREGATORS": {"geometric_median": {"iterations": 20}},
        "SERVER": {"geometric_median": {"iterations": 20}},
    },
}
LIARS = [
    (0, "spread"),
    (5, "spread"),
    (5, "together"),
    (10, "spread"),
    (10, "together"),
    (18, "spread"),
    (18, "together"),
    (18, "majorities"),
]
KEYS = ("rules", "attackers", "place", "seed")


def accuracy(rules: dict[str, Any], attackers: int, place: str, seed: int, rounds: int) -> float:
    """Return the accuracy after so many rounds on a simulated tree."""
    import attacked

    fleet = tierfed.simulate(HERE / "topology.yaml", sets=[f"seed={seed}", f"job.params.rules={json.dumps(rules)}"])
    with fleet:
        fleet.run_job(attacked.train, {"rounds": rounds, "attackers": attackers, "place": place, "rules": rules})
        found = float(fleet.recorder.metrics["accuracy"])
    shutil.rmtree(fleet.run_dir)
    return found


def table(rows: list[dict[str, str]]) -> str:
    """Return the rows as Markdown: a rule a line, a number of liars a column."""
    heads = ["none" if not n else f"{n} {place}" for n, place in LIARS]
    lines = ["| rule | " + " | ".join(heads) + " |", "|---" * (len(LIARS) + 1) + "|"]
    for name in RULES:
        cells = []
        for attackers, place in LIARS:
            found = [
                float(r["accuracy"])
                for r in rows
                if (r["rules"], r["attackers"], r["place"]) == (name, str(attackers), place)
            ]
            cells.append(f"{statistics.mean(found):.2f}" if found else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what has not been run, and print the table."""
    asked = argparse.ArgumentParser(description="The breakdown experiment of docs/robust.md.")
    asked.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="a run a seed (default: 0 1)")
    asked.add_argument("--quick", action="store_true", help="two rounds, three rules, nothing is written")
    given = asked.parse_args()
    sys.path.insert(0, str(HERE))
    file = HERE / "breakdown.csv"
    rows = list(csv.DictReader(file.open())) if file.exists() and not given.quick else []
    done = {tuple(r[k] for k in KEYS) for r in rows}
    names = list(RULES)[:3] if given.quick else list(RULES)
    wanted = [(n, a, p, s) for s in given.seeds for n in names for a, p in LIARS]
    left = [w for w in wanted if tuple(map(str, w)) not in done]
    for i, (name, attackers, place, seed) in enumerate(left, 1):
        found = accuracy(RULES[name], attackers, place, seed, 2 if given.quick else 15)
        rows.append(
            {**dict(zip(KEYS, map(str, (name, attackers, place, seed)), strict=True)), "accuracy": f"{found:.4f}"}
        )
        if not given.quick:
            with file.open("w", newline="") as out:
                writer = csv.DictWriter(out, [*KEYS, "accuracy"])
                writer.writeheader()
                writer.writerows(rows)
        print(f"{i} of {len(left)}: {name}, {attackers} liars {place}, seed {seed}: {found:.3f}")
    print(table(rows))


if __name__ == "__main__":
    main()
