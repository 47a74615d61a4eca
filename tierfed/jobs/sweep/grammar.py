"""The grammar of axes: what a sweep varies, in one argument an axis.

    axis    := path "=" value ("," value)*                      CLIENTS.codec.up=none,int8,eden(bits=2)
             | path ("," path)+ "=" tuple ("," tuple)*          A.codec.up,B.codec.up=[int8,bf16],[eden(bits=4),int8]
    tuple   := "[" value ("," value)* "]"                       one value for each path: they move together
    range   := number ".." number                               1..4          1, 2, 3, 4
             | number ".." number "+" n                         0..1+5        0, 0.25, 0.5, 0.75, 1: equal steps
             | number ".." number "*" n                         1ms..100ms*3  1ms, 10ms, 100ms: equal factors

A comma within (), [], {} or quotes belongs to its value, so that codecs, lists and mappings need none of their own
marks; a value is otherwise handed on as it stands, and read as `--set` reads it.  `split` and `joined` are inverse: a
value that `joined` could not write so that it comes back is not one that `split` gives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierfed.errors import SweepError

MOST_OF_A_RANGE = 1000

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_BEFORE_QUOTES = "([{,:="  # elsewhere a quote is an apostrophe
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER})([A-Za-z%]*)\.\.({_NUMBER})([A-Za-z%]*)(?:([+*])([0-9]{{1,5}}))?")
_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Axis:
    """Paths that move together, and what they are set to: each of `rows` has one value for each path."""

    paths: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        if len(self.paths) == 1:
            return f"{self.paths[0]}={joined(row[0] for row in self.rows)}"
        return f"{','.join(self.paths)}={joined(f'[{joined(row)}]' for row in self.rows)}"


def axis(text: str) -> Axis:
    """Return the axis that `text` says.  Raises SweepError, which shows it."""
    where = f"-s {text}"
    left, equals, right = text.partition("=")
    if not equals or not left.strip():
        raise SweepError("expected PATH=V1,V2,…", where=where, mend="as in -s 'CLIENTS.codec.up=none,int8'")
    paths = tuple(path.strip() for path in left.split(","))
    if not all(paths):
        raise SweepError(
            "a comma without a path beside it", where=where, mend="as in -s 'A.codec.up,B.codec.up=[…],[…]'"
        )
    values = split(right, where)
    rows: list[tuple[str, ...]]
    if len(paths) == 1:
        rows = [(value,) for given in values for value in _ranged(given, where)]
    else:
        rows = [_tuple(value, paths, where) for value in values]
    twice = next((row for at, row in enumerate(rows) if row in rows[:at]), None)
    if twice is not None:
        raise SweepError(
            f"{', '.join(twice)} stands twice", where=where, mend="leave one out; --repeat runs a cell again"
        )
    return Axis(paths, tuple(rows))


def split(text: str, where: str) -> list[str]:
    """Return the values of `text`, which commas outside of brackets and quotes separate.

    Raises SweepError if a value is empty, or a bracket or quote has no other end.
    """
    values: list[str] = []
    open_: list[str] = []
    start = at = 0
    before = ","  # the last character that is no space
    while at < len(text):
        letter = text[at]
        if letter in "'\"" and before in _BEFORE_QUOTES:
            at = _quoted(text, at, where)
        elif letter in _PAIRS:
            open_.append(_PAIRS[letter])
        elif letter in _PAIRS.values():
            if not open_ or open_.pop() != letter:
                raise SweepError(f"{letter} closes nothing", where=where, mend="quote a value that has it alone")
        elif letter == "," and not open_:
            values.append(text[start:at].strip())
            start = at + 1
        before = before if letter == " " else letter
        at += 1
    if open_:
        raise SweepError(f"{open_[-1]} is missing at the end", where=where, mend="close what is open")
    values.append(text[start:].strip())
    if not all(values):
        what = "no value" if len(values) == 1 else "an empty value"
        raise SweepError(what, where=where, mend='write values between the commas; "" is the empty text')
    return values


def joined(values: Iterable[str]) -> str:
    """Return the text that `split` takes apart into `values`."""
    return ",".join(values)


def _quoted(text: str, start: int, where: str) -> int:
    """Return where the quote at `start` ends, as YAML has it: '' within '…', and backslashes within "…"."""
    quote, at = text[start], start + 1
    while at < len(text):
        if text[at : at + 2] == "''" if quote == "'" else text[at] == "\\":
            at += 1
        elif text[at] == quote:
            return at
        at += 1
    raise SweepError(f"{quote} is missing at the end", where=where, mend="close what is open")


def _tuple(value: str, paths: Sequence[str], where: str) -> tuple[str, ...]:
    mend = (
        f"write one value for each of {', '.join(paths)}, as in [{','.join('ab'[at % 2] for at in range(len(paths)))}]"
    )
    if not (value.startswith("[") and value.endswith("]")):
        raise SweepError(f"{value} sets {len(paths)} paths, and is no list", where=where, mend=mend)
    inner = split(value[1:-1], where)
    if len(inner) != len(paths):
        raise SweepError(f"{value} has {len(inner)} values for {len(paths)} paths", where=where, mend=mend)
    return tuple(inner)


def _ranged(value: str, where: str) -> list[str]:
    """Return the values of a range; `value` alone if it is none."""
    match = _RANGE.fullmatch(value)
    if match is None:
        return [value]
    first, unit, last, unit_too, how, count = match.groups()
    low, high = float(first), float(last)
    if unit != unit_too:
        raise SweepError(
            f"{value} goes from {unit or 'no unit'} to {unit_too or 'no unit'}", where=where, mend="write one unit"
        )
    if how is None:
        if not (_INTEGER.fullmatch(first) and _INTEGER.fullmatch(last)):
            mend = f"{value}+5 has equal steps, {value}*5 equal factors"
            raise SweepError(f"{value} does not say how many", where=where, mend=mend)
        step = 1 if high >= low else -1
        _at_most(abs(int(last) - int(first)) + 1, value, where)
        return [f"{number}{unit}" for number in range(int(first), int(last) + step, step)]
    n = int(count)
    _at_most(n, value, where)
    if n < 2 or low == high:
        raise SweepError(f"{value} has not two values", where=where, mend="a range has two ends and 2 values or more")
    if how == "*" and (low == 0 or low * high <= 0):
        raise SweepError(
            f"{value}: no factor leads from {first} to {last}", where=where, mend="write + for equal steps"
        )
    shares = [at / (n - 1) for at in range(n)]
    if how == "+":
        inner = [low + (high - low) * share for share in shares]
    else:
        sign = math.copysign(1, low)
        inner = [sign * abs(low) * (high / low) ** share for share in shares]
    return [f"{first}{unit}", *(f"{number:.6g}{unit}" for number in inner[1:-1]), f"{last}{unit}"]


def _at_most(count: int, value: str, where: str) -> None:
    if count > MOST_OF_A_RANGE:
        raise SweepError(f"{value} has {count} values", where=where, mend=f"a range has at most {MOST_OF_A_RANGE}")
