"""Settle: the value of every setting of every member, and where each came from.

    built-in < defaults < placement < member < overrides (the later ones win) < --set

    c-us-03   codec.up   int8   from placements.CLIENTS.overrides[0].codec.up, line 31

The deadline of one that waits is the smaller of its own and its parent's: nobody upstream
is there to hear from it later.  A leaf has its parent's.  A `--set` on a placement outranks its members' own values,
because the command line has the last word.  Last, bits that are `auto` are shared out over the tiers (bits.py).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from tierfed.topology.checks import DEFAULT_HOST
from tierfed.topology.cohort import Cohort
from tierfed.topology.devices import AVAILABLE, INTERFACE_KEYS, LINK_KEYS, MODELLED_KEYS, Modelled, profile_figures
from tierfed.topology.graph import Grown, Sprout
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Problems, dotted
from tierfed.topology.spec import MatchSpec, Settings, TopologySpec
from tierfed.topology.units import Duration, Percent

Key = tuple[str, ...]
KEYS: tuple[Key, ...] = (
    ("host",),
    ("codec", "up"),
    ("codec", "down"),
    ("collect", "quorum"),
    ("collect", "deadline"),
    *MODELLED_KEYS,
)
BUILT_IN: dict[Key, Any] = {
    ("host",): DEFAULT_HOST,
    ("codec", "up"): "none",
    ("codec", "down"): "none",
    ("collect", "quorum"): Percent.parse("100%"),
    ("collect", "deadline"): Duration.parse("30s"),
}


@dataclass(frozen=True, slots=True)
class Settled:
    """What holds for a member: codecs of its link to its parent, its quorum and deadline as a parent.

    `origins` says where each came from, by the name that it has in a file.
    """

    host: str
    codec_up: str
    codec_down: str
    quorum: Percent
    deadline: Duration
    modelled: Modelled
    origins: Mapping[str, str] = field(compare=False, hash=False)


_Layer = dict[Key, tuple[Any, str]]


def settle(
    spec: TopologySpec, document: Document, grown: Grown, sets: Sequence[Path], problems: Problems
) -> dict[str, Settled]:
    """Return the settings of every member of `grown`, by name.

    `sets` are the paths that `--set` has written, in order.  An override that matches nobody is a problem.
    """
    settled: dict[str, Settled] = {}
    base = {key: (value, "built-in") for key, value in BUILT_IN.items()}
    base |= _layer(spec.defaults, ("defaults",), document)
    for name, members in grown.members.items():
        holder = spec.placements[name]
        path: Path = ("placements", name)
        of_placement = base | (_layer(holder, path, document) if holder else {})
        overrides = holder.overrides if holder else []
        used: set[int] = set()
        waits = name in grown.parents.values()
        known: dict[Any, Settled] = {}
        alike: dict[Any, Settled] = {}  # of members that are not written out: most have the same layers
        for member in members:
            hits: tuple[int, ...] = ()
            if overrides:
                hits = tuple(at for at, override in enumerate(overrides) if matches(override.match, member))
            above = settled[member.parent.name] if member.parent is not None else None
            same = (hits, member.parent.name if member.parent is not None else None)
            if member.spec is None and same in alike:
                settled[member.name] = alike[same]
                continue
            used.update(hits)
            layers = of_placement
            if member.spec is not None:
                layers = layers | _layer(member.spec, (*path, "members", member.name), document)
            for at in hits:
                layers = layers | _layer(overrides[at], (*path, "overrides", at), document)
            layers = layers | _sets(spec, document, sets, name, member.name)
            layers = _without(layers, member, waits)
            settled[member.name] = alike[same] = _settled(layers, above, member.parent, waits, known)
        for at in range(len(overrides)):
            where = (*path, "overrides", at, "match")
            if at not in used and members and not problems.at_or_below(where[:-1]):
                problems.add(document.value(where), where, f"matches no member of {name}; {_there(members)}")
    return _with_bits(settled, grown, spec)


def _with_bits(settled: dict[str, Settled], grown: Grown, spec: TopologySpec) -> dict[str, Settled]:
    """Return `settled` with the bits of each member whose uplink says auto; see `bits`."""
    if not any("bits=auto" in of.codec_up for of in settled.values()):
        return settled
    from tierfed.topology import bits  # numpy, which a tree without such codecs does without

    senders: dict[tuple[str, str], int] = {}  # by parent and placement
    rising: dict[str, tuple[str, str]] = {}
    for members in grown.members.values():
        for member in members:
            if member.parent is not None and bits.AUTO in settled[member.name].codec_up:
                key = rising[member.name] = (member.parent.name, member.placement)
                senders[key] = senders.get(key, 0) + 1
    made: dict[tuple[int, int], Settled] = {}  # the same object for members that share them all
    for parent, placement in senders:
        holder = spec.placements[placement]
        if holder is not None and (drawn := holder.cohort) is not None:
            senders[parent, placement] = Cohort(drawn.select).target(senders[parent, placement])
    for name, count in bits.shared_out({name: (key[0], senders[key]) for name, key in rising.items()}).items():
        of = settled[name]
        if (id(of), count) not in made:
            origins = {**of.origins, "codec.up": of.origins["codec.up"] + bits.FROM}
            codec_up = bits.resolved(of.codec_up, count)
            made[id(of), count] = replace(of, codec_up=codec_up, origins=MappingProxyType(origins))
        settled[name] = made[id(of), count]
    return settled


def matches(match: MatchSpec, member: Sprout) -> bool:
    """Return whether `member` is meant: every field of the match must hold."""
    if match.name is not None and not fnmatch.fnmatchcase(member.name, match.name):
        return False
    for wanted, number in ((match.i, member.i), (match.n, member.n)):
        if wanted is not None and not wanted[0] <= number <= wanted[1]:
            return False
    return all(member.labels.get(label) == value for label, value in (match.__pydantic_extra__ or {}).items())


def _there(members: Sequence[Sprout]) -> str:
    """Return what could be matched, for an error."""
    labels: dict[str, dict[str, None]] = {}
    for member in members:
        for label, value in member.labels.items():
            labels.setdefault(label, {})[value] = None
    told = [f"names are {members[0].name} to {members[-1].name}", f"i is 0-{max(m.i for m in members)}"]
    told += [f"{label} is {', '.join(list(values)[:4])}" for label, values in labels.items()]
    return ", ".join(told)


def _layer(settings: Settings, path: Path, document: Document) -> _Layer:
    layer: _Layer = {}
    for key, value, at in _written(settings):
        layer[key] = (value, origin(document, (*path, *at)))
    return layer


def _written(settings: Settings) -> Iterator[tuple[Key, Any, Key]]:
    """Yield each setting, its value and where in `settings` it is said; what a profile says comes first."""
    if settings.compute is not None and settings.compute.profile is not None:
        for key, figure in profile_figures(settings.compute.profile).items():
            yield key, figure, ("compute", "profile")
    for key in KEYS:
        value: Any = settings
        for step in key:
            value = getattr(value, step) if value is not None else None
        if value is not None:
            yield key, value, key


def origin(document: Document, path: Path) -> str:
    """Return where the value at `path` was written: its path and line, or the `--set` itself."""
    place, path = document.value(path), document.shown(path) or path
    if place.line:
        return f"{dotted(path)}, line {place.line}"
    return place.label if place.label.startswith("--set") else dotted(path)


def _sets(spec: TopologySpec, document: Document, sets: Sequence[Path], placement: str, member: str) -> _Layer:
    """Return what `--set` says of a member: of its placement, and of itself."""
    layer: _Layer = {}
    holder = spec.placements[placement]
    for path in sets:
        settings: Settings | None = None
        within: Path = ()
        if path[:2] == ("placements", placement):
            settings, within = holder, path[2:]
            if path[2:4] == ("members", member) and holder and holder.members:
                settings, within = holder.members.get(member), path[4:]
        if settings is not None and within:
            for key, value, at in _written(settings):
                if within[: len(at)] == at[: len(within)]:  # it is said there, in a part of that, or beside others
                    layer[key] = (value, origin(document, path))
    return layer


def _without(layers: _Layer, member: Sprout, waits: bool) -> _Layer:
    """Return `layers` without what means nothing at `member`: at the root no link, at a leaf nothing of children."""
    gone: list[Key] = []
    if member.parent is None:
        gone += [("codec", "up"), ("codec", "down"), *LINK_KEYS, AVAILABLE]
    if not waits:
        gone += [("collect", "quorum"), *INTERFACE_KEYS]
    left = {key: value for key, value in layers.items() if key not in gone}
    return left | {key: (BUILT_IN[key], "built-in") for key in gone if key in BUILT_IN}


def _settled(
    layers: _Layer, above: Settled | None, parent: Sprout | None, waits: bool, known: dict[Any, Settled]
) -> Settled:
    """Return the settings that `layers` give, the same object for members that share them all."""
    by_name = {".".join(key): value for key, value in layers.items()}
    deadline, whence = by_name["collect.deadline"]
    if above is not None and parent is not None and (not waits or above.deadline.exact < deadline.exact):
        deadline, whence = above.deadline, f"that of {parent.name}, its parent"
    values = (
        by_name["host"][0],
        by_name["codec.up"][0],
        by_name["codec.down"][0],
        by_name["collect.quorum"][0],
        deadline,
        Modelled.of({key: layers[key][0] for key in MODELLED_KEYS if key in layers}),
    )
    origins = {name: told for name, (_, told) in by_name.items()} | {"collect.deadline": whence}
    key = (values[:-1], tuple(values[-1].figures.items()), tuple(origins.items()))
    if key not in known:
        known[key] = Settled(*values, origins=MappingProxyType(origins))
    return known[key]
