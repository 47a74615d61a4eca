"""A report: made of runs and sweeps, shown in a notebook, saved as a page, its drawings as files for a paper.

report = tierfed.report_of("s-2")
report.save("report.html")
report.save_drawings("figures")          ["figures/front-bytes.svg", …]
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierfed.errors import StorageError
from tierfed.report.page import parts, run_page, stored_run, stored_sweep, sweep_page
from tierfed.report.page.places import place
from tierfed.report.page.svg import Drawing
from tierfed.types.html import Html

if TYPE_CHECKING:
    from tierfed.jobs.tree import RunTree


class Report:
    """What `report_of` returns: a page, shown by a notebook and saved by `save`.

    `title` is what it is of, `sections` are its parts by title, as HTML, and `drawings` its drawings by name:
    `drawings["tree"].standalone()` is one as SVG.
    """

    def __init__(self, title: str, head: Html, sections: Mapping[str, Html], drawings: Mapping[str, Drawing]) -> None:
        self.title = title
        self.sections = dict(sections)
        self.drawings = dict(drawings)
        self._head = head

    @property
    def html(self) -> str:
        """The page: a whole document that needs nothing else."""
        return parts.document(self.title, self._body(parts.contents(self.sections)))

    def _body(self, contents: Html) -> Html:
        shown = (parts.section(title, body) for title, body in self.sections.items())
        return parts.tag("main", self._head, contents, *shown, kind="tf")

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return parts.inline(self._body(Html("")))

    def save(self, to: str | os.PathLike[str]) -> Path:
        """Write the page to a file and return its path; raises StorageError if it cannot be written."""
        return _written(Path(to), self.html)

    def save_drawings(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write each drawing to NAME.svg in `folder` and return their paths; raises StorageError."""
        where = Path(folder)
        try:
            where.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot be made: {error.strerror}", where=str(where), mend="give another --out"
            ) from error
        return [_written(where / f"{name}.svg", drawing.standalone()) for name, drawing in self.drawings.items()]

    def __repr__(self) -> str:
        return f"<report of {self.title}: {', '.join(self.drawings) or 'no drawings'}>"


def _written(to: Path, text: str) -> Path:
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(to), mend="give another --out") from error
    return to


def report_of(*what: RunTree | str | os.PathLike[str], metric: str | None = None) -> Report:
    """Return the report of runs and sweeps: trees, ids, names of sweeps, folders; without any, of the latest run.

    One run has a page of its own, anything else a page of comparison, by `metric` or the first that is there.
    Raises NoSuchRun, or SettingError if no run has that metric.

    >>> @tierfed.federated_computation("{int32}@CLIENTS")
    ... def total(x):
    ...     return tierfed.federated_sum(x)
    >>> with tierfed.simulate(tierfed.tree({"CLIENTS": 2})) as fleet:
    ...     fleet.invoke(total, [3, 4]), list(tierfed.report_of(fleet).drawings)
    (np.int32(7), ['bytes-by-tier', 'tree'])
    """
    folders = folders_of(*what)
    if len(folders) == 1 and not stored_sweep.is_sweep(folders[0]):
        run = stored_run.read(folders[0])
        if metric is not None:
            sweep_page.chosen(stored_sweep.of_runs([run]), metric)
        return Report(*run_page.build(run))
    return Report(*sweep_page.build(compared(folders), metric))


def folders_of(*what: RunTree | str | os.PathLike[str]) -> list[Path]:
    """Return the folders that are meant, each once; raises NoSuchRun."""
    found = [one.run_dir if hasattr(one, "run_dir") else place(one) for one in what] or [place(None)]
    return list(dict.fromkeys(found))


def compared(folders: Sequence[Path]) -> stored_sweep.Compared:
    """Return what is in `folders` as cells beside each other: those of each sweep, and each run as one."""
    sweeps = [stored_sweep.of_sweep(one) for one in folders if stored_sweep.is_sweep(one)]
    runs = [stored_run.read(one) for one in folders if not stored_sweep.is_sweep(one)]
    return stored_sweep.joined([*sweeps, *([stored_sweep.of_runs(runs)] if runs else [])])
