"""Fair shares, and the fluid that flows at them: held to the definition, and to one that is stepped."""

from __future__ import annotations

import math
import time
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierfed.errors import TopologyError
from tierfed.topology.links.fair import Interface, water_fill

NEAR = 1e-9
few = settings(max_examples=30)
CAPS = st.lists(
    st.one_of(st.floats(1e-3, 1e9), st.integers(0, 5).map(float), st.just(math.inf)), min_size=1, max_size=30
)
CAPACITIES = st.one_of(st.floats(1e-2, 1e9), st.just(math.inf))
QUARTERS = st.integers(0, 40).map(lambda n: n / 4)  # ends and begins that fall together
FLOWS = st.lists(
    st.tuples(QUARTERS, st.integers(0, 20), st.one_of(st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.floats(0.1, 50))),
    min_size=1,
    max_size=12,
)


def drained(capacity: float, flows: list[tuple[float, float, float]]) -> dict[int, float]:
    """Return when each of (begin, bytes, cap) ends."""
    interface, ends = Interface(capacity), {}
    begins = sorted(range(len(flows)), key=lambda i: flows[i][0])
    now = 0.0
    for _ in range(4 * len(flows) + 4):  # every step ends or begins one
        at = min(interface.next_time(now), flows[begins[0]][0] if begins else math.inf)
        if at == math.inf:
            return ends
        now = at
        for flow in interface.finished(now):
            ends[flow] = now
        while begins and flows[begins[0]][0] <= now:
            flow = begins.pop(0)
            interface.begin(flow, flows[flow][1], flows[flow][2], now)
    raise AssertionError("steps that end nothing")


@few
@given(CAPACITIES, CAPS)
def test_no_rate_can_rise_but_from_one_that_is_as_small(capacity: float, caps: list[float]) -> None:
    """Each has its cap, or all is given away and nobody has more than it: the definition of max-min fairness."""
    rates = water_fill(capacity, caps)
    assert (rates <= np.array(caps)).all()
    assert rates[np.isfinite(rates)].sum() <= capacity * (1 + NEAR)
    for rate, cap in zip(rates, caps, strict=True):
        if rate < cap:
            assert rates.sum() == pytest.approx(capacity, rel=NEAR)
            assert rate >= rates.max() * (1 - NEAR)


@few
@given(CAPACITIES, CAPS, st.randoms(use_true_random=False))
def test_shares_go_with_the_flows(capacity: float, caps: list[float], random: Random) -> None:
    """A flow's rate does not depend on its place among the others."""
    order = random.sample(range(len(caps)), len(caps))
    assert water_fill(capacity, [caps[i] for i in order]) == pytest.approx(water_fill(capacity, caps)[order], rel=NEAR)


def test_shares_by_hand() -> None:
    """Filling up by hand gives the same rates, also of nothing and without end."""
    assert water_fill(10, [2, 6, 6]).tolist() == [2, 4, 4]
    assert water_fill(10, [6, math.inf, 2]).tolist() == [4, 4, 2]
    assert water_fill(math.inf, [6, math.inf]).tolist() == [6, math.inf]
    assert water_fill(20, [2, 6, 6]).tolist() == [2, 6, 6]
    assert water_fill(10, []).tolist() == []


@few
@given(st.floats(0.5, 100), st.lists(st.one_of(st.floats(0.1, 50), st.just(math.inf)), min_size=1, max_size=20))
def test_an_interface_shares_as_water_fills(capacity: float, caps: list[float]) -> None:
    """The rates that are kept up from flow to flow are those found from nothing, while flows come and go."""
    interface = Interface(capacity)
    for i, cap in enumerate(caps):
        interface.begin(i, 100.0, cap, 0.0)
    assert [interface.rate(i) for i in range(len(caps))] == pytest.approx(water_fill(capacity, caps), rel=NEAR)
    for i in range(0, len(caps), 2):
        interface.cancel(i, 0.0)
    rest = range(1, len(caps), 2)
    assert [interface.rate(i) for i in rest] == pytest.approx(water_fill(capacity, caps[1::2]), rel=NEAR)
    assert len(interface) == len(rest)


