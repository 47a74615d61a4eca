"""Make docs/reference.md of the docstrings and the table of intrinsics, or check that it is up to date.

    python tools/make_reference.py            # writes docs/reference.md
    python tools/make_reference.py --check    # exit 1 if the page is not what the docstrings say

What stands in the page stands in the code: the call's form is the callable's signature, its text
the docstring that `help()` shows, its example a doctest that tests/docs/test_reference.py runs, and what
an operator expands to is what its `expand` makes of the uses in its example.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType as FunctionKind
from typing import Any

import numpy as np

import tierfed
import tierfed.errors
from tierfed.ir.intrinsics import TABLE
from tierfed.ir.nodes import Call, Intrinsic, Node, Reference
from tierfed.language.operators import CALLABLES
from tierfed.language.placed import Placed
from tierfed.placements import Placement
from tierfed.types import FunctionType

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference.md"

GROUPS = {
    "at": "Values at a placement",
    "stays": "At each member",
    "descends": "Downwards",
    "rises": "Upwards",
    "federated_iterate": "Loops",
    "sequence": "Sequences",
    "generic": "Arithmetic",
}
"""The titles of the operators' groups in the order of the page: by where results stand, or by name."""


def _grouped() -> dict[str, tuple[str, ...]]:
    """Return the operators of each group; one that is new finds its place by itself."""
    groups: dict[str, list[str]] = {title: [] for title in GROUPS.values()}
    for name in CALLABLES:
        family = name.partition("_")[0]
        direction = TABLE[name].direction if name in TABLE else "at"
        groups[GROUPS.get(name) or GROUPS.get(family) or GROUPS[direction]].append(name)
    return {title: tuple(names) for title, names in groups.items()}


OPERATORS = _grouped()

Names = tuple[str, ...]
THE_REST: dict[str, tuple[str, Names]] = {
    "Computations": (
        "What the decorators make of Python functions. See [the language](language.md) and, for leaves in "
        "TensorFlow, [TensorFlow leaves](leaves-tf.md); [jobs](jobs.md) for what a run leaves behind.",
        ("federated_computation", "py_computation", "tf_computation", "job", "Computation", "check_aggregate"),
    ),
    "Types": (
        "Every type has one notation, which `to_type` reads and `str` writes. The table of notations and the rules "
        "of assignability are on [types](types.md).",
        (
            "to_type",
            "Type",
            "TensorType",
            "StructType",
            "SequenceType",
            "FunctionType",
            "FederatedType",
            "PlacementType",
            "AbstractType",
            "Struct",
        ),
    ),
    "Placements": ("Roles, and the order they stand in.", ("placement", "Placement", "Hierarchy")),
    "Topologies": (
        "Who stands below whom, by name. The file's grammar is on [topology](topology.md).",
        ("tree", "load_topology", "Topology"),
    ),
    "Contexts": (
        "Where a call runs: in the innermost context that was entered, and without one in the reference interpreter. "
        "See [contexts](contexts.md).",
        ("local", "up", "simulate", "RunTree"),
    ),
    "Sweeps": ("Many runs of one file. See [sweeps](sweeps.md).", ("sweep", "SweptRuns")),
    "Reports": ("What came of runs and sweeps. See [reports](report.md).", ("report_of", "Report")),
    "Handles": ("What a call returns that stays where it is. See [placed values](placed-values.md).", ("Placed",)),
    "Compiling, and programs as bytes": (
        "See [compiler](compiler.md), [programs inside](ir.md) and [interop](interop.md).",
        ("compile", "Compiled", "serialize", "deserialize"),
    ),
    "Codecs": ("What a link does to an array. See [codecs](codecs.md).", ("codec",)),
    "Executors": ("See [the Executor interface](executor.md).", ("executor_factory",)),
    "Notebooks": (
        "`%load_ext tierfed`, then `%%tierfed_module NAME`: see [contexts](contexts.md#in-a-notebook).",
        ("load_ipython_extension",),
    ),
}

