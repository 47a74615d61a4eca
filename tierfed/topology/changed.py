"""Changed: a topology file with some values changed, written out again as a file.

    changed(Path("three_tier.yaml"), ["CLIENTS.codec.up=drive"])       the text of that file, with one codec more

What `load_topology(path, sets)` reads, as text that can be edited and kept: nothing is worked out, as it is in a
resolved topology.  Comments and anchors are gone, what they stood for is written where they stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tierfed.topology.positions import read
from tierfed.topology.problems import Path as Path_
from tierfed.topology.problems import Problems
from tierfed.topology.sets import apply_sets

_WIDTH = 110  # columns


def changed(file: Path, sets: Sequence[str]) -> str:
    """Return the text of `file` after `sets`, each `path=value`.

    Raises TopologyError for a file that cannot be read, and for values that cannot be set; whether they fit is for
    `load_topology` to say.
    """
    problems = Problems()
    document = read(file, problems)
    written = apply_sets(document, sets, problems)
    problems.raise_if_any()
    _outrank(document.data, written)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.width = _WIDTH
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump({key: value for key, value in document.data.items() if not str(key).startswith("x-")}, text)
    return text.getvalue()


def _outrank(data: Any, written: Sequence[Path_]) -> None:
    """Take from members and overrides what a `--set` of their placement has outranked: in a file it would not."""
    for path in written:
        if path[0] != "placements" or len(path) < 3 or path[2] in ("members", "overrides"):
            continue
        of = data["placements"][path[1]]
        members = of.get("members") or {}
        within = [(("members", name), member) for name, member in members.items()]
        within += [(("overrides", at), one) for at, one in enumerate(of.get("overrides") or [])]
        for where, holder in within:
            if (*path[:2], *where, *path[2:]) not in written:
                _taken(holder, path[2:])
        if kept := [one for one in of.get("overrides") or [] if not isinstance(one, dict) or set(one) != {"match"}]:
            of["overrides"] = kept
        else:
            of.pop("overrides", None)


def _taken(holder: Any, path: Path_) -> None:
    """Delete what is at `path` in `holder`, and mappings that are empty then."""
    if not isinstance(holder, dict) or path[0] not in holder:
        return
    if len(path) > 1:
        _taken(holder[path[0]], path[1:])
    if len(path) == 1 or holder[path[0]] == {}:
        del holder[path[0]]
