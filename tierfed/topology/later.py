"""Later: what the grammar has and this version has not.

    three.yaml:21:5: error: placements.CLIENTS.secure: secure aggregation is not supported by this version; remove it

A file that asks for something must get it or hear that it does not: none of these is read
and ignored.  A line leaves this table when its function lands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tierfed.topology.fields import NOT_YET
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Problems


@dataclass(frozen=True, slots=True)
class Feature:
    """Something at the paths like `where` (`*`: any step) that this version lacks, if `present`."""

    where: tuple[str, ...]
    name: str
    plural: bool = True
    mend: str = "remove it"
    present: Callable[[Any], bool] = lambda _: True


_SETTINGS = (("secure", "secure aggregation", False),)
_HOLDERS = (
    ("defaults",),
    ("placements", "*"),
    ("placements", "*", "members", "*"),
    ("placements", "*", "overrides", "*"),
)

LATER: tuple[Feature, ...] = (
    *(Feature((*holder, name), told, plural) for name, told, plural in _SETTINGS for holder in _HOLDERS),
    *(
        Feature(("hosts", "*", "driver"), f"the driver {driver}", False, "write process", driver.__eq__)
        for driver in ("external", "ray", "slurm")
    ),
)


def refuse_later(document: Document, problems: Problems) -> None:
    """Add a problem for every feature in the document that this version lacks."""
    for feature in LATER:
        for path, value in _at(document.data, feature.where, ()):
            if feature.present(value):
                verb = "are" if feature.plural else "is"
                place = document.key(path)
                problems.add(place, path, f"{feature.name} {verb} {NOT_YET}; {feature.mend}", unsupported=True)


def _at(value: Any, where: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Any]]:
    if not where:
        yield path, value
    elif isinstance(value, dict):
        for step in value if where[0] == "*" else [where[0]]:
            if step in value:
                yield from _at(value[step], where[1:], (*path, step))
    elif isinstance(value, list) and where[0] == "*":
        for at, item in enumerate(value):
            yield from _at(item, where[1:], (*path, at))
