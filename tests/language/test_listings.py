"""What the pages show a user first: one number, a number a region, federated averaging; as they stand there.

The listings are run as written, on the trees that the pages name: without a topology, on three
tiers, and on two, three and five with the same program.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tierfed
from tierfed.backends.local import LocalContext
from tierfed.placements import Tree

# -- one number


@tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
def get_average_temperature(readings):
    return tierfed.federated_mean(readings)


def test_one_number() -> None:
    """It runs where it stands, in the default context, and its type reads as the notation."""
    assert get_average_temperature([68.5, 70.3, 69.8]) == np.float32(69.53333)
    assert type(get_average_temperature([68.5, 70.3, 69.8])) is np.float32
    assert str(get_average_temperature.type_signature) == "({float32}@CLIENTS -> float32@SERVER)"
    assert isinstance(get_average_temperature.type_signature, tierfed.FunctionType)
    assert tierfed.to_type("{float32[10]}@CLIENTS") == tierfed.FederatedType((np.float32, [10]), tierfed.CLIENTS)


# -- a mean for the world and one for each region

EDGE = tierfed.placement("EDGE_AGGREGATORS")


@tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
def climate(readings):
    return {
        "world": tierfed.federated_mean(readings),  # float32@SERVER
        "regions": tierfed.federated_mean(readings, to=EDGE),  # {float32}@EDGE_AGGREGATORS: stays there
        "hottest": tierfed.federated_max(tierfed.federated_mean(readings, to=EDGE)),
    }


def test_a_mean_for_the_world_and_one_for_each_region() -> None:
    """The world's is over all clients, whatever edge they are at; the hottest is the greatest of the regions'."""
    assert str(climate.type_signature) == (
        "({float32}@CLIENTS -> <world=float32@SERVER,regions={float32}@EDGE_AGGREGATORS,hottest=float32@SERVER>)"
    )
    with tierfed.local(topology=tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 2})):
        assert climate([1, 2, 3, 6]) == {"world": 3.0, "regions": [1.5, 4.5], "hottest": 4.5}
    with pytest.raises(tierfed.PlacementError, match="without a topology there are only SERVER > CLIENTS"):
        climate([1, 2, 3, 6])


def test_the_slices_of_three_tiers() -> None:
    """Each tier's part is shown, the deepest first, and `.slices` has it by placement."""
    compiled = tierfed.compile(climate, tierfed.Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS"))
    shown = str(compiled)
    assert [line for line in shown.splitlines() if line in ("CLIENTS", "EDGE_AGGREGATORS", "SERVER")] == [
        "CLIENTS",
        "EDGE_AGGREGATORS",
        "SERVER",
    ]
    assert set(compiled.slices) == {tierfed.CLIENTS, EDGE, tierfed.SERVER}
    assert shown.count("  send ") == 3  # one message a tier: the clients', the edges', and the result
    assert len(compiled.hash) == 64


# -- federated averaging

EXAMPLES = tierfed.to_type("<x=float32[?,784],y=int32[?]>")
MODEL = tierfed.to_type("<w1=float32[784,64],b1=float32[64],w2=float32[64,10],b2=float32[10]>")
HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32>")


@tierfed.py_computation(MODEL, EXAMPLES, HYPER, returns=(MODEL, np.float32))
def local_update(model, data, hyper):  # numpy arrays in, numpy arrays out
    new = sgd(model, data, **hyper)
    return {k: new[k] - model[k] for k in model}, np.float32(len(data["y"]))


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER), HYPER)
def step(model, hyper):
    data = tierfed.federated_data("train", EXAMPLES, tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), data))
    delta, examples = tierfed.federated_map(lambda p: local_update(p[0], p[1], hyper), here)
    return model + tierfed.federated_mean(delta, weight=examples)


@tierfed.py_computation(MODEL, EXAMPLES, returns={"loss": np.float32})
def score(model, data):
    return {"loss": np.float32(loss(model, data))}


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER))
def evaluate(model):
    data = tierfed.federated_data("test", EXAMPLES, tierfed.SERVER)
    return tierfed.federated_map(lambda p: score(p[0], p[1]), (model, data))


@tierfed.job
async def train(tree, *, rounds=20, lr=0.1, local_epochs=3, batch=16):
    model = await tree.resume() or initial_model(tree.seed)
    for r in tree.rounds(rounds):  # progress, and where --resume goes on
        model = await tree.ainvoke(step, model, {"lr": lr, "epochs": local_epochs, "batch": batch})
        tree.release(r, await tree.ainvoke(evaluate, model))
        await tree.checkpoint(r, model)
    return model


# -- what the listing takes for granted


