"""Energy: joules add up from watts, seconds and bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.topology.links.energy import joules
from tierfed.topology.links.profile import DeviceProfile

PHONE = DeviceProfile(idle=0.5, computing=3.0, sent=2e-6, received=1e-6)
SPENT = st.tuples(st.floats(0, 1e4), st.floats(0, 1), st.integers(0, 10**9), st.integers(0, 10**9))


def test_joules_by_hand() -> None:
    """Computing costs its watts instead of the idle ones, and bytes come on top."""
    assert joules(PHONE, 10.0) == 5.0
    assert joules(PHONE, 10.0, computing=4.0) == 0.5 * 6 + 3.0 * 4
    assert joules(PHONE, 10.0, computing=4.0, sent=10**6, received=10**6) == pytest.approx(15.0 + 2.0 + 1.0)
    assert joules(DeviceProfile(), 10.0, 4.0, 10**6, 10**6) == 0.0


def test_computing_takes_no_more_than_all_of_the_time() -> None:
    """Seconds computing that rounding put above the whole cost no negative idling."""
    assert joules(PHONE, 1.0, computing=1.5) == 3.0


@settings(max_examples=20)
@given(SPENT, SPENT)
def test_two_intervals_cost_what_both_together_do(
    first: tuple[float, float, int, int], then: tuple[float, float, int, int]
) -> None:
    """So joules may be summed over rounds."""
    parts = [(seconds, share * seconds, up, down) for seconds, share, up, down in (first, then)]
    whole = joules(PHONE, *(sum(both) for both in zip(*parts, strict=True)))
    assert sum(joules(PHONE, *part) for part in parts) == pytest.approx(whole, rel=1e-9)
