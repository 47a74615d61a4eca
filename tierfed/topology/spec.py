"""Spec: the shape of a topology file, field by field.

Every field of the grammar is here with its type and unit, also those whose function this
version lacks (`LATER` in `later.py`): they are checked like the others, then refused by name.
A field that is not here is unknown.

The models are the one source of the errors, of the suggestions and of the JSON Schema
that editors use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tierfed.topology.devices import AvailableSpec, ComputeSpec, EnergySpec, InterfaceSpec, LinkSpec
from tierfed.topology.fields import (
    Bind,
    CodecDown,
    CodecUp,
    Columns,
    Deadline,
    Delay,
    Holdout,
    LabelText,
    Over,
    Parent,
    PlainValue,
    Program,
    Quorum,
    Range,
    Reference,
    Select,
    Title,
    wrong,
)

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Spec(BaseModel):
    """A mapping in the file: no field but those declared, no value cast."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class CodecSpec(Spec):
    """How values are written on a member's link to its parent."""

    up: CodecUp | None = None
    down: CodecDown | None = None


class CollectSpec(Spec):
    """What one that waits for children waits for: a share of them, and how long."""

    quorum: Quorum | None = None
    deadline: Deadline | None = None


class CohortSpec(Spec):
    """The members drawn for a round: a share of a parent's, or a number; `weights` names a label."""

    select: Select
    over: Over | None = None
    weights: Annotated[str, Field(min_length=1)] | None = None


class HostSpec(Spec):
    """Where members live."""

    driver: Literal["process", "external", "ray", "slurm"] = "process"
    bind: Bind = "127.0.0.1"


class Settings(Spec):
    """What may be set for all, for a placement, for a member and in an override."""

    host: Reference | None = None
    link: LinkSpec | None = None
    interface: InterfaceSpec | None = None
    codec: CodecSpec | None = None
    collect: CollectSpec | None = None
    compute: ComputeSpec | None = None
    energy: EnergySpec | None = None
    available: AvailableSpec | None = None
    cohort: CohortSpec | None = None
    secure: bool | None = None


class DefaultsSpec(Settings):
    """`defaults:`, beneath everything else."""


class MemberSpec(Settings):
    """One member that is written out."""

    parent: Parent | None = None
    labels: dict[str, LabelText] = {}


class MatchSpec(Spec):
    """Which members an override is for; labels beside these three, own or an ancestor's."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, LabelText]

    name: Annotated[str, Field(min_length=1)] | None = None
    i: Range | None = None
    n: Range | None = None


class OverrideSpec(Settings):
    """Settings for those members of a placement that `match`."""

    match: MatchSpec


class PlacementSpec(Settings):
    """A placement: its members and what they have in common."""

    parent: Parent | None = None
    members: dict[str, MemberSpec | None] | None = None
    per_parent: Annotated[int, Field(ge=0)] | None = None
    count: Count | None = None
    fan_in: Count | None = None
    distribute: Literal["round_robin"] | None = None
    colocate: Count | None = None
    name: Annotated[str, Field(min_length=1)] | None = None
    overrides: list[OverrideSpec] = []


class DirichletSpec(Spec):
    """`{dirichlet: {alpha: 0.3}}`, or one alpha for regions and one for clients."""

    alpha: Positive | None = None
    alpha_region: Positive | None = None
    alpha_client: Positive | None = None
    regions: Reference | None = None

    @model_validator(mode="after")
    def _one_form(self) -> DirichletSpec:
        two = (self.alpha_region is not None) + (self.alpha_client is not None)
        if two != (0 if self.alpha is not None else 2):
            raise wrong("write alpha, or both alpha_region and alpha_client")
        if self.regions is not None and self.alpha is not None:
            raise wrong("regions is for alpha_region and alpha_client; remove it, or write both for alpha")
        return self


class ShardsSpec(Spec):
    """`{shards: {per_client: 2}}`."""

    per_client: Count


class IidSpec(Spec):
    """`iid`: nothing to set."""


class SplitSpec(Spec):
    """How a data set is shared out: `iid`, or one of the others with its settings."""

    iid: IidSpec | None = None
    dirichlet: DirichletSpec | None = None
    shards: ShardsSpec | None = None
    by: Columns | None = None

    @model_validator(mode="after")
    def _one(self) -> SplitSpec:
        if len(self.model_fields_set) != 1:
            raise wrong(f"expected one split, {', '.join(SplitSpec.model_fields)}; got {len(self.model_fields_set)}")
        return self


def _named(value: object) -> object:
    return {value: {}} if isinstance(value, str) else value


class DataSpec(Spec):
    """Where members have their data: a data set that is shared out, or a provider of the user's."""

    dataset: Annotated[str, Field(min_length=1)] | None = None
    provider: Program | None = None
    split: Annotated[SplitSpec, BeforeValidator(_named)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    holdout: Holdout | None = None

    @model_validator(mode="after")
    def _one(self) -> DataSpec:
        if (self.dataset is None) == (self.provider is None):
            raise wrong("write one of dataset and provider")
        for name in ("split", "seed", "holdout"):
            if self.provider is not None and getattr(self, name) is not None:
                raise wrong(f"a provider shares out its data itself; remove {name}")
        return self


class JobSpec(Spec):
    """What `tierfed up` runs once the tree is ready."""

    program: Program
    params: dict[str, PlainValue] = {}
    data: DataSpec | None = None


class AtSpec(Spec):
    """When a fault happens."""

    round: Count | None = None
    time: Delay | None = None

    @model_validator(mode="after")
    def _one(self) -> AtSpec:
        if (self.round is None) == (self.time is None):
            raise wrong("write one of round and time")
        return self


class FaultSpec(Spec):
    """Something that goes wrong on purpose, and is over after a while if it says so."""

    at: AtSpec
    node: Reference
    do: Literal["kill", "stop", "partition", "link"]
    link: LinkSpec | None = None
    lasts: Delay | None = Field(default=None, alias="for")

    @model_validator(mode="after")
    def _figures(self) -> FaultSpec:
        if (self.do == "link") != (self.link is not None):
            raise wrong("do: link needs its figures, such as link: {delay: 200ms}, and nothing else has any")
        if self.link is not None and not any(_given(self.link)):
            raise wrong("link sets nothing; write figures, such as link: {delay: 200ms}")
        return self


def _given(spec: LinkSpec) -> Iterator[object]:
    """Yield the figures that are written in `spec`."""
    for name in spec.model_fields_set:
        value = getattr(spec, name)
        yield from (value.up, value.down) if name == "rate" and value is not None else (value,)


class TopologySpec(Spec):
    """A topology file."""

    api_version: Literal["tierfed/v1"] = Field(alias="apiVersion")
    kind: Literal["Topology"]
    name: Title | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    clock: Literal["real", "virtual"] = "real"
    hosts: dict[str, HostSpec | None] = {}
    defaults: DefaultsSpec = DefaultsSpec()
    placements: Annotated[dict[str, PlacementSpec | None], Field(min_length=1)]
    job: JobSpec | None = None
    faults: list[FaultSpec] = []


TOP_LEVEL: tuple[str, ...] = tuple(f.alias or n for n, f in TopologySpec.model_fields.items())


def plain(spec: Spec) -> dict[str, Any]:
    """Return what was written in `spec`, as plain data."""
    return spec.model_dump(mode="json", exclude_unset=True, by_alias=True)
