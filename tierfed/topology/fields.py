"""Fields: the types of single values in a topology, each with its check and its JSON Schema.

    deadline: Duration      codec.up: Codec      job.program: Program

pydantic calls the check, and its message goes to the reader as it stands; the schema is
what an editor checks before tierfed does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from tierfed.errors import CodecError, UnsupportedError
from tierfed.topology.units import Duration, Energy, Percent, Power, Rate, UnitError

WRONG = "tierfed.wrong"
WRONG_KEY = "tierfed.wrong_key"
UNSUPPORTED = "tierfed.unsupported"
NOT_YET = "not supported by this version"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", re.ASCII)
_TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,62}", re.ASCII)
_PROGRAM = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_RANGE = re.compile(r"(?P<first>[0-9]{1,9})(?:-(?P<last>[0-9]{1,9}))?", re.ASCII)
_NUMBER = r"[0-9]{1,15}(\.[0-9]{1,15})? ?"


def wrong(what: str) -> PydanticCustomError:
    """Return the error that pydantic carries to the reader with `what` as its text."""
    return PydanticCustomError(WRONG, "{what}", {"what": what})


def unsupported(what: str) -> PydanticCustomError:
    """Return the error for what is well written but not in this version."""
    return PydanticCustomError(UNSUPPORTED, "{what}", {"what": what})


def described(value: object) -> str:
    """Return `value` as an error shows it."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "...")
    return str(value)


def _with_units(read: Callable[[object], Any]) -> Callable[[object], Any]:
    def check(value: object) -> Any:
        try:
            return read(value)
        except UnitError as error:
            raise wrong(str(error)) from None

    return check


def _deadline(value: object) -> Duration:
    time = Duration.parse(value)
    if time.exact <= 0:
        raise UnitError(f"a deadline of {time}; write more than 0s, such as 30s")
    return time


def _quorum(value: object) -> Percent:
    share = Percent.parse(value)
    if share.exact <= 0:
        raise UnitError("a quorum of 0% would commit a round of nobody; write more than 0%, such as 50%")
    return share


def _rate(value: object) -> Rate:
    rate = Rate.parse(value)
    if rate.exact <= 0:
        raise UnitError(
            "a rate of 0 carries nothing; write more, such as 64kbit, or remove it for a link without limit"
        )
    return rate


def _loss(value: object) -> Percent:
    share = Percent.parse(value)
    if share.exact >= 1:
        raise UnitError(f"a loss of {share} lets nothing through; write less than 100%, such as 1%")
    return share


def _correlation(value: object) -> Percent:
    share = Percent.parse(value)
    if share.exact >= 1:
        raise UnitError(f"at {share} all would have the jitter of the first; write less than 100%, such as 25%")
    return share


def _period(value: object) -> Duration:
    time = Duration.parse(value, "h")
    if time.exact <= 0:
        raise UnitError(f"a period of {time}; write more than 0s, such as 24h")
    return time


def _held_out(value: object) -> Percent:
    share = Percent.parse(value)
    if share.exact in (0, 1):
        raise UnitError(f"{share} held out leaves nothing to {'train' if share.exact else 'test'} with; write 20%")
    return share


def _select(value: object) -> Percent | int:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise UnitError(f"a cohort of {value} would draw nobody; write 1 or more, or a share, such as 10%")
        return value
    share = Percent.parse(value)
    if share.exact <= 0:
        raise UnitError("a cohort of 0% would draw nobody; write more than 0%, such as 10%")
    return share


def _columns(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names) or not 1 <= len(names) <= 2:
        raise wrong("expected a column of the data set, such as subject, or two, such as [authority, school]")
    return tuple(names)


