"""TCP over a modelled link: its limits, its laws, and what was measured of a kernel's own."""

from __future__ import annotations

import math
import statistics
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.topology.links import tcp
from tierfed.topology.links.profile import LinkProfile
from tierfed.topology.links.tcp import INITIAL_WINDOW, PACKET, SEGMENT, Path

PROFILES = st.builds(
    LinkProfile,
    rate_up=st.one_of(st.floats(1e3, 1e9), st.just(math.inf)),
    delay=st.one_of(st.just(0.0), st.floats(1e-4, 0.5)),
    jitter=st.one_of(st.just(0.0), st.floats(0, 0.1)),
    loss=st.one_of(st.just(0.0), st.floats(1e-5, 0.3)),
)


def link(mbit: float = math.inf, ms: float = 0.0, loss: float = 0.0, jitter: float = 0.0) -> LinkProfile:
    """Return a link of this rate both ways."""
    rate = mbit * 1e6 / 8
    return LinkProfile(rate_up=rate, rate_down=rate, delay=ms / 1e3, loss=loss, jitter=jitter)


def seconds(profile: LinkProfile, nbytes: int, idle: float, messages: int, seeds: int = 1) -> list[float]:
    """Return how long each message of new connections takes, `idle` seconds after the one before has arrived."""
    took = []
    for seed in range(seeds):
        path, latency = Path(profile, True, Random(seed)), math.inf
        for _ in range(messages):
            cap, latency = path.carry(nbytes, latency + idle)
            took.append(nbytes / cap + latency)
    return took


@pytest.mark.parametrize(
    "ms, mbit, nbytes, measured",
    [
        (30, 10, 20_000, 0.098),
        (30, 10, 200_000, 0.302),
        (30, 10, 1_000_000, 0.978),
        (10, 20, 400_000, 0.203),
        (30, 20, 1_000_000, 0.616),
        (50, 20, 300_000, 0.512),
        (80, 5, 300_000, 0.909),
    ],
)
def test_a_first_message_takes_what_was_measured(ms: float, mbit: float, nbytes: int, measured: float) -> None:
    """Within 5 % of a Linux 6.18 with CUBIC between two network namespaces: all of it is slow start, rate and delay."""
    assert seconds(link(mbit, ms), nbytes, math.inf, 1) == [pytest.approx(measured, rel=0.05)]


@pytest.mark.parametrize(
    "ms, mbit, nbytes, measured",
    [
        (30, 10, 20_000, 0.097),
        (30, 10, 200_000, 0.199),
        (30, 10, 1_000_000, 0.869),
        (10, 20, 400_000, 0.198),
        (30, 20, 1_000_000, 0.449),
        (50, 20, 300_000, 0.198),
        (80, 5, 300_000, 0.583),
    ],
)
def test_a_message_after_a_short_pause_takes_what_was_measured(
    ms: float, mbit: float, nbytes: int, measured: float
) -> None:
    """Half a second later only a part of the window is taken back; within 6 %, by the median."""
    took = seconds(link(mbit, ms), nbytes, 0.5, 8)[1:]
    assert statistics.median(took) == pytest.approx(measured, rel=0.06)


