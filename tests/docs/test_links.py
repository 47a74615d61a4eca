"""The documents lead somewhere: every relative link of README and docs/ names a file, and a heading, that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)")


def _links(page: Path) -> list[tuple[Path, str | None]]:
    """Return where the links of a page lead, outside of its listings: a file, and the name of a heading."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return [((page.parent / file if file else page).resolve(), heading) for file, heading in _LINK.findall(text)]


def _headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        found.append(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return {f"{a}-{found[:i].count(a)}" if a in found[:i] else a for i, a in enumerate(found)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    """A link to a page that was never written, or was renamed, is an error of the documents."""
    assert [str(file) for file, _ in _links(page) if not file.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_heading(page: Path) -> None:
    """A link into a page names a heading that the page has."""
    into = [(file, heading) for file, heading in _links(page) if heading and file.suffix == ".md" and file.exists()]
    assert [f"{file.name}#{heading}" for file, heading in into if heading not in _headings(file)] == []


def test_every_page_is_reachable() -> None:
    """Each page of docs/ is linked from README or from another page."""
    linked = {file for page in PAGES for file, _ in _links(page) if file != page.resolve()}
    others = [p for p in PAGES if p.parent.name != "decisions" and p.name != "README.md"]
    assert [str(p.relative_to(ROOT)) for p in others if p.resolve() not in linked] == []
