"""The intrinsics: one file a family, one line an operator in `TABLE`.

To add one, write its file (type rule, meaning, expansion, an example) and its line here; the
callable, the checker, the interpreter, the compiler, the reference and the tests take it from the table.
"""

from __future__ import annotations

from tierfed.errors import TypeMismatch
from tierfed.ir.intrinsics.aggregate import AGGREGATE
from tierfed.ir.intrinsics.arithmetic import DIVIDE, MINUS, MULTIPLY, PLUS, ZERO
from tierfed.ir.intrinsics.broadcast import BROADCAST
from tierfed.ir.intrinsics.collect import COLLECT
from tierfed.ir.intrinsics.eval import EVAL
from tierfed.ir.intrinsics.extremum import MAX, MIN
from tierfed.ir.intrinsics.hops import ACCUMULATE, DOWN, MERGE
from tierfed.ir.intrinsics.iterate import ITERATE
from tierfed.ir.intrinsics.map import APPLY, MAP
from tierfed.ir.intrinsics.mean import MEAN, PREPARE, REPORT, WEIGHTED_MEAN, WEIGHTED_PREPARE
from tierfed.ir.intrinsics.operator import Operator
from tierfed.ir.intrinsics.reduce import REDUCE
from tierfed.ir.intrinsics.secure import SECURE
from tierfed.ir.intrinsics.select import SELECT, SELECT_KEYS
from tierfed.ir.intrinsics.sequence import (
    SEQUENCE_APPEND,
    SEQUENCE_CONCAT,
    SEQUENCE_EMPTY,
    SEQUENCE_MAP,
    SEQUENCE_REDUCE,
    SEQUENCE_SUM,
)
from tierfed.ir.intrinsics.sum import SUM
from tierfed.ir.intrinsics.value import VALUE
from tierfed.ir.intrinsics.zip import ZIP

__all__ = ["TABLE", "Operator", "operator"]

TABLE: dict[str, Operator] = {
    op.uri: op
    for op in (
        VALUE,
        EVAL,
        MAP,
        APPLY,
        ZIP,
        BROADCAST,
        AGGREGATE,
        REDUCE,
        ITERATE,
        SUM,
        MEAN,
        WEIGHTED_MEAN,
        *MIN,
        *MAX,
        COLLECT,
        SELECT,
        *SECURE,
        SEQUENCE_MAP,
        SEQUENCE_REDUCE,
        SEQUENCE_SUM,
        PLUS,
        MINUS,
        MULTIPLY,
        DIVIDE,
        ZERO,
        PREPARE,
        WEIGHTED_PREPARE,
        REPORT,
        SELECT_KEYS,
        SEQUENCE_EMPTY,
        SEQUENCE_APPEND,
        SEQUENCE_CONCAT,
        ACCUMULATE,
        MERGE,
        DOWN,
    )
}


def operator(uri: str) -> Operator:
    """Return the operator called `uri`; raises TypeMismatch for one that is not in the table."""
    found = TABLE.get(uri)
    if found is None:
        raise TypeMismatch(
            f"no intrinsic is called {uri!r}",
            where="intrinsic",
            mend="the program was written by a newer version: upgrade this side",
        )
    return found