@pytest.mark.parametrize(
    "ms, loss, mbit, nbytes, idle, count, measured",
    [
        (30, 0.01, 10, 20_000, 0.4, 50, 0.117),
        (10, 0.01, 10, 200_000, 0.4, 40, 0.353),
        (30, 0.01, 10, 200_000, 0.4, 50, 0.784),
        (30, 0.01, 10, 1_000_000, 0.4, 10, 3.811),
        (10, 0.01, 20, 2_000_000, 0.3, 15, 3.245),
        (5, 0.01, 20, 200_000, 0.3, 60, 0.196),
        (10, 0.03, 10, 200_000, 0.3, 60, 0.709),
        (30, 0.03, 10, 200_000, 0.4, 40, 1.737),
        (30, 0.03, 10, 50_000, 0.4, 50, 0.430),
        (10, 0.05, 5, 50_000, 0.3, 60, 0.258),
        (20, 0.005, 20, 300_000, 0.4, 40, 0.541),
        (30, 0.01, 5, 3_000_000, 0.4, 10, 13.2),
        (80, 0.01, 10, 100_000, 0.6, 60, 1.074),
        (15, 0.02, 8, 120_000, 0.4, 80, 0.498),
        (60, 0.02, 6, 40_000, 0.5, 80, 0.467),
        (3, 0.005, 10, 500_000, 0.3, 60, 0.460),
        (40, 0.005, 15, 400_000, 0.5, 60, 1.726),
        (25, 0.001, 12, 800_000, 0.4, 50, 1.005),
        (50, 0.001, 10, 500_000, 0.4, 40, 0.969),
    ],
)
def test_messages_under_loss_take_on_average_what_was_measured(
    ms: float, loss: float, mbit: float, nbytes: int, idle: float, count: int, measured: float
) -> None:
    """Within 20 %, of the mean of one connection's messages but the first, whose own error is about half of that."""
    took = seconds(link(mbit, ms, loss), nbytes, idle, count, seeds=600 // count)
    assert statistics.fmean(took[i] for i in range(len(took)) if i % count) == pytest.approx(measured, rel=0.2)


def test_without_limits_nothing_takes_time() -> None:
    """And nothing is drawn for it."""
    path = Path(LinkProfile(), True, random := Random(1))
    assert path.cap == math.inf
    assert path.latency(10**9, math.inf) == 0.0
    assert path.expected(10**9) == 0.0
    assert path.carry(10**9, math.inf) == (math.inf, 0.0)
    assert random.getstate() == Random(1).getstate()


@pytest.mark.parametrize("rises", [True, False])
def test_a_rate_alone_takes_its_headers_off(rises: bool) -> None:
    """Each way has its own rate, and there is nothing to wait for beyond it."""
    path = Path(LinkProfile(rate_up=1e6, rate_down=4e6), rises, Random(1))
    assert path.cap == (1e6 if rises else 4e6) * SEGMENT / PACKET
    assert path.latency(10**7, math.inf) == 0.0


def test_a_message_that_fits_the_first_window_takes_the_delay_alone() -> None:
    """One byte more than ten segments waits for an acknowledgement, hence a round trip; one more than thirty, twice."""
    ten = int(INITIAL_WINDOW) * SEGMENT
    sizes = (1, ten, ten + 1, 3 * ten, 3 * ten + 1)
    assert [seconds(link(ms=40), n, math.inf, 1)[0] for n in sizes] == pytest.approx([0.04, 0.04, 0.12, 0.12, 0.20])
    path = Path(link(ms=40), True, Random(1))
    took = [path.carry(7 * ten, idle)[1] + 7 * ten / path.cap for idle in (math.inf, 0.25, 3600.0)]
    # the window is kept for the next message, not for an hour
    assert took == pytest.approx([0.20, 0.04, 0.20], abs=5e-3)


@pytest.mark.parametrize("profile", [link(20, 40), link(ms=40), link(10, 30, 0.01), link(50, 5, 0.001)])
def test_a_message_in_parts_takes_as_long_as_whole(profile: LinkProfile) -> None:
    """Parts that follow each other at once are in one and the same round: they find no window of their own."""
    whole = [sum(seconds(profile, 300_000, math.inf, 1, seeds=200)) / 200]
    took = []
    for seed in range(200):
        path, left, late = Path(profile, True, Random(seed)), 0.0, 0.0
        for i in range(10):
            cap, latency = path.carry(30_000, 0.0 if i else math.inf, 30_000 * (9 - i))
            left += 30_000 / cap
            late = max(late, left + latency)
        took.append(late)
    assert statistics.fmean(took) == pytest.approx(whole[0], rel=0.1)


def test_a_segment_that_is_alone_waits_for_the_timeout_if_lost() -> None:
    """The first copy leaves after a timeout, the next after one, two, four more; as often as segments are lost."""
    took = [round(s, 3) for s in seconds(link(ms=10, loss=0.2), 100, math.inf, 4000)]
    assert sorted(set(took))[:5] == [0.01, 0.23, 0.45, 0.89, 1.77]
    assert took.count(0.01) / 4000 == pytest.approx(0.8, abs=0.025)
    assert took.count(0.23) / 4000 == pytest.approx(0.16, abs=0.025)


def test_a_lost_tail_costs_a_probe_and_a_lost_middle_a_round_trip() -> None:
    """By hand: of two segments the last is lost, or the first, of which RACK makes sure for a quarter more."""
    took = [round(s, 3) for s in seconds(link(ms=100, loss=0.05), 2 * SEGMENT, math.inf, 3000)]
    assert sorted(set(took))[:3] == [0.1, 0.35, 0.5]
    assert took.count(0.35) / 3000 == pytest.approx(0.05 * 0.95**2, abs=0.015)
    assert took.count(0.5) / 3000 == pytest.approx(0.05 * 0.95, abs=0.015)


def test_three_that_arrive_tell_of_one_that_did_not() -> None:
    """Of five segments the first two are sent again after a round trip, and the next two after a quarter more."""
    took = [round(s, 3) for s in seconds(link(ms=100, loss=0.02), 5 * SEGMENT, math.inf, 1, seeds=3000)]
    assert sorted(set(took))[:4] == [0.1, 0.3, 0.35, 0.5]
    assert took.count(0.3) / 3000 == pytest.approx(2 * 0.02, abs=0.015)
    assert took.count(0.35) / 3000 == pytest.approx(2 * 0.02, abs=0.015)


@pytest.mark.parametrize("nbytes", [1, 1000, SEGMENT, 5000])
def test_a_packet_that_is_not_full_takes_less(nbytes: int) -> None:
    """Only its bytes are paid for."""
    assert seconds(link(1, 30), nbytes, math.inf, 1) == [pytest.approx(0.03 + nbytes / (125e3 * SEGMENT / PACKET))]


def test_a_link_that_loses_everything_carries_nothing() -> None:
    """Instead of an endless repeating."""
    path = Path(link(10, 10, loss=1.0), True, Random(1))
    assert path.cap == 0.0
    assert path.latency(1, 0.0) == path.expected(1) == math.inf
    assert path.carry(1, 0.0) == (0.0, math.inf)
    assert Path(LinkProfile(loss=1.0), True, Random(1)).cap == 0.0


def test_the_mean_window_is_that_of_mathis_if_nothing_holds_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """√(1.5 / p) segments: RFC 9438's growth is chosen for it."""
    monkeypatch.setattr(tcp, "HELD", 0.0)
    for loss in (1e-4, 1e-2):
        assert tcp._reno(loss, 3 * 0.3 / 1.7) == pytest.approx(math.sqrt(1.5 / loss), rel=1e-3)
    assert tcp._cubic(0.01, 1.0) == pytest.approx(1.054 * 100**0.75, rel=1e-3)  # RFC 9438, equation 6


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.03])
@pytest.mark.parametrize("ms", [5, 30, 100])
@pytest.mark.parametrize("mbit", [4, 20, 100])
def test_a_long_message_flows_at_the_cap(mbit: float, ms: float, loss: float) -> None:
    """The rounds that are drawn carry, on average, what the closed form says: within 20 %, mostly within 10."""
    nbytes = int(40 / loss) * SEGMENT
    path = Path(link(mbit, ms, loss), True, Random(5))
    path.carry(nbytes, 0.0)  # what comes before the first losses is past
    took = [path._leave(nbytes, 0.0, 0)[0] for _ in range(2)]
    assert statistics.fmean(took) == pytest.approx(nbytes / path.cap, rel=0.2)


