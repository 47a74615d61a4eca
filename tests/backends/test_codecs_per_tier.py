"""Every link its own codec: daemons agree with the reference, exactly or within what the codecs state.

    random programs · none, zstd …                       the bits of the reference
    sums, means and broadcasts over trees · any codec    each element as far as the bounds of its hops allow

Codecs are drawn for each placement's links, up and down.  In the first half even scalars go through them (on a
link, fewer than 4096 elements travel raw).  In the second, a value is known up to a radius an element: a hop adds
the codec's bound on what may have been sent, a sum adds radii, and a mean divides them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from agreement import agree, natively, referred
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_trees import EDGE, HIERARCHIES, trees
from programs import Case, cases
from served import in_memory
from test_agreement import grown

import tierfed
from tierfed import CLIENTS, FederatedType
from tierfed.backends.native.driver import Driver
from tierfed.codecs import TABLE, Codec, codec
from tierfed.compiler import compile
from tierfed.placements import Hierarchy, Member, Placement, Tree
from tierfed.types import TensorType
from tierfed.wire import packing

Codecs = dict[str, dict[str, str]]
LOSSLESS = ["none", "zstd", "zstd(level=9)", *(["auto"] if "auto" in TABLE else [])]
BOUNDED = ["int8", "int8(stochastic=true)", "bf16", "fp16", "fp8", "qsgd(8)", "qsgd", "eden", "terngrad", "int8+zstd"]
SIZE = 4500  # elements, enough for codecs
VALUES = TensorType("float32", (SIZE,))


def examples(count: int) -> settings:
    """Settings for so many examples."""
    unworried = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=count, suppress_health_check=[*unworried, HealthCheck.function_scoped_fixture])


def links(hierarchy: Hierarchy, of: list[str]) -> st.SearchStrategy[Codecs]:
    """A codec up and one down for the links of each placement."""
    each = st.fixed_dictionaries({"up": st.sampled_from(of), "down": st.sampled_from(of)})
    return st.fixed_dictionaries({str(p): each for p in hierarchy.placements if p != hierarchy.root})


# -- exactly


@examples(40)
@given(cases(), st.data())
def test_lossless_codecs_change_no_bit(monkeypatch: pytest.MonkeyPatch, case: Case, data: st.DataObject) -> None:
    """Whatever lossless codec each tier has in each direction, random programs give the bits of the reference."""
    codecs = data.draw(links(case.tree.hierarchy, LOSSLESS))
    computation = case.program.computation()
    wanted = referred(computation.node, case)
    with monkeypatch.context() as patch:
        patch.setattr(packing, "SMALL", 1)
        found = natively(compile(computation, case.tree.hierarchy, keep=False), case, codecs=codecs)
    agree(found, wanted, computation.type_signature.result, f"the tree of daemons with {codecs}", case)


# -- within bounds


@dataclass(frozen=True)
class Near:
    """What is within a radius of a value, each element for itself."""

    value: Any
    radius: Any

    def sent(self, c: Codec) -> Near:
        """What arrives of it: its radius, and the bound of the codec on the largest that may have been sent."""
        most = np.abs(self.value) + self.radius
        own = c.array_stage.bound(most.astype(np.float32)) if c.lossy else 0
        return Near(self.value, self.radius + own + 2.0**-22 * most + 1e-30)

    def plus(self, other: Near) -> Near:
        """The sum in float32."""
        value = self.value + other.value
        radius = self.radius + other.radius
        return Near(value, radius + 2.0**-23 * (np.abs(value) + radius))

    def over(self, count: int) -> Near:
        """A part of it."""
        return Near(self.value / count, self.radius / count + 2.0**-23 * np.abs(self.value / count))


@dataclass(frozen=True)
class Job:
    """A state goes down to leaves, each adds its own to it, and their sum or mean comes up again, `turns` times."""

    tree: Tree
    leaf: Placement
    mean: bool
    turns: int
    codecs: Codecs
    seed: int

    def values(self) -> tuple[Any, list[Any]]:
        """The state and what the leaves have."""
        random = np.random.default_rng(self.seed)
        scale = 10.0 ** random.integers(-4, 4)
        leaves = [random.standard_normal(SIZE) * scale for _ in self.tree.members(self.leaf)]
        return (random.standard_normal(SIZE) * scale).astype(np.float32), [x.astype(np.float32) for x in leaves]

    def computation(self) -> Any:
        """The program."""
        root = self.tree.hierarchy.root

        @tierfed.federated_computation(FederatedType(VALUES, root), FederatedType(VALUES, self.leaf))
        def job(state: Any, own: Any) -> Any:
            fold = tierfed.federated_mean if self.mean else tierfed.federated_sum
            for _ in range(self.turns):
                state = fold(tierfed.federated_broadcast(state, to=self.leaf) + own, to=root)
            return state

        return job

    def expected(self) -> Near:
        """What comes out, as far as the bounds of all hops allow; what the leaves have came down the tree as well."""
        state, own = self.values()
        near = Near(state.astype(np.float64), np.zeros(SIZE))
        values = dict(zip((m.name for m in self.tree.members(self.leaf)), own, strict=True))
        for _ in range(self.turns):
            near, count = self._turn(self.tree.root, near, values, ())
            near = near.over(count) if self.mean else near
        return near

    def _turn(self, m: Member, state: Near, own: dict[str, Any], came: tuple[Codec, ...]) -> tuple[Near, int]:
        """What a member sums up of itself and of those below it, and how many leaves that are."""
        if m.placement == self.leaf:
            mine = Near(own[m.name].astype(np.float64), np.zeros(SIZE))
            for c in came:
                mine = mine.sent(c)
            return state.plus(mine), 1
        total, count = Near(np.zeros(SIZE), np.zeros(SIZE)), 0
        for child in m.children:
            up, down = (codec(self.codecs[str(child.placement)][way]) for way in ("up", "down"))
            found, leaves = self._turn(child, state.sent(down), own, (*came, down))
            if child.placement == self.leaf or child.children:
                total, count = total.plus(found.sent(up)), count + leaves
        return total, count


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """A job on a tree in which nobody folds nothing, with codecs for its links."""
    hierarchy = HIERARCHIES[draw(st.sampled_from(sorted(HIERARCHIES)))]
    tree = draw(trees(hierarchy, least=1))
    leaf = draw(st.sampled_from([p for p in hierarchy.placements if not hierarchy.children(p)]))
    codecs = draw(links(hierarchy, ["none", *BOUNDED]))
    return Job(tree, leaf, draw(st.booleans()), draw(st.integers(1, 2)), codecs, draw(st.integers(0, 999)))


def run(job: Job) -> Any:
    """What the daemons make of a job."""
    state, own = job.values()
    computation = job.computation()
    program = compile(computation, job.tree.hierarchy, keep=False)

    async def work(driver: Driver) -> Any:
        return (await driver.invoke(program, (state, tuple(own))))[0]

    return in_memory(job.tree, work, codecs=job.codecs).astype(np.float64)


def farthest(job: Job) -> float:
    """How far what the daemons make of a job is from what is meant, in radii."""
    near = job.expected()
    return float((np.abs(run(job) - near.value) / near.radius).max())


@examples(30)
@given(jobs())
def test_lossy_codecs_err_within_their_bounds(job: Job) -> None:
    """Whatever codec each tier has in each direction, each element is as near as the bounds of its hops say."""
    assert farthest(job) <= 1


def test_every_codec_that_is_drawn_is_there() -> None:
    """All stages of the table whose bound grows with what is sent are among them, and all byte stages."""
    drawn = {s.name for spec in [*BOUNDED, *LOSSLESS] for s in codec(spec).stages}
    assert {"none", "fp16", "bf16", "int8", "qsgd", "eden", "terngrad", "fp8", "zstd"} <= drawn


@pytest.mark.parametrize(("spec", "where"), [*((spec, "up") for spec in BOUNDED), ("int8", "down"), ("eden", "down")])
def test_an_error_of_a_codec_is_seen(monkeypatch: pytest.MonkeyPatch, spec: str, where: str) -> None:
    """Values that are sent as four times as much are farther off than the bounds allow; as they are, they are not."""
    tree = grown(HIERARCHIES["three tiers"], {"EDGE_AGGREGATORS": [2], "CLIENTS": [2, 1]})
    codecs = {str(p): {"up": "none", "down": "none", where: spec} for p in (EDGE, CLIENTS)}
    job = Job(tree, CLIENTS, True, 1, codecs, 5)
    assert 0.01 < farthest(job) <= 1
    honest = Codec.encode_chunk
    monkeypatch.setattr(
        Codec, "encode_chunk", lambda c, x, *more: honest(c, x * np.float32(4) if c.lossy else x, *more)
    )
    assert farthest(job) > 1
