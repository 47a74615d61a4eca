"""Positions: the nodes of a file become plain data, and every path of it gets its place.

    document.data["placements"]["CLIENTS"]["codec"]["up"]              "int8+zstd"
    document.value(("placements", "CLIENTS", "codec", "up"))           three.yaml:24:18
    document.key(("placements", "CLIENTS", "codec"))                   three.yaml:24:5

Aliases are copied in (bounded: eight lines of aliases of aliases can say a billion
values), `<<` merges are carried out with a mapping's own keys winning, and keys that stand
twice are problems rather than silent replacements.

Source: YAML 1.2.2; the merge key type of yaml.org/type/merge.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from tierfed.topology.compose import MAX_DEPTH, MAX_NODES, Map, Scalar, Seq, UnreadableError, Yaml, compose
from tierfed.topology.problems import Path, Place, Problems
from tierfed.topology.scalars import ScalarError, resolve


@dataclass(slots=True)
class Document:
    """Plain data, and where each key and value of it stands in `label`."""

    label: str
    data: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    bare: dict[Path, str] = field(default_factory=dict)
    """The text of each value that stands without quotes."""

    def key(self, path: Path) -> Place:
        """Return where the key of `path` stands; that of the nearest mapping above it if it has none."""
        while path and path not in self.keys:
            if path in self.values:
                return self.values[path]
            path = path[:-1]
        return self.keys.get(path) or self.values.get(path) or Place(1 if self.values else 0, 1, self.label)

    def value(self, path: Path) -> Place:
        """Return where the value of `path` stands; that of the nearest key above it if it has none."""
        return self.values[path] if path in self.values else self.key(path)

    def shown(self, path: Path) -> Path:
        """Return `path` without the steps at its end that do not stand in the file."""
        while path and path not in self.keys and path not in self.values:
            path = path[:-1]
        return path


def read(path: FilePath, problems: Problems) -> Document:
    """Return the document in the file at `path`, `data` None if it cannot be read."""
    label = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        problems.add(Place(0, 0, label), (), "no such file")
    except UnicodeDecodeError as error:
        problems.add(Place(0, 0, label), (), f"not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}")
    except OSError as error:
        problems.add(Place(0, 0, label), (), (error.strerror or str(error)).lower())
    else:
        return read_text(text, label, problems)
    return Document(label)


def read_text(text: str, label: str, problems: Problems) -> Document:
    """Return the document written in `text`; `label` names it in places."""
    document = Document(label)
    try:
        root = compose(text, label, problems)
        if root is None:
            problems.add(Place(1, 1, label), (), "an empty file; start with 'apiVersion: tierfed/v1'")
            return document
        document.data = _Walk(document, problems).value(root, ())
    except UnreadableError:
        document.data = None
    return document


@dataclass(slots=True)
class _Walk:
    document: Document
    problems: Problems
    seen: int = 0

    def value(self, node: Yaml, path: Path) -> Any:
        """Return the data of `node`, which stands at `path`."""
        self.count(node, 1, len(path))
        self.document.values[path] = node.place
        match node:
            case Scalar():
                return self.scalar(node, path)
            case Seq():
                kept = self.unbroken_items(node, path)
                return [self.value(item, (*path, at)) for at, item in enumerate(kept)]
            case Map():
                return self.mapping(node, path)

    def count(self, node: Yaml, values: int, depth: int) -> None:
        """Note that `values` more have been reached; aliases can repeat and nest them without end."""
        self.seen += values
        if self.seen > MAX_NODES:
            self.problems.add(node.place, (), f"aliases repeat more than {MAX_NODES} values")
            raise UnreadableError
        if depth > MAX_DEPTH:
            self.problems.add(node.place, (), f"aliases nest deeper than {MAX_DEPTH} levels")
            raise UnreadableError

    def scalar(self, node: Scalar, path: Path) -> Any:
        if not node.plain:
            return node.text
        self.document.bare[path] = node.text
        try:
            return resolve(node.text)
        except ScalarError as error:
            self.problems.add(node.place, path, str(error))
            return node.text

    def mapping(self, node: Map, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name, key, value in self.entries(node, path):
            at = (*path, name)
            self.document.keys[at] = key.place
            data[name] = self.value(value, at)
        return data

    def entries(self, node: Map, path: Path, merged: int = 0) -> list[tuple[str, Scalar, Yaml]]:
        """Return the entries of a mapping, its own first, then those that it merges and has not."""
        own: dict[str, tuple[Scalar, Yaml]] = {}
        merges: list[Yaml] = []
        pairs = self.unbroken_pairs(node, path)
        for key, value in pairs:
            if not isinstance(key, Scalar):
                self.problems.add(key.place, path, "a list or mapping as a key; keys are names")
            elif key.plain and key.text == "<<":
                merges.append(value)
            elif not key.text:
                self.problems.add(key.place, path, "an empty key; keys are names")
            elif key.text in own:
                first = own[key.text][0].place.line
                self.problems.add(
                    key.place, (*path, key.text), f"the key stands twice, first on line {first}; keep one of them"
                )
            else:
                own[key.text] = (key, value)
        for merge in merges:
            for source in merge.items if isinstance(merge, Seq) else [merge]:
                if not isinstance(source, Map):
                    self.problems.add(source.place, path, "'<<' merges mappings; write an alias of one, as in <<: *wan")
                    continue
                self.count(source, 1 + len(source.pairs), len(path) + merged + 1)
                for name, key, value in self.entries(source, path, merged + 1):
                    own.setdefault(name, (key, value))
        return [(name, key, value) for name, (key, value) in own.items()]

    def unbroken_pairs(self, node: Map, path: Path) -> list[tuple[Yaml, Yaml]]:
        """Return the pairs of a mapping without those that a comma between parentheses has broken in two."""
        if not node.flow:
            return node.pairs
        kept: list[tuple[Yaml, Yaml]] = []
        pairs = iter(node.pairs)
        for key, value in pairs:
            if not _opens(value):
                kept.append((key, value))
                continue
            pieces = [value.text]  # type: ignore[union-attr]  # _opens is true of scalars alone
            for rest, nothing in pairs:
                if not (isinstance(rest, Scalar) and isinstance(nothing, Scalar) and not nothing.text):
                    kept.append((rest, nothing))
                    break
                pieces.append(rest.text)
                if _closed(pieces):
                    break
            name = key.text if isinstance(key, Scalar) else "?"
            self.broken(value, pieces, (*path, name), f"{name}: ")
        return kept

    def unbroken_items(self, node: Seq, path: Path) -> list[Yaml]:
        """Return the items of a list without those that a comma between parentheses has broken in two."""
        if not node.flow:
            return node.items
        kept: list[Yaml] = []
        items = iter(node.items)
        for item in items:
            if not _opens(item):
                kept.append(item)
                continue
            pieces = [item.text]  # type: ignore[union-attr]  # _opens is true of scalars alone
            for rest in items:
                if not isinstance(rest, Scalar):
                    kept.append(rest)
                    break
                pieces.append(rest.text)
                if _closed(pieces):
                    break
            self.broken(item, pieces, path, "")
        return kept

    def broken(self, node: Yaml, pieces: list[str], path: Path, key: str) -> None:
        whole = ",".join(pieces)
        told = f'YAML ends {pieces[0]!r} at the comma; quote it: {key}"{whole}"'
        if not _closed(pieces):
            told = f"the parenthesis in {pieces[0]!r} is never closed"
        self.problems.add(node.place, path, told)


def _opens(node: Yaml) -> bool:
    return isinstance(node, Scalar) and node.plain and node.text.count("(") > node.text.count(")")


def _closed(pieces: list[str]) -> bool:
    whole = "".join(pieces)
    return whole.count("(") == whole.count(")")
