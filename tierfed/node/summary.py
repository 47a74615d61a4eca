"""Summary: who stands behind a contribution, said by its sender in the first frame.

    Summary({"CLIENTS": 1})                                              a client
    Summary({"EDGE_AGGREGATORS": 1, "CLIENTS": 2}, {"c-2": "deadline"})  an edge over two of its three clients
    Summary({"EDGE_AGGREGATORS": 1, "CLIENTS": 3}, drawn={"CLIENTS": 4}) one that had drawn four, of whom three are in

Counts add up over the tiers.  Losses are carried by name as far as a header has room for
them, and as a number beyond; each node's history has all of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from tierfed.errors import ProtocolError

MOST_NAMES = 128  # a header takes 64 KiB, with the sizes of the payload beside this
MOST_LETTERS = 120  # of a name or a reason


@dataclass(frozen=True, slots=True)
class Summary:
    """Members counted, by placement; members lost, with the reason; and how many `more` were lost.

    `drawn`: where there are cohorts, how many members they had, by placement.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    more: int = 0
    drawn: Mapping[str, int] = field(default_factory=dict)

    def and_self(self, placement: str) -> Summary:
        """Return what a member of `placement` says when it sends what this summary stands behind."""
        counts = {**self.counts, placement: self.counts.get(placement, 0) + 1}
        return Summary(counts, self.lost, self.more, self.drawn)

    def to_dict(self) -> dict[str, object]:
        """Return the summary as a header carries it."""
        lost = {name[:MOST_LETTERS]: reason[:MOST_LETTERS] for name, reason in islice(self.lost.items(), MOST_NAMES)}
        said = {"counts": dict(self.counts), "lost": lost, "more": self.more + len(self.lost) - len(lost)}
        return {**said, "drawn": dict(self.drawn)} if self.drawn else said

    @staticmethod
    def from_dict(data: object, child: str, below: Mapping[str, int]) -> Summary:
        """Return the summary that `child` has sent; `below` counts its subtree by placement, itself included.

        Raises ProtocolError if it is malformed, or claims members that the subtree does not have.
        """
        if not isinstance(data, dict) or data.keys() - {"drawn"} != {"counts", "lost", "more"}:
            raise _refused(child, f"a summary of counts, lost and more, got {type(data).__name__}")
        counts, lost, more, drawn = data["counts"], data["lost"], data["more"], data.get("drawn", {})
        for numbers in (counts, drawn):
            if not isinstance(numbers, dict) or not all(
                isinstance(p, str) and type(n) is int for p, n in numbers.items()
            ):
                raise _refused(child, "counts that are no map from placements to numbers")
            for placement, n in numbers.items():
                if not 0 <= n <= below.get(placement, 0):
                    raise _refused(child, f"{n} members of {placement}, its subtree has {below.get(placement, 0)}")
        if not isinstance(lost, dict) or not all(_short(text) for pair in lost.items() for text in pair):
            raise _refused(child, f"losses that are no map of texts of at most {MOST_LETTERS} letters")
        total = sum(below.values())
        if type(more) is not int or more < 0 or len(lost) > MOST_NAMES or len(lost) + more > total:
            raise _refused(child, f"{len(lost)} losses and {more!r} more, its subtree has {total} members")
        if not (lost or more or drawn):
            return _whole(tuple(counts.items()))
        return Summary(dict(counts), dict(lost), more, dict(drawn))


_ALIKE = 1024  # summaries that are kept
_alike: dict[tuple[tuple[str, int], ...], Summary] = {}


def _whole(counts: tuple[tuple[str, int], ...]) -> Summary:
    """Return the summary of a subtree that lost nobody: one object for all that are alike."""
    if counts not in _alike:
        if len(_alike) >= _ALIKE:
            _alike.clear()
        _alike[counts] = Summary(dict(counts))
    return _alike[counts]


def together(said: Iterable[Summary], lost: Mapping[str, str], drawn: Mapping[str, int] | None = None) -> Summary:
    """Return the summary of a sum over those who `said` theirs, with the collector's own losses and draws first."""
    counts: dict[str, int] = {}
    losses, all_drawn = dict(lost), dict(drawn or {})
    more = 0
    for summary in said:
        for placement, n in summary.counts.items():
            counts[placement] = counts.get(placement, 0) + n
        for placement, n in summary.drawn.items():
            all_drawn[placement] = all_drawn.get(placement, 0) + n
        losses.update(summary.lost)
        more += summary.more
    return Summary(counts, losses, more, all_drawn)


def _short(text: object) -> bool:
    return isinstance(text, str) and len(text) <= MOST_LETTERS


def _refused(child: str, what: str) -> ProtocolError:
    return ProtocolError(f"{child} claims {what}", where="summary", mend="run one version of TierFed on all nodes")
