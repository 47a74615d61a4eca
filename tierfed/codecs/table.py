"""The table of stages: a new codec is one file and one line here.

Third parties register a class under the entry point group `tierfed.codecs`:

    [project.entry-points."tierfed.codecs"]
    uniform8 = "my_package.uniform8:Uniform8"

It is a frozen dataclass under `ArrayStage`, `ShortStage` or `ByteStage`, whose `name` is that of the
entry point.  Names of ours, also those that come later, cannot be taken.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from typing import Any

from tierfed.codecs.auto import Auto
from tierfed.codecs.bf16 import Bf16
from tierfed.codecs.clip import Clip
from tierfed.codecs.delta import Delta
from tierfed.codecs.drive import Drive
from tierfed.codecs.eden import Eden
from tierfed.codecs.error_feedback import ErrorFeedback
from tierfed.codecs.fp8 import Fp8
from tierfed.codecs.fp16 import Fp16
from tierfed.codecs.grammar import Value, Written
from tierfed.codecs.int8 import Int8
from tierfed.codecs.none import Raw
from tierfed.codecs.powersgd import Powersgd
from tierfed.codecs.qsgd import Qsgd
from tierfed.codecs.randomk import Randomk
from tierfed.codecs.sign import Sign
from tierfed.codecs.sketch import Sketch
from tierfed.codecs.stage import ArrayStage, ByteStage, ShortStage, Stage
from tierfed.codecs.terngrad import Terngrad
from tierfed.codecs.thc import Thc
from tierfed.codecs.topk import Topk
from tierfed.codecs.zstd import Zstd
from tierfed.errors import CodecError, TierfedError, UnsupportedError

TABLE: dict[str, type[Stage]] = {
    "none": Raw,
    "fp16": Fp16,
    "bf16": Bf16,
    "int8": Int8,
    "qsgd": Qsgd,
    "sign": Sign,
    "eden": Eden,
    "drive": Drive,
    "terngrad": Terngrad,
    "fp8": Fp8,
    "topk": Topk,
    "randomk": Randomk,
    "sketch": Sketch,
    "thc": Thc,
    "powersgd": Powersgd,
    "clip": Clip,
    "error_feedback": ErrorFeedback,
    "delta": Delta,
    "auto": Auto,
    "zstd": Zstd,
}

LATER = ()

GROUP = "tierfed.codecs"


def names() -> list[str]:
    """Return the names of the stages there are: ours in the table's order, then third parties'."""
    theirs = sorted({e.name for e in _entry_points()} - set(TABLE) - set(LATER))
    return [*TABLE, *theirs]


def build(written: Written, where: str) -> Stage:
    """Return the stage that was `written`.

    Raises UnsupportedError for a codec that comes later, CodecError if there is no such
    stage, no such option, or no such value of it.  `where` names the chain in errors.
    """
    cls = stage_class(written.name, where)
    fields = [f.name for f in dataclasses.fields(cls)]
    options = dict(zip(fields, written.unnamed, strict=False))
    if len(written.unnamed) > len(fields):
        raise CodecError(
            f"{written.name} takes {len(fields) or 'no'} option{'s' * (len(fields) != 1)}, got {len(written.unnamed)}",
            where=where,
            mend=f"the options of {written.name}: {', '.join(fields)}" if fields else f"write {written.name} alone",
        )
    for name, value in written.named.items():
        if name not in fields:
            raise CodecError(
                f"{written.name} has no option {name}",
                where=where,
                mend=_suggestion(name, fields, "its options are") if fields else f"write {written.name} alone",
            )
        if name in options:
            raise CodecError(f"the option {name} stands twice", where=where, mend="give it once, by name or by place")
        options[name] = value
    try:
        stage: Stage = cls(**options)
        return stage
    except TierfedError as e:
        raise CodecError(e.what, where=f"{where}: {e.where}" if e.where else where, mend=e.mend) from None


def options_of(stage: Stage) -> dict[str, Value]:
    """Return a stage's options."""
    return {f.name: getattr(stage, f.name) for f in dataclasses.fields(stage)}


def changed_options(stage: Stage) -> dict[str, Value]:
    """Return those of a stage's options that are not at their default."""
    return {f.name: v for f in dataclasses.fields(stage) if (v := getattr(stage, f.name)) != f.default}


def stage_class(name: str, where: str) -> type[Any]:
    """Return the class of the stage called `name`; raises as `build` does."""
    if name in TABLE:
        return TABLE[name]
    if name in LATER:
        raise UnsupportedError(
            f"{name} is not supported by this version",
            where=where,
            mend=f"the codecs of this version are {_listed(names())}",
        )
    found = [e for e in _entry_points() if e.name == name]
    if not found:
        raise CodecError(f"no codec is called {name}", where=where, mend=_suggestion(name, names(), "the codecs are"))
    origin = ", ".join(sorted({e.dist.name if e.dist else e.value for e in found}))
    if len({e.value for e in found}) > 1:
        raise CodecError(
            f"{name} is registered twice, by {origin}", where=where, mend="uninstall one of these packages"
        )
    try:
        cls = found[0].load()
    except Exception as e:  # a third party's module may raise anything
        raise CodecError(
            f"{name}, registered by {origin}, cannot be loaded: {type(e).__name__}: {e}",
            where=where,
            mend="repair or uninstall that package",
        ) from e
    wrong = _what_is_wrong(cls, name)
    if wrong:
        raise CodecError(
            f"{name}, registered by {origin}, {wrong}",
            where=where,
            mend="a codec is a frozen dataclass under tierfed.codecs.ArrayStage, ShortStage or ByteStage, "
            "see docs/codecs.md",
        )
    return cls  # type: ignore[no-any-return]  # checked above


def _what_is_wrong(cls: object, name: str) -> str | None:
    """Return why `cls` cannot be the stage called `name`, None if it can."""
    if not (isinstance(cls, type) and issubclass(cls, ArrayStage | ShortStage | ByteStage)):
        return "is no stage"
    if inspect.isabstract(cls):
        return f"lacks {', '.join(sorted(cls.__abstractmethods__))}"
    params = getattr(cls, "__dataclass_params__", None)
    if params is None or not params.frozen:
        return "is no frozen dataclass"
    if any(f.default is dataclasses.MISSING for f in dataclasses.fields(cls)):
        return "has an option without a default"
    wanted = ("name", *("dtypes",) * (not issubclass(cls, ByteStage)), *("lossy",) * issubclass(cls, ArrayStage))
    missing = [a for a in wanted if not hasattr(cls, a)]
    if missing:
        return f"lacks {', '.join(missing)}"
    return None if cls.name == name else f"calls itself {cls.name}"


def _entry_points() -> Any:
    from importlib import metadata  # 20 ms that only unknown names and listings need

    return metadata.entry_points(group=GROUP)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _suggestion(word: str, known: list[str], phrase: str) -> str:
    close = difflib.get_close_matches(word.lower(), known, 1)
    return f"did you mean {close[0]}? {phrase} {_listed(known)}" if close else f"{phrase} {_listed(known)}"
