"""Splits: every example once, nobody without one, and the mix that the rule says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.data import SPLITS, By, Dirichlet, Iid, RegionalDirichlet, Shards, Split, split
from tierfed.errors import DataError

EVERY: dict[str, list[Split]] = {
    "iid": [Iid()],
    "dirichlet": [Dirichlet(a) for a in (1e-300, 1e-3, 0.3, 1, 1e6, 1e300)],
    "shards": [Shards(1), Shards(2), Shards(5)],
    "by": [],  # asks for columns: test_natural.py
}
TEN_CLASSES = np.repeat(np.arange(10, dtype=np.uint8), 60)


def test_every_split_of_the_table_is_put_to_the_laws() -> None:
    """A split that is added to the table must be added to the laws below."""
    assert set(EVERY) == set(SPLITS)


@pytest.mark.parametrize("rule", [s for of in EVERY.values() for s in of], ids=str)
@given(data=st.data())
def test_each_example_goes_to_one_member_and_no_member_goes_without(rule: Split, data: st.DataObject) -> None:
    """The shares are a partition of the examples into non-empty parts, the same each time they are worked out."""
    labels = np.array(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=60)), np.uint8)
    most = len(labels) // (rule.per_client if isinstance(rule, Shards) else 1)
    if not most:
        return
    count, seed = data.draw(st.integers(1, most)), data.draw(st.integers(0, 2**64 - 1))
    shares = rule.shares(labels, count, seed)
    assert len(shares) == count and all(len(s) for s in shares)
    assert sorted(np.concatenate(shares)) == list(range(len(labels)))
    assert all((np.diff(s) > 0).all() for s in shares)
    again = rule.shares(labels, count, seed)
    assert all(np.array_equal(a, b) for a, b in zip(shares, again, strict=True))


@pytest.mark.parametrize("rule", [s for of in EVERY.values() for s in of], ids=str)
def test_more_members_than_examples_are_refused(rule: Split) -> None:
    """Nobody may be left without an example, so there must be enough of them."""
    with pytest.raises(DataError, match="3 examples cannot be shared out"):
        rule.shares(np.zeros(3, np.uint8), 4, 0)


@given(count=st.integers(1, 600), seed=st.integers(0, 2**32))
def test_iid_shares_are_of_one_size(count: int, seed: int) -> None:
    """Sizes differ by one at most."""
    sizes = [len(s) for s in Iid().shares(TEN_CLASSES, count, seed)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_smaller_alpha_gives_members_fewer_classes(seed: int) -> None:
    """The mean share of a member's commonest class falls as alpha grows, towards a tenth."""
    means = [_commonest(Dirichlet(a), seed) for a in (0.03, 0.3, 3, 1000)]
    assert means[0] > means[1] > means[2] > means[3]
    assert means[0] > 0.6 and means[3] < 0.15


def test_dirichlet_cuts_each_class_by_its_own_draw() -> None:
    """Member 0's parts of the ten classes are ten draws, not one."""
    mine = Dirichlet(0.3).shares(TEN_CLASSES, 4, 0)[0]
    assert len(set(np.bincount(TEN_CLASSES[mine], minlength=10))) > 3


@pytest.mark.parametrize("seed", range(3))
def test_a_shard_spans_two_classes_at_most(seed: int) -> None:
    """Two shards are four classes at the very most."""
    for mine in Shards(2).shares(TEN_CLASSES, 15, seed):
        assert len(np.unique(TEN_CLASSES[mine])) <= 4
        assert len(mine) == 40


