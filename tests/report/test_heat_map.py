"""The heat map of a split: shades by part, figures by their definitions, in as many columns as there are."""

import numpy as np
import pytest

from tierfed.report import heat_map

MEMBERS = {
    "c-0": np.array([10, 0, 0, 0]),
    "c-1": np.array([5, 5, 0, 0]),
    "c-2": np.array([1, 1, 2, 16]),
    "c-3": np.array([10, 10, 10, 10]),
}


def test_the_map_is_drawn() -> None:
    """Darker for a larger part; classes are named below where they have names."""
    assert heat_map.drawn(MEMBERS, ["cat", "dog", "cow", "hen"], 80).splitlines() == [
        "     0 1 2 3   examples  bits  away",
        "c-0  █ · · ·         10  0.00  0.67",
        "c-1  ▓ ▓ · ·         10  1.00  0.47",
        "c-2  ░ ░ ░ █         20  1.02  0.48",
        "c-3  ▒ ▒ ▒ ▒         40  2.00  0.15",
        "· none  ░ up to 10%  ▒ 30%  ▓ 60%  █ more",
        "0 cat · 1 dog · 2 cow · 3 hen",
    ]


def test_figures_are_those_of_their_definitions() -> None:
    """Entropy in bits of equal parts is the logarithm of their number; the distance of two lone classes is one."""
    assert heat_map.entropy(np.full(8, 3)) == pytest.approx(3) and heat_map.entropy(np.array([0, 7])) == 0
    assert (
        heat_map.away(np.array([4, 0]), np.array([0, 9])) == 1
        and heat_map.away(np.array([1, 2]), np.array([2, 4])) == 0
    )
    told = heat_map.figures(MEMBERS)
    assert told[1] == {"name": "c-1", "examples": 10, "counts": [5, 5, 0, 0], "bits": 1.0, "away": 0.475}
    assert heat_map.stats(MEMBERS).startswith(
        "examples 10 / 15 / 40 · bits 0.00 / 1.01 / 2.00 of 1.93 · away 0.15 / 0.47 / 0.67"
    )


@pytest.mark.parametrize("width", [40, 50, 60, 80, 200])
@pytest.mark.parametrize("classes", [2, 10, 62, 456])
def test_the_map_fits(width: int, classes: int) -> None:
    """Many classes share a column, and the page says how many; a long name is cut."""
    members = {"a-member-with-a-name-that-is-longer-than-all": np.ones(classes, int), "b": np.arange(classes)}
    drawn = heat_map.drawn(members, [str(i) for i in range(classes)], width)
    rows = drawn.splitlines()
    assert all(len(line) <= width for line in rows[:3])
    assert ("classes a column" in drawn) == (classes > width - 24 - min(24, max((width - 24) // 2, 8)))


def test_many_members_are_taken_together() -> None:
    """Neighbours are added up, nobody is left out, and the page says so."""
    members = {f"c-{i}": np.array([1, 2]) for i in range(1000)}
    rows = heat_map.drawn(members, ["0", "1"], 80).splitlines()
    lines = [row for row in rows if row.startswith("c-")]
    assert len(lines) == 63 and lines[0].startswith("c-0 … c-15") and lines[-1].startswith("c-992 … c-999")
    assert sum(int(row.split()[-3]) for row in lines) == 3000
    assert rows[-1] == "16 of 1,000 members a line; --json has each"
