"""Robust aggregation: federated averaging with a rule of its own at each tier.

    params: {rules: {EDGE_AGGREGATORS: median, SERVER: {trimmed_mean: {fraction: 0.2}}}}

    step_of(rules)   (<MODEL@SERVER,HYPER,int32> -> MODEL@SERVER)

Tiers are named from below.  A rule that adds up (`mean`, `clipped_mean`) does so on the way to its tier; one that sees
updates side by side has them gathered there, through whatever tiers are in between, and what it makes of them goes on
up as one update.  A tier that is not named has no rule of its own, and the server's is `mean` if it is not named.

    {SERVER: median}                              the median of all clients: every update crosses every link
    {EDGE_AGGREGATORS: median, SERVER: median}    a median of medians: one update a link, and less strength

What a tree costs a rule in strength, and what that is measured to be: docs/robust.md.

    tierfed up topologies/robust.yaml

Sources: those of `rules`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import tierfed
from tierfed.errors import JobError
from tierfed.learning import fedavg, mlp, rules
from tierfed.types import Type

MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Form:
    """A rule as it can be written: its settings, by name, with the kind and the bounds of each."""

    settings: Mapping[str, tuple[type, float, float]]
    gathers: Callable[..., Any] | None = None  # a function of updates side by side; None: it adds up
    example: str = ""


_MANY = 2**31 - 1
FORMS: Mapping[str, Form] = {
    MEAN: Form({}),
    "clipped_mean": Form({"norm": (float, 1e-12, np.inf)}, None, "{clipped_mean: {norm: 1.0}}"),
    "median": Form({}, rules.median),
    "trimmed_mean": Form({"fraction": (float, 0, 0.499)}, rules.trimmed_mean, "{trimmed_mean: {fraction: 0.2}}"),
    "krum": Form({"attackers": (int, 0, _MANY)}, rules.krum, "{krum: {attackers: 2}}"),
    "multi_krum": Form(
        {"attackers": (int, 0, _MANY), "keep": (int, 1, _MANY)},
        rules.multi_krum,
        "{multi_krum: {attackers: 2, keep: 5}}",
    ),
    "geometric_median": Form(
        {"iterations": (int, 1, 1000)}, rules.geometric_median, "{geometric_median: {iterations: 20}}"
    ),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its settings."""

    name: str
    settings: Mapping[str, Any]


def rule(spec: object, where: str) -> Rule:
    """Return the rule that `median`, `{trimmed_mean: {fraction: 0.2}}`, … is.

    Raises JobError, naming what is unknown, missing or out of bounds.
    """
    name, given = (spec, {}) if isinstance(spec, str) else _entry(spec, where)
    if name not in FORMS:
        near = difflib.get_close_matches(str(name), FORMS, 1)
        raise JobError(
            f"no rule {name!r}", where=where, mend=f"did you mean {near[0]!r}?" if near else f"use {', '.join(FORMS)}"
        )
    form, settings = FORMS[name], {}
    if set(given) != set(form.settings):
        raise JobError(
            f"{name} takes {', '.join(form.settings) or 'no settings'}, got {', '.join(map(str, given)) or 'none'}",
            where=where,
            mend=f"write {form.example or name}",
        )
    for key, (kind, least, most) in form.settings.items():
        value = given[key]
        right = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        if not right or not least <= value <= most:
            limits = f"from {least:g}" + ("" if most in (_MANY, np.inf) else f" to {most:g}")
            raise JobError(f"{key} is {value!r}", where=f"{where}.{name}", mend=f"give a number {limits}")
        settings[key] = kind(value)
    return Rule(name, settings)


def _entry(spec: object, where: str) -> tuple[Any, Mapping[Any, Any]]:
    if isinstance(spec, Mapping) and len(spec) == 1:
        name, given = next(iter(spec.items()))
        if given is None or isinstance(given, Mapping):
            return name, given or {}
    raise JobError(f"{spec!r} is no rule", where=where, mend="write `median`, or {trimmed_mean: {fraction: 0.2}}")