def initial_model(seed: int) -> dict[str, Any]:
    """A model of small numbers."""
    draw = np.random.default_rng(seed).normal
    shapes = {"w1": (784, 64), "b1": (64,), "w2": (64, 10), "b2": (10,)}
    return {k: draw(scale=0.05, size=s).astype(np.float32) for k, s in shapes.items()}


def _forward(model: Any, x: Any) -> tuple[Any, Any]:
    hidden = np.maximum(x @ model["w1"] + model["b1"], np.float32(0))
    logits = hidden @ model["w2"] + model["b2"]
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, chances / chances.sum(axis=1, keepdims=True)


def loss(model: Any, data: Any) -> Any:
    """The cross entropy of `model` on `data`."""
    _, chances = _forward(model, data["x"])
    return -np.log(chances[np.arange(len(data["y"])), data["y"]] + 1e-9).mean()


def sgd(model: Any, data: Any, *, lr: Any, epochs: Any, batch: Any) -> dict[str, Any]:
    """Plain gradient descent, batch after batch."""
    model = dict(model)
    for _ in range(int(epochs)):
        for at in range(0, len(data["y"]), int(batch)):
            x, y = data["x"][at : at + int(batch)], data["y"][at : at + int(batch)]
            hidden, chances = _forward(model, x)
            chances[np.arange(len(y)), y] -= 1
            slope = chances / np.float32(len(y))
            back = (slope @ model["w2"].T) * (hidden > 0)
            steps = {"w1": x.T @ back, "b1": back.sum(0), "w2": hidden.T @ slope, "b2": slope.sum(0)}
            model = {k: (v - lr * steps[k]).astype(np.float32) for k, v in model.items()}
    return model


def data(uri: str, type: Any, member: Any) -> Any:
    """Twelve to twenty examples a client, and some to test with, of classes that can be told apart."""
    count = 40 if uri == "test" else 12 + 4 * (member.index % 3)
    rng = np.random.default_rng([uri == "test", member.index])
    y = rng.integers(0, 10, count).astype(np.int32)
    x = rng.normal(scale=0.3, size=(count, 784)).astype(np.float32)
    x[np.arange(count), y] += np.float32(3)
    return {"x": x, "y": y}


class Rounds:
    """The tree of a job, in this process: what `train` asks of one."""

    seed = 7

    def __init__(self, context: LocalContext) -> None:
        self.ainvoke = context.ainvoke
        self.released: list[Any] = []
        self.saved: list[tuple[int, Any]] = []

    def rounds(self, n: int) -> Iterator[int]:
        """So many rounds."""
        return iter(range(1, n + 1))

    def release(self, round: int, metrics: Any) -> None:
        """Keep what a round reports."""
        self.released.append(metrics)

    async def checkpoint(self, round: int, state: Any) -> None:
        """Keep where to go on."""
        self.saved.append((round, state))

    async def resume(self) -> Any:
        """Where to go on."""
        return self.saved[-1][1] if self.saved else None


TREES = {
    ("SERVER", "CLIENTS"): {"CLIENTS": 4},
    ("SERVER", "EDGE_AGGREGATORS", "CLIENTS"): {"EDGE_AGGREGATORS": 2, "CLIENTS": 2},
    ("SERVER", "CONTINENTS", "REGIONS", "EDGE_AGGREGATORS", "CLIENTS"): {
        "CONTINENTS": 2,
        "REGIONS": 1,
        "EDGE_AGGREGATORS": 2,
        "CLIENTS": 1,
    },
}


@pytest.mark.parametrize("chain", TREES, ids=len)
async def test_federated_averaging(chain: tuple[str, ...]) -> None:
    """The same program on two, three and five tiers: it compiles, it learns, and the tree does not matter to it."""
    hierarchy = tierfed.Hierarchy.chain(*chain)
    assert set(tierfed.compile(step, hierarchy).slices) == set(hierarchy.placements)
    tree = Rounds(tierfed.local(topology=Tree.grown(hierarchy, TREES[chain]), data=data))
    model = await train(tree, rounds=3)
    assert set(model) == {"w1", "b1", "w2", "b2"} and model["w1"].dtype == np.float32
    losses = [m["loss"] for m in tree.released]
    assert losses[0] > losses[1] > losses[2] and losses[0] - losses[2] > 0.05
    assert [r for r, _ in tree.saved] == [1, 2, 3]
    assert await tree.resume() is model
    flat = await train(Rounds(tierfed.local(topology=tierfed.tree(fan_out={"CLIENTS": 4}), data=data)), rounds=3)
    for part in model:
        np.testing.assert_allclose(model[part], flat[part], atol=1e-5)
