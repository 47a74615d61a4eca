"""Outcomes: what a command that came to nothing says, and its exit code.

error: no.yaml: no such file
{"schema_version": 1, "status": "failed", "error": {"where": …, "what": …, …}}      with --json
"""

from __future__ import annotations

import errno

import click

from tierfed.errors import StorageError, TierfedError
from tierfed.report import failure
from tierfed.report.output import Output

USAGE = 2
_PLACES = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG)


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
    if isinstance(error, TierfedError):
        said = error
    elif isinstance(error, OSError) and error.errno in _PLACES and error.filename is not None:
        said = _place(error)
    else:
        said = failure.internal(error)
    output.fail(said)
    output.answer_failure("failed", said)
    return failure.exit_code(said)


def _place(error: OSError) -> TierfedError:
    """Return what the user's disk or folders do not allow as an error of ours."""
    what = str(error.strerror)
    return StorageError(
        what[:1].lower() + what[1:],
        where=str(error.filename),
        mend="runs are kept in ./.tierfed, or where TIERFED_HOME says: give a folder that can be written",
    )


def _usage(error: click.ClickException) -> TierfedError:
    """Return a wrong use of a command, as click words it, as an error of ours."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "tierfed"
    what = error.format_message().strip().rstrip(".")
    first, rest = what[:1], what[1:]
    return TierfedError(first.lower() + rest if rest[:1].islower() else what, where=path, mend=f"see {path} --help")
