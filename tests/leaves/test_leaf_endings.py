"""However a leaf ends, its caller hears of it at once, and which leaf it was."""

import asyncio
import sys

import numpy as np
import pytest

import tierfed


@tierfed.py_computation(np.int32, returns=np.int32)
def ends(how):
    if how == 1:
        sys.exit(3)
    if how == 2:
        raise GeneratorExit
    if how == 3:
        raise asyncio.CancelledError
    if how == 4:
        raise _Mute
    return how


class _Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@tierfed.federated_computation(tierfed.FederatedType(np.int32, tierfed.CLIENTS))
def total(how):
    return tierfed.federated_sum(tierfed.federated_map(ends, how))


ENDINGS = {1: "SystemExit: 3", 2: "GeneratorExit", 3: "CancelledError", 4: "_Mute: (its __str__ raised)"}


@pytest.mark.parametrize("how", ENDINGS)
def test_it_is_an_error_of_the_leaf(how):
    with pytest.raises(tierfed.LeafError) as error:
        total([how, 5])
    assert error.value.what == f"raised {ENDINGS[how]}"


def test_the_node_goes_on():
    topology = tierfed.tree(fan_out={"CLIENTS": 2}, collect={"SERVER": {"deadline": "20s"}})
    with tierfed.up(topology) as tree:
        for how, said in ENDINGS.items():
            with pytest.raises(tierfed.RoundFailed, match="leaf ends: raised") as error:
                tree.invoke(total, [how, 5])
            assert said in str(error.value)
        assert tree.invoke(total, [5, 6]) == 11


def test_ctrl_c_is_no_error_of_a_leaf():
    with pytest.raises(KeyboardInterrupt):
        interrupted([1])


@tierfed.py_computation(np.int32, returns=np.int32)
def interrupt(x):
    raise KeyboardInterrupt


@tierfed.federated_computation(tierfed.FederatedType(np.int32, tierfed.CLIENTS))
def interrupted(x):
    return tierfed.federated_sum(tierfed.federated_map(interrupt, x))