@pytest.mark.parametrize("rule", [Iid(), Dirichlet(0.3), Shards(2)], ids=str)
def test_another_seed_gives_another_split(rule: Split) -> None:
    """The seed takes part."""
    first, second = (rule.shares(TEN_CLASSES, 10, seed) for seed in (1, 2))
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("written", "made"),
    [
        (None, Iid()),
        ("iid", Iid()),
        ({"iid": None}, Iid()),
        ({"iid": {}}, Iid()),
        ({"dirichlet": {"alpha": 0.3}}, Dirichlet(0.3)),
        ({"shards": {"per_client": 2}}, Shards(2)),
        ({"by": "role"}, By(("role",))),
        ({"by": ["authority", "school"]}, By(("authority", "school"))),
        ({"dirichlet": {"alpha_region": 1, "alpha_client": 0.3}}, RegionalDirichlet(1, 0.3)),
        ({"dirichlet": {"alpha_region": 1, "alpha_client": 1, "regions": "E"}}, RegionalDirichlet(1, 1, "E")),
    ],
    ids=str,
)
def test_a_split_is_read_as_a_topology_writes_it(written: object, made: object) -> None:
    """The grammar of `job.data.split`."""
    assert split(written) == made


@pytest.mark.parametrize(
    ("written", "kind", "text"),
    [
        ("dirichlt", DataError, "no split 'dirichlt'; did you mean 'dirichlet'?"),
        ("iid2", DataError, "use iid, {dirichlet: {alpha: 0.3}}, {shards: {per_client: 2}}"),
        ("dirichlet", DataError, "split dirichlet: missing alpha\n  to mend: write {dirichlet: {alpha: 0.3}}"),
        ({"dirichlet": {"alpa": 1}}, DataError, "split dirichlet: missing alpha; unknown alpa"),
        ({"dirichlet": 0.3}, DataError, "the settings of dirichlet are 0.3"),
        ({"dirichlet": {"alpha": 0}}, DataError, "split dirichlet: alpha is 0\n"),
        ({"dirichlet": {"alpha": float("nan")}}, DataError, "alpha is nan"),
        ({"dirichlet": {"alpha": True}}, DataError, "alpha is True"),
        ({"dirichlet": {"alpha": "0.3"}}, DataError, "alpha is '0.3'"),
        ({"shards": {"per_client": 1.5}}, DataError, "per_client is 1.5"),
        ({"shards": {"per_client": 0}}, DataError, "per_client is 0"),
        ({"iid": {"alpha": 1}}, DataError, "split iid: unknown alpha\n  to mend: write iid"),
        ({"iid": None, "shards": None}, DataError, "is no split"),
        ({1: None}, DataError, "{1: None} is no split"),
        (7, DataError, "7 is no split"),
        (
            {"by": {"column": "role"}},
            DataError,
            "{'column': 'role'} is no column\n  to mend: name a column of the data",
        ),
        ({"by": []}, DataError, "split by: nothing is no column"),
        ("by", DataError, "split by: None is no column"),
        ({"by": ["a", "b", "c"]}, DataError, "split by: 'a', 'b', 'c' is no column"),
        ({"by": ["a", "a"]}, DataError, "split by: 'a', 'a' is no column"),
        (
            {"dirichlet": {"alpha_region": 1}},
            DataError,
            "missing alpha_client\n  to mend: write {dirichlet: {alpha_reg",
        ),
        ({"dirichlet": {"alpha_region": 0, "alpha_client": 1}}, DataError, "split dirichlet: alpha_region is 0\n"),
        ({"dirichlet": {"alpha_region": 1, "alpha": 1}}, DataError, "missing alpha_client; unknown alpha\n"),
        ({"dirichlet": {"alpha_region": 1, "alpha_client": 1, "regions": 3}}, DataError, "regions is 3"),
    ],
    ids=str,
)
def test_what_is_no_split_says_why(written: object, kind: type[Exception], text: str) -> None:
    """Unknown, missing and out of range each have their words."""
    with pytest.raises(kind) as caught:
        split(written)
    assert text in str(caught.value)


def _commonest(rule: Split, seed: int) -> float:
    shares: list[Any] = rule.shares(TEN_CLASSES, 20, seed)
    return float(np.mean([np.bincount(TEN_CLASSES[s]).max() / len(s) for s in shares]))
