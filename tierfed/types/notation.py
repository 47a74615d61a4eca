"""The notation of types: one grammar that is read and written.

    type      = base { "*" }
    base      = tensor | struct | function | federated | "placement" | label
    tensor    = dtype [ "[" ( "..." | size { "," size } ) "]" ]      size = digits | "?"
    struct    = "<" [ element { "," element } ] ">"                  element = [ name "=" ] type
    function  = "(" [ type ] " -> " type ")"
    federated = "{" type "}" "@" placement | type "@" placement
    name      = word | '"' string, escaped as in JSON '"'
    word      = a letter or _, then letters, digits and _

Spaces are read anywhere between tokens; none are written but around the arrow.
`parse(compact(t)) == t` for every type.
"""

from __future__ import annotations

import difflib
import json
import re

from tierfed.errors import NotationError, TypeMismatch
from tierfed.types.dtypes import NAMES
from tierfed.types.types import (
    AbstractType,
    FederatedType,
    FunctionType,
    PlacementType,
    SequenceType,
    StructType,
    TensorType,
    Type,
)
from tierfed.user_line import at_user_line

_TOKEN = re.compile(
    r"""\s*(?:(?P<arrow>->)|(?P<dots>\.\.\.)|(?P<word>[^\W\d]\w*)|(?P<number>[0-9]+)"""
    r"""|(?P<string>"(?:[^"\\]|\\.)*")|(?P<mark>[<>(){}\[\]=,@*?])|(?P<end>\Z)|(?P<bad>.))""",
    re.DOTALL,
)
_WORD = re.compile(r"[^\W\d]\w*\Z")  # Python's identifiers allow more, such as a combining accent
_EQUALS = re.compile(r"\s*=")
_EXAMPLES = "write it as in float32[?,3], <a=int32,b=bool>, int32*, (int32 -> bool), {float32}@CLIENTS or int32@SERVER"
_WIDTH = 72  # of a line of the formatted form, which an element's name may exceed
_MAX_DEPTH = 100
_MAX_DIGITS = 19  # of 2**63 - 1


def compact(t: Type) -> str:
    """Return `t` in compact notation."""
    match t:
        case TensorType(name=name, shape=shape):
            if shape is None:
                return f"{name}[...]"
            return name if not shape else f"{name}[{','.join('?' if s is None else str(s) for s in shape)}]"
        case StructType():
            return "<" + ",".join(_element(n, compact(e)) for n, e in t.elements) + ">"
        case SequenceType():
            return f"{compact(t.element)}*"
        case FunctionType():
            return f"({'' if t.parameter is None else compact(t.parameter)} -> {compact(t.result)})"
        case FederatedType():
            member = compact(t.member)
            return f"{member if t.all_equal else '{' + member + '}'}@{t.placement}"
        case PlacementType():
            return "placement"
        case AbstractType():
            return t.label
    raise TypeMismatch(f"{t!r} is no type", where="notation")


def formatted(t: Type, indent: int = 0) -> str:
    """Return `t` with each struct that does not fit a line written a line an element, for long types."""
    pad = "  " * (indent + 1)
    whole = compact(t)
    if len(whole) + len(pad) <= _WIDTH:
        return whole
    match t:
        case StructType() if len(t):
            rows = ",\n".join(pad + _element(n, formatted(e, indent + 1)) for n, e in t.elements)
            return "<\n" + rows + "\n" + "  " * indent + ">"
        case SequenceType():
            return f"{formatted(t.element, indent)}*"
        case FunctionType():
            parameter = "" if t.parameter is None else formatted(t.parameter, indent)
            return f"({parameter} -> {formatted(t.result, indent)})"
        case FederatedType():
            member = formatted(t.member, indent)
            return f"{member if t.all_equal else '{' + member + '}'}@{t.placement}"
    return whole


def _element(name: str | None, text: str) -> str:
    return text if name is None else f"{quoted(name)}={text}"


def quoted(name: str) -> str:
    """Return an element's name as notation writes it: bare when an identifier, otherwise quoted."""
    return name if name.isidentifier() and _WORD.match(name) else json.dumps(name, ensure_ascii=False)


def parse(text: str) -> Type:
    """Return the type that `text` writes.

    Raises NotationError with the position, and a suggestion for a misspelt dtype.
    """
    reader = _Reader(text)
    t = reader.type(0)
    reader.expect("end")
    return t


