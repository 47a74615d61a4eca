"""What every page and every drawing must be: well-formed, and nothing but itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

_VOID = {"meta", "br", "hr", "img", "input", "link"}
_LOADS = ("src", "href", "xlink:href", "srcset", "action", "data", "poster", "background")


class Page(HTMLParser):
    """A page as a browser would take it: its elements, its texts, and what it opens and closes wrongly."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.wrong += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All of its texts."""
        return "\n".join(self.texts)


def checked(html: str) -> Page:
    """Return the page, once it is known to be well-formed, to load nothing and to run nothing."""
    page = Page(html)
    assert page.wrong == []
    assert not {"script", "iframe", "object", "embed", "link", "base", "form", "img"} & set(page.tags)
    assert [a for a in page.attributes if a[1].startswith("on")] == []
    assert [a for a in page.attributes if a[1] in _LOADS and not str(a[2]).startswith("#")] == []
    assert re.search(r"url\(|@import|javascript:", html) is None
    body = html.partition("</style>")[2].removesuffix("\n")
    ElementTree.fromstring(body[body.index("<body>") :].removesuffix("</html>"))  # XML as well: raises if it is none
    return page


def checked_svg(text: str) -> ElementTree.Element:
    """Return a drawing, once it is known to be a file of its own."""
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in text and "url(" not in text and " id=" not in text and "href" not in text
    assert root.attrib["width"] in ("3.3in", "7.0in") and root.attrib["height"].endswith("in")
    assert text.count("http") == 1  # of the namespace
    return root
