"""What each operator gives, computed a second time in plain numpy, on small trees of every shape.

The same rows run in the reference interpreter and on daemons over sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import program_leaves
import pytest
from served import on_sockets

import tierfed
from tierfed import CLIENTS, SERVER, EmptyAggregate, FederatedType, LeafError, TypeMismatch, ValueMismatch
from tierfed.backends.local import LocalContext
from tierfed.ir.intrinsics import TABLE
from tierfed.ir.intrinsics.secure import SECURE_SUMS
from tierfed.language.operators import CALLABLES
from tierfed.language.placed import Placed, PlacedHere
from tierfed.placements import Hierarchy, Member, Placement, Tree

EDGE = tierfed.placement("EDGE_AGGREGATORS")
SENSORS = tierfed.placement("SENSORS")
program = tierfed.federated_computation

F, I = np.float32, np.int32  # noqa: E741  # as in the notation: float and int
FLOATS, INTS = FederatedType(F, CLIENTS), FederatedType(I, CLIENTS)
PAIR = tierfed.to_type("<a=int32,b=float32[2]>")

_FORKED = Hierarchy({EDGE: SERVER, CLIENTS: EDGE, SENSORS: EDGE}, root=SERVER)


def _clients(*names: str) -> tuple[Member, ...]:
    return tuple(Member(n, CLIENTS) for n in names)


def _childless() -> Tree:
    """An edge without clients between two that have some."""
    edges = (
        Member("edge-0", EDGE, _clients("a", "b")),
        Member("edge-1", EDGE),
        Member("edge-2", EDGE, _clients("c")),
    )
    return Tree(Hierarchy.chain(SERVER, EDGE, CLIENTS), Member("server", SERVER, edges))


def _grown(hierarchy: Hierarchy, counts: dict[str, int]) -> Tree:
    """A tree whose members have names that a topology allows."""

    def named(m: Member) -> Member:
        return Member(m.name.replace(".", "-"), m.placement, tuple(map(named, m.children)))

    return Tree(hierarchy, named(Tree.grown(hierarchy, counts).root))


TREES = {
    "flat": _grown(Hierarchy.chain(SERVER, CLIENTS), {"CLIENTS": 4}),
    "three tiers": _grown(Hierarchy.chain(SERVER, EDGE, CLIENTS), {str(EDGE): 2, "CLIENTS": 3}),
    "five tiers": _grown(
        Hierarchy.chain(SERVER, "CONTINENTS", "REGIONS", EDGE, CLIENTS),
        {"CONTINENTS": 2, "REGIONS": 1, str(EDGE): 2, "CLIENTS": 2},
    ),
    "two leaf placements": _grown(_FORKED, {str(EDGE): 2, "CLIENTS": 2, "SENSORS": 3}),
    "a childless edge": _childless(),
}


@dataclass(frozen=True)
class Shape:
    """A tree, and the values that its clients have."""

    tree: Tree

    @property
    def mid(self) -> Placement:
        """The placement just above the clients."""
        above = self.tree.hierarchy.parent(CLIENTS)
        assert above is not None
        return above

    @property
    def ints(self) -> list[np.int32]:
        return [np.int32(7 * i - 4) for i in range(len(self.tree.members(CLIENTS)))]

    @property
    def floats(self) -> list[np.float32]:
        """Whole numbers, so that sums are exact however they are grouped."""
        return [np.float32(i) for i in self.ints]

    @property
    def pairs(self) -> list[dict[str, Any]]:
        return [{"a": i, "b": np.array([i, -i], F)} for i in self.ints]

    def below(self, to: Placement) -> list[list[int]]:
        """The indices of the clients under each member of `to`."""
        index = {m.name: i for i, m in enumerate(self.tree.members(CLIENTS))}
        return [[index[m.name] for m in top.below(CLIENTS)] for top in self.tree.members(to)]

    def at(self, to: Placement, values: list[Any]) -> Any:
        """One value for each member of `to`, as a result shows it."""
        return values[0] if to.singleton else values

    def folds(self, fn: Callable[[list[int]], Any], *, empty: bool) -> Iterator[tuple[Placement, Any]]:
        """What `fn` of the indices below gives at each member of SERVER, and of the tier just above the clients.

        `empty` says whether a member without clients has a value; otherwise that tier is left out.
        """
        for to in dict.fromkeys((SERVER, self.mid)):
            groups = self.below(to)
            if empty or all(groups):
                yield to, self.at(to, [fn(g) for g in groups])


Case = tuple[tuple[Any, ...], Callable[..., Any], tuple[Any, ...], Any]
"""Types, body, arguments, expected."""


def _sum(s: Shape) -> Iterator[Case]:
    for to, expected in s.folds(lambda g: np.sum([s.ints[i] for i in g], dtype=I), empty=True):
        yield (INTS,), (lambda x, to=to: tierfed.federated_sum(x, to=to)), (s.ints,), expected
    for to, expected in s.folds(
        lambda g: {
            "a": np.sum([s.ints[i] for i in g], dtype=I),
            "b": np.sum([[s.ints[i], -s.ints[i]] for i in g] or [[0, 0]], axis=0, dtype=F),
        },
        empty=True,
    ):
        yield (FederatedType(PAIR, CLIENTS),), (lambda x, to=to: tierfed.federated_sum(x, to)), (s.pairs,), expected


def _mean(s: Shape) -> Iterator[Case]:
    weights = [np.float32(1 + i % 3) for i in range(len(s.ints))]
    for to, expected in s.folds(lambda g: F(np.sum([s.floats[i] for i in g], dtype=F) / F(len(g))), empty=False):
        yield (FLOATS,), (lambda x, to=to: tierfed.federated_mean(x, to=to)), (s.floats,), expected

    def weighted(g: list[int]) -> Any:
        return F(np.sum([s.floats[i] * weights[i] for i in g], dtype=F) / np.sum([weights[i] for i in g], dtype=F))

    for to, expected in s.folds(weighted, empty=False):
        body = lambda x, w, to=to: tierfed.federated_mean(x, weight=w, to=to)  # noqa: E731
        yield (FLOATS, FLOATS), body, (s.floats, weights), expected


def _extremum(name: str) -> Callable[[Shape], Iterator[Case]]:
    operator, reference = CALLABLES[f"federated_{name}"], getattr(np, name)

    def row(s: Shape) -> Iterator[Case]:
        for to, expected in s.folds(lambda g: reference([s.ints[i] for i in g]), empty=False):
            yield (INTS,), (lambda x, to=to: operator(x, to=to)), (s.ints,), expected
        expected_pair = {"a": reference(s.ints), "b": reference([p["b"] for p in s.pairs], axis=0)}
        yield (FederatedType(PAIR, CLIENTS),), operator, (s.pairs,), expected_pair

    return row


def _composed(u: Any, v: Any) -> Any:
    """Compose x -> a·x + b: associative, and not commutative."""
    return {"a": u["a"] * v["a"], "b": u["b"] * v["a"] + v["b"]}


def _composition(values: list[Any]) -> dict[str, Any]:
    a, b = 1, 0
    for value in values:
        a, b = a * 3, b * 3 + int(value)
    return {"a": np.array(a).astype(I)[()], "b": np.array(b).astype(I)[()]}


def _aggregate(s: Shape) -> Iterator[Case]:
    zero = {"a": I(1), "b": I(0)}

    def step(u: Any, t: Any) -> Any:
        return _composed(u, {"a": I(3), "b": t})

    def body(x: Any, to: Placement) -> Any:
        return tierfed.federated_aggregate(x, zero, step, _composed, lambda u: (u, u["b"]), to=to)

    for to, folded in s.folds(lambda g: _composition([s.ints[i] for i in g]), empty=True):
        shown = [(f, f["b"]) for f in (folded if isinstance(folded, list) else [folded])]
        yield (INTS,), (lambda x, to=to: body(x, to)), (s.ints,), s.at(to, shown)


def _reduce(s: Shape) -> Iterator[Case]:
    zero = {"a": I(1), "b": I(0)}
    affine = [{"a": I(3), "b": i} for i in s.ints]
    t = FederatedType("<a=int32,b=int32>", CLIENTS)
    for to, expected in s.folds(lambda g: _composition([s.ints[i] for i in g]), empty=True):  # op merges too
        yield (t,), (lambda x, to=to: tierfed.federated_reduce(x, zero, _composed, to=to)), (affine,), expected

    def count(n: Any, x: Any) -> Any:
        return n + 1

    for to, expected in s.folds(lambda g: np.int64(len(g)), empty=True):  # U is not T: with a merge
        body = lambda x, to=to: tierfed.federated_reduce(x, np.int64(0), count, lambda a, b: a + b, to=to)  # noqa: E731
        yield (INTS,), body, (s.ints,), expected
    one_hop = s.at(s.mid, [np.int64(len(g)) for g in s.below(s.mid)])  # a single hop needs none
    yield (INTS,), (lambda x: tierfed.federated_reduce(x, np.int64(0), count, to=s.mid)), (s.ints,), one_hop


def _collect(s: Shape) -> Iterator[Case]:
    ragged = [np.arange(i % 3, dtype=F) for i in range(len(s.ints))]
    named = [{"text": "ä" * (i % 2), "pair": p} for i, p in enumerate(s.pairs)]
    for values, t in (
        (s.ints, I),
        (ragged, "float32[?]"),
        ([f"{i}" for i in s.ints], np.str_),
        (named, tierfed.StructType([("text", tierfed.TensorType("str")), ("pair", PAIR)])),
    ):
        for to, expected in s.folds(lambda g, values=values: [values[i] for i in g], empty=True):
            body = lambda x, to=to: tierfed.federated_collect(x, to=to)  # noqa: E731
            yield (FederatedType(t, CLIENTS),), body, (values,), expected
    own = lambda: tierfed.federated_collect(tierfed.federated_value(np.int32(3), CLIENTS), s.mid)  # noqa: E731
    yield (), own, (), s.at(s.mid, [[I(3)] * len(g) for g in s.below(s.mid)])


def _select(s: Shape) -> Iterator[Case]:
    table = {"rows": np.arange(6, dtype=F).reshape(3, 2), "bias": F(0.5)}
    t = tierfed.to_type({"rows": (F, [3, 2]), "bias": F})
    keys = [np.array([i % 3, 2, 0], I) for i in range(len(s.ints))]
    pick = program_leaves.row_of
    rows = [[table["rows"][k] for k in own] for own in keys]
    for above in dict.fromkeys((SERVER, s.mid)):
        body = lambda k, v, above=above: tierfed.federated_select(  # noqa: E731
            k, tierfed.federated_value(np.int32(2), above), v, lambda m, key: {"row": pick(m.rows, key), "key": key}
        )
        expected = [[{"row": r, "key": k} for r, k in zip(*both, strict=True)] for both in zip(rows, keys, strict=True)]
        yield (FederatedType((I, [3]), CLIENTS), FederatedType(t, above, True)), body, (keys, table), expected
    leaf = lambda k, v: tierfed.federated_select(k, tierfed.federated_value(2, SERVER), v.rows, pick)  # noqa: E731
    yield (FederatedType((I, [3]), CLIENTS), FederatedType(t, SERVER, True)), leaf, (keys, table), rows
    none = lambda k, v: tierfed.federated_select(k, tierfed.federated_value(0, SERVER), v, lambda m, _: m)  # noqa: E731
    ragged = [np.zeros(i % 3, I) for i in range(len(s.ints))]
    picked = [[F(9)] * len(own) for own in ragged]
    yield (FederatedType("int32[?]", CLIENTS), FederatedType(F, SERVER, True)), none, (ragged, 9), picked


def _rows(s: Shape) -> list[list[np.int32]]:
    """A sequence for each client, one of them empty."""
    return [[I(i), I(-2)][: i % 3] for i in range(len(s.ints))]


ROWS_AT = FederatedType("int32*", CLIENTS)


def _sequence_map(s: Shape) -> Iterator[Case]:
    twice = lambda v: {"two": v + v, "one": v}  # noqa: E731
    expected = [[{"two": v + v, "one": v} for v in row] for row in _rows(s)]
    yield (
        ("int32*",),
        (lambda x: tierfed.sequence_map(twice, x)),
        ([1, 2],),
        [{"two": I(2), "one": I(1)}, {"two": I(4), "one": I(2)}],
    )
    yield (ROWS_AT,), (lambda x: tierfed.sequence_map(twice, x)), (_rows(s),), expected
    inside = lambda x: tierfed.federated_map(lambda r: tierfed.sequence_map(twice, r), x)  # noqa: E731
    yield (ROWS_AT,), inside, (_rows(s),), expected


def _sequence_reduce(s: Shape) -> Iterator[Case]:
    op = lambda u, v: u + u + v  # noqa: E731  # does not commute

    def reduced(row: list[np.int32]) -> Any:
        total = I(1)
        for v in row:
            total = I(total + total + v)
        return total

    yield ("int32*",), (lambda x: tierfed.sequence_reduce(x, 1, op)), ([5, 6, 7],), reduced([I(5), I(6), I(7)])
    yield ("int32*",), (lambda x: tierfed.sequence_reduce(x, 1, op)), ([],), I(1)
    yield (ROWS_AT,), (lambda x: tierfed.sequence_reduce(x, 1, op)), (_rows(s),), list(map(reduced, _rows(s)))
    count = lambda x: tierfed.federated_sum(tierfed.sequence_reduce(x, np.int64(0), lambda n, v: n + 1))  # noqa: E731
    yield (ROWS_AT,), count, (_rows(s),), np.int64(sum(map(len, _rows(s))))


def _sequence_sum(s: Shape) -> Iterator[Case]:
    pairs = [{"a": I(1), "b": np.array([1, 2], F)}, {"a": I(5), "b": np.array([0, 3], F)}]
    yield (tierfed.SequenceType(PAIR),), tierfed.sequence_sum, (pairs,), {"a": I(6), "b": np.array([1, 5], F)}
    yield (tierfed.SequenceType(PAIR),), tierfed.sequence_sum, ([],), {"a": I(0), "b": np.zeros(2, F)}
    yield (ROWS_AT,), tierfed.sequence_sum, (_rows(s),), [np.sum(row, dtype=I) for row in _rows(s)]
    total = lambda x: tierfed.sequence_sum(tierfed.federated_collect(x))  # noqa: E731  # at the server
    yield (INTS,), total, (s.ints,), np.sum(s.ints, dtype=I)


def _broadcast(s: Shape) -> Iterator[Case]:
    n = len(s.ints)
    same = lambda x: tierfed.federated_map(lambda v: v, tierfed.federated_broadcast(x))  # noqa: E731
    yield (FederatedType(F, SERVER, True),), same, (F(2.5),), F(2.5)
    if not s.mid.singleton:
        own = list(range(len(s.below(s.mid))))
        expected = [I(next(e for e, g in enumerate(s.below(s.mid)) if i in g)) for i in range(n)]
        yield (FederatedType(I, s.mid),), tierfed.federated_broadcast, (own,), expected


def _iterate(s: Shape) -> Iterator[Case]:
    iterate, value, broadcast = tierfed.federated_iterate, tierfed.federated_value, tierfed.federated_broadcast

    def turn(m: Any, x: Any) -> Any:  # each client's part depends on the state of its own aggregator
        return m + tierfed.federated_sum(x * broadcast(m, to=CLIENTS) + x, to=s.mid)

    def turned(m: Any, g: list[int], turns: int) -> Any:
        for _ in range(turns):
            m = I(m + np.sum([s.ints[i] * m + s.ints[i] for i in g], dtype=I))
        return m

    def captured(x: Any, turns: Any) -> Any:
        return iterate(lambda m: turn(m, x), value(I(1), s.mid), turns, at=s.mid)

    with np.errstate(over="ignore"):
        for turns in (3, 0):
            expected = s.at(s.mid, [turned(I(1), g, turns) for g in s.below(s.mid)])
            yield (INTS,), (lambda x, turns=turns: captured(x, turns)), (s.ints,), expected
            yield (INTS, I), captured, (s.ints, turns), expected
        given = lambda x: iterate(turn, value(I(1), s.mid), 3, data=x, at=s.mid)  # noqa: E731
        yield (INTS,), given, (s.ints,), s.at(s.mid, [turned(I(1), g, 3) for g in s.below(s.mid)])

        at_leaf = lambda x: iterate(lambda m: m * m + x, x, 2, at=CLIENTS)  # noqa: E731
        yield (INTS,), at_leaf, (s.ints,), [(i * i + i) ** 2 + i for i in s.ints]

        def nested(x: Any, turns: Any) -> Any:  # the state of the outer loop is a struct, at two placements
            def outer(state: Any) -> Any:
                total, own = state
                inner = iterate(
                    turn, broadcast(total, to=s.mid) if s.mid != SERVER else total, turns, data=own, at=s.mid
                )
                summed = tierfed.federated_sum(inner) if s.mid != SERVER else inner
                return summed, own + broadcast(total, to=CLIENTS)

            return iterate(outer, (value(I(2), SERVER), x), 2, at=SERVER)[0]

        for turns in (2, 0):
            total, own = I(2), list(s.ints)
            for _ in range(2):
                inner = []
                for g in s.below(s.mid):
                    m = total
                    for _ in range(turns):
                        m = I(m + np.sum([own[i] * m + own[i] for i in g], dtype=I))
                    inner.append(m)
                own = [i + total for i in own]
                total = np.sum(inner, dtype=I)
            yield (INTS,), (lambda x, turns=turns: nested(x, turns)), (s.ints,), total


def _map(s: Shape) -> Iterator[Case]:
    yield (INTS,), (lambda x: tierfed.federated_map(lambda v: v * v, x)), (s.ints,), [i * i for i in s.ints]
    yield (FederatedType(I, CLIENTS, True),), (lambda x: tierfed.federated_map(lambda v: v + 1, x)), (5,), I(6)
    yield (
        (INTS, INTS),
        (lambda x, y: tierfed.federated_map(lambda a, b: a - b, (x, y))),
        (
            s.ints,
            s.ints[::-1],
        ),
        [a - b for a, b in zip(s.ints, s.ints[::-1], strict=True)],
    )


def _apply(s: Shape) -> Iterator[Case]:
    yield (
        (FederatedType(PAIR, SERVER),),
        (lambda x: tierfed.federated_apply(lambda p: p.b + p.b, x)),
        ({"a": 1, "b": np.array([2, 3], F)},),
        np.array([4, 6], F),
    )


def _zip(s: Shape) -> Iterator[Case]:
    n = len(s.ints)
    yield (
        (INTS, FederatedType(F, CLIENTS, True)),
        (lambda x, y: tierfed.federated_zip({"x": x, "both": (y, x)})),
        (s.ints, 0.5),
        [{"x": i, "both": (F(0.5), i)} for i in s.ints[:n]],
    )
    yield (FederatedType(I, SERVER, True),), (lambda x: tierfed.federated_zip((x, x))), (3,), (I(3), I(3))


def _value(s: Shape) -> Iterator[Case]:
    n = len(s.ints)
    yield (), (lambda: tierfed.federated_value(np.array([1, 2], I), CLIENTS)), (), np.array([1, 2], I)
    total = lambda: tierfed.federated_sum(tierfed.federated_value(np.int32(3), CLIENTS))  # noqa: E731
    yield (), total, (), I(3 * n)


def _eval(s: Shape) -> Iterator[Case]:
    n = len(s.ints)
    yield (), (lambda: tierfed.federated_eval(lambda: np.int32(4), CLIENTS)), (), [I(4)] * n
    yield (), (lambda: tierfed.federated_eval(lambda: np.int32(4), SERVER)), (), I(4)


def _data(s: Shape) -> Iterator[Case]:
    def body() -> Any:
        return tierfed.federated_map(lambda v: v + v, tierfed.federated_data("own", I, CLIENTS))

    own = [program_leaves.told_apart("own", I, m) for m in s.tree.members(CLIENTS)]
    yield (), body, (), [i + i for i in own]


def _binary(name: str, reference: Callable[[Any, Any], Any]) -> Callable[[Shape], Iterator[Case]]:
    operator = CALLABLES[f"generic_{name}"]

    def row(s: Shape) -> Iterator[Case]:
        t = tierfed.to_type("<p=float32[3],q=float64>")
        a = {"p": np.array([1, -2, 0], F), "q": np.float64(0.1)}
        b = {"p": np.array([3, 0, 0], F), "q": np.float64(-7)}
        with np.errstate(all="ignore"):
            expected = {k: reference(a[k], b[k]) for k in a}
        yield (t, t), operator, (a, b), expected
        at = FederatedType(F, CLIENTS)
        with np.errstate(all="ignore"):
            lifted = [reference(x, y) for x, y in zip(s.floats, s.floats[::-1], strict=True)]
        yield (at, at), operator, (s.floats, s.floats[::-1]), lifted

    return row


def _zero(s: Shape) -> Iterator[Case]:
    yield (), (lambda: tierfed.generic_zero(PAIR)), (), {"a": I(0), "b": np.zeros(2, F)}


ROWS: dict[str, Callable[[Shape], Iterator[Case]]] = {
    "federated_value": _value,
    "federated_eval": _eval,
    "federated_data": _data,
    "federated_map": _map,
    "federated_apply": _apply,
    "federated_zip": _zip,
    "federated_broadcast": _broadcast,
    "federated_iterate": _iterate,
    "federated_aggregate": _aggregate,
    "federated_reduce": _reduce,
    "federated_sum": _sum,
    "federated_mean": _mean,
    "federated_min": _extremum("min"),
    "federated_max": _extremum("max"),
    "federated_collect": _collect,
    "federated_select": _select,
    "sequence_map": _sequence_map,
    "sequence_reduce": _sequence_reduce,
    "sequence_sum": _sequence_sum,
    "generic_plus": _binary("plus", np.add),
    "generic_minus": _binary("minus", np.subtract),
    "generic_multiply": _binary("multiply", np.multiply),
    "generic_divide": _binary("divide", np.divide),
    "generic_zero": _zero,
}


def test_every_public_operator_has_a_row():
    """One that is added without a row here is not believed."""
    assert {uri for uri, op in TABLE.items() if op.public} | set(CALLABLES) == set(ROWS) | SECURE_SUMS
    assert all(hasattr(tierfed, name) for name in {*ROWS, *SECURE_SUMS})


def alike(actual: Any, expected: Any) -> bool:
    """Whether two results are equal in kind, dtype, shape and bits."""
    if isinstance(actual, Placed | PlacedHere):
        actual = list(actual.fetch())
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and list(actual) == list(expected)
            and all(alike(actual[k], expected[k]) for k in expected)
        )
    if isinstance(expected, list | tuple):
        return type(actual) is type(expected) and len(actual) == len(expected) and all(map(alike, actual, expected))
    a, e = np.asarray(actual), np.asarray(expected)
    numbers = e.dtype.kind not in "OU"
    return a.dtype == e.dtype and a.shape == e.shape and np.array_equal(a, e, equal_nan=numbers)


@pytest.mark.parametrize("shape", TREES)
@pytest.mark.parametrize("name", ROWS)
def test_it_gives_what_numpy_gives(name, shape):
    """On each tree, at the server and at the tier above the clients."""
    s = Shape(TREES[shape])
    with LocalContext(s.tree, lambda tree: program_leaves.told_apart) as context:
        _as_expected(context, ROWS[name](s))


@pytest.fixture(scope="module", params=TREES)
def daemons(request):
    """A tree, and a context that is connected to its daemons."""
    tree = TREES[request.param]
    with on_sockets(tree) as context:
        yield Shape(tree), context


@pytest.mark.parametrize("name", ROWS)
def test_daemons_give_what_numpy_gives(name, daemons):
    """The same, by processes that each run their own slice."""
    s, context = daemons
    _as_expected(context, ROWS[name](s))


def _as_expected(context: Any, cases: Iterator[Case]) -> None:
    for types, body, args, expected in cases:
        actual = context.invoke(_traced(types, body), *args)
        assert alike(actual, expected), f"{actual!r} is not {expected!r}"


def _traced(types: tuple[Any, ...], body: Callable[..., Any]) -> tierfed.Computation:
    """A computation of a body whose later parameters, bound by default, are no arguments of the program."""
    arity = {0: lambda: body(), 1: lambda x: body(x), 2: lambda x, y: body(x, y)}[len(types)]
    return program(*types)(arity)


# --- rules that decide cases


@program(FLOATS, FLOATS)
def weighted_mean(x, w):
    return tierfed.federated_mean(x, weight=w)


@program(FLOATS)
def mean_of_edges(x):
    return tierfed.federated_mean(x, to=EDGE)


@program(FLOATS)
def max_of_edges(x):
    return tierfed.federated_max(x, to=EDGE)


@program(FLOATS)
def max_of_all(x):
    return tierfed.federated_max(x)


@program(INTS)
def sum_of_all(x):
    return tierfed.federated_sum(x)


@pytest.mark.parametrize(
    ("computation", "args", "what"),
    [
        (weighted_mean, ([], []), "a mean over no members"),
        (weighted_mean, ([1, 2], [0, 0]), "the total weight is zero"),
        (max_of_all, ([],), "a max over no members"),
    ],
)
def test_over_nobody(computation, args, what):
    """A mean, minimum or maximum of nothing is an error; a sum is zero."""
    with pytest.raises(EmptyAggregate) as error:
        computation(*args)
    assert error.value.what == what
    assert error.value.mend is not None
    assert sum_of_all([]) == 0


@pytest.mark.parametrize("computation", [mean_of_edges, max_of_edges])
def test_an_edge_without_clients_has_no_mean(computation):
    """It is empty at that member of `to`, though not at the others."""
    with LocalContext(TREES["a childless edge"]), pytest.raises(EmptyAggregate, match="over no members"):
        computation([1, 2, 3])


def test_an_empty_partial_is_skipped_on_the_way():
    """The childless edge counts neither in a maximum of negative numbers nor in a mean."""
    with LocalContext(TREES["a childless edge"]):
        assert max_of_all([-5, -3, -4]) == -3
        assert weighted_mean([1, 2, 6], [1, 1, 2]) == F(3.75)


@pytest.mark.parametrize(("weight", "said"), [(-1, "-1.0"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_a_weight_that_cannot_be(weight, said):
    """It is refused at the member that has it, however the others would outweigh it."""
    with pytest.raises(ValueMismatch) as error:
        weighted_mean([1, 2], [100, weight])
    told = f"federated_mean: a weight of {said}\n  to mend: weights are finite and not negative"
    assert str(error.value).startswith(f"{__file__}:") and str(error.value).endswith(f": {told}")


def test_nan_in_a_value_is_a_value():
    """It propagates, as in numpy."""
    assert np.isnan(max_of_all([1, float("nan"), 2]))
    assert np.isnan(weighted_mean([1, float("nan")], [1, 1]))


def test_integers_wrap():
    """As numpy's do, and without a warning."""
    top = np.iinfo(I).max
    assert sum_of_all([top, 1]) == np.iinfo(I).min
    assert program(I, I)(lambda a, b: a * b)(2**16, 2**16) == 0


