"""The figures of docs/performance.md and README: where `python -m benchmarks --write` puts them, and from what."""

from __future__ import annotations

import json

import pytest

from benchmarks import __main__ as command
from benchmarks.rows import between, row

FIGURES = {
    "upload": {"machine": "Python 3", "rows": [row("upload: link against blocking sockets", 0.97, "x", ">= 0.85")]},
    "rounds": {"machine": "Python 4", "rows": [row("empty round against the bare path", 86.0, "x")]},
}


def test_both_documents_have_the_markers() -> None:
    """Each has room for the figures, once."""
    for file in (command.PAGE, command.README):
        text = file.read_text("utf-8")
        assert text.count(command.BEGIN) == text.count(command.END) == 1
        assert "| a |" in between(text, command.BEGIN, command.END, "| a |", file.name)


def test_a_document_without_them_is_told() -> None:
    """What is not there is named."""
    with pytest.raises(SystemExit, match=r"page\.md has no lines <b> and <e>"):
        between("nothing", "<b>", "<e>", "", "page.md")


def test_what_runs_now_replaces_its_own_table_alone(tmp_path, monkeypatch) -> None:
    """A second run of one benchmark leaves the figures of the others, and README shows the main rows only."""
    files = {name: tmp_path / name for name in ("PAGE", "README", "FIGURES")}
    for name, file in files.items():
        monkeypatch.setattr(command, name, file)
        if name != "FIGURES":
            file.write_text(f"before\n{command.BEGIN}\nold\n{command.END}\nafter\n")
    command.write(FIGURES)
    newer = {**FIGURES["upload"], "rows": [row("upload: link against blocking sockets", 0.5, "x", ">= 0.85")]}
    command.write({"upload": newer})
    page, readme = files["PAGE"].read_text(), files["README"].read_text()
    assert "| upload: link against blocking sockets | 0.5 x | >= 0.85 | **missed** |" in page
    assert "86 x" in page and "86 x" not in readme and "0.5 x" in readme
    assert "old" not in page and page.startswith("before\n") and page.endswith("after\n")
    assert json.loads(files["FIGURES"].read_text()) == {**FIGURES, "upload": newer}


def test_every_benchmark_that_is_named_is_there() -> None:
    """Each has a module with `run`, and those that take long are among them."""
    for name in command.NAMES:
        assert (command.ROOT / "benchmarks" / f"{name}.py").exists() or (command.ROOT / "benchmarks" / name).is_dir()
    assert set(command.LONG) < set(command.NAMES)
