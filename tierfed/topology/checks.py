"""Checks: what a well-shaped topology file still must not say.

    placements.SERVER.codec: a link belongs to the child, and SERVER is the root; remove it
    placements.CLIENTS.collect: CLIENTS waits for nobody; write it at EDGE_AGGREGATORS

Each is about one field beside others, and none needs the members; those that do are in
`graph` and `settle`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tierfed.topology.fields import LABEL, NAME
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Problems
from tierfed.topology.spec import TOP_LEVEL, OverrideSpec, Settings, TopologySpec
from tierfed.topology.suggest import did_you_mean

DEFAULT_HOST = "local"
RESERVED = ("driver",)
_MATCH_FIELDS = ("name", "i", "n")


def check(spec: TopologySpec, document: Document, problems: Problems) -> None:
    """Add a problem for each thing that `spec` must not say."""
    _placement_names(spec, document, problems)
    _member_names(spec, document, problems)
    _labels(spec, document, problems)
    _params(spec, document, problems)
    _hosts(spec, document, problems)
    _nobody_there(spec, document, problems)
    _differences_up(spec, document, problems)
    _empty_overrides(spec, document, problems)


def holders(spec: TopologySpec) -> Iterator[tuple[Path, Settings]]:
    """Yield each place where settings may stand, with its path: defaults, placements, members, overrides."""
    yield ("defaults",), spec.defaults
    for name, placement in spec.placements.items():
        if placement is None:
            continue
        path = ("placements", name)
        yield path, placement
        for member, settings in (placement.members or {}).items():
            if settings is not None:
                yield (*path, "members", member), settings
        for at, override in enumerate(placement.overrides):
            yield (*path, "overrides", at), override


def _placement_names(spec: TopologySpec, document: Document, problems: Problems) -> None:
    by_lower: dict[str, str] = {}
    for name in spec.placements:
        path = ("placements", name)
        if not (name.isidentifier() and name.isascii()):
            told = f"{name!r} is not an identifier; write letters, digits and '_', as in EDGE_AGGREGATORS"
            problems.add(document.key(path), path, told)
        elif name in TOP_LEVEL:
            told = f"a placement may not be called {name}, a top-level field is; choose another name"
            problems.add(document.key(path), path, told)
        elif name.lower() in by_lower:
            told = f"differs from {by_lower[name.lower()]} in case alone; choose another name"
            problems.add(document.key(path), path, told)
        by_lower.setdefault(name.lower(), name)


def _member_names(spec: TopologySpec, document: Document, problems: Problems) -> None:
    for placement, holder in spec.placements.items():
        for name in (holder.members or {}) if holder else ():
            if wrong := wrong_name(name):
                path = ("placements", placement, "members", name)
                problems.add(document.key(path), path, wrong)


def wrong_name(name: str) -> str | None:
    """Return what is wrong with `name` as the name of a member (it also names a log file), None if nothing is."""
    if name in RESERVED:
        return f"the name '{name}' is taken by tierfed; choose another"
    if not NAME.fullmatch(name):
        return f"the name {name!r}; names have letters, digits, '-' and '_', and 63 characters at most"
    return None


def _labels(spec: TopologySpec, document: Document, problems: Problems) -> None:
    for placement, holder in spec.placements.items():
        for member, of in ((holder.members or {}) if holder else {}).items():
            for label in of.labels if of else ():
                path = ("placements", placement, "members", member, "labels", label)
                if label in _MATCH_FIELDS:
                    told = f"'{label}' means something else in match; choose another name"
                    problems.add(document.key(path), path, told)
                elif not LABEL.fullmatch(label):
                    told = "a label's name has letters, digits, '-' and '_', and starts with a letter"
                    problems.add(document.key(path), path, told)


def _params(spec: TopologySpec, document: Document, problems: Problems) -> None:
    for name in spec.job.params if spec.job else ():
        if not name.isidentifier():
            path = ("job", "params", name)
            problems.add(document.key(path), path, "no parameter can have this name; write an identifier")


def _hosts(spec: TopologySpec, document: Document, problems: Problems) -> None:
    known = list(spec.hosts) or [DEFAULT_HOST]
    for path, settings in holders(spec):
        if settings.host is not None and settings.host not in known:
            at = (*path, "host")
            problems.add(document.value(at), at, f"no host '{settings.host}'; {did_you_mean(settings.host, known)}")
    everywhere = all(p is not None and p.host is not None for p in spec.placements.values())
    if DEFAULT_HOST not in known and spec.defaults.host is None and not everywhere:
        told = f"no host '{DEFAULT_HOST}', where members live by default; declare it, or write defaults.host"
        problems.add(document.key(("hosts",)), ("hosts",), told)
    for name in spec.hosts:
        if not NAME.fullmatch(name):
            problems.add(document.key(("hosts", name)), ("hosts", name), f"the name {name!r}; write letters and digits")


def _nobody_there(spec: TopologySpec, document: Document, problems: Problems) -> None:
    """Refuse `codec` where there is no parent, and `collect` where there are no children."""
    above = {p.parent for p in spec.placements.values() if p is not None}
    for path, settings in holders(spec):
        if path[0] != "placements":
            continue
        name = str(path[1])
        placement = spec.placements[name]
        at: Path
        has_parent = placement is not None and placement.parent is not None
        if settings.codec is not None and not has_parent and not problems.at_or_above((*path[:2], "parent")):
            at = (*path, "codec")
            told = f"a codec belongs to the child of a link, and {name} is the root; remove it"
            problems.add(document.key(at), at, told)
        if settings.collect is not None and name not in above:
            at = (*path, "collect")
            parent = placement.parent if placement is not None else None
            told = f"{name} is a leaf and waits for nobody; " + (f"write it at {parent}" if parent else "remove it")
            problems.add(document.key(at), at, told)


def _differences_up(spec: TopologySpec, document: Document, problems: Problems) -> None:
    """Refuse `delta` on the way up, where each aggregator would have to keep what each of its children sent last."""
    for path, settings in holders(spec):
        up = settings.codec.up if settings.codec is not None else None
        if up is not None and "delta" in up:  # else the codecs need not be imported
            from tierfed.codecs import Rules, link_codec

            link = link_codec(up.replace("bits=auto", "bits=4"))  # they are shared out later
            if any(one.state == "base" for one in (link.codecs if isinstance(link, Rules) else [link])):
                at = (*path, "codec", "up")
                told = "delta is for what comes down, since a parent keeps nothing of its children; "
                problems.add(document.value(at), at, told + "write it in codec.down, or error_feedback in its place")


def _empty_overrides(spec: TopologySpec, document: Document, problems: Problems) -> None:
    for path, settings in holders(spec):
        if not isinstance(settings, OverrideSpec) or any(p.path[: len(path)] == path for p in problems.found):
            continue
        if settings.model_fields_set == {"match"}:
            problems.add(document.value(path), path, "sets nothing; add codec, collect or host beside match")
        if not settings.match.model_fields_set and not settings.match.__pydantic_extra__:
            at = (*path, "match")
            problems.add(document.value(at), at, "matches every member; write the settings at the placement")
