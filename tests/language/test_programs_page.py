"""Programs as users write them: one number, one for each region, and federated averaging, run here."""

from __future__ import annotations

import numpy as np

import tierfed

# --- one number


@tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
def get_average_temperature(readings):
    return tierfed.federated_mean(readings)


def test_one_number():
    """It runs where it is called, and knows its type."""
    average = get_average_temperature([68.5, 70.3, 69.8])
    assert average.dtype == np.float32
    assert abs(float(average) - 69.53333) < 1e-5
    assert str(get_average_temperature.type_signature) == "({float32}@CLIENTS -> float32@SERVER)"


# --- a mean for the world and one for each region

EDGE = tierfed.placement("EDGE_AGGREGATORS")


@tierfed.federated_computation(tierfed.FederatedType(np.float32, tierfed.CLIENTS))
def climate(readings):
    return {
        "world": tierfed.federated_mean(readings),
        "regions": tierfed.federated_mean(readings, to=EDGE),
        "hottest": tierfed.federated_max(tierfed.federated_mean(readings, to=EDGE)),
    }


def test_a_mean_for_the_world_and_one_for_each_region():
    """The world's is the mean over the clients, not over the regions."""
    assert str(climate.type_signature.result) == (
        "<world=float32@SERVER,regions={float32}@EDGE_AGGREGATORS,hottest=float32@SERVER>"
    )
    three_tiers = tierfed.tree(fan_out={"EDGE_AGGREGATORS": 2, "CLIENTS": 3})
    with tierfed.local(topology=three_tiers):
        assert climate([1, 2, 3, 10, 20, 60]) == {"world": 16, "regions": [2, 30], "hottest": 30}


def test_its_slices():
    """One for each tier, and only neighbours speak to each other."""
    compiled = tierfed.compile(climate, tierfed.Hierarchy.chain("SERVER", "EDGE_AGGREGATORS", "CLIENTS"))
    assert {str(p) for p in compiled.slices} == {"SERVER", "EDGE_AGGREGATORS", "CLIENTS"}
    assert all(name in str(compiled) for name in ("SERVER", "EDGE_AGGREGATORS", "CLIENTS"))


# --- federated averaging

EXAMPLES = tierfed.to_type("<x=float32[?,4],y=int32[?]>")
MODEL = tierfed.to_type("<w=float32[4,3],b=float32[3]>")
HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32>")


def sgd(model, data, lr, epochs, batch):
    """A linear softmax classifier, trained on one member's examples."""
    w, b = model["w"].copy(), model["b"].copy()
    for _ in range(int(epochs)):
        for at in range(0, len(data["y"]), int(batch)):
            x, y = data["x"][at : at + batch], data["y"][at : at + batch]
            scores = np.exp(x @ w + b)
            error = scores / scores.sum(axis=1, keepdims=True) - np.eye(3, dtype=np.float32)[y]
            w -= lr * (x.T @ error) / np.float32(len(y))
            b -= lr * error.mean(axis=0)
    return {"w": w, "b": b}


@tierfed.py_computation(MODEL, EXAMPLES, HYPER, returns=(MODEL, np.float32))
def local_update(model, data, hyper):
    new = sgd(model, data, **hyper)
    return {k: new[k] - model[k] for k in model}, np.float32(len(data["y"]))


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER), HYPER)
def step(model, hyper):
    data = tierfed.federated_data("train", EXAMPLES, tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), data))
    delta, examples = tierfed.federated_map(lambda p: local_update(p[0], p[1], hyper), here)
    return model + tierfed.federated_mean(delta, weight=examples)


def provider(uri, type, member):
    """Points around three corners; members have unequal numbers of them."""
    rng = np.random.default_rng(member.index)
    y = rng.integers(0, 3, 10 + 5 * member.index).astype(np.int32)
    return {"x": (np.eye(3, 4)[y] + rng.normal(0, 0.2, (len(y), 4))).astype(np.float32), "y": y}


def test_federated_averaging():
    """A few rounds learn the corners; the program names no tier between, and is the same on two and on three."""
    start = {"w": np.zeros((4, 3), np.float32), "b": np.zeros(3, np.float32)}
    hyper = {"lr": 0.5, "epochs": 2, "batch": 8}
    models = []
    for fan_out in ({"CLIENTS": 4}, {"EDGE_AGGREGATORS": 2, "CLIENTS": 2}):
        model = start
        with tierfed.local(topology=tierfed.tree(fan_out=fan_out), data=provider):
            for _ in range(5):
                model = step(model, hyper)
        models.append(model)
    flat, tiered = models
    assert np.argmax(np.eye(3, 4, dtype=np.float32) @ flat["w"] + flat["b"], axis=1).tolist() == [0, 1, 2]
    assert all(np.allclose(flat[k], tiered[k], rtol=1e-4, atol=1e-5) for k in flat)
    assert not start["w"].any()  # what was passed in is not changed


def test_one_step_is_the_weighted_mean_of_the_updates():
    """Computed again without the language."""
    start = {"w": np.zeros((4, 3), np.float32), "b": np.zeros(3, np.float32)}
    hyper = {"lr": np.float32(0.5), "epochs": np.int32(1), "batch": np.int32(8)}
    with tierfed.local(topology=tierfed.tree(fan_out={"CLIENTS": 3}), data=provider):
        stepped = step(start, hyper)

    class Numbered:
        def __init__(self, index):
            self.index = index

    sets = [provider("train", EXAMPLES, Numbered(i)) for i in range(3)]
    sizes = [len(d["y"]) for d in sets]
    for k in start:
        expected = np.average([sgd(start, d, **hyper)[k] for d in sets], axis=0, weights=sizes)
        assert np.allclose(stepped[k], expected, rtol=1e-4, atol=1e-6)
