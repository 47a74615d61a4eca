"""Summaries add up over the tiers, fit into a header, and are believed only within the sender's subtree."""

import pytest

from tierfed.errors import ProtocolError
from tierfed.node.summary import MOST_LETTERS, MOST_NAMES, Summary, together

BELOW = {"EDGES": 1, "CLIENTS": 3}
GOOD = {"counts": {"EDGES": 1, "CLIENTS": 2}, "lost": {"c-2": "deadline"}, "more": 0}


def test_sum():
    """Counts are added, losses gathered, the collector's own first."""
    one = Summary({"CLIENTS": 2, "EDGES": 1}, {"c-2": "killed"}, 5)
    two = Summary({"CLIENTS": 3, "EDGES": 1}, {}, 1)
    all_ = together([one, two], {"edge-3": "deadline"})
    assert all_ == Summary({"CLIENTS": 5, "EDGES": 2}, {"edge-3": "deadline", "c-2": "killed"}, 6)
    assert list(all_.lost) == ["edge-3", "c-2"]
    assert together([], {}).and_self("EDGES") == Summary({"EDGES": 1})


def test_there_and_back():
    """What is sent within the subtree's bounds is what arrives."""
    summary = Summary({"EDGES": 1, "CLIENTS": 2}, {"c-2": "deadline"})
    assert summary.to_dict() == GOOD
    assert Summary.from_dict(GOOD, "edge-1", BELOW) == summary


def test_many_losses():
    """More losses than a header has room for travel as a number, long reasons are cut."""
    lost = {f"c-{i}": "r" * 1000 for i in range(MOST_NAMES + 10)}
    data = Summary({}, lost, 3).to_dict()
    assert data["more"] == 13
    assert set(map(len, data["lost"].values())) == {MOST_LETTERS}
    arrived = Summary.from_dict(data, "edge-1", {"CLIENTS": 1000})
    assert len(arrived.lost) + arrived.more == MOST_NAMES + 13


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([], "a summary of counts, lost and more, got list"),
        ({"counts": {}}, "a summary of counts, lost and more, got dict"),
        ({**GOOD, "counts": [1]}, "counts that are no map from placements to numbers"),
        ({**GOOD, "counts": {"CLIENTS": True}}, "counts that are no map from placements to numbers"),
        ({**GOOD, "counts": {"CLIENTS": 4}}, "4 members of CLIENTS, its subtree has 3"),
        ({**GOOD, "counts": {"CLIENTS": -1}}, "-1 members of CLIENTS, its subtree has 3"),
        ({**GOOD, "counts": {"MOON": 1}}, "1 members of MOON, its subtree has 0"),
        ({**GOOD, "lost": ["c-2"]}, "losses that are no map of texts of at most 120 letters"),
        ({**GOOD, "lost": {"c-2": "r" * 121}}, "losses that are no map of texts of at most 120 letters"),
        ({**GOOD, "lost": {7: "deadline"}}, "losses that are no map of texts of at most 120 letters"),
        ({**GOOD, "more": 4}, "1 losses and 4 more, its subtree has 4 members"),
        ({**GOOD, "more": -1}, "1 losses and -1 more, its subtree has 4 members"),
        ({**GOOD, "more": "1"}, "1 losses and '1' more, its subtree has 4 members"),
    ],
)
def test_claims(wrong, words):
    """A claim that is malformed or reaches beyond the subtree is refused by name."""
    with pytest.raises(ProtocolError) as caught:
        Summary.from_dict(wrong, "edge-1", BELOW)
    assert str(caught.value) == f"summary: edge-1 claims {words}\n  to mend: run one version of TierFed on all nodes"