def test_a_mean_is_no_mean_of_means():
    """Over uneven edges it is the mean over the clients."""
    with LocalContext(TREES["a childless edge"]):
        assert weighted_mean([0, 0, 9], [1, 1, 1]) == 3


@pytest.mark.parametrize("operator", ["federated_sum", "federated_mean", "federated_min", "federated_max"])
def test_unknown_dimensions_have_no_zero(operator):
    """Refused, and an aggregate with an explicit zero is accepted."""
    ragged = FederatedType("float32[?]", CLIENTS)
    with pytest.raises(TypeMismatch) as error:
        program(ragged)(lambda x: CALLABLES[operator](x))
    assert error.value.what == "value is float32[?], whose unknown sizes leave no zero to start from"
    assert "tierfed.federated_aggregate, whose zero you give" in error.value.mend
    counted = program(ragged)(
        lambda x: tierfed.federated_aggregate(x, I(0), lambda n, v: n + 1, lambda a, b: a + b, lambda n: n)
    )
    assert counted([np.zeros(2, F), np.zeros(5, F)]) == 2


SIGNATURES = {
    "( -> int32@CLIENTS)": ((), lambda: tierfed.federated_value(np.int32(1), CLIENTS)),
    "( -> {int32}@CLIENTS)": ((), lambda: tierfed.federated_eval(lambda: np.int32(1), CLIENTS)),
    "( -> int32@SERVER)": ((), lambda: tierfed.federated_eval(lambda: np.int32(1), SERVER)),
    "(int32@CLIENTS -> int32@CLIENTS)": (("int32@CLIENTS",), lambda x: tierfed.federated_map(lambda v: v, x)),
    "({int32}@CLIENTS -> {int32}@CLIENTS)": (("{int32}@CLIENTS",), lambda x: tierfed.federated_map(lambda v: v, x)),
    "(int32@CLIENTS -> {<int32,int32>}@CLIENTS)": (("int32@CLIENTS",), lambda x: tierfed.federated_zip((x, x))),
    "(int32@SERVER -> <int32,int32>@SERVER)": (("int32@SERVER",), lambda x: tierfed.federated_zip((x, x))),
    "(int32@SERVER -> int32@CLIENTS)": (("int32@SERVER",), lambda x: tierfed.federated_broadcast(x)),
    "(int32@SERVER -> int32@EDGE_AGGREGATORS)": (
        ("int32@SERVER",),
        lambda x: tierfed.federated_broadcast(x, to=EDGE),
    ),
    "({int32}@EDGE_AGGREGATORS -> {int32}@CLIENTS)": (
        ("{int32}@EDGE_AGGREGATORS",),
        lambda x: tierfed.federated_broadcast(x),
    ),
    "({int32}@CLIENTS -> int32@SERVER)": (("{int32}@CLIENTS",), lambda x: tierfed.federated_sum(x)),
    "({int32}@CLIENTS -> {int32}@EDGE_AGGREGATORS)": (
        ("{int32}@CLIENTS",),
        lambda x: tierfed.federated_sum(x, "EDGE_AGGREGATORS"),
    ),
    "({float32}@CLIENTS -> {float32}@EDGE_AGGREGATORS)": (
        ("{float32}@CLIENTS",),
        lambda x: tierfed.federated_mean(x, to=EDGE),
    ),
    "({int32}@CLIENTS -> int32*@SERVER)": (("{int32}@CLIENTS",), lambda x: tierfed.federated_collect(x)),
    "({int32}@CLIENTS -> {int32*}@EDGE_AGGREGATORS)": (
        ("{int32}@CLIENTS",),
        lambda x: tierfed.federated_collect(x, EDGE),
    ),
    "(int32@CLIENTS -> int32*@SERVER)": (("int32@CLIENTS",), lambda x: tierfed.federated_collect(x)),
    "(int32*@SERVER -> int32@SERVER)": (("int32*@SERVER",), lambda x: tierfed.sequence_sum(x)),
    "({int32*}@CLIENTS -> {<int32,int32>*}@CLIENTS)": (
        ("{int32*}@CLIENTS",),
        lambda x: tierfed.sequence_map(lambda v: (v, v), x),
    ),
    "(<k={int32[2]}@CLIENTS,t=str@SERVER> -> {<str,int32>*}@CLIENTS)": (
        ("{int32[2]}@CLIENTS", "str@SERVER"),
        lambda k, t: tierfed.federated_select(k, tierfed.federated_value(1, SERVER), t, lambda v, key: (v, key)),
    ),
    "(<k=int32[?]@CLIENTS,t=str@EDGE_AGGREGATORS> -> {str*}@CLIENTS)": (
        ("int32[?]@CLIENTS", "str@EDGE_AGGREGATORS"),
        lambda k, t: tierfed.federated_select(k, tierfed.federated_value(1, EDGE), t, lambda v, key: v),
    ),
    "({int32}@SENSORS -> int32@SERVER)": (("{int32}@SENSORS",), lambda x: tierfed.federated_max(x)),
}


