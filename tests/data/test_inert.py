"""Pickles read as documents: numpy's arrays come out of them, and nothing in them is ever called."""

import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.data.inert import Call, array, document
from tierfed.errors import DataError

ARRAYS = [
    np.arange(6, dtype=np.float64).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    np.array([1, 2], ">i8"),
    np.array([True, False]),
    np.zeros((0, 4), np.float32),
]


class Trap:
    """What a hostile file is made of."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("/tmp/this-must-not-be-made-by-a-pickle",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", ARRAYS, ids=str)
def test_arrays_come_out_as_they_went_in(value: np.ndarray, protocol: int) -> None:
    """Of every protocol that has arrays as bytes, in either order of rows and of bytes."""
    found = array(document(pickle.dumps(value, protocol)))
    assert found.dtype == value.dtype and np.array_equal(found, value)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_containers_texts_and_numbers_come_out(protocol: int) -> None:
    """And the same object twice is the same object twice."""
    shared = [1, 2]
    value = {"a": shared, "b": [shared, (1, "é", None), (), True, 2**40, -1, 1.5, (1, 2, 3, 4)], "c": {}}
    found = document(pickle.dumps(value, protocol))
    assert found == value and found["a"] is found["b"][0]


def test_an_array_of_texts_is_read() -> None:
    """As pandas keeps names; of other objects it is refused."""
    assert array(document(pickle.dumps(np.array(["F", "M"], object)))).tolist() == ["F", "M"]
    with pytest.raises(DataError, match="an array of objects that are not all texts"):
        array(document(pickle.dumps(np.array(["F", 1], object))))


def test_what_would_be_called_is_named_and_not_called() -> None:
    """A file that would make a folder makes none, and is no array."""
    found = document(pickle.dumps([Trap()]))
    assert found == [Call("posix.mkdir", ("/tmp/this-must-not-be-made-by-a-pickle",))]
    assert not os.path.exists("/tmp/this-must-not-be-made-by-a-pickle")
    with pytest.raises(DataError, match=r"posix\.mkdir makes no array"):
        array(found[0])


def test_other_opcodes_are_refused() -> None:
    """The old ones that find classes by themselves, and extensions."""
    with pytest.raises(DataError, match="pickle, byte 1: the opcode INST is none of data's"):
        document(b"(iposix\nsystem\n.")
    with pytest.raises(DataError, match="the opcode EXT1 is none of data's"):
        document(b"\x82\x01.")


@given(cut=st.integers(0, 400), at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_broken_pickle_is_an_error_of_ours(cut: int, at: int, byte: int) -> None:
    """Cut short or with a byte changed, it is a document or a DataError, never another exception."""
    whole = bytearray(pickle.dumps({"x": ARRAYS[0], "y": [ARRAYS[1]]}, 2))
    whole[at % len(whole)] = byte
    try:
        found = document(bytes(whole[: len(whole) - cut % len(whole)]))
        array(found["x"]) if isinstance(found, dict) and "x" in found else None
    except DataError as error:
        assert error.where is not None and error.where.startswith("pickle")
