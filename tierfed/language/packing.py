"""Packing: the arguments that a user passed, as the one value that a computation takes.

scaled([1, 2], rate=3)        <x=…,rate=…>        scaled({"x": [1, 2], "rate": 3})
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from tierfed.errors import TypeMismatch
from tierfed.types import FederatedType, StructType, Type
from tierfed.types.difference import listed, shown


def packed_arguments(parameter: Type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return positional and named arguments as the one value of `parameter`.

    One positional argument is the value itself, unless `parameter` is a struct of one.  Raises TypeMismatch.
    """
    if len(args) == 1 and not kwargs and not (isinstance(parameter, StructType) and len(parameter) == 1):
        return args[0]
    if len(args) == 1 and not kwargs and isinstance(parameter, StructType) and isinstance(args[0], Mapping):
        return args[0]
    if not isinstance(parameter, StructType):
        named = f" by name: {', '.join(kwargs)}" if kwargs else ""
        raise TypeMismatch(
            f"one argument of {shown(parameter)} is taken, {len(args) + len(kwargs)} were given{named}",
            mend=f"pass one argument, by position: a list with a value for each member of {parameter.placement}"
            if isinstance(parameter, FederatedType) and not parameter.all_equal
            else "pass one argument, by position",
        )
    names = parameter.names
    values: list[Any] = list(args)
    values.extend(kwargs[n] for n in names[len(args) :] if n is not None and n in kwargs)
    wrong = _misnamed(names, len(args), tuple(kwargs))
    if wrong or len(values) != len(names):
        each = ", ".join(n if n is not None else f"[{i}]" for i, n in enumerate(names))
        raise TypeMismatch(
            f"{wrong or f'{len(names)} arguments are taken, {len(args)} were given'}: it takes {shown(parameter)}",
            mend=f"pass each of {each} once",
        )
    return tuple(values)


def _misnamed(names: Sequence[str | None], positional: int, named: Sequence[str]) -> str:
    """Return what is wrong with the names of arguments, nothing if they are right."""
    for name in named:
        if name not in names:
            near = difflib.get_close_matches(name, [n for n in names if n is not None], 1)
            return f"no argument is called {name}{f' (did you mean {near[0]}?)' if near else ''}"
        if names.index(name) < positional:
            return f"{name} is given twice"
    missing = [n for n in names[positional:] if n is not None and n not in named]
    return f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} missing" if missing else ""


def takes_nothing(count: int) -> TypeMismatch:
    """Return the error of a call with arguments that takes none."""
    return TypeMismatch(f"no argument is taken, {count} were given", mend="call it without arguments")
