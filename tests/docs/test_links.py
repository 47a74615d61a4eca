"""The documents lead somewhere: every relative link of README and docs/ names a file that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    """A link to a page that was never written, or was renamed, is an error of the documents."""
    dead = [link for link in _LINK.findall(page.read_text("utf-8")) if not (page.parent / link).exists()]
    assert dead == []


def test_every_page_is_reachable() -> None:
    """Each page of docs/ is linked from README or from another page."""
    linked = {
        (page.parent / link).resolve() for page in PAGES for link in _LINK.findall(page.read_text("utf-8"))
    } | {p for p in PAGES if p.parent.name == "decisions"}
    assert [str(p.relative_to(ROOT)) for p in PAGES if p not in linked and p.name != "README.md"] == []