def by_tier(specs: object) -> dict[str, Rule]:
    """Return the rules by placement, from below, the server's last; raises JobError."""
    if specs is None:
        specs = {}
    if not isinstance(specs, Mapping):
        raise JobError(f"rules are {specs!r}", where="job.params.rules", mend="write {EDGE_AGGREGATORS: median}")
    read = {str(name): rule(spec, f"job.params.rules.{name}") for name, spec in specs.items()}
    root = str(tierfed.SERVER)
    return {name: r for name, r in read.items() if name != root} | {root: read.get(root, Rule(MEAN, {}))}


def aggregated(delta: Any, weight: Any, at_tiers: Mapping[str, Rule]) -> Any:
    """Return one update at the last tier of `at_tiers`, of updates `delta` with `weight` at the members below.

    For use in a program: `delta` is `{MODEL}@P`, `weight` `{float32}@P`.
    """
    for name, chosen in at_tiers.items():
        tier = tierfed.SERVER if name == str(tierfed.SERVER) else tierfed.placement(name)
        gathers = FORMS[chosen.name].gathers
        if gathers is None:
            if "norm" in chosen.settings:
                clip = _leaf(rules.clipped, delta.type_signature.member, chosen, delta.type_signature.member)
                delta = tierfed.federated_map(clip, delta)
            delta, weight = _mean(delta, weight, tier)
        else:
            update = tierfed.to_type([("delta", delta.type_signature.member), ("weight", np.float32)])
            side_by_side = tierfed.federated_collect(_named(delta, weight), to=tier)
            made = tierfed.federated_map(_leaf(gathers, tierfed.SequenceType(update), chosen, update), side_by_side)
            delta, weight = made["delta"], made["weight"]
    return delta


def _mean(delta: Any, weight: Any, tier: Any) -> tuple[Any, Any]:
    return tierfed.federated_mean(delta, weight=weight, to=tier), tierfed.federated_sum(weight, to=tier)


def _named(delta: Any, weight: Any) -> Any:
    return tierfed.federated_map(lambda p: {"delta": p[0], "weight": p[1]}, tierfed.federated_zip((delta, weight)))


def _leaf(function: Callable[..., Any], takes: Type, chosen: Rule, returns: Type) -> Callable[[Any], Any]:
    """Return `function` of a value and the settings of `chosen`, which are constants of the program."""
    kinds = [np.int32 if kind is int else np.float32 for kind, _, _ in FORMS[chosen.name].settings.values()]
    leaf = tierfed.py_computation(function, takes, *kinds, returns=returns)
    constants = [kind(value) for kind, value in zip(kinds, chosen.settings.values(), strict=True)]
    return lambda value: leaf(value, *constants)


def step_of(rules: Mapping[str, Any] | None = None) -> tierfed.Computation:
    """Return the computation of a round with these rules; raises JobError for what is none."""
    at_tiers = by_tier(rules)

    @tierfed.federated_computation(tierfed.FederatedType(fedavg.MODEL, tierfed.SERVER), fedavg.HYPER, np.int32)
    def step(model: Any, hyper: Any, number: Any) -> Any:
        """Return the model after round `number`."""
        data = tierfed.federated_data("train", fedavg.EXAMPLES, tierfed.CLIENTS)
        member = tierfed.federated_data("tierfed:member", fedavg.MEMBER, tierfed.CLIENTS)
        here = tierfed.federated_zip((tierfed.federated_broadcast(model), data, member))
        delta, examples = tierfed.federated_map(lambda p: fedavg.local_update(p[0], p[1], p[2], hyper, number), here)
        return model + aggregated(delta, examples, at_tiers)

    return step


@tierfed.job(round=step_of)
async def train(
    tree: Any,
    *,
    rounds: int = 20,
    lr: float = 0.1,
    local_epochs: int = 3,
    batch: int = 16,
    rules: Mapping[str, Any] | None = None,
) -> Any:
    """Return the model after `rounds` rounds with these rules."""
    step = step_of(rules)
    model = await tree.resume() or mlp.initial_model(tree.seed)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(step, model, hyper, r)
        tree.release(r, await tree.ainvoke(fedavg.evaluate, model))
        await tree.checkpoint(r, model)
    return model
