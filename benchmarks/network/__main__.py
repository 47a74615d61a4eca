"""Run the bench: measure settings drawn by seed, and predict the same.

    python -m benchmarks.network [--settings 24] [--seed 1] [--only 3,7] [--out FOLDER] [--write]
    python -m benchmarks.network --again FOLDER/network-1.json [--write]      predict anew what was measured
    python -m benchmarks.network --check                                     the links alone

`--check` looks at the links of the settings instead, without daemons: what a link is not, no model can know.  A line a
setting goes to standard output, and the figures to FOLDER/network-SEED.json (links-SEED.json) after each.  `--write`
puts the table into docs/validation.md.  What the model's constants are set by are settings of other seeds than 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.network.checks import checked
from benchmarks.network.measure import measured
from benchmarks.network.model import predicted
from benchmarks.network.namespaces import NotPermitted, check_permitted
from benchmarks.network.settings import Setting, Tier, draw
from benchmarks.network.shaping import CONGESTION
from benchmarks.network.tables import error, exact, links, verdict, write, write_links
from tierfed.errors import TierfedError


def main(arguments: list[str] | None = None) -> int:
    """Do what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description="Rounds over shaped links.")
    parser.add_argument("--settings", type=int, default=24, metavar="N", help="how many to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--only", default="", metavar="I,J", help="of those drawn, these")
    parser.add_argument("--congestion", default=CONGESTION, help="TCP's congestion control, as the kernel names it")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the figures go")
    parser.add_argument("--write", action="store_true", help="put table, figures and picture into docs/")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="look at the links themselves, without daemons")
    what.add_argument("--again", type=Path, metavar="FILE", help="predict anew what was measured, measure nothing")
    given = parser.parse_args(arguments)
    settings = draw(given.seed, given.settings)
    if given.only:
        settings = [settings[int(one)] for one in given.only.split(",")]
    machine = f"Linux {platform.release()}, {os.cpu_count()} cores, {given.congestion}, {time.strftime('%F')}"
    if given.again is None:
        try:
            check_permitted(*(["nft"] if any(tier.loss for s in settings for tier in s.tiers) else []))
        except NotPermitted as refused:
            print(f"skipped: {refused.what}" + (f" ({refused.mend})" if refused.mend else ""))
            return 0
        found = _links(settings) if given.check else _rounds(settings, given.congestion)
    else:
        earlier = json.loads(given.again.read_text("utf-8"))
        machine = earlier["machine"]
        found = _anew(earlier["rows"])
    rows, failed = [], False
    for row in found:
        rows.append(row)
        failed = failed or "error" in row or not row.get("good", True)
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            file = given.out / f"{'links' if given.check else 'network'}-{given.seed}.json"
            file.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", "utf-8")
    if given.check:
        print(links(rows))
        if given.write:
            write_links(rows)
        return 1 if failed else 0
    rows = [row for row in rows if "predicted" in row]
    if rows:
        print(verdict(rows))
        if given.write:
            write(rows, machine)
    return 1 if failed else 0


def _rounds(settings: list[Setting], congestion: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each setting, measured and predicted."""
    for setting in settings:
        row = {"setting": setting.name, "described": setting.described(), "drawn": dataclasses.asdict(setting)}
        try:
            row["measured"] = measured(setting, congestion=congestion)
            row["predicted"] = predicted(setting)
        except TierfedError as failed:
            print(f"{setting.name}  {failed}", flush=True)
            row["error"] = failed.what
        else:
            _say(row)
        yield row


def _anew(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of an earlier run, predicted by this version."""
    for row in rows:
        if "measured" in row:
            drawn = row["drawn"]
            setting = Setting(drawn["name"], drawn["elements"], tuple(Tier(**tier) for tier in drawn["tiers"]))
            row = {**row, "predicted": predicted(setting)}
            _say(row)
            yield row


def _say(row: dict[str, Any]) -> None:
    found = row["measured"]
    least, most = found["spread"]
    print(
        f"{row['setting']}  {found['seconds']:6.3f} s  ({least:.3f}-{most:.3f}, {len(found['each'])} rounds)"
        f"  predicted {row['predicted']['seconds']:6.3f} s  {error(row):+6.1%}"
        f"{'' if exact(row) else '  BYTES DIFFER'}  {row['described']}",
        flush=True,
    )


def _links(settings: list[Setting]) -> Iterator[dict[str, Any]]:
    """Yield a row for a link of each tier of each setting."""
    for setting in settings:
        for row in checked(setting):
            nominal = row["nominal"]
            print(
                f"{row['setting']}  {row['tier']:16}  round trip {row['round_trip'] * 1e3:7.2f} of "
                f"{nominal['round_trip'] * 1e3:7.2f} ms (95 %: {row['slow_trip'] * 1e3:7.2f})  up {row['up']:5.2f} of "
                f"{nominal['up']:5.2f} mbit  down {row['down']:5.2f} of {nominal['down']:5.2f} mbit  lost "
                f"{row['lost'] * 100:5.2f} of {nominal['lost'] * 100:5.2f} %  {'good' if row['good'] else 'NOT GOOD'}",
                flush=True,
            )
            yield row


if __name__ == "__main__":
    sys.exit(main())
