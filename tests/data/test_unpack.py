"""Unpacking: what is asked for, into memory, of every kind of package, and never more than allowed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from package_files import deb, gzipped, source_archive, wheel

from tierfed.data.unpack import gunzipped, unpacked
from tierfed.errors import DataError

FILES = {"thing/data/a.csv": b"1,2\n", "thing/data/b.csv": b"3\n" * 50, "thing/code.py": b"1 / 0", "../up.csv": b"4"}


@pytest.mark.parametrize(("make", "name"), [(wheel, "t.whl"), (source_archive, "t-1.tar.gz"), (deb, "t.deb")])
def test_the_files_that_are_asked_for_are_read_and_no_others(
    make: Callable[..., Path], name: str, tmp_path: Path
) -> None:
    """By pattern, from each kind of package; nothing is written, whatever the names in it."""
    package = make(tmp_path / name, FILES)
    assert unpacked(package, ("thing/data/*.csv",)) == {n: FILES[n] for n in list(FILES)[:2]}
    assert list(tmp_path.iterdir()) == [package]


@pytest.mark.parametrize(("make", "name"), [(wheel, "t.whl"), (source_archive, "t-1.tar.gz"), (deb, "t.deb")])
def test_more_than_the_limit_is_refused(make: Callable[..., Path], name: str, tmp_path: Path) -> None:
    """One file, and all together."""
    package = make(tmp_path / name, FILES)
    assert len(unpacked(package, ("thing/data/*",), limit=104)) == 2
    with pytest.raises(DataError, match="thing/data/b.csv: it holds more than"):
        unpacked(package, ("thing/data/*",), limit=103)


def test_a_bomb_is_cut_off() -> None:
    """A gzip stream is read up to its limit, whatever it would become."""
    bomb = gzipped(b"\0" * 10_000_000)
    assert len(bomb) < 20_000
    with pytest.raises(DataError, match="gzip: it holds more than 1,000 bytes"):
        gunzipped(bomb, 1000)
    assert gunzipped(bomb) == b"\0" * 10_000_000


def test_a_link_in_an_archive_is_no_file(tmp_path: Path) -> None:
    """A symbolic link to somewhere on this machine is not followed."""
    with pytest.raises(DataError, match=r"there is no folder/link\.txt in it"):
        unpacked(deb(tmp_path / "t.deb", FILES), ("folder/link.txt",))


@pytest.mark.parametrize("name", ["t.whl", "t-1.tar.gz", "t.deb"])
def test_a_package_that_is_cut_short_says_so(name: str, tmp_path: Path) -> None:
    """At whatever byte it ends, an error names the file."""
    make: Callable[..., Path] = {"whl": wheel, "gz": source_archive, "deb": deb}[name.rpartition(".")[2]]
    whole = make(tmp_path / name, FILES).read_bytes()
    cut = tmp_path / f"cut-{name}"
    for size in range(0, len(whole) - 30, 13):
        cut.write_bytes(whole[:size])
        with pytest.raises(DataError, match=f"^cut-{name}: "):
            unpacked(cut, ("thing/data/*.csv", "../up.csv"))


def test_what_cannot_be_unpacked_says_why(tmp_path: Path) -> None:
    """No archive, an archive of a packing that Python lacks, and broken gzip."""
    (tmp_path / "t.txt").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"t\.txt: it is no wheel, source archive or \.deb\n  to mend: give the file"):
        unpacked(tmp_path / "t.txt", ("*",))
    with pytest.raises(DataError, match=r"packed with zstd\n  to mend: fetch it from Debian"):
        unpacked(deb(tmp_path / "t.deb", FILES, "zst"), ("*",))
    with pytest.raises(DataError, match="gzip: it cannot be unpacked"):
        gunzipped(gzipped(b"abc")[:-4])
