"""Scalars: what an unquoted word of a YAML file means, by YAML 1.2's core schema.

    30 -> 30     0o17 -> 15     1e3 -> 1000.0     true -> True     on -> "on"     20ms -> "20ms"

Two readings of one text are traps, and are refused where they would matter:
`017` (15 in YAML 1.1, 17 in 1.2) anywhere, and yes/no/on/off (true and false in
1.1, text in 1.2) as a parameter of a job.

Source: YAML 1.2.2, section 10.3.2 (tag resolution); 1.1's types at yaml.org/type.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_OCTAL = re.compile(r"0o[0-7]+", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_ENDLESS = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+", re.ASCII)
_OLD_BOOLEANS = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}
_DIGITS = 40


class ScalarError(ValueError):
    """A word with two readings, or none; its text says what to write."""


def resolve(text: str) -> Scalar:
    """Return the value of the unquoted scalar `text`.

    Raises ScalarError for numbers that are not finite, too long, or have a leading zero.
    """
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _ENDLESS.fullmatch(text):
        raise ScalarError(f"{text} is not a finite number")
    number = _INT.fullmatch(text) or _FLOAT.fullmatch(text) or _OCTAL.fullmatch(text) or _HEX.fullmatch(text)
    if number and len(text) > _DIGITS:
        raise ScalarError(f"a number of {len(text)} characters; {_DIGITS} are the most")
    if _LEADING_ZERO.fullmatch(text):
        stripped = text.lstrip("+-").lstrip("0") or "0"
        octal = f"0o{stripped}" if set(stripped) <= set("01234567") else None
        mend = f"write {stripped}" + (f", {octal}" if octal else "") + f' or "{text}"'
        raise ScalarError(f"{text} has a leading zero, which YAML 1.1 and 1.2 read differently; {mend}")
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ScalarError(f"{text} is too large for a number")
        return value
    return text


def old_boolean(text: str) -> bool | None:
    """Return what YAML 1.1 took `text` for if it was a boolean there and is text now, else None."""
    return _OLD_BOOLEANS.get(text.lower())


def quoted(value: Scalar) -> str:
    """Return `value` as YAML that `resolve` (or a quoted scalar) reads back as the same value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if _is_plain(value):
        return value
    return '"' + "".join(_escaped(c) for c in value) + '"'


_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./%+ ()=*^-]*(?::[A-Za-z0-9_./%+()=-]+)*", re.ASCII)
_OTHER_NUMBERS = re.compile(r"[0-9][0-9_:.]*[_:][0-9_:.]*", re.ASCII)
"""1_000 and 1:30, which YAML 1.1 takes for numbers; other readers of our files may."""


def _is_plain(text: str) -> bool:
    if (
        not _PLAIN.fullmatch(text)
        or text.endswith(" ")
        or text.count("(") != text.count(")")
        or old_boolean(text) is not None
    ):
        return False
    try:
        return isinstance(resolve(text), str) and not _OTHER_NUMBERS.fullmatch(text)
    except ScalarError:
        return False


_PRINTABLE = re.compile("[ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]")


def _escaped(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if _PRINTABLE.fullmatch(c):
        return c
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