@few
@given(st.one_of(st.floats(0.5, 20), st.just(math.inf)), FLOWS)
def test_the_fluid_is_that_of_small_steps(capacity: float, flows: list[tuple[float, float, float]]) -> None:
    """Every flow ends when its bytes at the fair rates are through, reckoned from end to end without the clocks."""
    ends, left = {}, {i: size for i, (_, size, _) in enumerate(flows)}
    now = 0.0
    while left:
        here = [i for i in left if flows[i][0] <= now]
        for i in [i for i in here if left[i] <= NEAR]:
            ends[i] = now
            del left[i]
            here.remove(i)
        rates = water_fill(capacity, [flows[i][2] for i in here])
        steps = [left[i] / rate for i, rate in zip(here, rates, strict=True)]
        steps += [flows[i][0] - now for i in left if flows[i][0] > now]
        step = min(steps, default=0.0)
        for i, rate in zip(here, rates, strict=True):
            left[i] -= rate * step
        now += step
    assert drained(capacity, flows) == pytest.approx(ends, rel=1e-7, abs=1e-7)


@few
@given(FLOWS, st.randoms(use_true_random=False))
def test_the_order_of_begins_changes_no_end(flows: list[tuple[float, float, float]], random: Random) -> None:
    """Flows that begin together end at the same times, whichever is told of first."""
    order = random.sample(range(len(flows)), len(flows))
    again = drained(7.0, [flows[i] for i in order])
    assert {order[i]: end for i, end in again.items()} == pytest.approx(drained(7.0, flows), rel=NEAR)


@few
@given(st.floats(0.5, 20), FLOWS, st.floats(0, 30))
def test_bytes_are_kept(capacity: float, flows: list[tuple[float, float, float]], until: float) -> None:
    """What is left and what the rates have carried are what went in, from one change to the next and at the end."""
    interface = Interface(capacity)
    begins = sorted(range(len(flows)), key=lambda i: flows[i][0])
    now = carried = went_in = 0.0
    inside: set[int] = set()
    while True:
        at = min(interface.next_time(now), flows[begins[0]][0] if begins else math.inf, until)
        rates = sum(interface.rate(i) for i in inside)
        assert rates <= capacity * (1 + NEAR)
        carried += rates * (at - now)
        now = at
        inside -= set(interface.finished(now))
        if now == until:
            break
        while begins and flows[begins[0]][0] <= now:
            flow = begins.pop(0)
            interface.begin(flow, flows[flow][1], flows[flow][2], now)
            went_in += flows[flow][1]
            inside.add(flow)
    assert carried + sum(interface.left(i, now) for i in inside) == pytest.approx(went_in, rel=NEAR, abs=NEAR)


def test_ends_come_by_time_and_then_by_begin() -> None:
    """All ends on the way are told of at once, in their order, and each changes what comes after it."""
    interface = Interface(10.0)
    interface.begin("late", 40, math.inf, 0.0)
    interface.begin("b", 10, 2.5, 0.0)
    interface.begin("a", 10, 2.5, 0.0)
    interface.begin("slow", 3, 1.0, 0.0)
    # late has 4 until 3, then 5 until 4, then all of 10
    assert interface.next_time(0.0) == 3.0
    assert interface.finished(2.9) == []
    assert interface.finished(100.0) == ["slow", "b", "a", "late"]
    assert interface.next_time(100.0) == math.inf


def test_a_flow_that_is_cancelled_leaves_its_share() -> None:
    """The others have its rate from then on; it is never told of, and its name is free again."""
    interface = Interface(10.0)
    interface.begin("a", 100, math.inf, 0.0)
    interface.begin("b", 100, math.inf, 0.0)
    interface.cancel("b", 10.0)
    assert interface.rate("a") == 10.0
    assert interface.rate("b") == 0.0
    assert interface.next_time(10.0) == 15.0
    interface.begin("b", 5, 1.0, 11.0)
    assert interface.left("a", 12.0) == pytest.approx(50 - 10 - 9)
    assert interface.finished(20.0) == ["a", "b"]
    interface.cancel("b", 20.0)
    assert interface.finished(30.0) == []


