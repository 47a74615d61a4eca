"""Run the bench: measure settings drawn by seed.

    python -m benchmarks.network [--settings 24] [--seed 1] [--only 3,7] [--check] [--out FOLDER]

`--check` looks at the links of the settings instead: what a link is not, no model can know.  Figures go to standard
output, a line a setting, and to FOLDER/network-SEED.json (or links-SEED.json) after each.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.network.checks import checked
from benchmarks.network.measure import measured
from benchmarks.network.namespaces import NotPermitted, check_permitted
from benchmarks.network.settings import Setting, draw
from benchmarks.network.shaping import CONGESTION
from tierfed.errors import TierfedError


def main(arguments: list[str] | None = None) -> int:
    """Do what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description="Rounds over shaped links.")
    parser.add_argument("--settings", type=int, default=24, metavar="N", help="how many to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--only", default="", metavar="I,J", help="of those drawn, these")
    parser.add_argument("--check", action="store_true", help="look at the links themselves, without daemons")
    parser.add_argument("--congestion", default=CONGESTION, help="TCP's congestion control, as the kernel names it")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="FOLDER", help="where the JSON goes")
    given = parser.parse_args(arguments)
    settings = draw(given.seed, given.settings)
    if given.only:
        settings = [settings[int(one)] for one in given.only.split(",")]
    try:
        check_permitted(*(["nft"] if any(tier.loss for s in settings for tier in s.tiers) else []))
    except NotPermitted as error:
        print(f"skipped: {error.what}" + (f" ({error.mend})" if error.mend else ""))
        return 0
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / f"{'links' if given.check else 'network'}-{given.seed}.json"
    rows: list[dict[str, Any]] = []
    for setting in settings:
        try:
            rows += _links(setting) if given.check else [_round(setting, given.congestion)]
        except TierfedError as error:
            print(f"{setting.name}: {error}", flush=True)
            rows.append({"setting": setting.name, "error": error.what})
        file.write_text(json.dumps({"machine": _machine(), "seed": given.seed, "rows": rows}, indent=1) + "\n")
    return 0 if all(row.get("good", "error" not in row) for row in rows) else 1


def _round(setting: Setting, congestion: str) -> dict[str, Any]:
    found = measured(setting, congestion=congestion)
    least, most = found["spread"]
    print(
        f"{setting.name}  {found['seconds']:6.3f} s  ({least:.3f}-{most:.3f}, {len(found['each'])} rounds, "
        f"load {os.getloadavg()[0]:.0f})  {setting.described()}",
        flush=True,
    )
    return {
        "setting": setting.name,
        "described": setting.described(),
        "drawn": dataclasses.asdict(setting),
        "topology": setting.text(),
        "load": os.getloadavg()[0],
        **found,
    }


def _links(setting: Setting) -> list[dict[str, Any]]:
    rows = checked(setting)
    for row in rows:
        nominal = row["nominal"]
        print(
            f"{row['setting']}  {row['tier']:16}  round trip {row['round_trip'] * 1e3:7.2f} of "
            f"{nominal['round_trip'] * 1e3:7.2f} ms (95 %: {row['slow_trip'] * 1e3:7.2f})  up {row['up']:5.2f} of "
            f"{nominal['up']:5.2f} mbit  down {row['down']:5.2f} of {nominal['down']:5.2f} mbit  "
            f"lost {row['lost'] * 100:5.2f} of {nominal['lost'] * 100:5.2f} %  {'good' if row['good'] else 'NOT GOOD'}",
            flush=True,
        )
    return rows


def _machine() -> str:
    return f"Linux {platform.release()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%F')}"


if __name__ == "__main__":
    sys.exit(main())
