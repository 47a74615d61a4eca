"""Providers: a member's own value for a URI, and a plain word for whatever is not there."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfed import data
from tierfed.data import MemberInfo, before_fork, derive, fetch, provider
from tierfed.errors import DataError, PlacementError
from tierfed.launch import user_code
from tierfed.types import Type, to_type

FASHION = {"dataset": "fashion-mnist-6k", "split": {"dirichlet": {"alpha": 0.3}}}
EXAMPLES = to_type("<x=float32[?,784],y=int32[?]>")


def client(index: int, count: int = 32, **more: Any) -> MemberInfo:
    """A member of CLIENTS."""
    return MemberInfo(f"c-{index}", "CLIENTS", index, count, **more)


def test_the_members_shares_are_the_training_set() -> None:
    """What 32 clients have is, together, each of the 6,000 training images once."""
    source = provider(FASHION)
    shares = [fetch(source, "train", EXAMPLES, client(i)) for i in range(32)]
    together = sorted(row.tobytes() for x, _ in shares for row in x)
    assert together == sorted(row.tobytes() for row in data.DATASETS["fashion-mnist-6k"].examples("train")[0])
    assert sum(len(y) for _, y in shares) == 6000


def test_images_keep_their_labels() -> None:
    """A share's rows are pairs of the whole set."""
    images, labels = data.DATASETS["fashion-mnist-6k"].examples("train")
    label_of = {row.tobytes(): label for row, label in zip(images, labels, strict=True)}
    x, y = fetch(provider(FASHION), "train", EXAMPLES, client(5))
    assert [label_of[row.tobytes()] for row in x] == y.tolist()


def test_everybody_who_asks_has_the_whole_test_set() -> None:
    """`test` is not shared out."""
    for who in (MemberInfo("server", "SERVER", 0, 1), client(3)):
        x, y = fetch(provider(FASHION), "test", EXAMPLES, who)
        assert x.shape == (1000, 784) and y.shape == (1000,)


def test_the_runs_seed_decides_the_split_and_a_name_does_not() -> None:
    """Members of one run agree on a split; another seed, or another placement, is another split."""
    source = provider(FASHION)
    mine = fetch(source, "train", EXAMPLES, client(0, seed=1))[1]
    renamed = fetch(source, "train", EXAMPLES, MemberInfo("other", "CLIENTS", 0, 32, {"region": "eu"}, 1))[1]
    reseeded = fetch(source, "train", EXAMPLES, client(0, seed=2))[1]
    elsewhere = fetch(source, "train", EXAMPLES, MemberInfo("c-0", "PHONES", 0, 32, {}, 1))[1]
    assert np.array_equal(mine, renamed)
    assert not np.array_equal(mine, reseeded) and not np.array_equal(mine, elsewhere)


def test_a_member_is_told_its_index_and_a_seed_of_its_own() -> None:
    """`tierfed:member` needs no data set; its seeds are all different and those of the run."""
    source = provider(None)
    told = [fetch(source, "tierfed:member", data.MEMBER_TYPE, client(i, seed=7)) for i in range(32)]
    assert [int(index) for index, _ in told] == list(range(32))
    assert len({int(seed) for _, seed in told}) == 32
    again = fetch(source, "tierfed:member", data.MEMBER_TYPE, MemberInfo("renamed", "CLIENTS", 3, 32, {}, 7))
    assert again == told[3] and isinstance(again[1], np.uint64)
    assert fetch(source, "tierfed:member", data.MEMBER_TYPE, client(3, seed=8))[1] != told[3][1]


PARTS = st.lists(st.one_of(st.integers(0, 9), st.text("0,'", max_size=3)), max_size=3)


@given(PARTS, PARTS)
def test_seeds_differ_when_what_they_are_derived_from_does(one: list[int | str], other: list[int | str]) -> None:
    """Also "1" and 1, and the same parts in another order; every seed fits uint64."""
    assert (derive(*one) == derive(*other)) == (one == other)
    assert 0 <= derive(*one) < 2**64


def test_a_function_provides_data() -> None:
    """It is asked with the URI, the type and the member, and Python lists take the declared dtype."""
    asked: list[tuple[str, Type, MemberInfo]] = []

    def readings(uri: str, type: Type, member: MemberInfo) -> Any:
        asked.append((uri, type, member))
        return [1, 2, 3]

    t = to_type("float32[?]")
    value = fetch(provider(readings), "temperature", t, client(1))
    assert value.dtype == np.float32 and value.tolist() == [1, 2, 3]
    assert asked == [("temperature", t, client(1))]


