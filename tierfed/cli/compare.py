"""`tierfed compare RUN RUN…`: what differs between runs, and what came of it.

$ tierfed compare 7f3a 91bc
                          7f3a90c2  91bc04d1
CLIENTS.codec.up          none      int8+zstd
accuracy                  0.784     0.781
bytes up CLIENTS          131 MB    33.1 MB
seconds                   5.2 s     4.9 s
"""

from __future__ import annotations

from pathlib import Path

import click

from tierfed.cli import options
from tierfed.report.output import Output


@click.command("compare", short_help="Tell what differs between runs, and what came of it.")
@click.argument("what", nargs=-1, required=True, metavar="RUN RUN...")
@click.option(
    "-o", "--output-form", "form", type=click.Choice(("table", "html")), default="table", help="What to write."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to; with -o html.")
@click.option("--metric", metavar="NAME", help="What to judge by, with -o html.")
@options.as_json
def command(what: tuple[str, ...], form: str, out: Path | None, metric: str | None, output: Output) -> None:
    """Compare runs, or the cells of sweeps: the settings that differ, metrics, bytes by tier, seconds and joules.

    -o html writes the page that `tierfed report` of several runs is.
    """
    if form == "table" and (out is not None or metric is not None):
        raise click.UsageError("--out and --metric are for -o html")
    from tierfed.report import failure
    from tierfed.report.page import report, side_by_side
    from tierfed.report.page.stored_sweep import is_sweep

    folders = report.folders_of(*what)
    if len(folders) < 2 and not is_sweep(folders[0]):
        raise click.UsageError("one run has nothing to be compared with; name another, or a sweep")
    compared = report.compared(folders)
    if not compared.cells:
        from tierfed.errors import NoSuchRun

        mend = f"tierfed sweep --resume {folders[0].name}"
        raise NoSuchRun("no run of it is over", where=f"sweep {folders[0].name}", mend=mend)
    if form == "html":
        to = report.report_of(*folders, metric=metric).save(out or Path("compare.html"))
        output.say(failure.shown(to.absolute()))
    else:
        output.say(side_by_side.table_of(compared, output.width))
    output.document(side_by_side.document(compared))
