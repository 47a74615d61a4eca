"""Options that several commands share.

@sets        --set CLIENTS.codec.up=int8    sets: tuple[str, ...]
@as_json     --json                              output: Output
Seconds()    --wait-timeout 90s, 1500ms, 90      float
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tierfed.report.output import Output

_F = TypeVar("_F", bound=Callable[..., Any])


def seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Return a duration with its unit in seconds; a bare number is seconds."""
    from tierfed.topology.units import Duration, UnitError

    text = value.strip()
    try:
        found = Duration.parse(f"{text}s" if text.replace(".", "", 1).isdigit() else text).seconds
    except UnitError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    if found <= 0:
        raise click.BadParameter(f"{text} is no time to wait", ctx, param)
    return found


def sets(command: _F) -> _F:
    """Add `--set path=value`."""
    return click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="PATH=VALUE",
        help="Change a value of the file: CLIENTS.codec.up=int8, job.params.rounds=5.  May be repeated.",
    )(command)


def wait_timeout(command: _F) -> _F:
    """Add `--wait-timeout`."""
    return click.option(
        "--wait-timeout",
        metavar="DURATION",
        callback=seconds,
        default="60s",
        show_default=True,
        help="How long the tree may take until it is ready.",
    )(command)


def dashboard(command: _F) -> _F:
    """Add `--dashboard`."""
    return click.option(
        "--dashboard", is_flag=True, help="Serve a page on this machine that shows the run as it goes on."
    )(command)


def as_json(command: _F) -> _F:
    """Add `--json`; the command gets an `Output`."""

    def spoken(ctx: click.Context, param: click.Parameter, value: bool) -> Output:
        output = ctx.find_root().obj = Output(json=value)
        return output

    return click.option(
        "--json",
        "output",
        is_flag=True,
        callback=spoken,
        help="Write one JSON document to stdout, and everything for people to stderr.",
    )(command)
