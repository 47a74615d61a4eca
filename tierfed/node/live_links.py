"""Live links: the links of a node's children while it runs, as they are modelled now, and changes of them.

    {"do": "show"}                                                      every child's link
    {"do": "set", "children": ["c-3"], "figures": {"delay": .2}}        those figures, the others as they are
    {"do": "none", "children": ["c-3"]}                                 it takes no time
    {"do": "clear", "children": ["c-3"]}                                as the topology says
    {"do": "cut", "children": ["c-3"]}, {"do": "heal", …}               nothing arrives over it, either way

Each is answered with the links asked for, as they are then.  A request is checked whole before any of it is done.

A link that nothing is modelled of is the bare link.  One that gets a model is taken over between two frames
(shaped_link.py), and given back when the model is taken away and nothing is under way, else it stays with a model of no
time: only who is changed pays.
A cut is what a network does that fails: frames wait at both ends, after 15 s both take the other for dead
(pulse.py), and who dials meanwhile is not answered.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from tierfed.errors import ProtocolError
from tierfed.node.link import Link
from tierfed.node.peer import Peer
from tierfed.node.shaped_link import ShapedLink
from tierfed.node.ways import Ways
from tierfed.topology.assignment import NodeAssignment
from tierfed.topology.links import figures
from tierfed.topology.links.profile import LinkProfile

log = logging.getLogger("tierfed.node.link")

DOES = ("show", "set", "none", "clear", "cut", "heal")


class LiveLinks:
    """See the module docstring; `peers` are the node's children as they are connected."""

    def __init__(self, parent: NodeAssignment) -> None:
        self.peers: Mapping[str, Peer] = {}
        self._parent = parent
        self._given = {child.name: child.link for child in parent.children}
        self._cut: set[str] = set()
        self._ways = Ways(changing=self._given)
        self._ways.add(parent)

    def cut(self, child: str) -> bool:
        """Whether nothing can be heard of a child."""
        return child in self._cut

    def shaped(self, link: Link, child: str) -> Link:
        """Return the new link of a child with the time of what is modelled of it, itself where that is nothing."""
        assert link.peer is not None
        channels = self._ways.of(child, link.peer.plane)
        return link if channels is None else cast(Link, ShapedLink(link, *channels))

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the links that a request is about, once it is done; raises ProtocolError if it is none."""
        do, extra = request.get("do"), set(request) - {"do", "children", "figures"}
        if do not in DOES or extra or ("figures" in request) != (do == "set"):
            raise self._wrong(f"a request is one of {', '.join(DOES)}, with children, and figures to set")
        children = self._children(request.get("children", list(self._given) if do == "show" else None))
        if do == "set":
            now = {c: figures.changed(self._ways.figures(c), request["figures"], "figures") for c in children}
            self._change(now)
        elif do in ("none", "clear"):
            self._change({c: self._given[c] if do == "clear" else None for c in children})
        elif do in ("cut", "heal"):
            self._hold(children, do == "cut")
        return {"node": self._parent.name, "links": {child: self._told(child) for child in children}}

    def _children(self, names: object) -> list[str]:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._wrong("children are a list of names")
        strange = [name for name in names if name not in self._given]
        if strange:
            raise self._wrong(f"no child is called {strange[0][:80]!r}")
        return list(dict.fromkeys(names))

    def _wrong(self, what: str) -> ProtocolError:
        return ProtocolError(what, where=f"links of {self._parent.name}", mend="run one version of tierfed")

    def _told(self, child: str) -> dict[str, Any]:
        return {
            "now": figures.plain(self._ways.figures(child)),
            "given": figures.plain(self._given[child]),
            "cut": child in self._cut,
        }

    def _change(self, profiles: Mapping[str, LinkProfile | None]) -> None:
        for child, profile in profiles.items():
            if profile != self._ways.figures(child):
                log.info("the link of %s: %s", child, figures.plain(profile))
                self._ways.change(child, profile)
                self._reshape(child)

    def _hold(self, children: list[str], cut: bool) -> None:
        for child in children:
            if cut == (child in self._cut):
                continue
            log.info("the link of %s is %s", child, "cut" if cut else "there again")
            if cut:
                self._cut.add(child)
                self._reshape(child)
            else:
                self._cut.discard(child)
            peer = self.peers[child]
            for link in (peer.bulk, peer.control):
                if isinstance(link, ShapedLink):
                    link.hold() if cut else link.release()
            if not cut:
                self._reshape(child)

    def _reshape(self, child: str) -> None:
        """Take over the links of a child if they have a model now, or give them back if they have none any more."""
        peer = self.peers[child]
        peer.bulk = self._fitting(child, "bulk", peer.bulk)
        peer.control = self._fitting(child, "control", peer.control)

    def _fitting(self, child: str, plane: str, link: Link | None) -> Link | None:
        modelled = self._ways.figures(child) is not None or self._parent.interface is not None or child in self._cut
        if link is None or link.closed.done():
            return link
        if isinstance(link, ShapedLink):
            return link.bare() if not modelled and link.idle else cast(Link, link)
        if modelled and (channels := self._ways.of(child, plane, always=True)) is not None:
            return cast(Link, ShapedLink.over(link, *channels))
        return link
