"""Natural splits: what belongs together stays together, with whom a label says, or in order."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.data import By, Crowd
from tierfed.data.shares import Indices
from tierfed.errors import DataError

# two authorities; the first has schools s1 s2 s3, the second s4 s5; two pupils a school
AUTHORITY = (np.array([0] * 6 + [1] * 4), ["north", "south"])
SCHOOL = (np.repeat(np.arange(5), 2), ["s1", "s2", "s3", "s4", "s5"])
COLUMNS = {"authority": AUTHORITY, "school": SCHOOL}
LABELS = np.zeros(10, np.uint8)


def labelled(**runs: Sequence[str]) -> tuple[tuple[str, tuple[tuple[str, int], ...]], ...]:
    """Return labels of members, one a run."""
    return tuple((name, tuple((value, 1) for value in values)) for name, values in runs.items())


def shares(by: By, count: int, crowd: Crowd = Crowd(), seed: int = 0) -> list[list[int]]:  # noqa: B008
    """Return the rows of each member."""
    found: list[Indices] = by.bound(crowd, COLUMNS).shares(LABELS, count, seed)
    return [mine.tolist() for mine in found]


def test_values_are_dealt_in_order() -> None:
    """One each, or whole runs of them where members are fewer."""
    assert shares(By(("school",)), 5) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert shares(By(("school",)), 2) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    assert shares(By(("authority",)), 1) == [list(range(10))]


def test_a_label_says_whose_examples_a_member_has() -> None:
    """In any order; what nobody's label names is nobody's."""
    crowd = Crowd(labels=labelled(school=["s4", "s1", "s5"]))
    assert shares(By(("school",)), 3, crowd) == [[6, 7], [0, 1], [8, 9]]


def test_members_with_one_label_share_its_examples() -> None:
    """Each has some, together they have all, and the seed decides who has which."""
    crowd = Crowd(labels=labelled(authority=["south", "north", "north"]))
    drawn = {tuple(map(tuple, shares(By(("authority",)), 3, crowd, seed))) for seed in range(8)}
    for south, *north in drawn:
        assert south == (6, 7, 8, 9)
        assert [len(mine) for mine in north] == [3, 3] and sorted(sum(north, ())) == list(range(6))
    assert len(drawn) > 1


def test_regions_have_authorities_and_members_their_schools() -> None:
    """Two columns are two tiers: in order, and by labels of the regions, which their members see."""
    by = By(("authority", "school"))
    two = (("r1", 3), ("r2", 2))
    assert shares(by, 5, Crowd(two)) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    turned = Crowd((("r1", 2), ("r2", 2)), (("authority", (("south", 2), ("north", 2))),))
    assert shares(by, 4, turned) == [[6, 7], [8, 9], [0, 1, 2, 3], [4, 5]]


@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=2), seed=st.integers(0, 2**64 - 1))
def test_what_is_dealt_in_order_is_dealt_once_and_nobody_goes_without(sizes: list[int], seed: int) -> None:
    """Every example goes to one member, and a school is never cut."""
    crowd = Crowd(tuple((f"r{i}", n) for i, n in enumerate(sizes)))
    if len(sizes) == 2 and sizes[1] > 2:
        return
    found = shares(By(("authority", "school")), sum(sizes), crowd, seed)
    assert sorted(sum(found, [])) == list(range(10)) and all(found)
    assert all(len({i // 2 for i in mine}) * 2 == len(mine) for mine in found)


@pytest.mark.parametrize(
    ("by", "count", "crowd", "text"),
    [
        (
            By(("school",)),
            6,
            Crowd(),
            "5 values of school cannot be dealt to 6 members\n  to mend: use fewer members, or g",
        ),
        (
            By(("school",)),
            1,
            Crowd(labels=labelled(school=["s9"])),
            "says school: 's9', and there is no such school",
        ),
        (
            By(("school",)),
            2,
            Crowd(labels=labelled(school=["s1", ""])),
            "a member has no school\n  to mend: give each mem",
        ),
        (
            By(("school",)),
            3,
            Crowd(labels=labelled(school=["s1"] * 3)),
            "school 's1' has 2 examples there, for 3 members",
        ),
        (
            By(("authority", "school")),
            5,
            Crowd((("r1", 2), ("r2", 3))),
            "2 values of school cannot be dealt to 3 members",
        ),
    ],
    ids=["too many", "unknown", "without", "too few examples", "of a region"],
)
def test_what_does_not_go_says_why(by: By, count: int, crowd: Crowd, text: str) -> None:
    """Too many members, and labels that name nothing."""
    with pytest.raises(DataError) as caught:
        shares(by, count, crowd)
    assert text in str(caught.value) and str(caught.value).startswith("split by: ")


def test_a_column_that_is_not_there_names_those_that_are() -> None:
    """With the nearest name."""
    with pytest.raises(
        DataError, match="chem97 has no column 'scool'; did you mean 'school'.\n  to mend: split it by auth"
    ):
        By(("scool",)).check(["authority", "school"], "chem97")
