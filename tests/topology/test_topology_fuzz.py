"""Whatever stands in a file, the loader answers with a topology or with problems that have places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tierfed.errors import TopologyError
from tierfed.topology import Topology, parse_topology

FOLDER = Path(__file__).parents[2] / "topologies"
FILES = [p.read_text(encoding="utf-8") for p in sorted(FOLDER.glob("*.yaml"))]
PLAIN = [YAML(typ="safe", pure=True).load(text) for text in FILES]

words = st.sampled_from(
    [
        "SERVER",
        "CLIENTS",
        "EDGE_AGGREGATORS",
        "edge-eu",
        "int8",
        "30s",
        "80%",
        "0-7",
        "{i}",
        "members",
        "parent",
        "",
        "x",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**64) | st.floats() | words | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)


def places(data: Any, holders: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return every (holder, key) in `data`."""
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        holders.append((data, key))
        places(data[key], holders)
    return holders


def answers(text: str) -> None:
    """Load `text`; any error must be a TopologyError whose problems are told in full."""
    try:
        assert isinstance(parse_topology(text, "f.yaml"), Topology)
    except TopologyError as error:
        assert error.problems
        assert all(str(problem).startswith("f.yaml:") for problem in error.problems)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_values_put_anywhere(data: st.DataObject) -> None:
    """Values of any kind at any place of a shipped file, and keys where none were, never crash the loader."""
    document = json.loads(json.dumps(data.draw(st.sampled_from(PLAIN))))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(document, [])))
        value = data.draw(values)
        if isinstance(holder, dict) and data.draw(st.booleans()):
            holder[data.draw(words)] = value
        else:
            holder[key] = value
    answers(json.dumps(document))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_text_cut_and_pasted(data: st.DataObject) -> None:
    """Shipped files with pieces cut out, doubled or replaced never crash the reader."""
    text = data.draw(st.sampled_from(FILES))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 80)))
    piece = data.draw(
        st.sampled_from(
            ["", text[start:end] * 2, "\t", "{", "]", "&a ", "*a", "<<: ", "- ", ": ", "'", "!!x ", "\x00", "? "]
        )
    )
    answers(text[:start] + piece + text[end:])
