"""Rules: which codec carries which tensor of a link, by the tensor's name.

    {default: int8, "*/bias": none, "*/embedding*": "bf16+zstd"}

The *name* of a tensor is its path on the wire with `/` between the steps: those to an element
of a struct, to an item of a list, and also the dots within an element's own name.

    v1.w                    v1/w
    v3[0]."layer.1.bias"    v3/0/layer/1/bias

A *pattern* hits a tensor if it fits its whole name or its last steps: `bias` and `*/bias` hit a
tensor called bias at any depth, `layer/1/bias` only that layer's.  `*` stands for any characters,
steps included, `?` for one; case counts.  Dots and indices may be written as paths have them
(`layer.1.bias`, `v3[0].w`).  The first rule that hits, in written order, decides, and
`default` where none does; so the narrow ones stand before the wide ones.

Rules are a frozen value like a codec: equal if default and rules in order are, `str` (JSON)
reads back and is what assignments and headers carry, and both are bounded.  A single codec
is a rule for all: `Codec.at` returns the codec itself.

Source: gitignore's rule that a pattern without a leading slash fits at any depth; POSIX.1-2017, 2.13 (patterns).
"""

from __future__ import annotations

import fnmatch
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tierfed.codecs import grammar
from tierfed.codecs.chain import Codec, codec
from tierfed.errors import CodecError

DEFAULT = "default"
MOST_RULES = 64
LONGEST = 4096  # characters of `str`, which every message's header carries
LONGEST_PATTERN = 256  # characters

_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|\[([^\[\]]*)\]|[^."\[\]]+')
_INDEX = re.compile(r"\[([0-9]+|\*)\]")
_WRONG = re.compile(r'[\[\]{}"\\\x00-\x1f\x7f\ud800-\udfff]')
_EXAMPLE = 'write {default: int8, "*/bias": none}'


@dataclass(frozen=True, slots=True)
class Rules:
    """See the module docstring; made by `link_codec`."""

    default: Codec
    rules: tuple[tuple[str, Codec], ...]

    def __post_init__(self) -> None:
        if not self.rules or len(self.rules) > MOST_RULES:
            raise CodecError(
                f"{len(self.rules)} rules beside the default",
                where="codec",
                mend=f"a link has 1 to {MOST_RULES}: join some, with * in their patterns",
            )
        seen: set[str] = set()
        for pattern, _ in self.rules:
            if pattern in seen:
                raise CodecError(f'two rules for "{pattern}"', where="codec", mend="keep one of them")
            seen.add(pattern)
        if len(str(self)) > LONGEST:
            raise CodecError(
                f"rules of {len(str(self))} characters",
                where="codec",
                mend=f"every message names them: {LONGEST} are the most, join some, with * in their patterns",
            )

    def at(self, path: str) -> Codec:
        """Return the codec of the tensor at `path`, a path of the wire."""
        name = tensor_name(path)
        return next((by for pattern, by in self.rules if hits(pattern, name)), self.default)

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codecs that a tensor may have, the default's first."""
        return tuple(dict.fromkeys([self.default, *(by for _, by in self.rules)]))

    @property
    def config(self) -> dict[str, Any]:
        """The rules as JSON, all options written out: `link_codec(r.config) == r`."""
        return {DEFAULT: self.default.config} | {pattern: by.config for pattern, by in self.rules}

    def __str__(self) -> str:
        return json.dumps(as_written(self), ensure_ascii=False)


LinkCodec: TypeAlias = Codec | Rules
"""What a link has: one codec, or rules that name one for each tensor."""


def link_codec(spec: object) -> LinkCodec:
    """Return what `spec` writes: a chain, as `codec` has it, or a mapping of patterns to chains, or its text.

    Rules that have a default alone are that codec.

    Raises CodecError as `codec` does, and for patterns that are none.
    """
    if isinstance(spec, Rules):
        return spec
    if isinstance(spec, str) and spec.lstrip().startswith("{"):
        spec = parsed(spec)
    if not isinstance(spec, Mapping):
        return codec(spec)
    missing = lacks_default(spec)
    if missing is not None:
        raise missing
    rules = []
    default = None
    for key, chain in spec.items():
        pattern = pattern_of(key)
        try:
            by = codec(chain)
        except CodecError as e:
            raise type(e)(e.what, where=f'rule "{pattern}", {e.where}', mend=e.mend) from None
        if pattern == DEFAULT:
            default = by
        else:
            rules.append((pattern, by))
    assert default is not None  # looked for above
    return Rules(default, tuple(rules)) if rules else default


def lacks_default(rules: Mapping[Any, Any]) -> CodecError | None:
    """Return the error for `rules` that say nothing of the other tensors, None if they do."""
    if DEFAULT in rules:
        return None
    what = "rules without a default" if rules else "no rules"
    return CodecError(what, where="codec", mend=f"say what the other tensors have: {_EXAMPLE[6:]}")


def pattern_of(key: object) -> str:
    """Return a pattern with `/` between its steps; raises CodecError for what is none."""
    pattern = _INDEX.sub(r"/\1", key).replace(".", "/") if isinstance(key, str) else ""
    pattern = pattern[1:] if pattern.startswith("/") else pattern
    shown = key if isinstance(key, str) and len(key) <= 60 else repr(key)[:60]
    if not pattern:
        what = "an empty pattern" if isinstance(key, str) else f"{shown} is no pattern"
        raise CodecError(what, where="codec", mend=f"name tensors: {_EXAMPLE[6:]}")
    if len(pattern) > LONGEST_PATTERN:
        raise CodecError(
            f"a pattern of {len(pattern)} characters",
            where="codec",
            mend=f"{LONGEST_PATTERN} are the most; * stands for any of them",
        )
    found = _WRONG.search(pattern)
    if found:
        raise CodecError(
            f'the pattern "{shown}" has {found[0]!r} in it',
            where="codec",
            mend="a pattern has the characters of names, / between steps, * for any characters and ? for one",
        )
    return pattern


def as_written(coder: LinkCodec) -> str | dict[str, str]:
    """Return a codec's text, of rules a mapping of texts: what a topology file says."""
    if isinstance(coder, Codec):
        return str(coder)
    return {DEFAULT: str(coder.default)} | {pattern: str(by) for pattern, by in coder.rules}


def tensor_name(path: str) -> str:
    """Return the name of the tensor at a wire path: `v3[0]."a.b"` is `v3/0/a/b`."""
    return "/".join(_steps(path))


def _steps(path: str) -> Iterator[str]:
    for found in _STEP.finditer(path):
        if found[1] is not None:
            yield found[1]
        elif found[0].startswith('"'):
            yield str(json.loads(found[0], strict=False)).replace(".", "/")
        else:
            yield found[0]


def hits(pattern: str, name: str) -> bool:
    """Return whether `pattern` fits a tensor's name, or its last steps."""
    return _compiled(pattern).match(name) is not None


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    tail = pattern
    while tail.startswith("*/"):  # any depth, which is so of any pattern
        tail = tail[2:]
    return re.compile("(?s:(?:.*/)?)" + fnmatch.translate(tail))


def parsed(text: str) -> dict[str, Any]:
    """Return the mapping in the text of rules, what `str` wrote; raises CodecError if it is none."""
    if len(text) > LONGEST:
        raise CodecError(f"rules of {len(text)} characters", where=grammar.quote(text), mend=f"{LONGEST} are the most")
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CodecError("rules that are no JSON", where=grammar.quote(text), mend="write {...} as JSON has it")
    return found


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(key)
        made[key] = value
    return made
