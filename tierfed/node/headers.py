"""Headers: what the frames between nodes say of themselves, checked before it is believed.

{"ident": {"inv": "9f-3", "att": 1, "site": "2.0", …}, "seq": 0, …}        a message's
{"kind": "progress", "inv": "9f-3", "node": "e-0", "whole": 3, …}          a report of a fold
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tierfed.errors import ProtocolError


def ident_of(header: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the identity of a message's frame; raises ProtocolError if it has none of the right form."""
    ident = header.get("ident")
    if (
        not isinstance(ident, dict)
        or not isinstance(ident.get("inv"), str)
        or type(ident.get("att")) is not int
        or not isinstance(ident.get("site"), str)
        or not _is_site(ident["site"])
    ):
        raise ProtocolError(
            "a frame without the identity of its message", where=where, mend="run one version of tierfed"
        )
    return ident


_SITE = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}(\[[0-9]{1,10}(,[0-9]{1,10}){0,15}\])?\??", re.ASCII)


def _is_site(text: str) -> bool:
    return len(text) < 200 and _SITE.fullmatch(text) is not None


def recalled_of(header: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return what a beginning says of kept values, their keys by argument; raises ProtocolError for anything else."""
    recalled = header.get("recalled", {})
    if not isinstance(recalled, dict) or not all(isinstance(s, str) for pair in recalled.items() for s in pair):
        raise ProtocolError("a beginning with keys that cannot be read", where=where, mend="run one version of tierfed")
    return recalled


def short(said: object) -> str:
    """Return what a peer said where something else was expected, cut for a message."""
    return repr(said)[:40]


_REPORT = {
    "inv": str,
    "node": str,
    "site": str,
    "whole": int,
    "expected": int,
    "lost": int,
    "closed": bool,
    "awaits": str,
}


def report_of(header: Mapping[str, Any], member: str) -> dict[str, Any]:
    """Return a child's report of a fold below it; raises ProtocolError if it cannot be read."""
    report = {key: header.get(key) for key in _REPORT}
    if any(type(report[key]) is not kind or len(str(report[key])) > 255 for key, kind in _REPORT.items()):
        raise ProtocolError(
            "a report of progress that cannot be read",
            where=member,
            mend="run one version of tierfed in the whole tree",
        )
    return {"kind": "progress", **report}
