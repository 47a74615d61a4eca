"""`tierfed report [RUN or SWEEP…]`: what came of it, as a page, a table, or drawings for a paper.

$ tierfed report                    report.html in the folder of the latest run
$ tierfed report s-2 -o svg         each drawing as a file
"""

from __future__ import annotations

from pathlib import Path

import click

from tierfed.cli import options
from tierfed.report.output import Output

_FORMS = ("html", "csv", "parquet", "svg")


@click.command("report", short_help="Show runs and sweeps as a page, a table, or drawings.")
@click.argument("what", nargs=-1, metavar="[RUN or SWEEP]...")
@click.option(
    "-o", "--output-form", "form", type=click.Choice(_FORMS), default="html", show_default=True, help="What to write."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="PATH", help="Where to; `-` is stdout, not for svg.")
@click.option(
    "--metric", metavar="NAME", help="What sweeps and several runs are judged by.  [default: accuracy, or the first]"
)
@options.as_json
def command(what: tuple[str, ...], form: str, out: Path | None, metric: str | None, output: Output) -> None:
    """Write what came of each RUN or SWEEP; without any, of the latest run.

    html is one page that needs no network; csv and parquet have a row for each round; svg is a folder with each
    drawing, sized for a paper.  Without --out it goes into the folder of the run or
    the sweep, or, of several, into this one.
    """
    from tierfed.report import failure
    from tierfed.report.page import report, tidy

    folders = report.folders_of(*what)
    to = out or (folders[0] if len(folders) == 1 else Path()) / ("figures" if form == "svg" else f"report.{form}")
    written: list[Path]
    if form in ("html", "svg"):
        made = report.report_of(*folders, metric=metric)
        if str(to) == "-" and form == "html":
            output.raw(made.html)
            return
        if str(to) == "-":
            raise click.UsageError("svg is a folder of drawings; give --out FOLDER")
        written = [made.save(to)] if form == "html" else made.save_drawings(to)
    else:
        if metric is not None:
            raise click.UsageError(f"{form} has all metrics; leave --metric out")
        rows = tidy.rows(folders)
        if str(to) == "-":
            output.raw(tidy.as_csv(rows)) if form == "csv" else output.binary(tidy.as_parquet(rows))
            return
        written = [tidy.save(rows, form, to)]
    shown = failure.shown(to.absolute())
    output.say(f"{shown}: {len(written)} drawings" if form == "svg" else shown)
    output.document(
        {"schema_version": 1, "of": [str(one) for one in folders], "form": form, "files": [str(one) for one in written]}
    )
