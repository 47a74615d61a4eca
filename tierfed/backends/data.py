"""The members of a tree, each with its own data: what a backend in one process asks.

    provider_for({"dataset": "fashion-mnist-6k"}, tree, seed)("train", EXAMPLES, member)

is what `member` would get in a process of its own: the same provider, told the same things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tierfed.data import ALONE, MemberInfo, Provider, crowd_of, fetch, need, provider
from tierfed.placements import Member, Tree
from tierfed.types import Type


def provider_for(
    config: Mapping[str, Any] | Provider | None,
    tree: Tree,
    seed: int = 0,
    labels: Mapping[str, Mapping[str, str]] | None = None,
) -> Callable[[str, Type, Member], Any]:
    """Return a function that gives what each member of `tree` has under a URI, held and checked.

    `config` is a `job.data`, a function, or nothing; `labels` are the topology's, by member.
    Raises DataError for data that is not there.
    """
    source = provider(config)
    told = labels or {}
    wanted = need(config)
    known = {
        member.name: MemberInfo(member.name, p.name, i, len(members), told.get(member.name, {}), seed, crowd)
        for p in tree.hierarchy.placements
        for members in (tree.members(p),)
        for crowd in (ALONE if wanted is None else crowd_of(tree, p, wanted, lambda name: told.get(name, {})),)
        for i, member in enumerate(members)
    }

    def provide(uri: str, type: Type, member: Member) -> Any:
        return fetch(source, uri, type, known[member.name])

    return provide
