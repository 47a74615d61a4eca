"""Plan: a topology is held against a program's slices.

misfits(topology, compiled)     [a codec that cannot carry what the program sends, …]
idle_rules(topology, compiled)  [a rule for tensors that the program has not, …]
summed(topology, compiled)      {"c-eu-00": [(codec("int8"), 50816), (codec("none"), 74)], …}
predicted(topology, compiled)   {"CLIENTS": Predicted(raw_up=6515712, up=1735680, …), …}: see `messages`
"""

from __future__ import annotations

from typing import Any

from tierfed.codecs import Codec, Rules
from tierfed.codecs.rules import hits
from tierfed.compiler.slices import Compiled, Load
from tierfed.data import ALONE, Crowd, check_use, crowd_of, need
from tierfed.errors import CodecError, DataError, IdleRule, TierfedError
from tierfed.placements import Placement
from tierfed.topology.error import Mix
from tierfed.topology.messages import Predicted as Predicted
from tierfed.topology.messages import Walk, link
from tierfed.topology.messages import predicted as predicted
from tierfed.topology.model import Topology
from tierfed.topology.suggest import did_you_mean
from tierfed.wire import forecast


def check(topology: Topology, compiled: Compiled) -> None:
    """Raise the first of `misfits`."""
    for error in misfits(topology, compiled):
        raise error


def misfits(topology: Topology, compiled: Compiled) -> list[TierfedError]:
    """Return why a program cannot run on this topology: codecs that do not carry its values, data that is not there."""
    found: dict[str, TierfedError] = {}
    walk = Walk(topology, compiled)
    seen: set[Any] = set()  # most members send the same
    for node in topology.nodes.values():
        for name, direction, slots, spec in walk.links(node):
            key = (topology.nodes[name].placement, direction, spec, *slots)
            if key in seen:
                continue
            seen.add(key)
            try:
                forecast.check_carried(slots, link(spec))
            except CodecError as error:
                at = f"placements.{topology.nodes[name].placement}.codec.{direction}"
                told = f"{error.what} ({error.where}, on its way {direction})"
                found.setdefault(at, CodecError(told, where=at, mend=error.mend))
    data = topology.job.data if topology.job is not None else None
    crowds: dict[Any, Crowd] = {}
    for placement, part in compiled.slices.items():
        for step in part.walk():
            if isinstance(step, Load):
                try:
                    if placement not in crowds:
                        crowds[placement] = crowd(topology, placement)
                    members = len(topology.members(placement))
                    check_use(data, step.uri, step.slot.type, members, crowds[placement])
                except DataError as error:
                    found.setdefault(f"{placement} {step.uri}", error)
    return list(found.values())


def crowd(topology: Topology, placement: Placement) -> Crowd:
    """Return what the split of the job's data asks for of the members of a placement."""
    wanted = need(topology.job.data) if topology.job is not None else None
    return ALONE if wanted is None else crowd_of(topology.tree, placement, wanted, topology.visible_labels)


def idle_rules(topology: Topology, compiled: Compiled) -> list[IdleRule]:
    """Return an error for each rule by tensor name that names nothing that the program sends where it is set."""
    names: dict[tuple[str, str, str], dict[str, None]] = {}  # by origin, direction and codec
    seen: set[Any] = set()  # most members send the same
    walk = Walk(topology, compiled)
    for node in topology.nodes.values():
        for name, direction, slots, spec in walk.links(node):
            if spec.startswith("{"):
                known = topology.nodes[name].settings.origins
                key = (known[f"codec.{direction}"], direction, spec)
                if (key, *slots) not in seen:
                    seen.add((key, *slots))
                    names.setdefault(key, {}).update(dict.fromkeys(forecast.tensor_names(slots)))
    found = []
    for (origin, direction, spec), there in names.items():
        coder = link(spec)
        for pattern, _ in coder.rules if isinstance(coder, Rules) else ():
            if not any(hits(pattern, name) for name in there):
                what = f'"{pattern}" names no tensor that the program sends {direction} there'
                found.append(IdleRule(what, where=origin, mend=_meant(pattern, list(there))))
    return found


def _meant(pattern: str, names: list[str]) -> str:
    """Return what was likely meant by a pattern that hits none of `names`."""
    ends = dict.fromkeys(name.rpartition("/")[2] for name in names)
    last = pattern.rpartition("/")[2].replace("*", "").replace("?", "")
    return did_you_mean(last or pattern, ends if last else names, "its tensors are")


def summed(topology: Topology, compiled: Compiled) -> dict[str, Mix]:
    """Return the codecs of the floats that each member sends to be summed, each with its number of elements.

    Left out are members that send none, or whose sizes are known only when the program runs.
    """
    walk = Walk(topology, compiled)
    known: dict[Any, list[tuple[Codec, float]] | None] = {}
    found: dict[str, Mix] = {}
    for node in topology.nodes.values():
        slots = walk.summed(node)
        key = (node.codec_up, *slots)
        if key not in known:
            known[key] = forecast.shares(slots, link(node.codec_up))
        mix = known[key]
        if mix:
            found[node.name] = mix
    return found