@pytest.mark.parametrize("nbytes", [1_000, 30_000, 400_000])
@pytest.mark.parametrize("profile", [link(10, 20, 0.02), link(50, 5, 0.001, 2e-3), link(2, 80, 0.01, 0.02)])
def test_the_expected_latency_is_the_mean(profile: LinkProfile, nbytes: int) -> None:
    """Of other connections' messages than those it is reckoned from; within 10 % of what they take."""
    paths = [Path(profile, True, Random(seed)) for seed in range(100, 130)]
    drawn = [path.latency(nbytes, math.inf) for path in paths for _ in range(20)]
    flows = nbytes / paths[0].cap
    assert flows + statistics.fmean(drawn) == pytest.approx(flows + paths[0].expected(nbytes), rel=0.1)


@settings(max_examples=40)
@given(PROFILES, st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 10)), min_size=1, max_size=4))
def test_no_message_is_faster_than_its_link(profile: LinkProfile, messages: list[tuple[int, float]]) -> None:
    """Latency is at least 0, and without jitter the delay; a rate is at most the link's without headers."""
    path = Path(profile, True, Random(3))
    least = 0.0 if profile.jitter else profile.delay
    assert 0 < path.cap <= path.goodput
    for nbytes, idle in messages:
        assert least <= path.latency(nbytes, idle) < math.inf
        cap, latency = path.carry(nbytes, idle)
        assert path.cap <= cap <= path.goodput * (1 + 1e-9)
        assert least <= latency < math.inf


@given(PROFILES)
@settings(max_examples=20)
def test_equal_random_numbers_give_equal_latencies(profile: LinkProfile) -> None:
    """The model has no other source of chance."""
    first, again = (Path(profile, True, Random(9)) for _ in range(2))
    assert [first.latency(50_000, 1.0) for _ in range(5)] == [again.latency(50_000, 1.0) for _ in range(5)]


@pytest.mark.parametrize("mbit", [10, 1000])
def test_more_loss_or_more_delay_carries_less(mbit: float) -> None:
    """The cap falls with either."""
    by_loss = [Path(link(mbit, 20, p), True, Random(1)).cap for p in (0.0, 1e-4, 1e-3, 1e-2, 0.1)]
    by_delay = [Path(link(mbit, ms, 0.01), True, Random(1)).cap for ms in (0, 5, 20, 80, 300)]
    assert by_loss == sorted(by_loss, reverse=True) and len(set(by_loss)) == 5
    assert by_delay == sorted(by_delay, reverse=True) and len(set(by_delay)) == 5
