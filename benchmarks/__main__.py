"""All benchmarks of this machine, one after the other.

    python -m benchmarks [--quick] [--out FOLDER] [--write] [--skip NAME] [NAME ...]

Prints tables in Markdown and, with `--out`, writes them to FOLDER/benchmarks.md and the rows to
FOLDER/benchmarks.json.  `--write` puts them into docs/performance.md, and the main rows into README.md, between their
markers, and keeps the rows in docs/benchmarks.json: benchmarks that were not run now keep the figures that they have.
`--quick` runs each a few times only: to see that it works, not to quote.
Figures are ratios of one run wherever a limit (memcpy, blocking sockets, numpy) can be had.

`codec_table` takes half an hour and has a command of its own: it runs only if it is named, or quickly.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, between, markdown

NAMES = (
    "framing",
    "upload",
    "naive",
    "rounds",
    "lag",
    "start",
    "memory",
    "sizes",
    "scale",
    "fleet",
    "peers",
    "language",
    "local_sum",
    "codecs",
    "soak",
    "codec_table",
)
LONG = ("codec_table",)  # not run unless named, or quickly
ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "benchmarks.json"
PAGE, README = ROOT / "docs" / "performance.md", ROOT / "README.md"
BEGIN, END = "<!-- the figures: python -m benchmarks --write -->", "<!-- end of the figures -->"
MAIN = (  # rows that README shows
    "upload: link against blocking sockets",
    "fan-in: against one raw stream",
    "CPU receiving, fan-in with the add",
    "wall: aiohttp against ours",
    "CPU of the parent: aiohttp against ours",
    "empty round over 1-2-8, from Python and back",
    "a round of 400 MB over 1-2-4, int8+zstd: loops late, 99 % of all",
    "64 children send 400 MB each: peak above it",
    "16 nodes ready, forked from a zygote",
    "16 nodes with TensorFlow ready, beyond the import",
    "64 nodes with TensorFlow after the first operation, memory",
    "1-2-8-40-1000: a round",
    "1-5000: memory of the aggregator",
    "peers' job, TierFed 1-2-8: command to first round done",
    "peers' job, TierFed 1-2-8: a round",
    "federated_sum of the same, local",
    "`tierfed --help`",
)
Figures = dict[str, Any]


def tables(figures: Figures) -> str:
    """Return a table a benchmark, with the machines that they were run on."""
    parts = []
    for name in NAMES:
        if name in figures:
            parts.append(f"**{name}** ({figures[name]['machine']})\n\n{markdown(figures[name]['rows'])}\n")
    return "\n".join(parts)


def main_rows(figures: Figures) -> str:
    """Return README's table."""
    known = {row["name"]: row for name in NAMES for row in figures.get(name, {"rows": ()})["rows"]}
    return markdown([known[name] for name in MAIN if name in known]) + "\n"


def write(figures: Figures) -> None:
    """Write the tables into the documents, with what they had of other benchmarks."""
    if FIGURES.exists():
        figures = json.loads(FIGURES.read_text("utf-8")) | figures
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    for file, text in ((PAGE, tables(figures)), (README, main_rows(figures))):
        file.write_text(between(file.read_text("utf-8"), BEGIN, END, text, file.name), "utf-8")


def main() -> int:
    """Run what was asked for; return 0."""
    usual = ", ".join(name for name in NAMES if name not in LONG)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure TierFed on this machine.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {usual} (without any, all of these); codec_table (long)"
    )
    parser.add_argument("--skip", action="append", default=[], metavar="NAME", help="not this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a few runs of each: to see that they work")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write benchmarks.md and benchmarks.json there")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md and README.md")
    given = parser.parse_args()
    unknown = [name for name in (*given.names, *given.skip) if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; there are {', '.join(NAMES)}")
    if given.quick and given.write:
        parser.error("--quick measures nothing that is worth writing down: leave out --quick, or --write")
    figures: Figures = {}
    for name in given.names or [name for name in NAMES if given.quick or name not in LONG]:
        if name in given.skip:
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        rows: list[Row] = importlib.import_module(f"benchmarks.{name}").run(quick=given.quick)
        load = os.getloadavg()[0]
        machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}"
        figures[name] = {"machine": machine, "rows": rows}
        if given.write:
            write(figures)  # what is done is done, if a later one fails
    text = tables(figures)
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "benchmarks.md").write_text(text)
        (given.out / "benchmarks.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
