"""Data: what lives at the members, and how each of them finds its own.

    federated_data("train", "<x=float32[?,784],y=int32[?]>", CLIENTS)

names something that every member of CLIENTS has.  A *provider* turns the URI into the
member's value: `provider(uri, type, member) -> value`.  Raw data never moves; each node asks its
own provider, in its own process.
"""

from tierfed.data.archive import DATASETS, Dataset
from tierfed.data.crowd import ALONE, Crowd, Need, crowd_of, crowd_told
from tierfed.data.member import MEMBER_TYPE, MemberInfo, derive
from tierfed.data.natural import By
from tierfed.data.provider import Provider, check, check_use, fetch, provider
from tierfed.data.regional import RegionalDirichlet
from tierfed.data.splits import SPLITS, Dirichlet, Iid, Shards, Split, need, split

__all__ = [
    "ALONE",
    "DATASETS",
    "MEMBER_TYPE",
    "SPLITS",
    "By",
    "Crowd",
    "Dataset",
    "Dirichlet",
    "Iid",
    "MemberInfo",
    "Need",
    "Provider",
    "RegionalDirichlet",
    "Shards",
    "Split",
    "check",
    "check_use",
    "crowd_of",
    "crowd_told",
    "derive",
    "fetch",
    "need",
    "provider",
    "split",
]
