"""Units: every quantity in a topology file says what it is counted in.

    deadline: 30s        rate: 4mbit        quorum: 80%        idle: 100mW        sent: 60nJ

A bare `20` under `delay:` could be read two ways, so it is refused with the mend
`20ms`.  The names are those of tc (iproute2): `ms`, `kbit`, `mbit`; its `kbps` means
kilo*bytes* a second and is read as bits by nearly everybody, so it is refused too.
Numbers are kept as exact fractions: 80 % of 5 children is 4, not 4.000000000000001,
which rounded up would be 5.

Source: tc(8), tc-netem(8), section PARAMETERS (rates, times, percentages).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from tierfed.topology.suggest import closest

_QUANTITY = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,15})?) ?(?P<unit>[A-Za-z%]*)", re.ASCII)

_SECONDS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
}
_BITS = {
    "bit": 1,
    "kbit": 10**3,
    "mbit": 10**6,
    "gbit": 10**9,
    "tbit": 10**12,
    "kibit": 2**10,
    "mibit": 2**20,
    "gibit": 2**30,
}
_WATTS = {"uW": Fraction(1, 10**6), "mW": Fraction(1, 1000), "W": Fraction(1), "kW": Fraction(1000)}
_JOULES = {
    "pJ": Fraction(1, 10**12),
    "nJ": Fraction(1, 10**9),
    "uJ": Fraction(1, 10**6),
    "mJ": Fraction(1, 1000),
    "J": Fraction(1),
}
_BYTES_A_SECOND = {"bps": "bit", "kbps": "kbit", "mbps": "mbit", "gbps": "gbit", "tbps": "tbit"}


class UnitError(ValueError):
    """A quantity that cannot be read; its text says what to write."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A time, exact, in seconds: `Duration.parse("20ms").seconds == 0.02`."""

    exact: Fraction

    @staticmethod
    def parse(value: object, usual: str = "s") -> Duration:
        """Return `value` as a time; `usual` is the unit to suggest.

        Raises UnitError if it has no unit, or not one of time.
        """
        return Duration(_read(value, _SECONDS, usual))

    @property
    def seconds(self) -> float:
        """The time in seconds."""
        return float(self.exact)

    def __str__(self) -> str:
        return _written(self.exact, (("s", _SECONDS["s"]), ("ms", _SECONDS["ms"]), ("us", _SECONDS["us"])), "ns")


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, exact, in bits a second: `Rate.parse("4mbit").bits == 4_000_000`."""

    exact: Fraction

    @staticmethod
    def parse(value: object) -> Rate:
        """Return `value` as a rate.  Raises UnitError if it has no unit, or not one of rate."""
        return Rate(_read(value, {unit: Fraction(bits) for unit, bits in _BITS.items()}, "mbit"))

    @property
    def bits(self) -> float:
        """The rate in bits a second."""
        return float(self.exact)

    def __str__(self) -> str:
        units = tuple((unit, Fraction(_BITS[unit])) for unit in ("tbit", "gbit", "mbit", "kbit"))
        return _written(self.exact, units, "bit")


@dataclass(frozen=True, slots=True)
class Power:
    """A power, exact, in watts: `Power.parse("100mW").exact == 1/10`."""

    exact: Fraction

    @staticmethod
    def parse(value: object) -> Power:
        """Return `value` as a power.  Raises UnitError if it has no unit, or not one of power."""
        return Power(_read(value, _WATTS, "W"))

    def __str__(self) -> str:
        return _in_largest(self.exact, _WATTS)


@dataclass(frozen=True, slots=True)
class Energy:
    """An energy, exact, in joules: `Energy.parse("60nJ").exact == 6/10**8`."""

    exact: Fraction

    @staticmethod
    def parse(value: object) -> Energy:
        """Return `value` as an energy.  Raises UnitError if it has no unit, or not one of energy."""
        return Energy(_read(value, _JOULES, "nJ"))

    def __str__(self) -> str:
        return _in_largest(self.exact, _JOULES)


@dataclass(frozen=True, slots=True)
class Percent:
    """A share, exact: `Percent.parse("80%").share == 4/5`."""

    exact: Fraction

    @staticmethod
    def parse(value: object) -> Percent:
        """Return `value` as a share of 0 to 100 %.  Raises UnitError for anything else."""
        share = _read(value, {"%": Fraction(1, 100)}, "%")
        if share > 1:
            raise UnitError(f"{value} is more than 100%")
        return Percent(share)

    @staticmethod
    def parse_over(value: object) -> Percent:
        """Return `value` as a share of 100 % or more.  Raises UnitError for anything else."""
        if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < 100:
            raise UnitError(f"{value} has no unit; write {100 * value:g}%")
        share = _read(value, {"%": Fraction(1, 100)}, "%")
        if share < 1:
            raise UnitError(f"over {value} would draw fewer than are to count; write 100% or more, such as 130%")
        return Percent(share)

    @property
    def share(self) -> float:
        """The share, 0 to 1."""
        return float(self.exact)

    def of(self, count: int) -> int:
        """Return this share of `count`, rounded up."""
        return math.ceil(self.exact * count)

    def __str__(self) -> str:
        return _written(self.exact, (("%", Fraction(1, 100)),), "%")


def _read(value: object, units: dict[str, Fraction], usual: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(f"expected a number with a unit, such as 20{usual}, got {_kind(value)}")
    if not isinstance(value, str):
        if value < 0 or not math.isfinite(value):
            raise UnitError(f"{value} is no quantity; write a number with a unit, such as 20{usual}")
        share = f", or {100 * value:g}%" if usual == "%" and 0 < value <= 1 else ""
        raise UnitError(f"{value} has no unit; write {value}{usual}{share}")
    match = _QUANTITY.fullmatch(value.strip())
    if match is None:
        raise UnitError(f"{value!r} is no quantity; write a number with a unit, such as 20{usual}")
    number, unit = match["number"], match["unit"]
    if not unit:
        raise UnitError(f"{value} has no unit; write {number}{usual}")
    if unit not in units:
        if unit.lower() in _BYTES_A_SECOND and "bit" in units:
            meant = _BYTES_A_SECOND[unit.lower()]
            raise UnitError(
                f"{value}: {unit.lower()} is bytes a second in tc and bits to most readers; "
                f"write {number}{meant} or {_plain(Fraction(number) * 8)}{meant}"
            )
        near = closest(unit.lower(), units)
        known = f"did you mean {number}{near}?" if near else f"write one of {', '.join(units)}"
        raise UnitError(f"{value}: no unit {unit!r} here; {known}")
    return Fraction(number) * units[unit]


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else str(value).lower()


def _written(value: Fraction, units: tuple[tuple[str, Fraction], ...], smallest: str) -> str:
    """Return `value` in the largest of `units` in which it is a whole number, else in the first that is exact."""
    if value == 0:
        return f"0{units[0][0]}"
    for unit, size in units:
        if (value / size).denominator == 1:
            return f"{(value / size).numerator}{unit}"
    scale = _SECONDS["ns"] if smallest == "ns" else units[0][1] if smallest == "%" else Fraction(1)
    return f"{_plain(value / scale)}{smallest}"


def _in_largest(value: Fraction, units: dict[str, Fraction]) -> str:
    """Return `value` in the largest of `units`, which rise, that it is one of at least."""
    unit = next((unit for unit in reversed(units) if value >= units[unit]), next(iter(units)))
    return f"{_plain(value / units[unit])}{unit}"


def _plain(value: Fraction) -> str:
    """Return a fraction that came from a decimal as that decimal, without an exponent."""
    if value.denominator == 1:
        return str(value.numerator)
    digits = 0
    while (value * 10**digits).denominator != 1 and digits < 40:
        digits += 1
    whole, rest = divmod(round(value * 10**digits), 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0")
