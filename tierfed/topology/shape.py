"""Shape: a document becomes a `TopologySpec`, and what does not fit becomes problems.

pydantic says which path is wrong; the document says where that path stands.  What is wrong
is taken out and the rest is read again, so that later checks still see all they can trust.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from tierfed.topology.fields import UNSUPPORTED, WRONG, WRONG_KEY, described
from tierfed.topology.later import refuse_later
from tierfed.topology.nesting import unknown_field
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Problems
from tierfed.topology.scalars import old_boolean
from tierfed.topology.spec import TopologySpec
from tierfed.topology.suggest import closest

_MAY_BE_EMPTY = (("placements", "*"), ("placements", "*", "members", "*"), ("hosts", "*"), ("placements",))
_REQUIRED = {"apiVersion": "tierfed/v1", "kind": "Topology"}


def shape(document: Document, problems: Problems) -> TopologySpec | None:
    """Return the spec of `document` without its wrong parts, each of which becomes a problem.

    None if there is too little to go on with.  The document's data loses the wrong parts too.
    """
    if document.data is None:
        return None
    if not isinstance(document.data, dict):
        problems.add(document.value(()), (), f"expected a mapping, got {described(document.data)}")
        return None
    for key in [k for k in document.data if k.startswith("x-")]:
        del document.data[key]
    _refuse_emptiness(document, problems)
    _refuse_old_booleans(document, problems)
    refuse_later(document, problems)
    for _ in range(64):  # each turn takes something out
        try:
            return TopologySpec.model_validate(document.data)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=True)
        for one in wrong:
            _note(one, document, problems)
        for one in wrong:
            _take_out(document, tuple(one["loc"]), missing=one["type"] == "missing")
        if not isinstance(document.data.get("placements"), dict) or not document.data["placements"]:
            return None
    return None


def _refuse_emptiness(document: Document, problems: Problems) -> None:
    """Refuse keys without a value where that could only be a slip."""

    def walk(value: Any, path: Path) -> None:
        if isinstance(value, dict):
            for key in list(value):
                at = (*path, key)
                if value[key] is None and not _may_be_empty(at):
                    problems.add(document.key(at), at, "nothing follows; write a value, or remove the field")
                    del value[key]
                elif at != ("job", "params"):
                    walk(value[key], at)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, (*path, index))

    walk(document.data, ())


def _may_be_empty(path: Path) -> bool:
    return any(
        len(path) == len(like) and all(b in ("*", a) for a, b in zip(path, like, strict=True)) for like in _MAY_BE_EMPTY
    )


def _refuse_old_booleans(document: Document, problems: Problems) -> None:
    """Refuse a bare yes or off as a parameter: YAML 1.2 makes text of it, most writers mean true or false."""
    for path, text in document.bare.items():
        if path[:2] == ("job", "params") and (meant := old_boolean(text)) is not None:
            told = f'{text} is a text in YAML 1.2; write {str(meant).lower()}, or "{text}"'
            problems.add(document.value(path), path, told)


def _note(error: Any, document: Document, problems: Problems) -> None:
    """Add the problem that pydantic's `error` stands for, unless something above it is already one."""
    path: Path = tuple(error["loc"])
    kind = error["type"]
    if kind == "missing":
        path = (*path[:-1], error.get("ctx", {}).get("field", path[-1]))  # as the file would call it
        if problems.at_or_below(path):
            return  # it is there, and was wrong
        if path[-1] in ("from", "to") and any(problems.at_or_below((*path[:-1], o)) for o in ("times", "trace")):
            return  # what stands in its place was wrong
        holder = document.key(path[:-1]) if path[:-1] else document.value(())
        told = f"needs '{path[-1]}'"
        if str(path[-1]) in _REQUIRED and len(path) == 1:
            told += f"; write {path[-1]}: {_REQUIRED[str(path[-1])]}"
        problems.add(holder, path[:-1], told)
        return
    if kind == "extra_forbidden":
        problems.add(document.key(path), path, unknown_field(path))
        return
    shown = document.shown(path)
    if problems.at_or_below(shown) or problems.at_place(document.value(shown)):
        return  # what it takes offence at is told already
    place = document.key(shown) if kind == WRONG_KEY else document.value(shown)
    problems.add(place, shown, in_our_words(error), unsupported=kind == UNSUPPORTED)


def in_our_words(error: Any) -> str:
    """Return an error of pydantic's in our words."""
    got, context = error["input"], error.get("ctx", {})
    if error["type"] in (WRONG, WRONG_KEY, UNSUPPORTED):
        return str(context["what"])
    match error["type"]:
        case "literal_error":
            choices = [c.strip("'") for c in str(context["expected"]).replace(" or ", ", ").split(", ")]
            near = closest(got, choices) if isinstance(got, str) else None
            end = f"; did you mean '{near}'?" if near and near != got else ""
            wanted = " or ".join(choices) if len(choices) < 3 else f"one of {', '.join(choices)}"
            return f"expected {wanted}, got {described(got)}{end}"
        case "greater_than_equal":
            return f"{got} is too small; {context['ge']} is the least"
        case "greater_than":
            return f"{got} is too small; write more than {context['gt']:g}"
        case "less_than":
            return f"{got} is too large; write less than {context['lt']}"
        case "too_short" | "string_too_short":
            return f"expected at least one entry, got {'an empty text' if got == '' else 'none'}"
    wanted = _WANTED.get(error["type"], "another kind of value")
    return f"expected {wanted}, got {described(got)}"


_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
}


def _take_out(document: Document, path: Path, *, missing: bool) -> None:
    """Remove what stands at `path`; if something is missing there, what lacks it."""
    if missing and len(path) == 1 and path[0] in _REQUIRED:
        document.data[path[0]] = _REQUIRED[str(path[0])]
        return
    if missing:
        path = path[:-1]
    holder: Any = document.data
    way: list[tuple[Any, Any]] = []
    for step in path:
        in_list = isinstance(holder, list) and isinstance(step, int) and step < len(holder)
        if isinstance(holder, dict) and step not in holder:
            return  # it has been taken out: one figure for both ways is wrong in both
        if not in_list and not isinstance(holder, dict):
            break
        way.append((holder, step))
        holder = holder[step]
    if not way:
        return
    inside, last = way[-1]
    if isinstance(inside, list) and way[-2][1] == "overrides":
        inside[last] = {"match": {"name": "*"}}  # keeps the places of the others
    elif isinstance(inside, list):
        del way[-2][0][way[-2][1]]
    elif last in _REQUIRED and inside is document.data:
        inside[last] = _REQUIRED[last]
    else:
        del inside[last]