def _pattern(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": [example]})


_TEXT = PlainSerializer(str, return_type=str)
_TIME = _pattern(_NUMBER + "(ns|us|ms|s|min|h)", "30s")
_SHARE = _pattern(_NUMBER + "%", "80%")

Deadline = Annotated[Duration, PlainValidator(_with_units(_deadline)), _TEXT, _TIME]
Delay = Annotated[Duration, PlainValidator(_with_units(lambda v: Duration.parse(v, "ms"))), _TEXT, _TIME]
Share = Annotated[Percent, PlainValidator(_with_units(Percent.parse)), _TEXT, _SHARE]
Holdout = Annotated[Percent, PlainValidator(_with_units(_held_out)), _TEXT, _SHARE]
Quorum = Annotated[Percent, PlainValidator(_with_units(_quorum)), _TEXT, _SHARE]
Loss = Annotated[Percent, PlainValidator(_with_units(_loss)), _TEXT, _SHARE]
Correlation = Annotated[Percent, PlainValidator(_with_units(_correlation)), _TEXT, _SHARE]
Period = Annotated[Duration, PlainValidator(_with_units(_period)), _TEXT, _TIME]
Select = Annotated[
    Percent | int,
    PlainValidator(_with_units(_select)),
    PlainSerializer(lambda v: v if isinstance(v, int) else str(v)),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _SHARE.json_schema]}),
]
Over = Annotated[Percent, PlainValidator(_with_units(Percent.parse_over)), _TEXT, _pattern(_NUMBER + "%", "130%")]
Columns = Annotated[
    tuple[str, ...],
    PlainValidator(_columns),
    PlainSerializer(lambda v: v[0] if len(v) == 1 else list(v)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 2},
            ]
        }
    ),
]
LinkRate = Annotated[
    Rate,
    PlainValidator(_with_units(_rate)),
    _TEXT,
    _pattern(_NUMBER + "([kmgt]?bit|[kmg]ibit)", "4mbit"),
]
Watts = Annotated[Power, PlainValidator(_with_units(Power.parse)), _TEXT, _pattern(_NUMBER + "(uW|mW|W|kW)", "2.5W")]
Joules = Annotated[
    Energy, PlainValidator(_with_units(Energy.parse)), _TEXT, _pattern(_NUMBER + "(pJ|nJ|uJ|mJ|J)", "60nJ")
]


def _codec_up(value: object) -> str:
    """Return the canonical text of a codec chain, or of rules by tensor name; eden's bits may be `auto`."""
    from tierfed.topology import bits  # numpy: kept off the path until a file names a codec

    _check_codec(value, bits.chain)
    return _read(bits.written, value)


def _codec_down(value: object) -> str:
    """Return the canonical text of a codec chain, or of rules by tensor name."""
    from tierfed.codecs import codec, link_codec

    _check_codec(value, codec)
    return _read(link_codec, value)


def _check_codec(value: object, chain: Callable[[object], Any]) -> None:
    """Raise what is wrong with the kind of a codec; of rules every problem at its own place.

    Problems of a pattern stand at the key, those of its chain at the value.
    """
    if not isinstance(value, dict):
        if not isinstance(value, str | list) or not value:
            raise wrong(f"expected a codec such as int8+zstd, got {described(value)}")
        return
    from tierfed.codecs.rules import pattern_of

    found: list[InitErrorDetails] = []
    for key, of in value.items():
        try:
            _read(pattern_of, key)
        except PydanticCustomError as error:
            at_key = PydanticCustomError(WRONG_KEY, "{what}", error.context)
            found.append(InitErrorDetails(type=at_key, loc=(str(key),), input=of))
            continue
        try:
            if not isinstance(of, str | list) or not of:
                raise wrong(f"expected a codec such as int8+zstd, got {described(of)}")
            _read(chain, of)
        except PydanticCustomError as error:
            found.append(InitErrorDetails(type=error, loc=(str(key),), input=of))
    if found:
        raise ValidationError.from_exception_data("rules", found)


def _read(read: Callable[[Any], Any], value: object) -> str:
    try:
        return str(read(value))
    except UnsupportedError as error:
        raise unsupported(_told(error.what, error.mend)) from None
    except CodecError as error:
        raise wrong(_told(error.what, error.mend)) from None


