"""Draw: a topology for people (tree, mermaid, dot) and for programs (json).

    three-tier · 35 nodes · 3 tiers · 7 processes · seed 7
    SERVER server              quorum 100%  deadline 60s
    ├─ edge-eu                 up bf16      quorum 100%  deadline 30s
    │  └─ c-eu-[00-15] ×16     up int8+zstd

Each drawing is a function `(topology, predicted, error, cost) -> str` in `FORMATS`.  `predicted` gives, for
a placement, the bytes that all its members move in a round: (raw up, nominal up, raw down,
nominal down), nominal being what the codec writes before any entropy coding.  `error` is what its
codecs add up to at the root (error.py), `cost` what its links and devices take (cost.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tierfed.topology import captions
from tierfed.topology.bundles import Bundle, bundles
from tierfed.topology.captions import amount
from tierfed.topology.links import figures
from tierfed.topology.model import Node, Topology
from tierfed.topology.resolved import as_written, flow

if TYPE_CHECKING:
    from tierfed.topology.cost import Cost
    from tierfed.topology.error import RootError

Predicted: TypeAlias = Mapping[str, tuple[int, int, int, int]]
_UNITS = ("B", "kB", "MB", "GB", "TB")


def tree(
    topology: Topology, predicted: Predicted | None = None, error: RootError | None = None, cost: Cost | None = None
) -> str:
    """Return the tree as text, siblings that are alike on one line."""
    rows = list(_rows(bundles(topology), "", ""))
    width = max(len(name) for name, _ in rows)
    facts = [of for _, of in rows]
    columns = [max(len(of[at]) for of in facts) for at in range(len(facts[0]))]
    lines = [_title(topology)]
    for name, of in rows:
        cells = [f"{cell:<{w}}" for cell, w in zip(of, columns, strict=True) if w]
        lines.append("  ".join([f"{name:<{width}}", *cells]).rstrip())
    if topology.job is not None:
        lines.append(f"job {topology.job.program} {flow(topology.job.params)}")
    if predicted:
        lines.append(f"predicted a round: {prediction(topology, predicted, cost)}")
    if told := errors(error):
        lines.append(told)
    return "\n".join(lines) + "\n"


def errors(error: RootError | None) -> str:
    """Return what is known of the error at the root, hop by hop from the leaves up; nothing if there is none."""
    if error is None or error.nmse == 0:
        return ""
    parts = [
        f"{placement} {tier.why}" if tier.nmse is None else f"{placement} {tier.nmse:.3g}"
        for placement, tier in reversed(list(error.tiers.items()))
    ]
    start = f"NMSE at the root, clients correlated {error.correlation:g}"
    if all(tier.nmse is None for tier in error.tiers.values()):
        return f"{start}: unknown: {' · '.join(parts)}"
    whole = "unknown" if error.nmse is None else f"{error.nmse:.3g}"
    return f"{start}: {whole}" + (f" = {' + '.join(parts)}" if error.nmse is not None else f": {' · '.join(parts)}")


def _title(topology: Topology) -> str:
    nodes, tiers = len(topology.nodes), len(topology.hierarchy.placements)
    counts = [(nodes, "node"), (tiers, "tier"), (len(topology.processes), "process")]
    told = [f"{n} {word}{'' if n == 1 else 'es' if word == 'process' else 's'}" for n, word in counts]
    return " · ".join([topology.name, *told, f"seed {topology.seed}"])


def _rows(bundle: Bundle, lead: str, below: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each line's name, with its branches, and its facts."""
    node = bundle.first
    name = f"{node.placement} {bundle.name}" if node.parent is None else bundle.name
    yield (
        lead + name,
        [
            *captions.link(node),
            *_facts(node),
            *captions.device(node),
            " ".join(f"{k}={v}" for k, v in node.labels.items()),
        ],
    )
    for at, inner in enumerate(bundle.below):
        last = at == len(bundle.below) - 1
        yield from _rows(inner, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


def _facts(node: Node) -> list[str]:
    """Return what is told of a node: its codecs, what it waits for, and how it is drawn."""
    up = f"up {_codec(node.codec_up)}" if node.parent is not None else ""
    if _adapted(node):
        up = re.sub(r"\beden\b(?!\()", "eden(bits=4)", up) + " (auto)"
    down = f"down {_codec(node.codec_down)}" if node.parent is not None and node.codec_down != "none" else ""
    waits = [f"quorum {node.share}", f"deadline {node.deadline}"] if node.quorum else ["", ""]
    return [up, down, *waits, "" if node.cohort is None else str(node.cohort)]


def _adapted(node: Node) -> bool:
    """Return whether the topology has chosen the bits of a codec."""
    return node.settings.origins.get("codec.up", "").endswith("bits=auto)")


def _codec(text: str) -> str:
    """Return a link's codec for people: of rules the default, then each pattern with its chain."""
    written = as_written(text)
    if isinstance(written, str):
        return written
    return ", ".join(by if pattern == "default" else f"{pattern}: {by}" for pattern, by in written.items())


def prediction(topology: Topology, predicted: Predicted, cost: Cost | None = None) -> str:
    """Return what `predicted` and `cost` come to, placement by placement from the leaves up."""
    told = []
    for placement in reversed(topology.hierarchy.placements):
        of = cost.tiers.get(str(placement)) if cost is not None else None
        taken = [amount(of.seconds, "s")] if of is not None and of.seconds is not None else []
        taken += [amount(of.joules, "J")] if of is not None and of.joules is not None else []
        if str(placement) not in predicted:
            if of is not None and (of.seconds or of.joules):
                told.append(f"{placement} {', '.join(taken)}")
            continue
        raw_up, up, raw_down, down = predicted[str(placement)]
        members = topology.members(placement)
        rising = _change(raw_up, up, dict.fromkeys(m.codec_up for m in members))
        descending = _change(raw_down, down, dict.fromkeys(m.codec_down for m in members))
        told.append(", ".join([f"{placement} up {rising}", f"down {descending}", *taken]))
    if cost is not None and cost.seconds is not None:
        told.append(f"{amount(cost.seconds, 's')} in all")
    return " · ".join(told)


def _change(raw: int, nominal: int, codecs: Iterable[str]) -> str:
    packed = [name for name in ("zstd", "auto") if any(name in text for text in codecs)]
    if raw == nominal and not packed:
        return f"{size(raw)} raw"
    return f"{size(raw)} raw -> {size(nominal)}" + (f" before {' or '.join(packed)}" if packed else "")


def size(count: int) -> str:
    """Return a number of bytes as people say it: `1.2 MB`, `65 kB`."""
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.1f} {unit}" if value < 9.95 and unit != "B" else f"{value:.0f} {unit}"


