"""Local computations that random programs call: plain functions, each a leaf by reference.

The decorated name is the leaf; the function itself, which the oracle calls, is its `python_function`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tierfed

ROWS = tierfed.SequenceType(np.int32)
LOG = tierfed.to_type("<items=int32[4],count=int32>")


@tierfed.py_computation(returns=np.int32)
def seven() -> Any:
    """Seven, at whoever asks."""
    return np.int32(7)


@tierfed.py_computation(np.float32, returns=np.float32)
def halve(x: Any) -> Any:
    """Half of `x`."""
    with np.errstate(all="ignore"):
        return np.float32(x * np.float32(0.5))


@tierfed.py_computation(np.int32, np.int32, returns=np.int32)
def mix(a: Any, b: Any) -> Any:
    """A number that depends on both, and on their order; wraps."""
    return np.int32((int(a) * 31 + int(b) + 2**31) % 2**32 - 2**31)


@tierfed.py_computation((np.float32, [3]), returns={"total": np.float32, "sorted": (np.float32, [3])})
def digest(x: Any) -> Any:
    """The sum of three numbers, and the three in order."""
    with np.errstate(all="ignore"):
        return {"total": np.float32(x.sum(dtype=np.float32)), "sorted": np.sort(x)}


@tierfed.py_computation(np.int32, returns=np.str_)
def told(x: Any) -> Any:
    """A number in words of a sort."""
    return f"<{int(x)}>"


@tierfed.py_computation(np.str_, returns=np.int32)
def length(text: Any) -> Any:
    """How long a text is."""
    return np.int32(len(text))


@tierfed.py_computation(ROWS, returns=np.int64)
def added(rows: Any) -> Any:
    """The sum of a sequence."""
    return np.int64(sum(int(row) for row in rows))


@tierfed.py_computation(np.str_, np.int32, returns=np.str_)
def noted(notes: Any, x: Any) -> Any:
    """What was noted, and then `x`."""
    return f"{notes}{int(x)};"


@tierfed.py_computation(np.str_, np.str_, returns=np.str_)
def joined(left: Any, right: Any) -> Any:
    """Two texts, in this order."""
    return f"{left}{right}"


@tierfed.py_computation(np.int32, returns="int32[?]")
def keys_of(x: Any) -> Any:
    """None to three keys from 0 to 3, which `x` decides."""
    return np.array([(int(x) + 7 * i) % 4 for i in range(int(x) % 4)], np.int32)


@tierfed.py_computation((np.float32, [3, 2]), np.int32, returns=(np.float32, [2]))
def row_of(rows: Any, key: Any) -> Any:
    """One row of a table."""
    return rows[key]


def told_apart(uri: str, type: Any, member: Any) -> Any:
    """Return the data of a member: other for each, and the same whenever it is asked for."""
    number = sum(map(ord, f"{uri} {member.name}")) % 97
    if uri == "rows":
        return [np.int32(i * number) for i in range(number % 4)]
    if uri == "vector":
        return (np.arange(3) * number / 7).astype(np.float32)
    return np.int32(number - 40)
