"""Parquet: the rows of a sweep as a table with types, for pandas, polars, DuckDB.

The writer is pyarrow's, the extra `[parquet]`; it is imported when it is asked for, since it is larger than
all the rest.
"""

from __future__ import annotations

import os
from typing import Any

from tierfed.errors import SweepError
from tierfed.jobs.sweep.results import columns
from tierfed.jobs.sweep.store import Kept

NAME = "results.parquet"


def require() -> Any:
    """Return pyarrow with its Parquet module.  Raises SweepError, with the command that installs it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SweepError(
            "Parquet needs pyarrow, which is not there", where="-o parquet", mend="pip install 'tierfed[parquet]'"
        ) from error
    return pyarrow


def write(kept: Kept) -> None:
    """Write results.parquet: texts where values were written, numbers where they were measured."""
    pyarrow = require()
    rows = kept.rows()
    paths = kept.sweep().paths
    texts = {"run", "status", "error", *paths}
    whole = {"cell", "repeat", "seed", "rounds", "lost"}
    arrays, names = [], columns(rows, paths)
    for name in names:
        values = [row.get(name) for row in rows]
        if name in texts:
            kind = pyarrow.string()
        elif name in whole or (any(v is not None for v in values) and all(isinstance(v, int | None) for v in values)):
            kind = pyarrow.int64()
        else:
            kind = pyarrow.float64()
        arrays.append(pyarrow.array(values, kind))
    fresh = kept.path / f".{NAME}.{os.getpid()}"
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=names), fresh)
    os.replace(fresh, kept.path / NAME)
