"""All benchmarks of this machine, one after the other.

    python -m benchmarks [--quick] [--out FOLDER] [NAME ...]

Prints a table in Markdown and, with `--out`, writes it to FOLDER/benchmarks.md and the rows to
FOLDER/benchmarks.json.  `--quick` runs each a few times only: to see that it works, not to quote.
Figures are ratios of one run wherever a limit (memcpy, blocking sockets, numpy) can be had.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

from benchmarks.rows import Row, markdown

NAMES = ("framing", "upload", "rounds", "start", "language", "local_sum", "codec_table", "codecs", "memory", "lag", "naive", "sizes", "scale", "soak", "peers")


def main() -> int:
    """Run what was asked for; return 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure TierFed on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; all without")
    parser.add_argument("--quick", action="store_true", help="a few runs of each: to see that they work")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write benchmarks.md and benchmarks.json there")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    for name in given.names or NAMES:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").run(quick=given.quick)
    title = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    text = f"{title}\n\n{markdown(rows)}\n"
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "benchmarks.md").write_text(text)
        (given.out / "benchmarks.json").write_text(json.dumps({"machine": title, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