def as_json(
    topology: Topology, predicted: Predicted | None = None, error: RootError | None = None, cost: Cost | None = None
) -> str:
    """Return everything that is known, each member on its own, as one JSON document."""
    return json.dumps(document(topology, predicted, error, cost), indent=2, ensure_ascii=False) + "\n"


def document(
    topology: Topology, predicted: Predicted | None = None, error: RootError | None = None, cost: Cost | None = None
) -> dict[str, Any]:
    """Return what `as_json` writes."""
    tiers = []
    for placement in topology.hierarchy.placements:
        members = topology.members(placement)
        parent = topology.hierarchy.parent(placement)
        tier: dict[str, Any] = {
            "placement": str(placement),
            "depth": topology.hierarchy.depth(placement),
            "parent": str(parent) if parent is not None else None,
            "nodes": len(members),
            "processes": len({m.process for m in members}),
        }
        if predicted is not None and str(placement) in predicted:
            names = ("raw_bytes_up", "nominal_bytes_up", "raw_bytes_down", "nominal_bytes_down")
            tier["predicted"] = dict(zip(names, predicted[str(placement)], strict=True))
        if cost is not None:
            taken = cost.tiers[str(placement)]
            tier["cost"] = {"seconds": taken.seconds, "joules": taken.joules}
        if error is not None and str(placement) in error.tiers:
            of = error.tiers[str(placement)]
            tier["error"] = {"nmse": of.nmse} if of.nmse is not None else {"nmse": None, "why": of.why}
        tiers.append(tier)
    job = topology.job
    plain = {
        "schema_version": 1,
        "name": topology.name,
        "seed": topology.seed,
        "hierarchy": str(topology.hierarchy),
        "tiers": tiers,
        "nodes": [_node(topology, node) for node in topology.nodes.values()],
        "job": {"program": job.program, "params": job.params, "data": job.data} if job is not None else None,
    }
    if cost is not None:
        plain["cost"] = {"seconds": cost.seconds}
    if error is not None:
        plain["error"] = {"correlation": error.correlation, "nmse": error.nmse}
    return plain


