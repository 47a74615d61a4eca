"""Schema: the grammar of a topology file as JSON Schema, for editors.

    # yaml-language-server: $schema=.tierfed/topology.schema.json

It is made from the models of `spec`, so it says what the loader accepts; the loader also
checks what a schema cannot say (parents, counts, names, codecs).

Source: JSON Schema draft 7, which is what editors' YAML servers read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tierfed.topology.spec import TopologySpec

DRAFT = "http://json-schema.org/draft-07/schema#"
FILE = Path(".tierfed") / "topology.schema.json"
_SHORT_FORMS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("LinkSpec", "rate", lambda definitions: definitions["RateSpec"]["properties"]["up"]),
    ("InterfaceSpec", "rate", lambda definitions: definitions["RateSpec"]["properties"]["up"]),
    ("DataSpec", "split", lambda definitions: {"const": "iid"}),
)
"""Fields that may be a word where their model is a mapping."""


def json_schema() -> dict[str, Any]:
    """Return the schema of a topology file, draft 7."""
    made = TopologySpec.model_json_schema(by_alias=True, mode="validation")
    schema: dict[str, Any] = _draft_7(made)
    schema["title"] = "TierFed topology"
    schema["patternProperties"] = {"^x-": {}}
    names = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "not": {"enum": list(schema["properties"])}}
    schema["properties"]["placements"]["propertyNames"] = names
    definitions = schema["definitions"]
    for holder, name, short in _SHORT_FORMS:
        whole = definitions[holder]["properties"][name]
        definitions[holder]["properties"][name] = {"anyOf": [whole, short(definitions)]}
    return {"$schema": DRAFT, **schema}


def _draft_7(value: Any) -> Any:
    """Return a schema of draft 2020-12 in the words of draft 7."""
    if isinstance(value, list):
        return [_draft_7(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "properties" in value:
        value = {**value, "properties": {name: _never_null(p) for name, p in value["properties"].items()}}
    made = {("definitions" if key == "$defs" else key): _draft_7(inner) for key, inner in value.items()}
    if isinstance(made.get("$ref"), str):
        reference = made["$ref"].replace("#/$defs/", "#/definitions/")
        if len(made) > 1:  # in draft 7 what stands beside a $ref is not read
            rest = {key: inner for key, inner in made.items() if key != "$ref"}
            return {**rest, "allOf": [{"$ref": reference}]}
        return {"$ref": reference}
    return made


def _never_null(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field that is left out rather than null; a placement or a member may be empty."""
    field = {key: inner for key, inner in field.items() if key != "default" or inner is not None}
    choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return field
    rest = {key: inner for key, inner in field.items() if key != "anyOf"}
    return {**rest, **choices[0]} if len(choices) == 1 else {**rest, "anyOf": choices}


def write(folder: Path) -> Path:
    """Write the schema to `.tierfed/topology.schema.json` in `folder`; return its path."""
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    return path
