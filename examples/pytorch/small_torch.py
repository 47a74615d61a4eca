"""A PyTorch network over a tree: its training is a Python leaf, on tensors made of the leaf's arrays.

    step      (<MODEL@SERVER,HYPER,int32> -> MODEL@SERVER)
    evaluate  (MODEL@SERVER -> <accuracy=float32,loss=float32>@SERVER)

    pip install 'tierfed[torch]'
    tierfed up examples/pytorch/topology.yaml

Weights are arguments: `functional_call(net, weights, x)`.  Change `network`, and the model's type follows.
Every process of the tree imports this file, and torch with it.  One thread a process, and no generator of
torch's own is used: a run can be repeated to the bit on one machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed

try:
    import torch
except ImportError as error:
    raise ImportError("this example wants PyTorch: pip install 'tierfed[torch]'") from error
from torch.func import functional_call
from torch.nn.functional import cross_entropy

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def network() -> Any:
    """Return the network: two convolutions of stride 2, and ten scores."""
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 28, 28)),
        torch.nn.Conv2d(1, 8, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(784, 10),
    )


NET = network().to("meta")  # its form; weights are what leaves are given
SHAPES = {name: tuple(weight.shape) for name, weight in NET.named_parameters()}
MODEL = tierfed.to_type({name.replace(".", "_"): (np.float32, shape) for name, shape in SHAPES.items()})
EXAMPLES = tierfed.to_type("<x=float32[?,784],y=int32[?]>")
HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32>")
MEMBER = tierfed.to_type("<index=int32,seed=uint64>")


def weights(model: Any) -> dict[str, Any]:
    """Return the weights of `model` by torch's names, as tensors that have gradients."""
    copies = (torch.from_numpy(part.copy()).requires_grad_() for part in model.values())
    return dict(zip(SHAPES, copies, strict=True))


def initial(seed: int) -> dict[str, Any]:
    """Return a model to start from: He's normal kernels, zero biases."""
    rng = np.random.default_rng(seed)
    return {
        name.replace(".", "_"): rng.standard_normal(shape, np.float32) * np.float32((2 / np.prod(shape[1:])) ** 0.5)
        if len(shape) > 1
        else np.zeros(shape, np.float32)
        for name, shape in SHAPES.items()
    }


@tierfed.py_computation(MODEL, EXAMPLES, MEMBER, HYPER, np.int32, returns=(MODEL, np.float32))
def local_update(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return how a client's examples change the model, and how many they are."""
    own = weights(model)
    x, y = torch.from_numpy(data["x"].copy()), torch.from_numpy(data["y"].astype(np.int64))
    optimizer = torch.optim.SGD(own.values(), lr=float(hyper["lr"]))
    rng = np.random.default_rng((int(member["seed"]), int(number)))
    for _ in range(hyper["epochs"]):
        for rows in torch.from_numpy(rng.permutation(len(y))).split(int(hyper["batch"])):
            optimizer.zero_grad()
            cross_entropy(functional_call(NET, own, x[rows]), y[rows]).backward()
            optimizer.step()
    new = (weight.detach().numpy() for weight in own.values())
    return {name: n - old for (name, old), n in zip(model.items(), new, strict=True)}, np.float32(len(y))


@tierfed.py_computation(MODEL, EXAMPLES, returns="<accuracy=float32,loss=float32>")
def score(model: Any, data: Any) -> Any:
    """Return the share of images that the model puts into their class, and its mean loss."""
    with torch.no_grad():
        found = functional_call(NET, weights(model), torch.from_numpy(data["x"].copy()))
        y = torch.from_numpy(data["y"].astype(np.int64))
        right = (found.argmax(1) == y).float().mean()
        return {"accuracy": np.float32(right), "loss": np.float32(cross_entropy(found, y))}


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER), HYPER, np.int32)
def step(model: Any, hyper: Any, number: Any) -> Any:
    """Return the model after a round."""
    data = tierfed.federated_data("train", EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), data, member))
    change, examples = tierfed.federated_map(lambda p: local_update(p[0], p[1], p[2], hyper, number), here)
    return model + tierfed.federated_mean(change, weight=examples)


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER))
def evaluate(model: Any) -> Any:
    """Return the score on the test images, which no client trains on."""
    test = tierfed.federated_data("test", EXAMPLES, tierfed.SERVER)
    return tierfed.federated_map(lambda p: score(p[0], p[1]), tierfed.federated_zip((model, test)))


@tierfed.job(round=step)
async def train(tree: Any, *, rounds: int = 8, lr: float = 0.1, local_epochs: int = 2, batch: int = 16) -> Any:
    """Return the model after `rounds` rounds."""
    model = await tree.resume() or initial(tree.seed)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(step, model, hyper, r)
        tree.release(r, await tree.ainvoke(evaluate, model))
        await tree.checkpoint(r, model)
    return model
