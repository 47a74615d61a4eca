"""The page about topologies: its example loads, and its tables are whole."""

from __future__ import annotations

import re
from pathlib import Path

from tierfed.topology import parse_topology
from tierfed.topology.later import LATER
from tierfed.topology.spec import DataSpec, PlacementSpec, TopologySpec

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PAGE = (Path(__file__).parents[2] / "docs" / "topology.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_loads() -> None:
    """The file on the page is valid, and comes to what the page says of it."""
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    topology = parse_topology(example)
    assert str(topology.hierarchy) == "SERVER > EDGE_AGGREGATORS > CLIENTS"
    assert topology.node("c-eu-03").codec_up == "int8+zstd"
    assert topology.node("c-us-03").codec_up == "none+zstd(level=9)"
    assert dict(topology.node("edge-us").quorum) == {"CLIENTS": 13}
    assert str(topology.node("edge-us").deadline) == "30s"


def test_the_example_of_the_readme_loads() -> None:
    """The file in the README, saved as it stands there, is what the README then draws."""
    [example] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    topology = parse_topology(example)
    title = f"{topology.name} · {len(topology.nodes)} nodes · 3 tiers · {len(topology.processes)} processes"
    assert f"{title} · seed {topology.seed}\n" in README
    assert topology.job is not None


def test_every_field_is_on_the_page() -> None:
    """No field of the grammar is missing from the page, supported or not."""
    fields = {f.alias or name for name, f in TopologySpec.model_fields.items()}
    fields |= set(PlacementSpec.model_fields) | set(DataSpec.model_fields)
    fields |= {step for feature in LATER for step in feature.where if step != "*"}
    assert {f for f in fields if f not in PAGE} == set()
