"""Changed: a topology file with some values changed, written out again as a file.

    changed(Path("three_tier.yaml"), ["CLIENTS.codec.up=drive"])       the text of that file, with one codec more

What `load_topology(path, sets)` reads, as text that can be edited and kept: nothing is worked out, as it is in a
resolved topology.  Comments and anchors are gone, what they stood for is written where they stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML

from tierfed.topology.positions import read
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
    apply_sets(document, sets, problems)
    problems.raise_if_any()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.width = _WIDTH
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump({key: value for key, value in document.data.items() if not str(key).startswith("x-")}, text)
    return text.getvalue()
