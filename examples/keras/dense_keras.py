"""A Keras network over a tree: its training is a TensorFlow graph, which travels with the program.

    step      (<MODEL@SERVER,HYPER,int32> -> MODEL@SERVER)
    evaluate  (MODEL@SERVER -> <accuracy=float32,loss=float32>@SERVER)

    pip install 'tierfed[tf]'
    tierfed up examples/keras/topology.yaml

Weights are arguments, and what Keras does is a function of them: `net.stateless_call(weights, [], x)`.
Change `network`, and the model's type follows.  `tierfed.learning.cnn` is the same with convolutions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed
from tierfed.leaves.tf import tensorflow

tf = tensorflow()  # imports it, or says what to install


def network() -> Any:
    """Return the network, built and without weights of its own: 784 inputs, 32 hidden units, 10 scores."""
    layers = tf.keras.layers
    with tf.keras.StatelessScope(initialize_variables=False):
        return tf.keras.Sequential([layers.Input((784,)), layers.Dense(32, activation="relu"), layers.Dense(10)])


SHAPES = {f"p{i}": tuple(weight.shape) for i, weight in enumerate(network().trainable_variables)}
MODEL = tierfed.to_type({name: (np.float32, shape) for name, shape in SHAPES.items()})
EXAMPLES = tierfed.to_type("<x=float32[?,784],y=int32[?]>")
HYPER = tierfed.to_type("<lr=float32,epochs=int32,batch=int32>")
MEMBER = tierfed.to_type("<index=int32,seed=uint64>")


def losses(net: Any, weights: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Return the scores of the images `x`, and the loss of each."""
    scores = net.stateless_call(list(weights), [], x)[0]
    return scores, tf.nn.sparse_softmax_cross_entropy_with_logits(y, scores)


@tierfed.tf_computation(np.int64)
def initial(seed: Any) -> Any:
    """Return a model to start from: normal kernels, zero biases."""
    return {
        name: tf.random.stateless_normal(shape, [seed, i]) * (2 / shape[0]) ** 0.5
        if len(shape) > 1
        else tf.zeros(shape)
        for i, (name, shape) in enumerate(SHAPES.items())
    }


@tierfed.tf_computation(MODEL, EXAMPLES, MEMBER, HYPER, np.int32)
def local_update(model: Any, data: Any, member: Any, hyper: Any, number: Any) -> Any:
    """Return how a client's examples change the model, and how many they are."""
    net, weights = network(), [tf.Variable(part) for part in model.values()]
    examples, seed = tf.shape(data["y"])[0], tf.bitcast(member["seed"], tf.int64)
    for epoch in tf.range(hyper["epochs"]):
        draw = tf.stack([seed, tf.cast(number * hyper["epochs"] + epoch, tf.int64)])
        order = tf.random.experimental.stateless_shuffle(tf.range(examples), draw)
        for start in tf.range(0, examples, hyper["batch"]):
            rows = order[start : start + hyper["batch"]]
            with tf.GradientTape() as tape:
                _, each = losses(net, weights, tf.gather(data["x"], rows), tf.gather(data["y"], rows))
                loss = tf.reduce_mean(each)
            for weight, slope in zip(weights, tape.gradient(loss, weights), strict=True):
                weight.assign_sub(hyper["lr"] * slope)
    change = {name: new - old for (name, old), new in zip(model.items(), weights, strict=True)}
    return change, tf.cast(examples, tf.float32)


@tierfed.tf_computation(MODEL, EXAMPLES)
def score(model: Any, data: Any) -> Any:
    """Return the share of images that the model puts into their class, and its mean loss."""
    scores, each = losses(network(), model.values(), data["x"], data["y"])
    right = tf.cast(tf.argmax(scores, 1, tf.int32) == data["y"], tf.float32)
    return {"accuracy": tf.reduce_mean(right), "loss": tf.reduce_mean(each)}


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
