"""Compose: the text of a YAML file becomes nodes that know where they stand.

    codec: {up: int8}     ->  Map([(Scalar "codec", Map([(Scalar "up", Scalar "int8")]))])

The nodes are built from the parser's events, without recursion, so that depth, size and
aliases are bounded before anything is built from them.  Tags are refused: a topology has
no use for them, and `!!python/object` is how YAML files run code.

Source: YAML 1.2.2, chapter 3 (events, serialisation tree); ruamel.yaml's parser.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from tierfed.topology.problems import Place, Problems
from tierfed.topology.suggest import did_you_mean

MAX_CHARACTERS = 4 * 2**20
MAX_DEPTH = 32
MAX_NODES = 400_000


class UnreadableError(Exception):
    """The file cannot be read further; the problem is already noted."""


@dataclass(slots=True, eq=False)
class Scalar:
    """A word, `plain` if it stands without quotes."""

    text: str
    plain: bool
    place: Place


@dataclass(slots=True, eq=False)
class Seq:
    """A list; `flow` if it is written in brackets."""

    items: list[Yaml]
    flow: bool
    place: Place
    done: bool = False


@dataclass(slots=True, eq=False)
class Map:
    """A mapping, as the pairs that are written; keys may repeat."""

    pairs: list[tuple[Yaml, Yaml]]
    flow: bool
    place: Place
    done: bool = False
    key: Yaml | None = None
    """While it is open: the key whose value comes next."""


Yaml: TypeAlias = Scalar | Seq | Map


@dataclass(slots=True)
class _Composer:
    label: str
    problems: Problems
    root: Yaml | None = None
    open: list[Seq | Map] = field(default_factory=list)
    anchors: dict[str, Yaml] = field(default_factory=dict)
    documents: int = 0
    nodes: int = 0

    def place(self, event: Any) -> Place:
        return Place(event.start_mark.line + 1, event.start_mark.column + 1, self.label)

    def stop(self, place: Place, what: str) -> UnreadableError:
        self.problems.add(place, (), what)
        return UnreadableError()

    def take(self, event: Any) -> None:
        match event:
            case DocumentStartEvent():
                self.start_document(event)
            case AliasEvent():
                self.put(self.aliased(event))
            case ScalarEvent():
                place = self.place(event)
                self.refuse_tag(event, place)
                node = Scalar(self.whole(event.value, place), event.style is None, place)
                self.anchor(event, node)
                self.put(node)
            case SequenceStartEvent() | MappingStartEvent():
                self.start(event)
            case SequenceEndEvent() | MappingEndEvent():
                self.open.pop().done = True

    def start_document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            raise self.stop(self.place(event), "a second document; a topology is one document, remove the '---'")
        if event.version not in (None, (1, 2)) or event.tags:
            raise self.stop(Place(1, 1, self.label), "a %YAML or %TAG directive; topologies are YAML 1.2, remove it")

    def start(self, event: Any) -> None:
        place = self.place(event)
        if len(self.open) >= MAX_DEPTH:
            raise self.stop(place, f"nested deeper than {MAX_DEPTH} levels")
        self.refuse_tag(event, place)
        flow = bool(event.flow_style)
        node: Seq | Map = Seq([], flow, place) if isinstance(event, SequenceStartEvent) else Map([], flow, place)
        self.anchor(event, node)
        self.put(node)
        self.open.append(node)

    def refuse_tag(self, event: Any, place: Place) -> None:
        if event.tag is not None:
            shown = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            mend = "write the value in quotes" if shown == "!!str" else "remove it"
            self.problems.add(place, (), f"the tag {shown}; a topology has no tags, {mend}")

    def whole(self, text: str, place: Place) -> str:
        r"""Return `text` with the halves of characters joined that JSON's escapes leave: "\ud83d\ude00"."""
        if not any("\ud800" <= c <= "\udfff" for c in text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.problems.add(place, (), "an escape of half a character; write the character itself")
            return "?"

    def anchor(self, event: Any, node: Yaml) -> None:
        if event.anchor is not None:
            self.anchors[event.anchor] = node

    def aliased(self, event: Any) -> Yaml:
        place = self.place(event)
        node = self.anchors.get(event.anchor)
        if node is None:
            known = did_you_mean(event.anchor, self.anchors, "the anchors before it are")
            raise self.stop(place, f"no anchor &{event.anchor} before *{event.anchor}; {known}")
        if isinstance(node, Seq | Map) and not node.done:
            raise self.stop(place, f"*{event.anchor} stands inside the value that it repeats")
        return node

    def put(self, node: Yaml) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.stop(node.place, f"more than {MAX_NODES} values")
        if not self.open:
            self.root = node
            return
        holder = self.open[-1]
        if isinstance(holder, Seq):
            holder.items.append(node)
        elif holder.key is None:
            holder.key = node
        else:
            holder.pairs.append((holder.key, node))
            holder.key = None


def compose(text: str, label: str, problems: Problems) -> Yaml | None:
    """Return the root node of the YAML `text`, None if there is none; `label` names the file in places.

    Problems that do not end the reading are added to `problems`.

    Raises UnreadableError, with its problem added, where reading cannot go on.
    """
    composer = _Composer(label, problems)
    if len(text) > MAX_CHARACTERS:
        raise composer.stop(Place(1, 1, label), f"{len(text)} characters; {MAX_CHARACTERS} are the most")
    try:
        for event in _events(text):
            composer.take(event)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        code = ord(error.character) if isinstance(error.character, str) else int(error.character)
        raise composer.stop(Place(line, column, label), f"the character U+{code:04X} may not stand in YAML") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1, label) if mark else Place(1, 1, label)
        told = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise composer.stop(place, f"not YAML: {told}") from None
    except YAMLError as error:
        raise composer.stop(Place(1, 1, label), f"not YAML: {error}") from None
    return composer.root


def _events(text: str) -> Iterator[Any]:
    yield from YAML(typ="safe", pure=True).parse(text)