_HEAD = """# Reference

Every public name: what it takes, what it gives, what it means, and an example. Ways through it are
[the first tutorial](tutorials/introduction.md) and [the language](language.md).

This page is made by `python tools/make_reference.py` of the docstrings, which `help(tierfed.federated_sum)` shows
too; tests compare it with them, and run every example. The examples assume

```python
import numpy as np, tierfed
```

and, where nothing else is said, run in the reference interpreter, on a server and as many clients as the arguments
have values. Lists have a value for each member, in member order.
"""
_LEGEND = """P is any placement, Q one above it, C one below. What rises goes to `to=SERVER` unless told otherwise, what
descends to `to=CLIENTS`. At a singleton a result is all-equal, `T@SERVER`; elsewhere it is `{T}@Q`, and each member
of Q has the value of its own subtree. Where one placed value is taken, a struct of placed values is zipped first; a
plain function given as `fn`, `accumulate` … is traced. The rules that decide cases are in
[the language](language.md#rules-that-decide-cases).

Derived operators are expanded to others before a program is sliced. What is shown is what becomes of the
uses in the example."""


def page() -> str:
    """Return the page."""
    lines = [_HEAD, *_contents(), "## Operators\n", _LEGEND, ""]
    for title, names in OPERATORS.items():
        lines += [f"### {title}\n"]
        for name in names:
            lines += [*_entry(name, CALLABLES[name]), *_expansion(name)]
    for title, (text, names) in THE_REST.items():
        lines += [f"## {title}\n", text, ""]
        for name in names:
            lines += _entry(name, _named(name))
            lines += _members(_named(name))
    lines += ["## Errors\n", *_markdown(inspect.cleandoc(tierfed.errors.__doc__ or ""))]
    lines += _entry("TierfedError", tierfed.TierfedError)
    return "\n".join(lines).rstrip() + "\n"


def documented() -> Iterator[tuple[str, str]]:
    """Yield each name of the page with its docstring."""
    for names in OPERATORS.values():
        for name in names:
            yield name, inspect.getdoc(CALLABLES[name]) or ""
    for _, names in THE_REST.values():
        for name in names:
            yield name, _docstring(_named(name))
    yield "TierfedError", _docstring(tierfed.TierfedError)


