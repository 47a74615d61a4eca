"""The tutorials: their listings are files that import, and their sessions give what stands below each line."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"


def _blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _written(text: str, folder: Path) -> str:
    """Write the files of a page to `folder`; return the name of its module."""
    listings = _blocks(text, "python")
    name = re.match(r"# (\w+)\.py\n", listings[0])
    assert name is not None
    (folder / f"{name[1]}.py").write_text("\n\n".join(listings), "utf-8")
    for listing in _blocks(text, "yaml"):
        file = re.match(r"# ([\w.]+)\n", listing)
        assert file is not None
        (folder / file[1]).write_text(listing, "utf-8")
    return name[1]


def _session(text: str, page: str) -> doctest.DocTest:
    """Return all sessions of a page as one, on the page's own lines."""
    inside = re.sub(
        r"^```pycon\n(.*?)^```$",
        lambda block: "\n" + re.sub(r"^", "\x00", block[1], flags=re.MULTILINE) + "\n",
        text,
        flags=re.MULTILINE | re.DOTALL,
    )
    lines = (line[1:] if line.startswith("\x00") else "" for line in inside.split("\n"))
    return doctest.DocTestParser().get_doctest("\n".join(lines), {"__name__": "session"}, page, page, 0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory whose modules can be imported, here and by nodes."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIERFED_HOME", str(tmp_path / "runs"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    return tmp_path


@pytest.mark.parametrize("page", sorted(p.name for p in TUTORIALS.glob("*.md")))
def test_the_sessions(page, folder):
    """Each line gives what stands below it, errors included."""
    text = (TUTORIALS / page).read_text("utf-8")
    module = _written(text, folder)
    test = _session(text, page)
    assert len(test.examples) > 15
    told: list[str] = []
    try:
        done = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(test, out=told.append)
    finally:
        sys.modules.pop(module, None)
        importlib.invalidate_caches()
    assert done.failed == 0, "".join(told)


def test_the_script_of_the_introduction(folder):
    """Run as a file, it prints what the page says."""
    text = (TUTORIALS / "introduction.md").read_text("utf-8")
    _written(text, folder)
    shown = re.search(r"^```\n\$ python sensors.py\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    done = subprocess.run([sys.executable, "-W", "error", "sensors.py"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (shown[1], 0), done.stderr
