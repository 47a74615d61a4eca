"""Names: the template that names the members of a placement.

    "c-{parent.labels.region}-{i:02d}"      ->  c-eu-00, c-eu-01, …, c-us-00, …

| field | is |
|---|---|
| `{i}`, `{i:02d}` | the number within the parent, from 0 |
| `{n}`, `{n:04d}` | the number within the placement, in member order |
| `{parent.name}` | the parent's name |
| `{parent.labels.x}` | the parent's label x, or that of the nearest ancestor that has it |

It is a grammar of its own and not `str.format`, which reads any attribute of any object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tierfed.topology.suggest import did_you_mean

_PIECE = re.compile(r"(?P<text>[^{}]+)|\{(?P<field>[^{}:]*)(?::(?P<form>[^{}]*))?\}")
_LABEL = re.compile(r"parent\.labels\.(?P<label>[A-Za-z_][A-Za-z0-9_-]*)", re.ASCII)
_FORM = re.compile(r"(?:0(?P<width>[1-9]))?d?", re.ASCII)
_FIELDS = ("i", "n", "parent.name", "parent.labels.…")


class TemplateError(ValueError):
    """A template that cannot be read, or a label that a parent has not."""


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: pieces of text and fields, each field with the width it is padded to."""

    text: str
    pieces: tuple[tuple[str, str, int], ...]  # (kind, text or label, width)

    @staticmethod
    def parse(text: str) -> Template:
        """Return the template written in `text`.  Raises TemplateError naming the field that is none."""
        pieces: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            match = _PIECE.match(text, at)
            if match is None:
                raise TemplateError(f"the brace at character {at + 1} of {text!r} has no partner")
            at = match.end()
            pieces.append(("text", match["text"], 0) if match["text"] else _field(match["field"], match["form"]))
        return Template(text, tuple(pieces))

    def name(self, *, i: int, n: int, parent: str, labels: Mapping[str, str]) -> str:
        """Return the name of the member number `i` of `parent`, `n` of its placement.

        Raises TemplateError if neither the parent nor its ancestors have a label that it names.
        """
        made = []
        for kind, text, width in self.pieces:
            match kind:
                case "text":
                    made.append(text)
                case "i" | "n":
                    made.append(f"{i if kind == 'i' else n:0{width}d}")
                case "parent":
                    made.append(parent)
                case _:
                    if text not in labels:
                        raise TemplateError(f"{parent} has no label '{text}'; {did_you_mean(text, labels, 'it has')}")
                    made.append(labels[text])
        return "".join(made)


def numbered(stem: str, count: int) -> Template:
    """Return the template of a placement that names none: `clients-00` … for 32 of them."""
    return Template.parse(f"{stem}-{{n:0{len(str(max(count - 1, 0)))}d}}")


def _field(field: str, form: str | None) -> tuple[str, str, int]:
    if field in ("i", "n"):
        match = _FORM.fullmatch(form or "")
        if match is None:
            raise TemplateError(f"{{{field}:{form}}} has no such form; write {{{field}}} or {{{field}:02d}}")
        return field, "", int(match["width"] or 0)
    if form is not None:
        raise TemplateError(f"{{{field}:{form}}} is no number and takes no form; write {{{field}}}")
    if field == "parent.name":
        return "parent", "", 0
    if label := _LABEL.fullmatch(field):
        return "label", label["label"], 0
    raise TemplateError(f"no field {{{field}}}; {did_you_mean(field, _FIELDS, 'the fields are')}")
