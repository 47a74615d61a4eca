"""Tidy tables: a row for each round of each run, with the settings of its cell, for other programs to draw.

    run,cell,repeat,seed,CLIENTS.codec.up,round,seconds,contributors,lost,bytes_up.CLIENTS,…,accuracy,loss
    7f3a90c2,int8,0,7,int8,1,0.41,32,0,1080000,…,0.62,1.2

As CSV, or as Parquet by pyarrow (the extra `parquet`), whose columns of numbers are float64 and the others text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tierfed.errors import StorageError, UnsupportedError
from tierfed.report.page.report import compared

Rows = Sequence[Mapping[str, Any]]


def rows(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the rounds of all runs of `folders`; round 1 is the first."""
    found: list[dict[str, Any]] = []
    for cell in (whole := compared(folders)).cells:
        for row in cell.rows:
            of = {"run": row.run, "cell": cell.name, "repeat": row.repeat, "seed": row.seed}
            of |= {key: cell.settings.get(key, "") for key in whole.varied}
            for r in row.stored.rounds if row.stored is not None else []:
                found.append(
                    {
                        **of,
                        "round": r.number + 1,
                        "seconds": r.seconds,
                        "contributors": r.contributors,
                        "lost": r.lost,
                        **{f"bytes_up.{k}": v for k, v in r.up.items()},
                        **{f"bytes_down.{k}": v for k, v in r.down.items()},
                        **{f"joules.{k}": v for k, v in r.joules.items()},
                        **r.metrics,
                    }
                )
    return found


def heads(table: Rows) -> list[str]:
    """Return the names of the columns, in the order in which they come."""
    return list(dict.fromkeys(key for row in table for key in row))


def as_csv(table: Rows) -> str:
    """Return `table` as CSV; a number that is whole is written so."""
    written = io.StringIO()
    writer = csv.DictWriter(written, heads(table), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: int(v) if isinstance(v, float) and v == int(v) else v for k, v in row.items()} for row in table
    )
    return written.getvalue()


def as_parquet(table: Rows) -> bytes:
    """Return `table` as Parquet; raises UnsupportedError without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UnsupportedError(
            "Parquet is written by pyarrow, which is not installed",
            where="report -o parquet",
            mend="pip install 'tierfed[parquet]', or use -o csv",
        ) from error
    columns = {}
    for name in heads(table):
        values = [row.get(name) for row in table]
        if all(v is None or isinstance(v, int | float) for v in values):
            columns[name] = pyarrow.array([None if v is None else float(v) for v in values], pyarrow.float64())
        else:
            columns[name] = pyarrow.array([None if v is None else str(v) for v in values], pyarrow.string())
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return bytes(sink.getvalue().to_pybytes())


def save(table: Rows, form: str, to: Path) -> Path:
    """Write `table` to a file as csv or parquet and return its path; raises StorageError if it cannot be written."""
    content = as_csv(table).encode() if form == "csv" else as_parquet(table)
    try:
        to.write_bytes(content)
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(to), mend="give another --out") from error
    return to
