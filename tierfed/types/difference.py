"""Where two types differ, in words: what an error shows of an expected type and the one it got.

    expected float32, got int32
    expected <conv=<w=float32[3,3],b=float32[3]>,…, got …; they differ at .dense.b: float32[64] and float32[10]

Types of a line are shown whole.  Of longer ones, such as models, the beginning is shown, and
the first place at which the one does not take the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from tierfed.types.notation import quoted
from tierfed.types.types import FederatedType, SequenceType, StructType, TensorType, Type

_SHOWN = 88  # characters of a type that an error shows
_NAMES = 12  # of a struct's elements that it lists


def shown(t: Type, limit: int = _SHOWN) -> str:
    """Return `t` in compact notation, cut at `limit` characters."""
    text = str(t)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def told(target: Type, source: Type, says: str = "expected {}, got {}") -> str:
    """Return the two types in words; long ones are cut, and the first place where they differ is added.

    `says` has a place for `target` and one for `source`.
    """
    both = says.format(shown(target), shown(source))
    if max(len(str(target)), len(str(source))) <= _SHOWN:
        return both
    path, expected, got = first_difference(target, source)
    return f"{both}; they differ at {path}: {shown(expected)} and {shown(got)}" if path else both


def first_difference(target: Type, source: Type) -> tuple[str, Type, Type]:
    """Return the path to the first place where `target` does not take `source`, and what is there in each."""
    path = ""
    while True:
        if isinstance(target, FederatedType) and isinstance(source, FederatedType):
            if target.placement != source.placement:
                return path, target, source
            target, source = target.member, source.member
        elif isinstance(target, SequenceType) and isinstance(source, SequenceType):
            path, target, source = f"{path}[…]", target.element, source.element
        elif isinstance(target, StructType) and isinstance(source, StructType) and _alike(target, source):
            at = next((i for i, t in enumerate(target.parts()) if not t.is_assignable_from(source[i])), None)
            if at is None:
                return path, target, source
            name = target.names[at]
            path, target, source = f"{path}[{at}]" if name is None else f"{path}.{quoted(name)}", target[at], source[at]
        else:
            return path, target, source


def _alike(target: StructType, source: StructType) -> bool:
    """Return whether the two have as many elements, with names that fit."""
    return len(target) == len(source) and all(
        b is None or a == b for a, b in zip(target.names, source.names, strict=True)
    )


def mended(target: Type, source: Type, of: str, *, called: bool = False) -> str:
    """Return what makes a value of `source` one that `of` takes, which takes `target`.

    `called` says that `of` is a function of the user's, which could be mapped.
    """
    each = source.member if isinstance(source, FederatedType) else None
    if called and each is not None and not target.contains(FederatedType) and target.is_assignable_from(each):
        return f"call it at each member: tierfed.federated_map({of}, value)"
    if isinstance(target, FederatedType) and not source.contains(FederatedType):
        if target.member.is_assignable_from(source):
            return f"place it: tierfed.federated_value(value, {_python(target)})"
        return f"pass a value of {shown(target)}"
    _, expected, got = first_difference(target, source)
    match expected, got:
        case FederatedType(), FederatedType():
            return "move it first: tierfed.federated_broadcast goes down, an aggregate goes up"
        case StructType(), StructType():
            return _elements(expected, got)
        case _, StructType():
            return f"pass one of its elements, or let {of} take {shown(source)}"
        case TensorType(), TensorType() if expected.name != got.name:
            return f"convert it to {expected.name} in a leaf, or let {of} take {shown(source)}; nothing is cast"
        case TensorType(), TensorType():
            return f"reshape it in a leaf, or let {of} take {shown(source)}"
    return f"pass a value of {shown(target)}"


def _elements(expected: StructType, got: StructType) -> str:
    """Return what makes the elements of `got` those of `expected`."""
    wanted, given = _named(expected.names), _named(got.names)
    missing, unknown = [n for n in wanted if n not in given], [n for n in given if n not in wanted]
    if given and not wanted and len(expected) == len(got):
        return f"pass the elements without their names, as a tuple: ({', '.join(f'x.{n}' for n in given[:_NAMES])})"
    if missing or unknown:
        lists = (f"{word} {listed(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names)
        return f"give each of {listed(wanted) or 'the elements'} and no other: {'; '.join(lists)}"
    if wanted != given:
        return f"give the elements in the order {listed(wanted)}"
    return f"give {len(expected)} elements, not {len(got)}"


def _named(names: Sequence[str | None]) -> list[str]:
    return [n for n in names if n is not None]


def listed(names: Sequence[str]) -> str:
    """Return the first names of a list, for an error."""
    return ", ".join(map(quoted, names[:_NAMES])) + (", …" if len(names) > _NAMES else "")


def _python(t: FederatedType) -> str:
    name = t.placement.name
    return f"tierfed.{name}" if name in ("SERVER", "CLIENTS") else name
