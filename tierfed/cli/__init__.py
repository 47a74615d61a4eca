"""The command line: one command a file, imported when it is called.

    tierfed up topologies/three_tier.yaml

`tierfed --help` and the shell's completion import click alone; a command imports what it needs
inside its function.  An added command is a file here and a line in `COMMANDS`.

However a command ends, `main` turns it into an exit code, lines on stderr and, with `--json`, a document:

| code | |
|---|---|
| 0 | done |
| 1 | a defect of ours |
| 2 | a command or a file that is wrong |
| 3 | a tree that was not ready in time |
| 4 | a run that failed: quorum, deadline, program |
| 5 | no such deployment, run, node or sweep |
| 6 | a sweep of which some runs failed |
| 130 | interrupted |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from tierfed._version import __version__

COMMANDS: Mapping[str, str] = {
    "init": "Write a topology and a program to start from.",
    "validate": "Tell everything that is wrong with topology files.",
    "show": "Draw a topology, and predict what a round of it takes.",
    "compile": "Show a program's IR, slices and hashes.",
    "codecs": "List codecs, and measure them on an array.",
    "data": "List, fetch and show data sets, and how a topology shares one out.",
    "up": "Bring a tree up, run its job, and take it down.",
    "run": "Run a program on a tree.",
    "simulate": "Run a job on a virtual clock, over modelled links.",
    "sweep": "Run a grid of variants of a topology.",
    "advise": "Search what reaches a target at least time, bytes or energy.",
    "report": "Show runs and sweeps as a page, a table, or drawings.",
    "compare": "Tell what differs between runs, and what came of it.",
    "ps": "List what is running.",
    "logs": "Show the logs of nodes.",
    "trace": "Write what the nodes of a run spent their time on, for Perfetto.",
    "link": "Show and change the links of a running tree.",
    "fault": "Kill, stop or cut off a node of a running tree, or let it go on.",
    "down": "Take a tree down.",
}
_COMPLETE = "_TIERFED_COMPLETE"


class Commands(click.Group):
    """The group of all commands; see the module docstring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which they are needed."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"tierfed.cli.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` name; raises UsageError, with the nearest one, if there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            mend = f"did you mean 'tierfed {near[0]}'?" if near else "see tierfed --help"
            raise click.UsageError(f"no command '{args[0]}'; {mend}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self, args: Sequence[str] | None = None, prog_name: str | None = None, *rest: Any, **extra: Any
    ) -> NoReturn:
        """Run the command that `args` name, and exit."""
        if _COMPLETE in os.environ:
            super().main(args, prog_name or "tierfed", *rest, **extra)
        sys.exit(_exit_code(self, list(sys.argv[1:] if args is None else args) or ["--help"]))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="tierfed %(version)s")
def commands() -> None:
    """Run typed federated programs over trees of processes."""


def main() -> NoReturn:
    """Run the command line, and exit."""
    commands.main(prog_name="tierfed")


def _exit_code(group: click.Group, args: list[str]) -> int:
    """Run the command that `args` name; return its exit code once everybody has been told."""
    context: click.Context | None = None
    try:
        with group.make_context("tierfed", list(args)) as context:
            group.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except BrokenPipeError:
        _abandon_stdout()
        return 141  # 128 + SIGPIPE: whoever read has had enough
    except (Exception, KeyboardInterrupt) as error:
        return _told(error, context, args)
    return _flushed()


def _told(error: BaseException, context: click.Context | None, args: list[str]) -> int:
    """Tell people, and programs that asked, how a command came to nothing; return the exit code."""
    from tierfed.cli import outcome
    from tierfed.report.output import Output

    output = context.obj if context is not None else None
    if output is None:  # the command line could not be read
        output = Output(json="--json" in (args[: args.index("--")] if "--" in args else args))
    try:
        return outcome.tell(error, output)
    except BrokenPipeError:
        _abandon_stdout()
        return 141


def _flushed() -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
        return 141
    return 0


def _abandon_stdout() -> None:
    """Let nothing be written to a pipe that nobody reads, not even when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