@pytest.mark.parametrize("signature", SIGNATURES)
def test_where_results_stand(signature):
    """All-equal at singletons and where all got the same; `to=` is SERVER going up and CLIENTS going down."""
    types, body = SIGNATURES[signature]
    assert str(program(*types)(body).type_signature) == signature


def test_an_aggregate_ignores_branches_without_its_source():
    """Sensors and clients under the same edges are summed apart."""
    both = program(FederatedType(I, SENSORS), INTS)(
        lambda s, c: (tierfed.federated_sum(s, to=EDGE), tierfed.federated_sum(c, to=EDGE), tierfed.federated_sum(s))
    )
    with LocalContext(TREES["two leaf placements"]):
        assert both([1, 2, 3, 4, 5, 6], [10, 20, 30, 40]) == ([6, 15], [30, 70], 21)


@tierfed.py_computation(F, returns=F)
def explodes(x):
    raise ArithmeticError(f"at {x}")


def test_report_runs_at_each_member_of_to():
    """Once for each, on the fold of its own subtree; what it raises is the leaf's error."""
    failing = program(FLOATS)(
        lambda x: tierfed.federated_aggregate(
            x, F(0), lambda u, t: u + t, lambda a, b: a + b, lambda u: explodes(u), to=EDGE
        )
    )
    with LocalContext(TREES["three tiers"]), pytest.raises(LeafError, match=r"raised ArithmeticError: at 6\.0"):
        failing([1, 2, 3, 4, 5, 6])
