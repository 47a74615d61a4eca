"""Windows: when a member is there, and when it comes and goes next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.topology.links.window import Window

HOUR = 3600.0
NIGHT = Window(22 * HOUR, 6 * HOUR, 24 * HOUR)


@pytest.mark.parametrize(
    ("hour", "there", "back", "gone"),
    [
        (0, True, 0, 6),
        (5.9, True, 5.9, 6),
        (6, False, 22, 6),
        (21, False, 22, 21),
        (22, True, 22, 30),
        (36, False, 46, 36),
    ],
)
def test_a_night_spans_midnight(hour: float, there: bool, back: float, gone: float) -> None:
    """From 22 h to 6 h of every day: the start of the run is in the middle of a night."""
    assert NIGHT.there(hour * HOUR) is there
    assert NIGHT.next_there(hour * HOUR) == pytest.approx(back * HOUR)
    assert NIGHT.next_gone(hour * HOUR) == pytest.approx(gone * HOUR)


@given(st.integers(0, 2**32), st.integers(0, 999), st.floats(0, 10 * 86400))
def test_edges_are_where_it_changes(seed: int, number: int, at: float) -> None:
    """Between now and the next edge nothing changes, and a moment after the edge it has."""
    window = Window(22 * HOUR, 6 * HOUR, 24 * HOUR, 2 * HOUR).of(seed, f"c-{number}")
    there = window.there(at)
    edge = window.next_gone(at) if there else window.next_there(at)
    assert at <= edge <= at + window.every
    assert window.there((at + edge) / 2) is there or edge - at < 1e-3
    assert window.there(edge + 1e-3) is not there


def test_a_spread_is_drawn_by_seed_and_name() -> None:
    """Same seed, same shift; members differ; over many the shifts fill the spread evenly."""
    wide = Window(22 * HOUR, 6 * HOUR, 24 * HOUR, 2 * HOUR)
    shifts = [wide.of(7, f"c-{i}").begin - wide.begin for i in range(1000)]
    assert shifts == [wide.of(7, f"c-{i}").begin - wide.begin for i in range(1000)]
    assert shifts[0] != wide.of(8, "c-0").begin - wide.begin
    assert all(0 <= shift < 2 * HOUR for shift in shifts)
    assert sum(shifts) / 1000 == pytest.approx(HOUR, rel=0.05)
    assert wide.of(7, "c-0").length == NIGHT.length == 8 * HOUR
    assert NIGHT.of(7, "c-0") is NIGHT
