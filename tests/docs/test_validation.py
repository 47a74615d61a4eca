"""The page of the link model: its table is of what was measured, on settings of seed 1."""

from __future__ import annotations

import dataclasses
import json
import statistics

import pytest

from benchmarks.network.model import predicted
from benchmarks.network.settings import Setting, Tier, draw
from benchmarks.network.tables import DOCS, FIGURES, MEDIAN, PAGE, WORST, error, exact, lines, links, verdict, write

ROWS = json.loads((DOCS / FIGURES).read_text("utf-8"))["rows"]


def test_the_page_shows_what_was_measured() -> None:
    """`python -m benchmarks.network --again docs/validation.json --write` writes it."""
    page = (DOCS / PAGE).read_text("utf-8")
    assert "\n".join(lines(ROWS)) in page
    assert verdict(ROWS) in page


def test_the_settings_are_those_of_the_seed() -> None:
    """At least twenty, none left out, and each as the seed draws it now."""
    drawn = [
        Setting(d["name"], d["elements"], tuple(Tier(**t) for t in d["tiers"])) for d in (r["drawn"] for r in ROWS)
    ]
    assert len(ROWS) >= 20
    assert drawn == draw(1, len(ROWS))


def test_the_errors_are_within_what_was_promised() -> None:
    """Ten per cent in the median, twenty-five at worst; bytes to the last, since all codecs drawn are of fixed size."""
    errors = [abs(error(row)) for row in ROWS]
    assert statistics.median(errors) <= MEDIAN
    assert max(errors) <= WORST
    assert all(exact(row) for row in ROWS)


def _row(predicted: float, bytes_: int) -> dict:
    tier = dataclasses.asdict(Tier("CLIENTS", 2, 1.0, 2.0, 5, 0.0, "none", "none"))
    return {
        "setting": "network-1-00",
        "described": "1-2",
        "drawn": {"name": "network-1-00", "elements": 10, "tiers": [tier]},
        "measured": {"seconds": 1.0, "spread": [0.9, 1.5], "bytes": {"CLIENTS": {"up": 10}}},
        "predicted": {"seconds": predicted, "bytes": {"CLIENTS": {"up": bytes_}}},
    }


def test_a_wrong_prediction_is_shown_as_one(tmp_path) -> None:
    """Errors have their sign, bytes that differ are said to, and the verdict says beyond what they are."""
    rows = [_row(1.1, 10), _row(0.6, 11), _row(1.2, 10)]
    assert lines(rows)[2:] == [
        "| 1-2 | 1.000 s (0.900-1.500) | 1.100 s | +10.0% | exact |",
        "| 1-2 | 1.000 s (0.900-1.500) | 0.600 s | -40.0% | **not exact** |",
        "| 1-2 | 1.000 s (0.900-1.500) | 1.200 s | +20.0% | exact |",
    ]
    assert verdict(rows) == (
        "3 settings: the error is 20.0% in the median (beyond 10%) and 40.0% at worst (beyond 25%); "
        "bytes are exact in 2 of 3."
    )
    (tmp_path / PAGE).write_text("no markers")
    pytest.importorskip("matplotlib")
    with pytest.raises(SystemExit, match="validation.md has no lines <!-- measured and predicted"):
        write(rows, "a machine", tmp_path)


def test_a_link_that_is_not_what_it_claims_is_named() -> None:
    """One that is late and loses too much stands in the sentence, and counts in its figures."""
    nominal = {"round_trip": 0.020, "up": 4.0, "down": 8.0, "lost": 0.0}
    good = {"round_trip": 0.0203, "up": 4.0, "down": 7.96, "lost": 0.0, "probes": 400}
    bad = {"round_trip": 0.025, "up": 4.0, "down": 8.0, "lost": 0.5, "probes": 100}
    rows = [
        {"setting": "network-1-00", "tier": "CLIENTS", "nominal": nominal, "good": True, **good},
        {"setting": "network-1-01", "tier": "CLIENTS", "nominal": nominal, "good": False, **bad},
    ]
    assert links(rows) == (
        "2 links: the median round trip is 0.30 to 5.00 ms longer than what was set. Rates, less what is meant to be "
        "lost, differ by -0.5% to +0.0%. Of 500 echoes 50 were lost, and 0 were meant to be. "
        "Not what they claim: network-1-01 CLIENTS."
    )


@pytest.mark.parametrize("number", [1, 13])
def test_the_figures_are_of_this_model(number: int) -> None:
    """A model that says something else has to be put beside the measurements again, by `--again`."""
    row = ROWS[number]
    found = predicted(draw(1, number + 1)[number])
    assert found["seconds"] == pytest.approx(row["predicted"]["seconds"], rel=0.02)
    assert found["bytes"] == row["measured"]["bytes"]
