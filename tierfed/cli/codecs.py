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

import click

from tierfed.cli import options
from tierfed.report.output import Output


@click.command("codecs", short_help="List codecs, and measure them on an array.")
@click.argument("name", required=False)
@options.as_json
def command(name: str | None, output: Output) -> None:
    """List the stages that codecs are made of, or show the one called NAME.

    Those that other packages register are among them.
    """
    from tierfed.cli.outcome import USAGE, Told
    from tierfed.errors import CodecError
    from tierfed.report import codecs
    from tierfed.report.output import SCHEMA_VERSION

    if name is not None:
        try:
            one = codecs.described(name)
        except CodecError as error:
            output.fail(error)
            output.answer_failure("failed", error)
            raise Told(USAGE) from None
        output.say(codecs.page(one, output.width))
        output.document({"schema_version": SCHEMA_VERSION, "status": "ok", "codecs": [one.document()]})
        return
    found, wrong = codecs.every()
    output.say(codecs.table_of(found, output.width))
    for each in wrong:
        output.warn(str(each))
    output.document(
        {
            "schema_version": SCHEMA_VERSION,
            "status": "ok",
            "codecs": [one.document() for one in found],
            "broken": [each.to_dict() for each in wrong],
        }
    )
