"""Lines are folded to a terminal's width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed.report.fold import folded

TREE = """\
SERVER server                         quorum 100%  deadline 60s
├─ edge-eu              up bf16       quorum 100%  deadline 30s  region=eu
│  └─ c-eu-[00-15] ×16  up int8+zstd
└─ edge-us              up bf16       quorum 100%  deadline 30s  region=us
   └─ c-us-[00-15] ×16  up int8+zstd"""

AT_40 = """\
SERVER server  quorum 100%  deadline 60s
├─ edge-eu  up bf16  quorum 100%
│    deadline 30s  region=eu
│  └─ c-eu-[00-15] ×16  up int8+zstd
└─ edge-us  up bf16  quorum 100%
     deadline 30s  region=us
   └─ c-us-[00-15] ×16  up int8+zstd"""

AT_24 = """\
SERVER server
  quorum 100%
  deadline 60s
├─ edge-eu  up bf16
│    quorum 100%
│    deadline 30s
│    region=eu
│  └─ c-eu-[00-15] ×16
│       up int8+zstd
└─ edge-us  up bf16
     quorum 100%
     deadline 30s
     region=us
   └─ c-us-[00-15] ×16
        up int8+zstd"""


@pytest.mark.parametrize(("width", "shown"), [(None, TREE), (80, TREE), (40, AT_40), (24, AT_24)])
def test_a_tree_keeps_its_branches(width: int | None, shown: str) -> None:
    """What goes on below stays within the tree, and nothing changes where there is room."""
    assert folded(TREE, width) == shown


def test_words_are_broken_last() -> None:
    """A sentence breaks between words, and a word that is longer than the terminal is cut."""
    assert folded("error: it is too long for this", 16) == "error: it is too\n  long for this"
    assert folded("/a/very/long/path", 10) == "/a/very/lo\n  ng/path"


def test_a_traceback_is_left_whole() -> None:
    """Code is not folded: it would no longer be code."""
    line = '  |   File "/home/somebody/somewhere/program.py", line 7, in local_update'
    assert folded(line, 40) == line


@given(st.text(st.sampled_from(" ab│├└─×·é"), max_size=120), st.integers(10, 60))
def test_nothing_is_wider_and_nothing_is_lost(text: str, width: int) -> None:
    """Every line fits, and what is not space or a branch is all there, in order."""
    lines = folded(text, width).split("\n")
    assert all(len(line) <= width for line in lines)
    said = [c for c in text if c not in " │├└─"]
    assert [c for c in "".join(lines) if c not in " │├└─"] == said