def _node(topology: Topology, node: Node) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": node.name,
        "placement": node.placement,
        "index": node.index,
        "parent": node.parent,
        "host": node.host,
        "process": node.process,
        "labels": topology.visible_labels(node.name),
    }
    if node.parent is not None:
        plain["codec"] = {"up": as_written(node.codec_up), "down": as_written(node.codec_down)}
        if _adapted(node):
            plain["codec"]["up_from"] = "eden(bits=auto)"
    for name in ("link", "interface", "device", "available"):
        if (profile := getattr(node, name)) is not None:
            plain[name] = figures.plain(profile)
    if node.cohort is not None:
        plain["cohort"] = node.cohort.to_dict()
    if node.quorum:
        plain["collect"] = {"quorum": dict(node.quorum), "deadline_seconds": node.deadline.seconds}
    return plain


def mermaid(
    topology: Topology, predicted: Predicted | None = None, error: RootError | None = None, cost: Cost | None = None
) -> str:
    """Return a Mermaid flowchart, siblings that are alike as one box."""
    lines = ["flowchart TD"]
    for at, above, bundle in _numbered(bundles(topology)):
        box = f'n{at}["{_mermaid("<br/>".join(_box(bundle)))}"]'
        lines.append(f"  {box}" if above is None else f"  n{above} ---|{_mermaid_edge(bundle)}| {box}")
    if predicted:
        lines.append(f"%% predicted a round: {prediction(topology, predicted, cost)}")
    if told := errors(error):
        lines.append(f"%% {told}")
    return "\n".join(lines) + "\n"


def dot(
    topology: Topology, predicted: Predicted | None = None, error: RootError | None = None, cost: Cost | None = None
) -> str:
    """Return a Graphviz digraph whose edges rise, siblings that are alike as one box."""
    title = _title(topology)
    if predicted:
        title += f"\npredicted a round: {prediction(topology, predicted, cost)}"
    if told := errors(error):
        title += f"\n{told}"
    lines = [f"digraph {_dot(topology.name)} {{", f"  rankdir=BT; label={_dot(title)}; node [shape=box];"]
    for at, above, bundle in _numbered(bundles(topology)):
        text = "\n".join(_box(bundle))
        lines.append(f"  n{at} [label={_dot(text)}];")
        if above is not None:
            lines.append(f"  n{at} -> n{above} [label={_dot(_edge(bundle))}];")
    return "\n".join([*lines, "}"]) + "\n"


def _numbered(root: Bundle) -> Iterator[tuple[int, int | None, Bundle]]:
    """Yield each bundle with a number and that of the one above it, depth-first."""
    number = 0
    stack: list[tuple[Bundle, int | None]] = [(root, None)]
    while stack:
        bundle, above = stack.pop()
        yield number, above, bundle
        stack.extend((inner, number) for inner in reversed(bundle.below))
        number += 1


def _box(bundle: Bundle) -> list[str]:
    waits = box_facts(bundle.first)
    return [bundle.first.placement, bundle.name, *([" ".join(waits)] if waits else [])]


def _edge(bundle: Bundle) -> str:
    return " ".join(link_facts(bundle.first))


def box_facts(node: Node) -> list[str]:
    """Return what is told of a node itself: what it waits for, how it is drawn, its device."""
    return [fact for fact in [*_facts(node)[2:], *captions.device(node)] if fact]


def link_facts(node: Node) -> list[str]:
    """Return what is told of a node's link to its parent: rate, delay, loss, codecs."""
    return [fact for fact in [*captions.link(node), *_facts(node)[:2]] if fact]


def _mermaid(text: str) -> str:
    return text.replace('"', "#quot;")


def _mermaid_edge(bundle: Bundle) -> str:
    return '"' + _mermaid(_edge(bundle)) + '"'


def _dot(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


FORMATS: Mapping[str, Callable[..., str]] = {
    "tree": tree,
    "json": as_json,
    "mermaid": mermaid,
    "dot": dot,
}