def run_example(name: str, docstring: str, tell: Callable[[str], Any]) -> tuple[dict[str, Any], bool]:
    """Run the doctests of `docstring`; return the names they leave behind, and whether all of them passed."""
    known: dict[str, Any] = {"np": np, "tierfed": tierfed, "__name__": "__main__"}
    if name == "tf_computation":
        known["tf"] = importlib.import_module("tensorflow")
    test = doctest.DocTestParser().get_doctest(docstring, known, name, name, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    done = runner.run(test, out=tell, clear_globs=False)
    return test.globs, done.failed == 0


def _named(name: str) -> Any:
    return Placed if name == "Placed" else getattr(tierfed, name)


def _docstring(of: Any) -> str:
    """Return the docstring of a name; what only points to its module's is that."""
    text = inspect.getdoc(of) or ""
    return inspect.cleandoc(sys.modules[of.__module__].__doc__ or "") if text.startswith("See the module") else text


def _contents() -> list[str]:
    anchors: list[str] = []

    def link(name: str) -> str:
        anchor = name.lower()
        again = anchors.count(anchor)
        anchors.append(anchor)
        return f"[{name}](#{anchor}{f'-{again}' if again else ''})"

    def links(names: Names) -> str:
        return " · ".join(map(link, names))

    lines = ["| | |", "|---|---|"]
    lines += [f"| {title} | {links(names)} |" for title, names in OPERATORS.items()]
    lines += [f"| {title} | {links(names)} |" for title, (_, names) in THE_REST.items()]
    return [*lines, "| Errors | [the tree of errors](#errors) |", ""]


def _entry(name: str, of: Any) -> list[str]:
    made_by_others = isinstance(of, type) and ("ade by" in _docstring(of) or name in _NOT_CALLED)
    form = [] if made_by_others else ["```python", f"{name}{_call(of)}", "```", ""]
    return [f"#### {name}\n", *form, *_markdown(_docstring(of))]


_NOT_CALLED = ("Type", "Struct", "Placed", "TierfedError")  # by users


class _Written:
    """A default as a user writes it."""

    def __init__(self, value: Any) -> None:
        self.text = str(value) if isinstance(value, Placement) else "…" if inspect.isfunction(value) else repr(value)

    def __repr__(self) -> str:
        return self.text


def _markdown(docstring: str) -> list[str]:
    """Return a docstring as Markdown: indented paragraphs are listings, doctests are sessions."""
    lines: list[str] = []
    for paragraph in _paragraphs(docstring):
        if paragraph.startswith(">>>"):
            lines += ["```pycon", paragraph, "```", ""]
        elif paragraph.startswith("    "):
            lines += ["```", inspect.cleandoc(paragraph), "```", ""]
        else:
            lines += [re.sub(r"(?<=\S)  (?=\S)", " ", paragraph), ""]
    return lines


def _paragraphs(docstring: str) -> list[str]:
    """Return the paragraphs; neighbouring indented ones are one."""
    paragraphs: list[str] = []
    for paragraph in re.split(r"\n\n+", docstring.strip("\n")):
        if paragraphs and paragraph.startswith("    ") and paragraphs[-1].startswith("    "):
            paragraphs[-1] += "\n\n" + paragraph
        else:
            paragraphs.append(paragraph)
    return paragraphs


def _expansion(name: str) -> list[str]:
    """Return what the uses of a derived operator in its example are expanded to."""
    op = TABLE.get(name)
    if op is None or op.expand is None:
        return []
    known, passed = run_example(name, inspect.getdoc(CALLABLES[name]) or "", sys.stderr.write)
    if not passed:
        raise SystemExit(f"the example of {name} does not give what it says")
    shown: list[str] = []
    for computation in known.values():
        node = getattr(computation, "node", None)
        for use in node.walk() if isinstance(node, Node) else ():
            fn = use.function if isinstance(use, Call) else None
            if isinstance(fn, Intrinsic) and fn.uri in (op.uri, op.with_optional) and isinstance(fn.type, FunctionType):
                used = TABLE[fn.uri]
                types = used.unpacked(fn.type.parameter)
                arguments = tuple(Reference(p.name, t) for p, t in zip(used.parameters, types, strict=False))
                assert used.expand is not None
                text = str(used.expand(arguments, fn.type))
                shown += [text] if text not in shown else []
    return ["Expands to", "", "```", *shown, "```", ""]


def _members(of: Any) -> list[str]:
    """Return the public methods and properties of a class that has them of its own."""
    if not isinstance(of, type):
        return []
    rows: list[str] = []
    for name, member in vars(of).items():
        if name.startswith("_") or not isinstance(member, property | classmethod | FunctionKind) or not member.__doc__:
            continue
        text = inspect.getdoc(member) or ""
        first = " ".join(text.partition("\n\n")[0].split())
        call = "" if isinstance(member, property) else _call(getattr(of, name))
        rows.append(f"- `{name}{call}`: {first}")
    return [*rows, ""] if rows else []


def _call(method: Any) -> str:
    """Return the parameters of `method` and their defaults, in brackets."""
    own = [p.replace(annotation=p.empty) for p in inspect.signature(method).parameters.values() if p.name != "self"]
    given = [p if p.default is p.empty else p.replace(default=_Written(p.default)) for p in own]
    return str(inspect.Signature(given))


def main() -> int:
    """Write the page, or compare with `--check`."""
    made = page()
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == made:
        return 0
    print("docs/reference.md is not what the docstrings say: run python tools/make_reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