def test_a_provider_is_imported_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:function`, from the topology's folder; nothing is imported before it is needed."""
    (tmp_path / "sensors_by_path.py").write_text("def readings(uri, type, member):\n    return float(member.index)\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = {"provider": "sensors_by_path:readings"}
    assert before_fork.wanted(config) == []
    data.check_use(config, "temperature", to_type("float32"), 4)
    import sys

    assert "sensors_by_path" not in sys.modules
    assert fetch(provider(config), "temperature", to_type("float32"), client(2)) == np.float32(2)


def test_a_child_forked_after_preload_does_not_read_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays are there before the fork, and shared with the children."""
    data.archive._arrays.cache_clear()
    (name,) = before_fork.wanted(FASHION)
    user_code.resolve(name)()
    monkeypatch.setattr(np, "load", None)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if len(fetch(provider(FASHION), "train", EXAMPLES, client(0))[1]) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_an_archive_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is no traceback."""
    broken = data.Dataset("fashion-mnist-6k", "not_there.npz", EXAMPLES)
    with pytest.raises(DataError, match=r"not_there\.npz cannot be read.*\n  to mend: install tierfed again"):
        broken.load()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"dataset": "fashion-mnist"}, "no data set 'fashion-mnist'; did you mean 'fashion-mnist-6k'?"),
        ({"dataset": "qqq"}, "data: no data set 'qqq'\n  to mend: use one of fashion-mnist-6k, mnist-5k, "),
        ({"dataset": 7}, "no data set 7"),
        ({}, "neither a dataset nor a provider"),
        ({"dataset": "fashion-mnist-6k", "provider": "a:b"}, "both a dataset and a provider"),
        ({"datset": "fashion-mnist-6k"}, "unknown key 'datset'; did you mean 'dataset'?"),
        ({"provider": "a:b", "split": "iid"}, "a split beside a provider"),
        (
            {"provider": "a:b", "holdout": "1%"},
            "a holdout beside a provider\n  to mend: leave `holdout` out: a provider",
        ),
        (
            {**FASHION, "holdout": "120%"},
            "data: holdout is '120%'\n  to mend: write a share between 0% and 100%, as in 20%",
        ),
        ({**FASHION, "holdout": True}, "data: holdout is True"),
        ({**FASHION, "holdout": 0}, "data: holdout is 0"),
        ({**FASHION, "seed": "7"}, "data: seed is '7'\n  to mend: give a whole number from 0"),
        ({**FASHION, "seed": -1}, "data: seed is -1"),
        ({"provider": "sensors.readings"}, "'sensors.readings' names no function\n  to mend: write `module:function`"),
        ({"provider": "os;x:y"}, "names no function"),
        ({"provider": ["a", "b"]}, "names no function"),
        ({"dataset": "fashion-mnist-6k", "split": "dirichlt"}, "did you mean 'dirichlet'?"),
        ({"provider": "no_such_module_at_all:f"}, "no module no_such_module_at_all\n  to mend: install it, or put it"),
        ({"provider": "json:dumbs"}, "json has no dumbs; did you mean 'dumps'?"),
        ({"provider": "math:pi"}, "data.provider math:pi: it is a float, not a function"),
        (7, "7 provides no data"),
    ],
    ids=str,
)
def test_data_that_is_not_there_says_what_is(config: Any, text: str) -> None:
    """Each mistake in `job.data` has its words, and its mend."""
    with pytest.raises(DataError) as caught:
        provider(config)
    assert text in str(caught.value)
    assert caught.value.mend and caught.value.exit_code == 2


def test_a_set_without_columns_cannot_be_split_by_one() -> None:
    """It says so, and what it can be split by instead."""
    with pytest.raises(
        DataError, match="fashion-mnist-6k has no column 'role'\n  to mend: use iid, dirichlet or shards"
    ):
        provider({"dataset": "fashion-mnist-6k", "split": {"by": "role"}})


def test_members_hold_out_a_part_of_their_own_shares() -> None:
    """`train` and `holdout` are together what `train` is without, of each member a fifth; `test` is as it was."""
    whole, cut = provider(FASHION), provider({**FASHION, "holdout": "20%"})
    for who in (client(i, seed=3) for i in range(32)):
        every = sorted(row.tobytes() for row in fetch(whole, "train", EXAMPLES, who)[0])
        kept, held = (fetch(cut, uri, EXAMPLES, who)[0] for uri in ("train", "holdout"))
        assert sorted(row.tobytes() for row in (*kept, *held)) == every
        assert len(held) == max(1, round(len(every) / 5)) or len(every) == 1
    again = fetch(cut, "holdout", EXAMPLES, client(31, seed=3))[0]
    assert np.array_equal(held, again)
    assert len(fetch(cut, "test", EXAMPLES, client(0))[1]) == 1000


def test_a_member_with_one_example_trains_with_it() -> None:
    """Nothing is held out of one; of two, one is."""
    cut = provider({"dataset": "fashion-mnist-6k", "holdout": 0.9})
    sizes = [[len(fetch(cut, uri, EXAMPLES, client(0, n))[1]) for uri in ("train", "holdout")] for n in (6000, 3000, 1)]
    assert sizes == [[1, 0], [1, 1], [600, 5400]]


def test_a_split_may_have_a_seed_of_its_own() -> None:
    """The same split under another seed of the run; without it the run's decides."""
    fixed = provider({**FASHION, "seed": 5})
    one, other = (fetch(fixed, "train", EXAMPLES, client(0, seed=s))[1] for s in (1, 2))
    of_run = fetch(provider(FASHION), "train", EXAMPLES, client(0, seed=5))[1]
    assert np.array_equal(one, other) and np.array_equal(one, of_run)


def test_a_module_that_fails_as_it_is_imported_is_told_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own error is shown, not "no module", also when what it lacks is a module."""
    (tmp_path / "broken_sensors.py").write_text("import not_installed_here\n")
    (tmp_path / "raising_sensors.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="broken_sensors raised ModuleNotFoundError: No module named 'not_installed"):
        provider({"provider": "broken_sensors:readings"})
    with pytest.raises(DataError, match="raising_sensors raised ZeroDivisionError: division by zero") as caught:
        provider({"provider": "raising_sensors:readings"})
    assert "1 / 0" in str(caught.value.remote_traceback)


@pytest.mark.parametrize(
    ("config", "uri", "t", "count", "text"),
    [
        (FASHION, "trian", EXAMPLES, 4, "fashion-mnist-6k has no 'trian'\n  to mend: use one of train, test, tierfed:"),
        (FASHION, "train", "float32[?,784]", 4, "train of fashion-mnist-6k is <x=float32[?,784],y=int32[?]>, the pro"),
        (FASHION, "train", "<x=float32[?,784],y=int64[?]>", 4, 'write federated_data("train", "<x=float32[?,784],y=i'),
        (
            FASHION,
            "holdout",
            EXAMPLES,
            4,
            "the program asks for 'holdout', and nothing is held out\n  to mend: say how m",
        ),
        (FASHION, "train", EXAMPLES, 6001, "6000 examples cannot be shared out among 6001 members"),
        (None, "train", EXAMPLES, 4, "the program asks for 'train', and no data is given\n  to mend: give `job: {data"),
        (None, "tierfed:membr", EXAMPLES, 4, "no 'tierfed:membr'\n  to mend: of its own tierfed has tierfed:member"),
        (None, "tierfed:member", EXAMPLES, 4, "tierfed:member is <index=int32,seed=uint64>, the program asks for"),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_told_before_launch_and_at_the_member(
    config: Any, uri: str, t: Any, count: int, text: str
) -> None:
    """The same words from the check before launch and from a member that asks all the same."""
    with pytest.raises(DataError) as before:
        data.check_use(config, uri, to_type(t), count)
    with pytest.raises(DataError) as there:
        fetch(provider(config), uri, to_type(t), client(0, count))
    assert text in str(before.value) and str(before.value) == str(there.value)


def test_a_value_of_another_type_is_refused_never_cast() -> None:
    """The error names the provider, the URI, the member, the part and both types."""
    with pytest.raises(DataError) as caught:
        fetch(wrong_dtype, "train", EXAMPLES, client(4))
    assert str(caught.value) == (
        f"data 'train' at c-4.x: {__name__}:wrong_dtype gave what is not of the type: "
        "expected float32[?,784], got float64[3,784]\n  to mend: convert it with .astype('float32')"
    )
    assert caught.value.node == "c-4"


def test_a_provider_that_raises_is_shown_with_its_traceback() -> None:
    """Its line is in the traceback, its name and the member in the error."""
    text = f"data 'train' at c-4: {__name__}:raising raised KeyError: 'train'"
    with pytest.raises(DataError, match=text) as caught:
        fetch(raising, "train", EXAMPLES, client(4))
    assert "raise KeyError(uri)" in str(caught.value.remote_traceback) and caught.value.node == "c-4"


def test_a_providers_own_error_of_ours_passes_as_it_is() -> None:
    """A provider that raises a TierfedError has said what it wanted to say; the member's name is added."""
    with pytest.raises(PlacementError, match="as I said") as caught:
        fetch(refusing, "train", EXAMPLES, client(4))
    assert caught.value.node == "c-4"


def wrong_dtype(uri: str, type: Type, member: MemberInfo) -> Any:
    """A provider of float64."""
    return {"x": np.zeros((3, 784)), "y": np.zeros(3, np.int32)}


def raising(uri: str, type: Type, member: MemberInfo) -> Any:
    """A provider that fails."""
    raise KeyError(uri)


def refusing(uri: str, type: Type, member: MemberInfo) -> Any:
    """A provider that refuses in our own words."""
    raise PlacementError("as I said")
