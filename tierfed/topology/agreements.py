"""Agreements: what must hold for codecs whose senders agree before they send (`thc`, `powersgd`).

Those who agree are the children of one placement under one parent, so these have one codec up.  What comes
down has one sender, with nobody to agree with.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from tierfed.topology.checks import holders
from tierfed.topology.graph import Grown
from tierfed.topology.positions import Document
from tierfed.topology.problems import Path, Problems
from tierfed.topology.settle import Settled
from tierfed.topology.spec import TopologySpec


def check_down(spec: TopologySpec, document: Document, problems: Problems) -> None:
    """Add a problem for each codec of a downlink whose senders would agree."""
    for path, settings in holders(spec):
        down = settings.codec.down if settings.codec is not None else None
        for name in agreeing(down) if down is not None else ():
            at: Path = (*path, "codec", "down")
            told = f"senders of {name} agree before they send, and what comes down has one sender; "
            problems.add(document.value(at), at, told + "write it in codec.up, and eden or int8 here")
            break


def check_siblings(settled: Mapping[str, Settled], grown: Grown, document: Document, problems: Problems) -> None:
    """Add a problem for each placement with children of one parent who should agree, and have other codecs."""
    for placement, members in grown.members.items():
        if not any(agreeing(codec) for codec in {settled[member.name].codec_up for member in members}):
            continue
        first: dict[str, str] = {}  # by parent
        for member in members:
            if member.parent is None:
                continue
            one = first.setdefault(member.parent.name, member.name)
            codecs = settled[one].codec_up, settled[member.name].codec_up
            if codecs[0] != codecs[1] and any(name for codec in codecs for name in agreeing(codec)):
                path: Path = ("placements", placement, "codec", "up")
                whence = (settled[m].origins["codec.up"] for m in (one, member.name))
                told = " and ".join(
                    f"{m} sends in {c} ({origin})"
                    for m, c, origin in zip((one, member.name), codecs, whence, strict=True)
                )
                told += f", and children of {member.parent.name} have to agree; give them one codec"
                problems.add(document.value(path), path, told)
                break


@functools.lru_cache(maxsize=256)  # a large tree has few codecs
def agreeing(codec: str) -> tuple[str, ...]:
    """Return the names of the stages of a link's codec whose senders agree."""
    if codec == "none":  # then the codecs need not be imported
        return ()
    from tierfed.codecs import Rules, link_codec

    link = link_codec(codec)
    codecs = link.codecs if isinstance(link, Rules) else (link,)
    return tuple(one.array_stage.name for one in codecs if one.agrees)
