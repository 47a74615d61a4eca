"""The split in two levels: regions differ as one alpha says, the members of one as the other says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.data import Crowd, RegionalDirichlet
from tierfed.errors import DataError

TEN_CLASSES = np.repeat(np.arange(10, dtype=np.uint8), 600)
FOUR = Crowd((("a", 8), ("b", 8), ("c", 8), ("d", 8)))


def mixes(region: float, client: float, crowd: Crowd = FOUR, seed: int = 0) -> np.ndarray:
    """Return how many examples of each class each member has."""
    count = sum(n for _, n in crowd.regions)
    shares = RegionalDirichlet(region, client).bound(crowd, {}).shares(TEN_CLASSES, count, seed)
    return np.array([np.bincount(TEN_CLASSES[mine], minlength=10) for mine in shares])


def commonest(counts: np.ndarray) -> float:
    """Return the mean share of the commonest class."""
    return float(np.mean(counts.max(axis=-1) / counts.sum(axis=-1)))


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    extra=st.integers(0, 40),
    alphas=st.tuples(*[st.sampled_from([1e-300, 1e-3, 0.3, 1.0, 1e6, 1e300])] * 2),
    seed=st.integers(0, 2**64 - 1),
)
def test_each_example_goes_to_one_member_and_no_member_goes_without(
    sizes: list[int], extra: int, alphas: tuple[float, float], seed: int
) -> None:
    """Whatever the regions, and however few examples there are."""
    labels = np.random.default_rng(extra).integers(0, 4, sum(sizes) + extra)
    crowd = Crowd(tuple((f"r{i}", n) for i, n in enumerate(sizes)))
    bound = RegionalDirichlet(*alphas).bound(crowd, {})
    shares = bound.shares(labels, sum(sizes), seed)
    assert [len(mine) > 0 for mine in shares] == [True] * sum(sizes)
    assert sorted(np.concatenate(shares)) == list(range(len(labels)))
    assert all((np.diff(mine) > 0).all() for mine in shares)
    assert all(np.array_equal(a, b) for a, b in zip(shares, bound.shares(labels, sum(sizes), seed), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_each_alpha_is_of_its_own_level(seed: int) -> None:
    """Regions that differ with members alike, and regions alike with members that differ."""
    uneven, even = mixes(0.1, 1000, seed=seed), mixes(1000, 0.1, seed=seed)
    assert commonest(uneven.reshape(4, 8, 10).sum(axis=1)) > 0.3
    within = uneven.reshape(4, 8, 10)
    assert all(commonest(within[r]) - commonest(within[r].sum(axis=0)) < 0.05 for r in range(4))
    assert commonest(even.reshape(4, 8, 10).sum(axis=1)) < 0.12
    assert commonest(even) > 0.4


def test_a_region_expects_as_much_as_it_has_members() -> None:
    """Towards infinity all members have as much, also where regions are not equal."""
    counts = mixes(1e9, 1e9, Crowd((("a", 20), ("b", 10), ("c", 2))))
    assert counts.sum(axis=1).min() > 180 and counts.sum(axis=1).max() < 195
    assert commonest(counts) < 0.12


def test_a_split_without_regions_says_so() -> None:
    """A placement that is not above the members is no region of theirs."""
    with pytest.raises(
        DataError, match="no EDGE is above the members that ask for data\n  to mend: let `regions` name"
    ):
        RegionalDirichlet(1, 1, "EDGE").bound(Crowd(), {})
    with pytest.raises(DataError, match="3 examples cannot be shared out 32 ways"):
        RegionalDirichlet(1, 1).bound(FOUR, {}).shares(np.zeros(3, np.uint8), 32, 0)
