"""`tierfed init [DIR]`: a topology, a program of one's own, and the schema for the editor.

    $ tierfed init demo && cd demo
    $ tierfed up three_tier.yaml

What it writes runs as it is.  Nothing that is there is overwritten.
"""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path

import click

_PROGRAM = "program.py"
_TEMPLATES = {"two-tier": "two_tier.yaml", "three-tier": "three_tier.yaml", "four-tier": "four_tier.yaml"}


@click.command("init", short_help="Write a topology and a program to start from.")
@click.argument("folder", metavar="[DIR]", default=".")
@click.option(
    "--template", type=click.Choice(list(_TEMPLATES)), default="three-tier", show_default=True, help="Which tree."
)
def command(folder: str, template: str) -> None:
    """Write a topology, a program and the topology's schema to DIR, which is made if need be."""
    from tierfed.report.output import Output
    from tierfed.topology import schema

    output = Output()
    here = Path(folder)
    topology = _TEMPLATES[template]
    stored = files("tierfed.cli") / "templates"
    texts = {name: (stored / source).read_text("utf-8") for name, source in _sources(topology).items()}
    for name in texts:
        if (here / name).exists():
            raise click.UsageError(f"{here / name} is there already; init overwrites nothing")
    here.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with open(here / name, "x", encoding="utf-8") as file:
            file.write(text)
    written = [*texts, str(schema.write(here).relative_to(here))]
    output.say(f"wrote {', '.join(written)}")
    output.say(f"next: {'' if here == Path('.') else f'cd {shlex.quote(folder)} && '}tierfed up {topology}")


def _sources(topology: str) -> dict[str, str]:
    """Return the template of each file to be written."""
    return {topology: topology, _PROGRAM: f"{_PROGRAM}.txt"}