def test_the_next_to_end_may_be_cancelled() -> None:
    """What is next then is the end of another one of the same cap."""
    interface = Interface(10.0)
    interface.begin("a", 10, 1.0, 0.0)
    interface.begin("b", 100, 1.0, 0.0)
    interface.cancel("a", 5.0)
    assert interface.next_time(5.0) == 100.0
    assert interface.finished(50.0) == []
    assert interface.finished(100.0) == ["b"]


def test_ends_that_only_rounding_tells_apart_come_by_begin() -> None:
    """0.3 / 0.1 is less than 3 as computers divide, and both of these end at 3."""
    interface = Interface(math.inf)
    interface.begin("first", 3.0, 1.0, 0.0)
    interface.begin("then", 0.3, 0.1, 0.0)
    assert interface.finished(3.0) == ["first", "then"]


def test_one_that_is_done_and_not_yet_told_of_may_be_cancelled() -> None:
    """Its end is forgotten."""
    interface = Interface(10.0)
    interface.begin("a", 0, 1.0, 0.0)
    interface.begin("b", 10, math.inf, 0.0)
    interface.cancel("a", 5.0)
    assert interface.finished(5.0) == ["b"]


def test_without_limits_a_flow_is_done_at_once() -> None:
    """So is one of no bytes; one with a cap takes its own time, whoever else there is."""
    interface = Interface(math.inf)
    interface.begin("all", 1e12, math.inf, 7.0)
    interface.begin("some", 10, 5.0, 7.0)
    interface.begin("none", 0, 5.0, 7.0)
    assert interface.next_time(7.0) == 7.0
    assert interface.finished(7.0) == ["all", "none"]
    assert interface.next_time(7.0) == 9.0
    assert interface.finished(9.0) == ["some"]


def test_a_flow_without_a_rate_never_ends_and_takes_nothing() -> None:
    """A link that loses everything does not hold up the others."""
    interface = Interface(10.0)
    interface.begin("dead", 10, 0.0, 0.0)
    interface.begin("b", 10, math.inf, 0.0)
    assert interface.finished(1.0) == ["b"]
    assert interface.next_time(1.0) == math.inf
    assert interface.left("dead", 50.0) == 10


@pytest.mark.parametrize("start", [0.0, 1.7e9])
def test_each_step_of_time_ends_a_flow(start: float) -> None:
    """Also where seconds are counted from far away and one flow's bytes take less than the clock can tell."""
    random = Random(5)
    interface, now = Interface(1e9), start
    for i in range(300):
        interface.begin(i, random.choice([1e-6, 1.0, 1e3, 1e7]), random.choice([1e3, 1e6, 3e6, 1e12]), now)
    done = 0
    while (at := interface.next_time(now)) < math.inf:
        now = at
        ended = interface.finished(now)
        assert ended
        done += len(ended)
    assert done == 300


def test_a_flow_flows_once() -> None:
    """The same name again, while it flows or its end is not yet told of, is a mistake of the caller."""
    interface = Interface(10.0)
    interface.begin("a", 10, 1.0, 0.0)
    with pytest.raises(ValueError, match="'a' flows already"):
        interface.begin("a", 10, 1.0, 1.0)


def test_an_interface_without_a_rate_is_refused() -> None:
    """It would keep every flow forever."""
    with pytest.raises(TopologyError) as error:
        Interface(0.0)
    assert str(error.value) == (
        "link: an interface of 0 bytes a second carries nothing\n  to mend: give it a rate above zero, or none"
    )


@pytest.mark.parametrize("capacity", [2e6, math.inf])
def test_work_does_not_grow_by_the_square(capacity: float) -> None:
    """A thousandth of a second for a flow is twenty times what it takes; to go through all others would be more."""
    random, count = Random(1), 2000
    interface = Interface(capacity)
    began = time.process_time()
    for i in range(count):
        interface.begin(i, random.uniform(1e4, 1e6), random.choice([1e3, 5e3, 2e4]), i / count)
    now, ends = 1.0, 0
    while (at := interface.next_time(now)) < math.inf:
        now = at
        ends += len(interface.finished(now))
    assert ends == count
    assert time.process_time() - began < count * 1e-3