class _Reader:
    """A recursive-descent reader, one token ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.advance()

    def advance(self) -> None:
        found = _TOKEN.match(self.text, self.at)
        assert found is not None  # the pattern's last branch takes anything
        self.kind = str(found.lastgroup)
        self.token = found.group(self.kind)
        self.start = found.start(self.kind)
        self.at = found.end()

    def fail(self, what: str, mend: str | None = None, start: int | None = None) -> NotationError:
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "…"
        mend = mend or _EXAMPLES
        place = f"{shown!r}, column {(self.start if start is None else start) + 1}"
        return NotationError(what, where=at_user_line(place), mend=mend)

    def is_mark(self, mark: str) -> bool:
        return self.kind == "mark" and self.token == mark

    def take(self, mark: str) -> bool:
        if self.is_mark(mark):
            self.advance()
            return True
        return False

    def expect(self, what: str) -> None:
        if what == "end":
            if self.kind != "end":
                raise self.fail(f"{self.token!r} after the end of the type")
        elif what == "->":
            if self.kind != "arrow":
                raise self.fail(f"expected '->', got {self.token!r}" if self.token else "expected '->', got the end")
            self.advance()
        elif not self.take(what):
            raise self.fail(f"expected {what!r}, got " + (repr(self.token) if self.token else "the end"))

    def type(self, depth: int) -> Type:
        if depth > _MAX_DEPTH:
            raise self.fail(f"nested deeper than {_MAX_DEPTH}")
        start = self.start
        try:
            t = self.base(depth)
            while True:
                if self.take("*"):
                    t = SequenceType(t)
                elif self.take("@"):
                    t = FederatedType(t, self.placement(), True)
                else:
                    return t
        except NotationError:
            raise
        except TypeMismatch as bad:
            raise self.fail(bad.what, bad.mend, start) from None

    def placement(self) -> str:
        if self.kind != "word":
            raise self.fail("expected the name of a placement after '@'")
        name = self.token
        self.advance()
        return name

    def base(self, depth: int) -> Type:
        if self.take("<"):
            return self.struct(depth)
        if self.take("("):
            parameter = None if self.kind == "arrow" else self.type(depth + 1)
            self.expect("->")
            result = self.type(depth + 1)
            self.expect(")")
            return FunctionType(parameter, result)
        if self.take("{"):
            member = self.type(depth + 1)
            self.expect("}")
            self.expect("@")
            return FederatedType(member, self.placement(), False)
        if self.kind == "word":
            return self.word()
        raise self.fail(f"expected a type, got {self.token!r}" if self.token else "expected a type, got the end")

    def word(self) -> Type:
        word = self.token
        if word in NAMES:
            self.advance()
            return TensorType(word, self.shape() if self.take("[") else ())
        if word == "placement":
            self.advance()
            return PlacementType()
        if re.fullmatch(r"[A-Z][A-Z0-9_]*", word):
            self.advance()
            return AbstractType(word)
        near = difflib.get_close_matches(word, [*NAMES, "placement"], 1)
        raise self.fail(f"no type is called {word!r}", f"did you mean {near[0]!r}?" if near else None)

    def string(self) -> str:
        try:
            return str(json.loads(self.token, strict=False))
        except ValueError:
            raise self.fail(f"{self.token} is no string", 'write \\" for a quote and \\\\ for a backslash') from None

    def shape(self) -> list[int | None] | None:
        if self.kind == "dots":
            self.advance()
            self.expect("]")
            return None
        sizes: list[int | None] = []
        while True:
            if self.take("?"):
                sizes.append(None)
            elif self.kind == "number" and len(self.token) <= _MAX_DIGITS:
                sizes.append(int(self.token))
                self.advance()
            else:
                raise self.fail("expected a size or '?'")
            if self.take("]"):
                return sizes
            self.expect(",")

    def struct(self, depth: int) -> StructType:
        elements: list[tuple[str | None, Type]] = []
        if self.take(">"):
            return StructType(())
        while True:
            name: str | None = None
            if self.kind == "string" or (self.kind == "word" and _EQUALS.match(self.text, self.at)):
                name = self.token if self.kind == "word" else self.string()
                self.advance()
                self.expect("=")
            elements.append((name, self.type(depth + 1)))
            if self.take(">"):
                return StructType(elements)
            self.expect(",")
