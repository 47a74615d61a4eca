"""`tierfed codecs [NAME]`: the codecs there are; `--bench`: what each makes of an array.

    $ tierfed codecs
    STAGE         KIND           BITS   LOSSY  UNBIASED  STATE  ADDS AS
    qsgd(bits=4)  array → bytes  4.125  yes    yes       none   elements
      a few bits an element, rounded at random so that the mean is what was encoded
    …
    $ tierfed codecs --bench update.npy --codec int8 --codec "eden(bits=4)+zstd"

Bytes and errors are those of one message; speeds are fractions of memcpy's in the same run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from tierfed.cli import options
from tierfed.report.output import Output

if TYPE_CHECKING:
    from tierfed.errors import TierfedError
    from tierfed.report.progress import Line

_OURS = ""  # the value of --bench without a file
_SMALL = 4096  # elements, under which tensors travel raw on a link


@click.command("codecs", short_help="List codecs, and measure them on an array.")
@click.argument("name", required=False)
@click.option(
    "--bench",
    "file",
    is_flag=False,
    flag_value=_OURS,
    metavar="[FILE]",
    help="Measure on the array in FILE, a .npy or .npz; without FILE, on normal and lognormal numbers.",
)
@click.option(
    "--codec", "specs", multiple=True, metavar="SPEC", help="With --bench: this chain alone.  May be repeated."
)
@options.as_json
def command(name: str | None, file: str | None, specs: tuple[str, ...], output: Output) -> None:
    """List the stages that codecs are made of, or show the one called NAME.

    Those that other packages register are among them.  With --bench, every codec is measured: what it
    loses, what it writes, and its speed as a fraction of memcpy's.
    """
    if file is not None and name is not None:
        raise click.UsageError(f"NAME and --bench exclude each other; measure one codec with --bench --codec {name}")
    if file is None and specs:
        raise click.UsageError("--codec chooses what --bench measures; give --bench too")
    from tierfed.errors import CodecError, UnsupportedError
    from tierfed.report.output import SCHEMA_VERSION

    try:
        told = _list(name, output) if file is None else _bench(file, specs, output)
    except (CodecError, UnsupportedError) as error:  # a codec that was named on the command line
        _wrong_use(error, output)
    output.document({"schema_version": SCHEMA_VERSION, "status": "ok", **told})


def _wrong_use(error: TierfedError, output: Output) -> None:
    from tierfed.cli.outcome import USAGE, Told

    output.fail(error)
    output.answer_failure("failed", error)
    raise Told(USAGE)


def _list(name: str | None, output: Output) -> dict[str, object]:
    """Tell people of the stages, or of one; return the document."""
    from tierfed.report import codecs

    if name is not None:
        one = codecs.described(name)
        output.say(codecs.page(one, output.width))
        return {"codecs": [one.document()]}
    found, broken = codecs.every()
    output.say(codecs.table_of(found, output.width))
    for error in broken:
        output.warn(str(error))
    return {"codecs": [each.document() for each in found], "broken": [error.to_dict() for error in broken]}


def _bench(file: str, specs: tuple[str, ...], output: Output) -> dict[str, object]:
    """Measure, tell people, and return the document."""
    from tierfed.report import codec_bench
    from tierfed.report.array_file import read

    codecs = codec_bench.chosen(specs)
    samples = codec_bench.normal_and_lognormal() if file == _OURS else [read(file)]
    reports = []
    with _progress(output, len(codecs) * len(samples)) as told:
        for sample in samples:
            reports.append(codec_bench.measure(sample, codecs, told))
    for report in reports:
        output.say(codec_bench.shown(report, output.width) + "\n")
        if report.sample.of < _SMALL:
            output.warn(f"on a link, tensors under {_SMALL} elements travel raw under any codec")
    output.say(codec_bench.LEGEND)
    return {"bench": [report.document() for report in reports]}


@contextlib.contextmanager
def _progress(output: Output, of: int) -> Iterator[Callable[[str], None]]:
    """Show on a terminal which codec is being measured; elsewhere, nothing."""
    if not output.live:
        yield lambda codec: None
        return
    from tierfed.report.terminal import Picture

    begun: list[str] = []

    def draw(width: int, height: int) -> list[Line]:
        return [[(f"measuring {len(begun)}/{of} {begun[-1]}"[:width], "")]] if begun else []

    with Picture(output.people, draw, colours=output.colours):
        yield begun.append
