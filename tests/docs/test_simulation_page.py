"""The listing of docs/simulation.md prints what stands under it, and the page's table of fleets names all of them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tierfed.topology import load_topology

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "simulation.md").read_text("utf-8")


def test_the_listing_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models and virtual seconds are the same on every machine."""
    listing, said = re.findall(r"```python\n(import.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "simulated_listing.py").write_text(listing)
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("simulated_listing")
    assert capsys.readouterr().out == said


def test_the_gallery_is_what_there_is() -> None:
    """Each fleet of the table has the tiers that it is said to have, and every file with links is in the table."""
    told = {name: int(tiers) for name, tiers in re.findall(r"^\| `(\w+\.yaml)` \| (\d) \|", PAGE, re.MULTILINE)}
    shipped = {path.name: load_topology(path) for path in (ROOT / "topologies").glob("*.yaml")}
    modelled = {name: t for name, t in shipped.items() if any(node.link for node in t.nodes.values())}
    assert told == {name: len(t.hierarchy.placements) for name, t in modelled.items()}
