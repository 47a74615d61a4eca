"""python -m benchmarks.peers NAME -- COMMAND …    measures anybody's job as ours is measured (see the package)."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers import measure, rows_of
from benchmarks.rows import markdown


def main(arguments: list[str]) -> int:
    """Measure one command, and print its rows."""
    if len(arguments) < 3 or arguments[1] != "--":
        print(__doc__, file=sys.stderr)
        return 2
    print(markdown(rows_of(arguments[0], measure(arguments[2:], Path.cwd()))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
