"""Data: what lives at the members, and how each of them finds its own.

    federated_data("train", "<x=float32[?,784],y=int32[?]>", CLIENTS)

names something that every member of CLIENTS has.  A *provider* turns the URI into the
member's value: `provider(uri, type, member) -> value`.  Raw data never moves; each node asks its
own provider, in its own process.
"""

from tierfed.data.archive import DATASETS, Dataset
from tierfed.data.member import MEMBER_TYPE, MemberInfo, derive
from tierfed.data.provider import Provider, check, check_use, fetch, provider
from tierfed.data.splits import SPLITS, Dirichlet, Iid, Shards, Split, split

__all__ = [
    "DATASETS",
    "MEMBER_TYPE",
    "SPLITS",
    "Dataset",
    "Dirichlet",
    "Iid",
    "MemberInfo",
    "Provider",
    "Shards",
    "Split",
    "check",
    "check_use",
    "derive",
    "fetch",
    "provider",
    "split",
]
