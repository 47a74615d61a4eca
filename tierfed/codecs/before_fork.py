"""Before fork: what a process that forks nodes loads first, so that they share it: the kernels of their links' codecs.

    wanted(["int8+zstd", "bf16"])    →    ["tierfed.codecs.compiled:load bf16", "tierfed.codecs.compiled:load int8"]

Without numba, or with TIERFED_FAST=0, there is nothing to load.  Sound because a kernel has no threads of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from tierfed.codecs import compiled
from tierfed.codecs.rules import Rules, link_codec


def wanted(links: Iterable[str]) -> list[str]:
    """Return what a zygote is to preload for links with these codecs or rules."""
    found = [link_codec(text) for text in dict.fromkeys(links)]
    codecs = [one for link in found for one in (link.codecs if isinstance(link, Rules) else (link,))]
    names = sorted({name for one in codecs for stage in one.stages if (name := getattr(stage, "kernels", ""))})
    return [f"{compiled.__name__}:{compiled.load.__name__} {name}" for name in names] if compiled.wanted() else []
