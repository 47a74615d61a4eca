"""`to_type`: whatever reads as a type, made one.

    to_type(np.float32)                 float32
    to_type((np.float32, [10]))         float32[10]
    to_type([("x", np.int32), bool])    <x=int32,bool>
    to_type({"a": np.int32})            <a=int32>
    to_type("{float32[10]}@CLIENTS")    {float32[10]}@CLIENTS

NamedTuples, dataclasses and attrs classes (their annotations are read) become named
structs that remember the class.  An annotation may be notation: `w: "float32[10]"`.
"""

from __future__ import annotations

import ast
import sys
import types
import typing
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.placements import Placement
from tierfed.types.containers import fields_of
from tierfed.types.dtypes import name_of
from tierfed.types.types import StructType, TensorType, Type
from tierfed.user_line import at_user_line


def to_type(spec: object) -> Type:
    """Return `spec` as a type.

    It takes notation; numpy's dtypes and Python's bool, int, float, str; `(dtype, shape)`; lists,
    tuples and dicts of types, where `("x", type)` is a named element; NamedTuples, dataclasses and
    attrs classes, by their annotations.  The container is remembered for users' values.

    Raises TypeMismatch if it reads as none; NotationError, with the column, for notation.

    >>> tierfed.to_type("{float32[10]}@CLIENTS")
    FederatedType({float32[10]}@CLIENTS)
    >>> tierfed.to_type([("x", (np.float32, [None, 784])), ("y", np.int32)])
    StructType(<x=float32[?,784],y=int32>)
    >>> tierfed.to_type("flaot32")
    Traceback (most recent call last):
    tierfed.errors.NotationError: ...'flaot32', column 1: no type is called 'flaot32'
      to mend: did you mean 'float32'?
    """
    if isinstance(spec, Type):
        return spec
    if isinstance(spec, str):
        from tierfed.types.notation import parse  # the grammar imports federated types, which import this

        return parse(spec)
    if isinstance(spec, Placement):
        raise TypeMismatch(
            f"{spec} is a placement, and no type",
            where=at_user_line("to_type"),
            mend=f"say what is there, such as tierfed.FederatedType(np.float32, {spec})",
        )
    if isinstance(spec, type) and (fields := fields_of(spec)) is not None:
        hints = _annotations(spec, fields)
        return StructType([(n, to_type(hints[n])) for n in fields], spec)
    if isinstance(spec, tuple) and _is_tensor_pair(spec):
        return TensorType(spec[0], spec[1])
    if isinstance(spec, Mapping):
        container = OrderedDict if isinstance(spec, OrderedDict) else dict
        return StructType([(n, to_type(t)) for n, t in spec.items()], container)
    if (fields := fields_of(type(spec))) is not None:
        return StructType([(n, to_type(getattr(spec, n))) for n in fields], type(spec))
    if isinstance(spec, tuple | list):
        return StructType([_element(e) for e in spec], tuple if isinstance(spec, tuple) else list)
    if name_of(spec) is not None:
        return TensorType(spec)
    raise TypeMismatch(
        f"{spec!r} reads as no type",
        where=at_user_line("to_type"),
        mend='use a numpy dtype, (dtype, shape), a container of types, or notation such as "float32[10]"',
    )


def _is_tensor_pair(spec: tuple[Any, ...]) -> bool:
    """Return whether `spec` is (dtype, shape): a shape is None or holds sizes only, and is no dtype."""
    if len(spec) != 2 or hasattr(spec, "_fields") or isinstance(spec[0], str | Type):
        return False
    dtype, shape = spec
    if name_of(dtype) is None:
        return False
    return shape is None or (isinstance(shape, tuple | list) and all(s is None or _is_size(s) for s in shape))


def _is_size(s: object) -> bool:
    return hasattr(s, "__index__") and not isinstance(s, bool | type)


def _element(e: object) -> tuple[str | None, Type]:
    """Return an element of a list or tuple: `(name, type)` is named, anything else is not."""
    if isinstance(e, tuple) and len(e) == 2 and isinstance(e[0], str):
        return e[0], to_type(e[1])
    return None, to_type(e)


def _annotations(cls: type, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return the annotations of `fields`: what they are in Python, and the text of those that are no Python."""
    found = {n: _evaluated(t, c) for c in reversed(cls.__mro__) for n, t in vars(c).get("__annotations__", {}).items()}
    missing = [n for n in fields if n not in found]
    if missing:
        raise TypeMismatch(
            f"the field {missing[0]} of {cls.__qualname__} has no annotation",
            where=at_user_line("to_type"),
            mend="annotate each field with a dtype or with notation",
        )
    return found


def _evaluated(annotation: Any, cls: type) -> Any:
    """Return one annotation of `cls`, evaluated as `typing` does in the module of the class."""
    text = getattr(annotation, "__forward_arg__", annotation)  # a NamedTuple wraps text
    if not isinstance(text, str):
        return annotation
    alone = types.SimpleNamespace(__annotations__={"it": text})
    try:
        module = vars(sys.modules.get(cls.__module__, types))
        return typing.get_type_hints(alone, globalns=module, localns=dict(vars(cls)))["it"]
    except Exception:  # whatever evaluating it raises, such as a NameError: it is no Python
        return ast.literal_eval(text) if text[:1] in "'\"" else text
