"""Suggestions: the name that a reader most likely meant.

    closest("dedline", ["parent", "deadline"]) == "deadline"

Source: difflib's ratio (Ratcliff and Obershelp 1988), with case left aside.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` nearest to `word`, None if none is near."""
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def did_you_mean(word: str, names: Iterable[str], otherwise: str = "there are") -> str:
    """Return the clause that ends an error about an unknown `word`: a suggestion, or what there is."""
    known = list(names)
    near = closest(word, known)
    if near is not None:
        return f"did you mean '{near}'?"
    shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    return f"{otherwise} {shown}" if known else "there are none"
