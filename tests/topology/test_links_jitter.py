"""Jitter: every distribution of the table keeps the laws that make its scale what the file says."""

from __future__ import annotations

import math
import statistics
from random import Random

import pytest

from tierfed.errors import TopologyError
from tierfed.topology.links import normal, pareto, paretonormal, uniform
from tierfed.topology.links.profile import LinkProfile
from tierfed.topology.links.table import TABLE, Delays, draw
from tierfed.topology.spec import LinkSpec

COUNT = 8_000
MODULES = {"normal": normal, "pareto": pareto, "paretonormal": paretonormal, "uniform": uniform}
ENDS = {"normal": (-4, 4), "pareto": (-0.6338, 4.0330), "paretonormal": (-1.4754, 4.0247), "uniform": (-1, 1)}

every = pytest.mark.parametrize("name", TABLE)


def delays(name: str, delay: float, jitter: float, correlation: float, count: int = COUNT) -> list[float]:
    """Return the delays of so many messages."""
    profile = LinkProfile(delay=delay, jitter=jitter, distribution=name, correlation=correlation)
    drawn = Delays(profile, Random(3))
    return [drawn.next() for _ in range(count)]


@every
def test_draws_have_mean_0_and_the_spread_that_is_stated(name: str) -> None:
    """The mean is within four standard errors of 0, the spread within 3 %, and nothing is beyond the ends."""
    random = Random(11)
    drawn = [draw(name, random) for _ in range(COUNT)]
    spread = MODULES[name].SPREAD
    assert abs(statistics.fmean(drawn)) < 4 * spread / math.sqrt(COUNT)
    assert statistics.pstdev(drawn) == pytest.approx(spread, rel=0.045)
    low, high = ENDS[name]
    assert low - 1e-4 <= min(drawn) and max(drawn) <= high + 1e-4


def test_the_stated_spreads() -> None:
    """By hand, so that a figure that is written about is the one that is used."""
    assert {name: round(module.SPREAD, 3) for name, module in MODULES.items()} == {
        "normal": 1.0,
        "pareto": 0.821,
        "paretonormal": 0.664,
        "uniform": 0.577,
    }


def test_paretos_tail_is_that_of_its_exponent() -> None:
    """P(X > 2) = 1/8 and P(X > 4) = 1/64, before it is scaled and moved."""
    random, at = Random(4), {2.0: 1 / 8, 4.0: 1 / 64}
    mean = 1.5 - 1 / (2 * 4.5**2)
    drawn = [0.75 * pareto.draw(random) + mean for _ in range(COUNT)]
    assert min(drawn) == pytest.approx(1.0, abs=1e-3)
    for x, share in at.items():
        assert sum(d > x for d in drawn) / COUNT == pytest.approx(share, abs=4 * math.sqrt(share / COUNT))


@every
def test_equal_seeds_draw_alike(name: str) -> None:
    """And unequal ones do not."""
    first, again, other = Random(5), Random(5), Random(6)
    drawn = [draw(name, first) for _ in range(50)]
    assert drawn == [draw(name, again) for _ in range(50)]
    assert drawn != [draw(name, other) for _ in range(50)]


@every
@pytest.mark.parametrize("correlation", [0.0, 0.25, 0.8])
def test_a_delay_follows_from_the_one_before_as_much_as_asked(name: str, correlation: float) -> None:
    """The correlation of neighbours is the one asked for, and neither mean nor spread is changed by it."""
    drawn = delays(name, 10.0, 1.0, correlation)
    mean, spread = statistics.fmean(drawn), statistics.pstdev(drawn)
    near = sum((a - mean) * (b - mean) for a, b in zip(drawn, drawn[1:], strict=False)) / (COUNT - 1) / spread**2
    assert near == pytest.approx(correlation, abs=0.045)
    assert mean == pytest.approx(10.0, abs=0.08)
    assert spread == pytest.approx(MODULES[name].SPREAD, rel=0.06)


@every
def test_no_delay_is_below_0(name: str) -> None:
    """Also where the jitter is twice the delay; some are cut off at 0 then."""
    drawn = delays(name, 0.5 if name != "pareto" else 0.2, 1.0, 0.5, 500)
    assert min(drawn) == 0.0


def test_without_jitter_all_delays_are_the_same_and_nothing_is_drawn() -> None:
    """So a link without jitter changes nothing of what else is drawn."""
    random = Random(1)
    drawn = Delays(LinkProfile(delay=0.03, correlation=0.5), random)
    assert [drawn.next() for _ in range(3)] == [0.03] * 3
    assert random.getstate() == Random(1).getstate()


def test_the_table_has_what_a_topology_may_name() -> None:
    """The names of the file's grammar are those of the table."""
    allowed = LinkSpec.model_json_schema()["properties"]["distribution"]["anyOf"][0]["enum"]
    assert sorted(allowed) == sorted(TABLE)


def test_an_unknown_distribution_is_refused_with_the_nearest() -> None:
    """By draw, and by the delays of a link before the first is asked for."""
    with pytest.raises(TopologyError) as error:
        draw("paretto", Random(1))
    assert str(error.value) == (
        "link.distribution: no distribution is called 'paretto'\n  to mend: did you mean 'pareto'?"
    )
    with pytest.raises(TopologyError, match="no distribution is called 'gauss'"):
        Delays(LinkProfile(distribution="gauss"), Random(1))
