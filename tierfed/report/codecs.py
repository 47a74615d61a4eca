"""Codecs, described: what each stage of the table, and of other packages, says of itself.

    STAGE        KIND           BITS   LOSSY  UNBIASED  STATE  ADDS AS
    qsgd(bits=4) array → bytes  4.125  yes    yes       none   elements
      a few bits an element, rounded at random so that the mean is what was encoded

Nothing is known here of any one codec.  A stage's class declares what it is, its module's docstring opens
with a sentence, shows the idea in notation, and ends with its source.  What a stage does not declare, or
cannot say on its own, is left open; a package that cannot be loaded is told and hides no other.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import textwrap
from typing import Any

from tierfed.codecs import CHUNK, TABLE, ArrayStage, ByteStage, Codec, FloatStage, ShortStage, codec, names
from tierfed.codecs.grammar import Value, show
from tierfed.codecs.table import GROUP, options_of, stage_class
from tierfed.errors import CodecError, TierfedError
from tierfed.report.table import table

HEADS = ("STAGE", "KIND", "BITS", "LOSSY", "UNBIASED", "STATE", "ADDS AS")
_KINDS: tuple[tuple[type[Any], str], ...] = (
    (FloatStage, "array → array"),
    (ShortStage, "array → shorter"),
    (ArrayStage, "array → bytes"),
    (ByteStage, "bytes → bytes"),
)
_CLASS_SAYS = re.compile(r"See the module docstring[;.]\s*(.*)\Z", re.DOTALL)
_MATRIX = (1 << 9, CHUNK >> 9)
_MARGIN = 10  # columns of the names of facts
_NARROWEST = 30


@dataclasses.dataclass(frozen=True, slots=True)
class Described:
    """A stage with its options at their defaults; None and empty texts are what it does not say.

    `bits` are those an element of a matrix of 2^18 float32, `error` is ‖x - x̂‖² / ‖x‖² of normal numbers; `package` is
    None for ours.
    """

    name: str
    kind: str
    about: str = ""
    bits: float | None = None
    lossy: bool | None = None
    unbiased: bool | None = None
    error: float | None = None
    agrees: bool = False
    state: str | None = None
    adds: str | None = None
    dtypes: tuple[str, ...] = ()
    options: tuple[tuple[str, Value], ...] = ()
    allowed: str = ""
    notation: str = ""
    source: str = ""
    package: str | None = None

    @property
    def written(self) -> str:
        """The stage in the notation of chains, with its options."""
        return show(self.name, dict(self.options))

    def document(self) -> dict[str, Any]:
        """Return the stage as JSON."""
        return dataclasses.asdict(self) | {"options": dict(self.options), "example": _example(self)}


def every() -> tuple[list[Described], list[TierfedError]]:
    """Return all stages there are, and what is wrong with those that cannot be loaded."""
    found, wrong = [], []
    for name in names():
        try:
            found.append(described(name))
        except TierfedError as error:
            wrong.append(error)
    return found, wrong


def described(name: str) -> Described:
    """Return the stage called `name`; raises CodecError, or UnsupportedError, if there is none."""
    cls = stage_class(name, "codecs")
    doc = (sys.modules[cls.__module__].__doc__ or "").strip()
    paragraphs = [part for part in re.split(r"\n\s*\n", doc) if part.strip()]
    says = _CLASS_SAYS.match(" ".join((cls.__doc__ or "").split()))
    about = getattr(cls, "about", None) or (_untitled(_joined(paragraphs[0]), name) if paragraphs else "")
    try:
        stage = cls()
    except Exception as e:  # a third party's stage may raise anything
        raise CodecError(
            f"{name} cannot be built with its defaults: {type(e).__name__}: {e}",
            where="codecs",
            mend="repair or uninstall the package that registered it",
        ) from e
    alone = _alone(name)
    coded = alone.array_stage if alone is not None and isinstance(stage, ArrayStage) else stage
    return Described(
        name=name,
        kind=str(getattr(cls, "kind", None) or next((kind for base, kind in _KINDS if issubclass(cls, base)), "")),
        about=str(about).removesuffix("."),
        bits=_bits(stage, alone),
        lossy=_declared(stage if hasattr(cls, "lossy") else alone, "lossy"),
        unbiased=_declared(stage, "unbiased"),
        error=_declared(alone, "nmse"),
        agrees=bool(_declared(stage, "agrees")),
        state=_declared(stage, "state"),
        adds=_declared(coded, "sum_domain"),
        dtypes=tuple(getattr(cls, "dtypes", ())),
        options=tuple(options_of(stage).items()),
        allowed=says[1].split(". ")[0].removesuffix(".") if says else "",
        notation=textwrap.dedent(paragraphs[1]) if len(paragraphs) > 1 and paragraphs[1].startswith(" ") else "",
        source=next((_joined(p).removeprefix("Source: ") for p in paragraphs if p.startswith("Source:")), ""),
        package=None if name in TABLE else _package(name),
    )


def table_of(stages: list[Described], width: int | None) -> str:
    """Return a line a stage, and below it what it is."""
    rows = [_row(one) for one in stages]
    whole = table(HEADS, rows, width).split("\n")
    if len(whole) == len(rows) + 1:
        return "\n".join([whole[0], *(f"{line}\n  {one.about}" for line, one in zip(whole[1:], stages, strict=True))])
    return "\n".join(
        f"{row[0]}  {row[1]}\n  {one.about}\n  {'  '.join(_words(row))}" for row, one in zip(rows, stages, strict=True)
    )


def page(one: Described, width: int | None) -> str:
    """Return all that a stage says of itself."""
    facts = [
        ("kind", one.kind),
        ("bits", f"{_number(one.bits)} an element" if one.bits is not None else ""),
        ("carries", ", ".join(one.dtypes)),
        ("lossy", _yes(one.lossy)),
        ("unbiased", _yes(one.unbiased)),
        ("state", one.state or ""),
        ("error", f"{one.error:.3g} of normal numbers, ‖x - x̂‖²/‖x‖²" if one.error else ""),
        ("adds as", one.adds or ""),
        ("agrees", "senders settle something together before they send" if one.agrees else ""),
        ("options", show("", dict(one.options))[1:-1].replace(",", ", ") or "none"),
        ("", one.allowed),
        ("package", one.package or ""),
        ("source", one.source),
        ("example", _example(one)),
    ]
    lines = [_wrapped(f"{one.name}: {one.about}" if one.about else one.name, "", "  ", width)]
    if one.notation:
        lines += ["", textwrap.indent(one.notation, "    "), ""]
    for name, fact in facts:
        if fact:
            lines.append(_wrapped(fact, f"{name:<{_MARGIN}}", " " * _MARGIN, width))
    return "\n".join(lines)


def _example(one: Described) -> str:
    """Return how a topology names the stage, beside one that it goes with."""
    chain = {"array → array": "{}+int8", "array → shorter": "{}+int8", "bytes → bytes": "none+{}"}
    return f'codec: {{up: "{chain.get(one.kind, "{}").format(one.written)}"}}'


def _row(one: Described) -> list[str]:
    facts = _number(one.bits), _yes(one.lossy), _yes(one.unbiased), one.state or "", one.adds or ""
    return [one.written, one.kind, *facts]


def _words(row: list[str]) -> list[str]:
    return [f"{head.lower()} {cell}" for head, cell in list(zip(HEADS, row, strict=True))[2:] if cell]


def _wrapped(text: str, first: str, later: str, width: int | None) -> str:
    if width is None:
        return first + text
    return textwrap.fill(
        text,
        max(width, _NARROWEST),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _untitled(sentence: str, name: str) -> str:
    """Return a docstring's first sentence without the name that it opens with."""
    title, colon, rest = sentence.partition(": ")
    return rest if colon and title.lower().replace(" ", "_") == name.lower() else sentence


def _joined(text: str) -> str:
    return " ".join(text.split())


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _declared(stage: Any, attribute: str) -> Any:
    """Return what a stage declares, None if it declares nothing or cannot say on its own."""
    try:
        return getattr(stage, attribute, None)
    except Exception:  # a third party's, as above
        return None


def _alone(name: str) -> Codec | None:
    """Return the chain of that stage alone, as it codes a matrix; None if it needs another."""
    try:
        return codec(name).of_shape(_MATRIX)
    except Exception:
        return None


def _bits(stage: Any, alone: Codec | None) -> float | None:
    """Return the bits an element of a stage that decides on them."""
    if alone is None or isinstance(stage, FloatStage | ByteStage):
        return None
    try:
        size = alone.nominal_bytes(CHUNK, "float32")
    except Exception:
        return None
    return None if size is None else size * 8 / CHUNK


def _package(name: str) -> str | None:
    """Return the package that registered a stage, with its version."""
    from importlib import metadata

    found = next((e for e in metadata.entry_points(group=GROUP) if e.name == name), None)
    return f"{found.dist.name} {found.dist.version}" if found is not None and found.dist is not None else None
