"""Bits: how `eden(bits=auto)` is shared out over the tiers, more going up.

                        bits                                    error at the root, correlation .5
    64 clients          CLIENTS 4                               2.95e-4
    8 edges of 8        EDGES 4     CLIENTS 2                   .0014 + .0041
    4 of 4 of 4         REGIONS 4   EDGES 3     CLIENTS 2       .0026 + .0029 + .0041

A hop's part of the error at the root is ω ρ / m, of m senders with error ω (error.py).  One tier
up there are fan-in times fewer of them, and each bit divides ω by about four, so ½ log2(fan-in) more
bits a tier keep the parts equal.  The highest link that says auto has the most that eden has, 4.
Each below it may err by as many times more as members send to the one that it sends to: it has
those bits whose ω is nearest to that, as a ratio, which is ½ log2(fan-in) fewer, rounded where ω is
halfway rather than where bits are; 1 at least.  Members whose parents have other fan-ins have other bits.

Only what rises is summed, so `auto` is for `up`.  A link above with another codec, such as int8, ends the
chain: then 4 bits are at the leaves, and what they cost is added by their own hop alone.

Source: Vargaftik et al. 2022, arXiv:2108.08842, table 1 (ω by bits); the sum over tiers, error.py.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping

from tierfed.codecs import Codec, codec, grammar, link_codec, rules
from tierfed.codecs.eden import ERRORS
from tierfed.codecs.grammar import Written

AUTO = "eden(bits=auto)"
FROM = f", from {AUTO}"
_ANY = 3  # bits, other than eden's default: `str` tells them
_MOST = max(ERRORS)


def written(spec: object) -> str:
    """Return the canonical text of what a link has, a chain or rules, with `eden(bits=auto)` where it is said.

    Raises CodecError if it cannot be read or built.
    """
    if isinstance(spec, str) and spec.lstrip().startswith("{"):
        spec = rules.parsed(spec)
    if not isinstance(spec, Mapping):
        return chain(spec)
    said = {key: chain(of) if isinstance(of, str | list) else of for key, of in spec.items()}
    coder = link_codec({key: _with_any(of) for key, of in said.items()})
    if isinstance(coder, Codec):
        return str(said[rules.DEFAULT])
    texts = {rules.pattern_of(key): of for key, of in said.items()}
    return json.dumps({rules.DEFAULT: texts.pop(rules.DEFAULT), **texts}, ensure_ascii=False)


def chain(spec: object) -> str:
    """Return the canonical text of a chain, with `eden(bits=auto)` where it is said.  Raises as `written`."""
    return with_auto(spec) or str(codec(spec))


def _with_any(of: object) -> object:
    return of.replace(AUTO, f"eden(bits={_ANY})") if isinstance(of, str) else of


def with_auto(spec: object) -> str | None:
    """Return the canonical text of a chain with `eden(bits=auto)` in it; None if `spec` has none.

    Raises CodecError if it cannot be read or built.
    """
    written = grammar.read(spec)
    if not any(_is_auto(stage) for stage in written):
        return None
    text = "+".join(_text(stage) for stage in written)
    return str(codec(text)).replace(f"eden(bits={_ANY})", AUTO)


def _is_auto(stage: Written) -> bool:
    return stage.name == "eden" and (stage.named.get("bits") == "auto" or stage.unnamed[:1] == ("auto",))


def _text(stage: Written) -> str:
    """Return a stage as it was written, with bits for auto."""
    told = [_value(value, stage) for value in stage.unnamed]
    told += [f"{name}={_value(value, stage)}" for name, value in stage.named.items()]
    return f"{stage.name}({','.join(told)})"


def _value(value: grammar.Value, stage: Written) -> str:
    if value == "auto" and stage.name == "eden":
        return str(_ANY)
    return str(value).lower() if isinstance(value, bool) else str(value)


def shared_out(parents: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    """Return the bits of each member whose uplink says auto.

    `parents` gives, for each of them, whom it sends to and how many do, parents before children.
    """
    wanted: dict[str, float] = {}
    for member, (parent, senders) in parents.items():
        wanted[member] = wanted[parent] * senders if parent in wanted else ERRORS[_MOST]
    return {member: _nearest(error) for member, error in wanted.items()}


@functools.cache
def _nearest(error: float) -> int:
    """Return the bits whose error is nearest to `error`, as a ratio."""
    return min(ERRORS, key=lambda bits: abs(math.log(ERRORS[bits] / error)))


def resolved(text: str, bits: int) -> str:
    """Return the codec that a link's text with `auto` in it comes to."""
    return str(link_codec(text.replace(AUTO, f"eden(bits={bits})")))
