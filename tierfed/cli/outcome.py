"""Outcomes: what a command that came to nothing says, and its exit code.

error: no.yaml: no such file
{"schema_version": 1, "status": "failed", "error": {"where": …, "what": …, …}}      with --json
"""

from __future__ import annotations

import click

from tierfed.errors import TierfedError
from tierfed.report import failure
from tierfed.report.output import Output

USAGE = 2


class Told(Exception):
    """A command that has said everything itself, and ends with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def tell(error: BaseException, output: Output) -> int:
    """Tell people, and programs that asked, of `error`; return the exit code."""
    if isinstance(error, Told):
        return error.code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        output.notice("interrupted")
        output.answer_failure("interrupted", failure.interrupted())
        return failure.INTERRUPTED
    if isinstance(error, click.ClickException):
        said = _usage(error)
        output.fail(said)
        output.answer_failure("failed", said)
        return USAGE
    said = error if isinstance(error, TierfedError) else failure.internal(error)  # type: ignore[arg-type]
    output.fail(said)
    output.answer_failure("failed", said)
    return failure.exit_code(said)


def _usage(error: click.ClickException) -> TierfedError:
    """Return a wrong use of a command, as click words it, as an error of ours."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "tierfed"
    what = error.format_message().strip().rstrip(".")
    first, rest = what[:1], what[1:]
    return TierfedError(first.lower() + rest if rest[:1].islower() else what, where=path, mend=f"see {path} --help")