def _told(what: str, mend: str | None) -> str:
    return f"{what}; {mend}" if mend else what


_CHAIN: list[dict[str, Any]] = [
    {"type": "string", "minLength": 1, "examples": ["int8+zstd"]},
    {"type": "array", "minItems": 1, "items": {"type": ["string", "object"]}},
]
_RULES: dict[str, Any] = {
    "type": "object",
    "required": ["default"],
    "maxProperties": 65,
    "propertyNames": {"minLength": 1, "maxLength": 256, "pattern": r'^[^{}"\\]+$'},
    "additionalProperties": {"anyOf": _CHAIN},
    "examples": [{"default": "int8", "*/bias": "none"}],
}

CodecUp = Annotated[str, PlainValidator(_codec_up), WithJsonSchema({"anyOf": [*_CHAIN, _RULES]})]
CodecDown = Annotated[str, PlainValidator(_codec_down), WithJsonSchema({"anyOf": [*_CHAIN, _RULES]})]


def _matching(pattern: re.Pattern[str], what: str, example: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise wrong(f"expected {what}, such as {example}, got {described(value)}")
        return value

    return check


Title = Annotated[
    str,
    PlainValidator(_matching(_TITLE, "a name of letters, digits, '-', '_', '.' and spaces, 63 at most", "two-region")),
    WithJsonSchema({"type": "string", "pattern": f"^{_TITLE.pattern}$"}),
]
Reference = Annotated[
    str,
    PlainValidator(_matching(NAME, "a name", "edge-eu")),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"}),
]
Program = Annotated[
    str,
    PlainValidator(_matching(_PROGRAM, "module:function", "tierfed.learning.fedavg:train")),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"}),
]


def _bind(value: object) -> str:
    if not isinstance(value, str):
        raise wrong(f"expected an address, such as 127.0.0.1, got {described(value)}")
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise wrong(f"expected an address, such as 127.0.0.1, got {described(value)}") from None
    if not address.is_loopback:
        raise unsupported(f"listening off loopback ({value}) is {NOT_YET}; write 127.0.0.1")
    if value != "127.0.0.1":
        raise unsupported(f"another loopback address ({value}) is {NOT_YET}; write 127.0.0.1")
    return value


Bind = Annotated[str, PlainValidator(_bind), WithJsonSchema({"type": "string", "examples": ["127.0.0.1"]})]


def _label(value: object) -> str:
    if isinstance(value, str) and value and len(value) <= 255:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise wrong(f'expected a text, such as "eu", got {described(value)}')


LabelText = Annotated[
    str,
    PlainValidator(_label),
    WithJsonSchema({"type": ["string", "integer"], "minLength": 1, "maxLength": 255}),
]


def _range(value: object) -> tuple[int, int]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value, value
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(f"expected a number or a range, such as 0-7, got {described(value)}")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if last < first:
        raise wrong(f"the range {value} is empty; write {last}-{first}")
    return first, last


Range = Annotated[
    tuple[int, int],
    PlainValidator(_range),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?$"}]}),
]


def _parent(value: object) -> str:
    if isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value):
        raise wrong(f"two parents, {' and '.join(value[:2])}; a member has one, keep that")
    if not isinstance(value, str) or not value:
        raise wrong(f"expected the name of a parent, got {described(value)}")
    return value


Parent = Annotated[str, PlainValidator(_parent), WithJsonSchema({"type": "string", "minLength": 1})]


def _value(value: object) -> Any:
    """Return `value` if it is made of what JSON can say."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [_value(v) for v in value]
        case dict() if all(isinstance(k, str) for k in value):
            return {k: _value(v) for k, v in value.items()}
    raise wrong(f"expected a number, text, list or mapping, got {type(value).__name__}")


PlainValue = Annotated[Any, PlainValidator(_value), WithJsonSchema({})]
