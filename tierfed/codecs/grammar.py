"""The grammar of chains, as topology files write them.

    chain  := stage ("+" stage)*                 int8+zstd
    stage  := name [ "(" [ option ("," option)* ] ")" ]
    option := [ name "=" ] value                 zstd(level=9), zstd(9)
    value  := integer | float | true | false | word

An option without a name is the stage's first, second … one.  The same chain as a list,
as YAML or JSON has it: `["int8", {"zstd": {"level": 9}}]`.  Here a chain is only read;
whether there are such stages, and such options, is for `table` to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tierfed.errors import CodecError

Value: TypeAlias = bool | int | float | str
LONGEST = 1024  # characters
MOST_STAGES = 8

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_STAGE = re.compile(rf"\s*({_NAME})\s*(?:\(([^()]*)\))?\s*\Z")
_OPTION = re.compile(rf"\s*(?:({_NAME})\s*=)?\s*([A-Za-z0-9_.+-]+)\s*\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_WORD = re.compile(rf"{_NAME}\Z")
_EXAMPLE = 'write stages joined by +, as in "int8+zstd" or "zstd(level=9)"'


@dataclass(frozen=True, slots=True)
class Written:
    """One stage as it was written: its name, unnamed options in order, and named ones."""

    name: str
    unnamed: tuple[Value, ...] = ()
    named: Mapping[str, Value] = field(default_factory=dict)


def read(spec: object) -> list[Written]:
    """Return the stages of `spec`, a string or a list; raises CodecError if it cannot be read."""
    if isinstance(spec, str):
        stages = _chain(spec)
    elif isinstance(spec, Sequence) and not isinstance(spec, bytes | bytearray | memoryview):
        stages = [s for item in spec for s in _item(item, spec)]
    else:
        raise CodecError(f"{spec!r} reads as no codec", where="codec", mend=_EXAMPLE)
    if not stages:
        raise CodecError("an empty chain", where=quote(spec), mend='write "none" for the raw array')
    if len(stages) > MOST_STAGES:
        raise CodecError(f"{len(stages)} stages", where=quote(spec), mend=f"a chain has at most {MOST_STAGES}")
    return stages


def quote(spec: object) -> str:
    """Return `spec` as errors name it: `codec "int8+zstd"`."""
    text = spec if isinstance(spec, str) else repr(spec)
    return f'codec "{text if len(text) <= 60 else text[:57] + "..."}"'


def show(name: str, options: Mapping[str, Value]) -> str:
    """Return a stage in the notation that `read` reads."""
    inside = ",".join(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in options.items())
    return f"{name}({inside})" if inside else name


def _item(item: object, spec: object) -> list[Written]:
    """Return the stages of an item of a list: a string, or one name with its options."""
    if isinstance(item, str):
        return _chain(item)
    if isinstance(item, Mapping) and len(item) == 1:
        [(name, options)] = item.items()
        if options is None:
            options = {}
        if (
            isinstance(name, str)
            and re.fullmatch(_NAME, name)
            and isinstance(options, Mapping)
            and all(isinstance(k, str) and isinstance(v, bool | int | float | str) for k, v in options.items())
        ):
            return [Written(name, (), dict(options))]
    raise CodecError(
        f"{item!r} reads as no stage",
        where=quote(spec),
        mend='write each item of the list as a name, or as a name with its options: {"zstd": {"level": 9}}',
    )


def _chain(text: str) -> list[Written]:
    if len(text) > LONGEST:
        raise CodecError(f"{len(text)} characters", where=quote(text), mend=f"a chain has at most {LONGEST}")
    if not text.strip():
        return []
    return [_stage(part, text) for part in _split(text)]


def _split(text: str) -> list[str]:
    """Return the parts of `text` between the + that are outside parentheses."""
    parts, depth, start = [], 0, 0
    for at, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth not in (0, 1):
            break
        if c == "+" and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    if depth != 0:
        raise CodecError(
            "the parentheses do not match",
            where=quote(text),
            mend='close each one; within braces YAML cuts at commas, so quote it there: {up: "zstd(level=9)"}',
        )
    return [*parts, text[start:]]


def _stage(part: str, text: str) -> Written:
    found = _STAGE.match(part)
    if not found:
        raise CodecError(f'"{part.strip()}" reads as no stage', where=quote(text), mend=_EXAMPLE)
    name, inside = found.groups()
    unnamed: list[Value] = []
    named: dict[str, Value] = {}
    for written in inside.split(",") if inside and inside.strip() else ():
        option = _OPTION.match(written)
        value = None if option is None else _value(option[2])
        if option is None or value is None:
            raise CodecError(
                f'"{written.strip()}" reads as no option of {name}',
                where=quote(text),
                mend="write name=value, where the value is a number, true, false or a word",
            )
        if option[1] is None:
            if named:
                raise CodecError(
                    f'the option "{written.strip()}" has no name, after one that has',
                    where=quote(text),
                    mend="write it as name=value",
                )
            unnamed.append(value)
        elif option[1] in named:
            raise CodecError(f"the option {option[1]} stands twice", where=quote(text), mend="give it once")
        else:
            named[option[1]] = value
    return Written(name, tuple(unnamed), named)


def _value(text: str) -> Value | None:
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text if _WORD.match(text) else None
