"""Pareto fronts: who is on them, by the definition, and what is drawn of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_checks import checked_svg

from tierfed.report.page.pareto import Point, Spread, drawing, front, lower_is_better

POINTS = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)), max_size=30)


@settings(max_examples=60)
@given(POINTS, st.booleans())
def test_a_cell_is_on_the_front_if_and_only_if_no_other_beats_it(points: list[tuple[float, float]], low: bool) -> None:
    """Beats: at least as good in both, better in one; checked pair by pair."""

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        merit = a[1] <= b[1] if low else a[1] >= b[1]
        return a[0] <= b[0] and merit and a != b

    wanted = {at for at, p in enumerate(points) if not any(beats(q, p) for q in points)}
    assert front(points, low=low) == wanted


def test_the_example() -> None:
    """The second costs more than the first and is no better."""
    assert front([(10, 0.8), (20, 0.8), (30, 0.9)]) == {0, 2}
    assert front([]) == set()


@pytest.mark.parametrize(
    ("name", "low"),
    [("accuracy", False), ("loss", True), ("val_loss", True), ("MSE", True), ("gloss", False), ("test-error", True)],
)
def test_what_is_to_be_small(name: str, low: bool) -> None:
    """By the words of a metric's name."""
    assert lower_is_better(name) is low


def test_spreads() -> None:
    """Mean and sample deviation; one value has none, and what is not finite does not count."""
    assert Spread.of([1.0, 3.0]) == Spread(2.0, 2**0.5, 2)
    assert Spread.of([0.5, float("nan")]) == Spread(0.5, 0.0, 1)
    assert Spread.of([float("inf")]) is None
    assert Spread(0.78, 0.0104, 3).said() == "0.780 ±0.010"
    assert Spread(51.4e6, 1.3e5, 3).said("B") == "51.4 ±0.1 MB"
    assert Spread(9.06, 0.0037, 3).said("s") == "9.06 s"  # what rounds to nought is not said


def test_the_drawing_tells_its_front_without_colours() -> None:
    """Diamonds on the front, circles beside it, bars of repeats, the names of both."""
    points = [
        Point("none", Spread(40.0, 2.0, 3), Spread(0.80, 0.01, 3)),
        Point("int8", Spread(10.0, 0.0, 3), Spread(0.79, 0.02, 3)),
        Point("worse", Spread(20.0, 0.0, 3), Spread(0.60, 0.0, 3)),
    ]
    drawn = drawing("front", "accuracy against bytes", points, "bytes", "accuracy", "B")
    root = checked_svg(drawn.standalone())
    tags = [one.tag.rpartition("}")[2] for one in root.iter()]
    assert tags.count("circle") == 1  # the one that is not on the front
    texts = [one.text for one in root.iter() if one.tag.endswith(("text", "title"))]
    assert {"none", "int8", "worse", "accuracy", "bytes"} <= set(texts)
    assert "int8: accuracy 0.790 ±0.020, 10 B, on the front" in texts
    assert "worse: accuracy 0.600, 20 B" in texts
    assert "◆ on the front" in drawn.note and "one standard deviation" in drawn.note
