"""README's codec table is what was measured, and misses no codec."""

from __future__ import annotations

import json

import pytest

from benchmarks import codec_table
from benchmarks.codec_table import BASE, CHAINS, FIGURES, QUICK, README, SEEDS, inserted, markdown
from tierfed.codecs import TABLE, codec


def test_the_table_of_readme_is_what_was_measured() -> None:
    """`python -m benchmarks.codec_table --render` writes it from docs/codec-table.json."""
    readme = README.read_text("utf-8")
    assert inserted(readme, markdown(json.loads(FIGURES.read_text("utf-8")))) == readme


def test_every_chain_was_measured_under_every_seed() -> None:
    """Those of the list, in its order, and timed as often as the others; a chain that is added is measured first."""
    figures = json.loads(FIGURES.read_text("utf-8"))
    assert [(r["clients"], r["edges"], r["down"]) for r in figures["rows"]] == [
        (chain.clients, chain.edges, chain.down) for chain in CHAINS
    ]
    assert figures["seeds"] == list(SEEDS)
    assert {len(r["accuracy"]) for r in figures["rows"]} == {len(SEEDS)}
    [times] = {len(r["round"]) for r in figures["rows"]}
    assert times >= 1


def test_every_codec_of_the_table_is_trained_with() -> None:
    """A codec that joins the table joins the list."""
    stages = {
        stage.name
        for chain in CHAINS
        for spec in (chain.clients, chain.edges, chain.down)
        for stage in codec(spec).stages
    }
    assert [name for name in TABLE if name not in stages] == []
    assert CHAINS[0] == BASE and set(QUICK) <= set(CHAINS) and len(set(CHAINS)) == len(CHAINS)


def test_the_table_says_what_the_figures_say() -> None:
    """Means, deviations and ratios, by hand; what goes down has a table of its own."""
    rows = [
        {"clients": "none", "edges": "none", "down": "none", "accuracy": [0.8, 0.78, 0.79], "round": [1.0]},
        {"clients": "sign", "edges": "bf16", "down": "none", "accuracy": [0.7, 0.76, 0.76], "round": [0.926]},
        {"clients": "none", "edges": "none", "down": "int8", "accuracy": [0.8, 0.8, 0.8], "round": [1.2, 1.0, 1.04]},
    ]
    sizes = [(100_000_000, 8_000_000, 99_000_000), (5_000_000, 4_000_000, 99_000_000), (100_000_000, 8_000_000, 33e6)]
    for r, (clients, edges, down) in zip(rows, sizes, strict=True):
        r |= {"bytes_clients": clients, "bytes_edges": edges, "bytes_down": down}
    assert markdown({"rows": rows}).splitlines() == [
        "| clients' codec | edges' codec | sent by 32 clients | by 2 edges | accuracy | time of a round |",
        "|---|---|---|---|---|---|",
        "| `none` | `none` | 100.0 MB | 8.00 MB | 0.790 ± 0.010 | 1.00x |",
        "| `sign` | `bf16` | 5.0 MB, 20.0x less | 4.00 MB, 2.0x less | 0.740 ± 0.035 | 0.93x |",
        "",
        "| codec down | sent to 32 clients | accuracy | time of a round |",
        "|---|---|---|---|",
        "| `none` | 99.0 MB | 0.790 ± 0.010 | 1.00x |",
        "| `int8` | 33.0 MB, 3.0x less | 0.800 ± 0.000 | 1.04x |",
    ]


def test_a_readme_without_its_markers_is_told() -> None:
    """Nothing is written to a place that is not there."""
    with pytest.raises(SystemExit, match="README.md has no lines <!-- the codec table: "):
        codec_table.inserted("# TierFed\n", "| |")
