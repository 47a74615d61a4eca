"""Federated averaging of a small Keras network for images, as TensorFlow graphs.

    initial   (int64 -> MODEL)
    step      (<MODEL@SERVER,HYPER,int32> -> MODEL@SERVER)
    evaluate  (MODEL@SERVER -> SCORE@SERVER)

The round is that of `fedavg`: every client trains the server's model on its own examples, and the
model moves by the mean of their changes, weighted by examples.  Here the local computations are
graphs, which the nodes get with the program: `pip install 'tierfed[tf]'`, and nothing of this module
is imported there.

    tierfed up topologies/three_tier_tf.yaml

Weights are arguments, and Keras' part is a function of them: `model.stateless_call(weights, [], x)`.

Source: McMahan et al. 2017, arXiv:1602.05629, algorithm 1; the network is the smaller part of theirs
for MNIST, with strides instead of pooling.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tierfed
from tierfed.leaves.tf import tensorflow

tf = tensorflow()

EXAMPLES = tierfed.to_type("<x=float32[?,784],y=int32[?]>")
SHAPES = {"k1": (3, 3, 1, 8), "b1": (8,), "k2": (3, 3, 8, 16), "b2": (16,), "k3": (784, 10), "b3": (10,)}
MODEL = tierfed.to_type({name: (np.float32, shape) for name, shape in SHAPES.items()})
HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32>")
MEMBER = tierfed.to_type("<index=int32,seed=uint64>")


def network() -> Any:
    """Return the network, built and without weights: two convolutions of stride 2, and ten scores."""
    layers = tf.keras.layers
    with tf.keras.StatelessScope(initialize_variables=False):
        return tf.keras.Sequential(
            [
                layers.Input((784,)),
                layers.Reshape((28, 28, 1)),
                layers.Conv2D(8, 3, 2, padding="same", activation="relu"),
                layers.Conv2D(16, 3, 2, padding="same", activation="relu"),
                layers.Flatten(),
                layers.Dense(10),
            ]
        )


def scores(net: Any, model: Any, x: Any) -> Any:
    """Return the scores of the images `x`, one row an image, under the weights `model`."""
    return net.stateless_call(list(model), [], x)[0]


@tierfed.tf_computation(np.int64)
def initial(seed: Any) -> Any:
    """Return a model to start from: He's normal kernels, zero biases."""
    model = {}
    for i, (name, shape) in enumerate(SHAPES.items()):
        drawn = tf.random.stateless_normal(shape, [seed, i]) * (2 / math.prod(shape[:-1])) ** 0.5
        model[name] = drawn if name.startswith("k") else tf.zeros(shape)
    return model


@tierfed.tf_computation(MODEL, EXAMPLES, MEMBER, HYPER, np.int32)
def local_update(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return the change that a member's examples make to `model`, and how many they are.

    The order of its examples is drawn from the member's own seed and the round's number.
    """
    net = network()
    weights = [tf.Variable(part) for part in model.values()]
    examples = tf.shape(data["y"])[0]
    seed = tf.bitcast(member["seed"], tf.int64)
    for epoch in tf.range(hyper["epochs"]):
        draw = tf.stack([seed, tf.cast(number * hyper["epochs"] + epoch, tf.int64)])
        order = tf.random.experimental.stateless_shuffle(tf.range(examples), draw)
        for start in tf.range(0, examples, hyper["batch"]):
            rows = order[start : start + hyper["batch"]]
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    tf.gather(data["y"], rows), scores(net, weights, tf.gather(data["x"], rows))
                )
                loss = tf.reduce_mean(losses)
            for weight, slope in zip(weights, tape.gradient(loss, weights), strict=True):
                weight.assign_sub(hyper["lr"] * slope)
    change = {name: new - old for (name, old), new in zip(model.items(), weights, strict=True)}
    return change, tf.cast(examples, tf.float32)


@tierfed.tf_computation(MODEL, EXAMPLES)
def score(model: Any, data: Any) -> Any:
    """Return the accuracy and the loss of `model` on `data`, and how many examples that was."""
    found = scores(network(), model.values(), data["x"])
    right = tf.argmax(found, 1, tf.int32) == data["y"]
    return {
        "accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
        "loss": tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(data["y"], found)),
        "examples": tf.shape(data["y"])[0],
    }


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER), HYPER, np.int32)
def step(model: Any, hyper: Any, number: Any) -> Any:
    """Return the model after round `number`."""
    data = tierfed.federated_data("train", EXAMPLES, tierfed.CLIENTS)
    member = tierfed.federated_data("tierfed:member", MEMBER, tierfed.CLIENTS)
    here = tierfed.federated_zip((tierfed.federated_broadcast(model), data, member))
    delta, examples = tierfed.federated_map(lambda p: local_update(p[0], p[1], p[2], hyper, number), here)
    return model + tierfed.federated_mean(delta, weight=examples)


@tierfed.federated_computation(tierfed.FederatedType(MODEL, tierfed.SERVER))
def evaluate(model: Any) -> Any:
    """Return the score of `model` on the server's test images, which no client trains on."""
    test = tierfed.federated_data("test", EXAMPLES, tierfed.SERVER)
    return tierfed.federated_map(lambda p: score(p[0], p[1]), tierfed.federated_zip((model, test)))


@tierfed.job(round=step)
async def train(tree: Any, *, rounds: int = 15, lr: float = 0.1, local_epochs: int = 3, batch: int = 16) -> Any:
    """Return the model after `rounds` rounds."""
    model = await tree.resume() or initial(tree.seed)
    hyper = {"lr": lr, "epochs": local_epochs, "batch": batch}
    for r in tree.rounds(rounds):
        model = await tree.ainvoke(step, model, hyper, r)
        tree.release(r, await tree.ainvoke(evaluate, model))
        await tree.checkpoint(r, model)
    return model
