"""Units: what is read, what is refused, and exactness."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.topology.units import Duration, Percent, Rate, UnitError


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("20ms", 0.02, "20ms"),
        ("30s", 30, "30s"),
        ("1.5s", 1.5, "1500ms"),
        ("2min", 120, "120s"),
        ("1h", 3600, "3600s"),
        ("15 us", 15e-6, "15us"),
        ("0.5ns", 5e-10, "0.5ns"),
    ],
)
def test_times(text: str, seconds: float, shown: str) -> None:
    """A time is read in its unit and written in the largest that keeps it whole."""
    assert Duration.parse(text).seconds == seconds
    assert str(Duration.parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "bits", "shown"),
    [
        ("4mbit", 4e6, "4mbit"),
        ("1.5gbit", 1.5e9, "1500mbit"),
        ("1kibit", 1024, "1024bit"),
        ("512 kbit", 512e3, "512kbit"),
    ],
)
def test_rates(text: str, bits: float, shown: str) -> None:
    """Rates are in bits, decimal unless they say otherwise."""
    assert Rate.parse(text).bits == bits
    assert str(Rate.parse(text)) == shown


@pytest.mark.parametrize(
    ("share", "of", "count"), [("80%", 5, 4), ("80%", 6, 5), ("1%", 1, 1), ("0%", 9, 0), ("29%", 100, 29)]
)
def test_shares_are_rounded_up_from_the_exact_figure(share: str, of: int, count: int) -> None:
    """80 % of 5 is 4: floats would say 4.000000000000001 and round up to 5."""
    assert Percent.parse(share).of(of) == count


@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [
        (Duration, 30, "30 has no unit; write 30s"),
        (Duration, "30", "30 has no unit; write 30s"),
        (Duration, 1.5, "1.5 has no unit; write 1.5s"),
        (Duration, "30S", "30S: no unit 'S' here; did you mean 30s?"),
        (Duration, "3 mbit", "3 mbit: no unit 'mbit' here; write one of ns, us, ms, s, min, h"),
        (Duration, "-3s", "'-3s' is no quantity; write a number with a unit, such as 20s"),
        (Duration, -3, "-3 is no quantity; write a number with a unit, such as 20s"),
        (Duration, True, "expected a number with a unit, such as 20s, got true"),
        (Duration, None, "expected a number with a unit, such as 20s, got nothing"),
        (Duration, "1e3s", "'1e3s' is no quantity; write a number with a unit, such as 20s"),
        (Duration, "9" * 99 + "s", "'" + "9" * 99 + "s' is no quantity; write a number with a unit, such as 20s"),
        (Rate, "4mbps", "4mbps: mbps is bytes a second in tc and bits to most readers; write 4mbit or 32mbit"),
        (Rate, "4Mbit", "4Mbit: no unit 'Mbit' here; did you mean 4mbit?"),
        (Percent, 0.8, "0.8 has no unit; write 0.8%, or 80%"),
        (Percent, "101%", "101% is more than 100%"),
    ],
)
def test_what_is_refused_and_what_to_write(kind: type[Duration], value: object, what: str) -> None:
    """A missing or wrong unit is told with what to write instead."""
    with pytest.raises(UnitError) as error:
        kind.parse(value)
    assert str(error.value) == what


@given(st.integers(0, 10**12), st.integers(0, 9))
def test_what_is_written_reads_back(number: int, digits: int) -> None:
    """Every quantity reads back from its text as the same fraction."""
    exact = Fraction(number, 10**digits)
    for made in (Duration(exact), Rate(exact), Percent(min(exact, Fraction(1)))):
        assert type(made).parse(str(made)) == made
