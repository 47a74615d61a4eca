"""`tierfed codecs`: what it lists, what it measures, and what it says of files that hold no floats."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_command import environment
from terminal_screen import screen

from tierfed.codecs import CHUNK, TABLE, ArrayStage, Stream, codec
from tierfed.report import array_file, codec_bench, codecs
from tierfed.types import TensorType

Run = Callable[..., tuple[int, str, str]]

STUBBORN = '''\
"""Stubborn: a stage that says nothing of itself without a topology."""
from dataclasses import dataclass
from typing import ClassVar
from tierfed.codecs import ArrayStage
from tierfed.errors import CodecError

def refuse(*_):
    raise CodecError("nothing is agreed yet", where="stubborn", mend="ask on a link")

def fail(*_):
    raise ZeroDivisionError("nobody thought of this")

@dataclass(frozen=True, slots=True)
class Stubborn(ArrayStage):
    name: ClassVar[str] = "stubborn"
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)
    lossy: ClassVar[bool] = True
    rank: int = 2
    unbiased = property(fail)
    nbytes = decode = bound = refuse
    encode = fail
'''
LONG = "int8(stochastic=true)+zstd(level=19)"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two packages with a stage each: one that cannot say what it costs, one that cannot be imported."""
    site = tmp_path / "site"
    for package, entry, source in (("shy", "stubborn", STUBBORN), ("torn", "torn8", "1 / 0")):
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tierfed.codecs]\n{entry} = cc_{entry}:{entry.title()}\n")
        (site / f"cc_{entry}.py").write_text(source)
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("cc_stubborn", None)


@pytest.fixture
def update(folder: Path) -> np.ndarray[Any, Any]:
    """An array of 5,000 floats in `update.npy`, from tiny to 9."""
    values = (np.random.default_rng(0).standard_normal((50, 100)) ** 3 / 5).astype(np.float32)
    np.save(folder / "update.npy", values)
    return values


# -- the list


def test_every_stage_of_the_table_is_listed(here: Run) -> None:
    """In the table's order, with options, and below each what it is."""
    code, out, err = here("codecs")
    lines = out.splitlines()
    assert (code, err) == (0, "") and lines[0].split()[:2] == ["STAGE", "KIND"]
    assert [line.split("(")[0].split()[0] for line in lines[1::2]] == list(TABLE)
    assert all(line.startswith("  ") and len(line) > 12 for line in lines[2::2])
    row = lines[lines.index("  a few bits an element, rounded at random so that the mean is what was encoded") - 1]
    assert re.split(r"  +", row) == ["qsgd(bits=4)", "array → bytes", "4.125", "yes", "yes", "none", "elements"]


def test_the_document_says_what_the_stages_declare(here: Run) -> None:
    """Names, bits, bias and options as the classes have them; every stage has a sentence, and a source or two."""
    document = json.loads(here("codecs", "--json")[1])
    assert (document["schema_version"], document["status"], document["broken"]) == (1, "ok", [])
    by_name = {one["name"]: one for one in document["codecs"]}
    assert list(by_name) == list(TABLE)
    for name, cls in TABLE.items():
        one = by_name[name]
        assert one["about"] and one["kind"] and one["package"] is None
        example = codec(one["example"].removeprefix('codec: {up: "').removesuffix('"}'))
        assert cls() in example.stages
        if issubclass(cls, ArrayStage):
            matrix = cls().of_shape((512, 512))
            assert one["bits"] == matrix.nbytes(CHUNK, "float32") * 8 / CHUNK
            assert one["adds"] == matrix.sum_domain and one["agrees"] == cls.agrees
            assert one["unbiased"] == cls().unbiased and one["state"] == cls.state and one["dtypes"] == list(cls.dtypes)
    assert by_name["int8"]["options"] == {"stochastic": False}
    assert "1610.02132" in by_name["qsgd"]["source"]


@pytest.mark.parametrize("width", [60, 120])
def test_the_list_fits_the_terminal(width: int) -> None:
    """A table where there is room for it, else a paragraph a stage; nothing is lost."""
    from tierfed.report.fold import folded

    found, _ = codecs.every()
    lines = folded(codecs.table_of(found, width), width).splitlines()
    assert max(map(len, lines)) <= width
    assert (lines[0].split()[0] == "STAGE") == (width == 120)
    words = " ".join(" ".join(lines).split())
    assert all(one.about in words and one.written in words for one in found)


def test_one_stage_on_a_narrow_terminal() -> None:
    """What it is, the idea in notation, facts, options, source and an example, as wide as it may be."""
    one = codecs.described("clip")
    assert (
        codecs.page(one, 60)
        == """\
clip: no element beyond a limit; a stage before the one that
  makes bytes

    clip(0.5)+int8        x -> min(max(x, -0.5), 0.5) -> int8

kind      array → array
carries   float16, float32, float64, bfloat16
lossy     yes
state     none
options   limit=1.0
          `limit` is a positive number
source    Wen et al. 2017, arXiv:1705.07878, section 4.2,
          with a fixed limit.
example   codec: {up: "clip(limit=1.0)+int8"}"""
    )


def test_one_stage_as_a_document(here: Run) -> None:
    """The same entry as in the list."""
    every = json.loads(here("codecs", "--json")[1])["codecs"]
    assert json.loads(here("codecs", "eden", "--json")[1])["codecs"] == [one for one in every if one["name"] == "eden"]


def test_packages_that_are_broken_hide_no_other(here: Run, packages: Any) -> None:
    """A stage that cannot say is listed with what it declares; one that cannot be loaded is told of."""
    code, out, err = here("codecs")
    assert code == 0
    [row] = [line for line in out.splitlines() if line.startswith("stubborn")]
    assert re.split(r"  +", row) == ["stubborn(rank=2)", "array → bytes", "yes", "none", "elements"]
    assert "  a stage that says nothing of itself without a topology\n" in out
    assert err.startswith("note: codecs: torn8, registered by torn, cannot be loaded: ZeroDivisionError")
    document = json.loads(here("codecs", "--json")[1])
    assert [one["name"] for one in document["codecs"]] == [*TABLE, "stubborn"]
    assert document["codecs"][-1]["bits"] is document["codecs"][-1]["unbiased"] is None
    assert document["codecs"][-1]["package"] == "shy 1.0"
    assert "torn8" in document["broken"][0]["what"]
    np.save("ones.npy", np.ones(5000, np.float32))
    code, out, _ = here("codecs", "--bench", "ones.npy", "--codec", "stubborn", "--codec", "none")
    assert code == 0 and "\nstubborn refused it: ZeroDivisionError: nobody thought of this\n" in out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["qsdg"], "error: codecs: no codec is called qsdg\n  to mend: did you mean qsgd?"),
        (["int8", "--bench"], "NAME and --bench exclude each other; measure one codec with --bench --codec int8"),
        (["--codec", "int8"], "--codec chooses what --bench measures; give --bench too"),
        (["--bench", "update.npy", "--codec", "int9"], 'error: codec "int9": no codec is called int9\n'),
        (["--bench", "update.npy", "--codec", "qsgd(1)"], 'error: codec "qsgd(1)": qsgd: there are no 1 bits\n'),
    ],
)
def test_wrong_use(args: list[str], told: str, here: Run, update: Any) -> None:
    """Exit code 2, nothing on stdout; with --json, its document."""
    code, out, err = here("codecs", *args)
    assert (code, out) == (2, "") and told in err
    code, out, _ = here("codecs", *args, "--json")
    assert (code, json.loads(out)["status"]) == (2, "failed")


def test_codecs_that_come_later_are_unsupported(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names are known, and said to be none of this version's."""
    monkeypatch.setattr("tierfed.codecs.table.LATER", ("sz3",))
    code, out, err = here("codecs", "sz3")
    assert (code, out) == (2, "") and err.startswith("error: codecs: sz3 is not supported by this version\n")


# -- the bench


def test_an_array_of_ones_own(here: Run, update: np.ndarray[Any, Any]) -> None:
    """Errors and bytes are those of the codecs; the front is what no other beats; speeds are there."""
    specs = ["none", "bf16", "int8", "fp8", "int8+zstd", "sign", "eden(bits=2)"]
    code, out, _ = here("codecs", "--bench", "update.npy", "--json", *(f"--codec={spec}" for spec in specs))
    assert code == 0
    [report] = json.loads(out)["bench"]
    assert (report["array"], report["elements"], report["of"]) == ("update.npy", 5000, 5000)
    rows = {row["codec"]: row for row in report["codecs"]}
    assert set(rows) == set(specs) and report["refused"] == []
    for spec, row in rows.items():
        data = codec(spec).encode(update, Stream.of(7, spec))
        back = codec(spec).decode(data, TensorType("float32", update.shape)).astype(np.float64)
        assert row["bytes"] == len(data) and row["ratio"] == update.nbytes / len(data)
        assert row["error"] == pytest.approx(((back - update) ** 2).sum() / (update.astype(np.float64) ** 2).sum())
        assert min(row["encode"], row["decode"], row["fold"]) > 0
        others = [other for other in rows.values() if other is not row]
        beaten = [o for o in others if o["bytes"] <= row["bytes"] and o["error"] <= row["error"]]
        assert row["front"] == (beaten == [])
    assert rows["eden(bits=2)"]["front"] and not rows["int8"]["front"]
    assert sorted(spec for spec, row in rows.items() if row["biased"]) == ["bf16", "fp8", "int8", "int8+zstd", "sign"]
    assert list(rows)[0] == "none" and list(rows)[-1] == "sign"


def test_without_a_file_every_stage_is_measured(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On normal and on lognormal numbers, of which the published errors are."""
    short = codec_bench.normal_and_lognormal(181)
    monkeypatch.setattr(codec_bench, "normal_and_lognormal", lambda: short)
    monkeypatch.setattr(codec_bench, "_RUNS", range(1, 1))
    reports = json.loads(here("codecs", "--bench", "--json")[1])["bench"]
    assert [report["array"] for report in reports] == ["normal", "lognormal"]
    for report in reports:
        assert {str(one) for one in codec_bench.chosen(())} == {row["codec"] for row in report["codecs"]}
        written = " ".join(row["codec"] for row in report["codecs"])
        assert [name for name in TABLE if name not in re.split(r"[+ ()]", written)] == []
        assert report["refused"] == []
    errors = {row["codec"]: row["error"] for row in reports[1]["codecs"]}
    assert errors["eden"] == pytest.approx(0.00959, rel=0.05) and errors["none"] == 0


def test_a_codec_that_refuses_the_values_is_told(here: Run, folder: Path) -> None:
    """The others are measured all the same."""
    np.save(folder / "wide.npy", np.full(5000, 1e300))
    code, out, _ = here("codecs", "--bench", "wide.npy", "--codec", "none", "--codec", "int8")
    assert code == 0 and out.startswith("wide.npy: 5,000 float64  memcpy ")
    assert "\nint8 refused it: 1e+300 at element 0 is beyond float32" in out
    code, out, _ = here("codecs", "--bench", "wide.npy", "--codec", "int8", "--json")
    [report] = json.loads(out)["bench"]
    assert (code, report["codecs"], report["memcpy_bytes_per_second"]) == (0, [], None)


def test_small_arrays_travel_raw(here: Run, folder: Path) -> None:
    """What is measured there happens on no link, and that is said."""
    np.save(folder / "small.npy", np.zeros(300, ">f8"))
    code, out, err = here("codecs", "--bench", "small.npy", "--codec", "int8")
    assert (code, err) == (0, "note: on a link, tensors under 4096 elements travel raw under any codec\n")
    assert re.search(r"^\*  int8 +0 +7.79 +yes ", out, re.MULTILINE)


def _npy(header: bytes, magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    return magic + struct.pack("<H", len(header)) + header


WRONG = {
    "nowhere.npy": (None, "no such file", "name a .npy or .npz file"),
    "folder.npy": ("folder", "is a folder", "name a .npy or .npz file"),
    "pipe.npy": ("fifo", "is no regular file", "save the array in a .npy file"),
    "text.npy": (b"1,2,3\n", "is no .npy or .npz file", "save floats: np.save"),
    "nothing.npy": (b"", "is no .npy or .npz file", "save floats: np.save"),
    "object.npy": (np.array([{}], object), "holds Python objects, which are not read", "save floats: np.save"),
    "object.npz": ({"a": np.array([{}], object)}, "holds Python objects, which are not read", "save floats"),
    "empty.npy": (np.zeros((0, 3), np.float32), "is empty: it has no elements", "save an array with elements"),
    "empty.npz": ({}, "is empty: it has no elements", "save an array with elements"),
    "nan.npy": (np.float32([1, 2, np.nan]), "holds nan, as element 2", "find the computation that made it"),
    "inf.npz": ({"a": np.ones(3), "b": np.float64([-np.inf])}, "holds -inf, as element 3", "find the computation"),
    "integers.npy": (np.arange(9), "holds int64; codecs are measured on floats", "save floats: np.save"),
    "integers.npz": ({"w": np.ones(3), "step": np.arange(1)}, "holds int64; codecs are measured on floats", "save"),
    "fields.npy": (np.zeros(3, [("a", "f4")]), "holds void32; codecs are measured on floats", "save floats"),
    "cut.npy": (_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}\n"), "declares 36 bytes of array", ""),
    "huge.npy": (
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}\n") + bytes(64),
        "declares 4398046511104 bytes of array, and has 64",
        "write the file again: it was cut short or damaged",
    ),
    "header.npy": (_npy(b"(" * 90 + b"\n"), "has no header that can be read: ", "write the file again"),
    "version.npy": (_npy(b"{}\n", b"\x93NUMPY\x09\x00"), "has no header that can be read: ", "write the file again"),
    "cut.npz": (b"PK\x03\x04" + bytes(60), "is an archive that cannot be unpacked: ", "write the file again"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_hold_no_floats(name: str, here: Run, folder: Path) -> None:
    """Where, what, and what would mend it, with the exit code of a wrong file."""
    content, what, mend = WRONG[name]
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    elif isinstance(content, dict):
        np.savez(folder / name, **content)
    elif isinstance(content, np.ndarray):
        np.save(folder / name, content)
    elif content is not None:
        os.mkfifo(folder / name) if content == "fifo" else (folder / name).mkdir()
    code, out, err = here("codecs", "--bench", name, "--codec", "none")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {name}") and what in err and f"\n  to mend: {mend}" in err


def test_a_file_that_may_not_be_read(here: Run, update: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, whom nothing is forbidden, so the system's answer is given here."""

    opened = Path.open

    def forbidden(self: Path, *args: Any, **rest: Any) -> Any:
        if self.name == "update.npy":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **rest)

    monkeypatch.setattr(Path, "open", forbidden)
    code, _, err = here("codecs", "--bench", "update.npy")
    assert (code, err) == (2, "error: update.npy: permission denied\n  to mend: name a file that can be read\n")


def test_an_archive_is_not_unpacked_beyond_a_limit(here: Run, folder: Path) -> None:
    """The headers say how large it will be, before it is."""
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.npy", "b.npy"):
            header = _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (40000000,)}\n")
            archive.writestr(name, header + bytes(1000 if name == "b.npy" else 160_000_000))
    code, _, err = here("codecs", "--bench", "bomb.npz")
    assert (code, err) == (
        2,
        "error: bomb.npz: unpacks to more than 256 MB\n"
        "  to mend: save a large array with np.save: of a .npy file a sample is read\n",
    )


def test_a_large_file_is_sampled(folder: Path) -> None:
    """Of 4 GB that are nearly all hole, 64 runs are read, the first and the last among them, in bounded memory."""
    with (folder / "large.npy").open("wb") as file:
        file.write(_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1024, 1048576)}\n"))
        begun = file.tell()
        file.write(np.float32([1, 2]).tobytes())
        file.truncate(begun + (4 << 30))
        file.seek(-4, os.SEEK_END)
        file.write(np.float32([3]).tobytes())
    sample = array_file.read(str(folder / "large.npy"))
    assert (sample.of, sample.pieces, sample.values.size) == (1 << 30, 64, array_file.MOST)
    assert (sample.values[:2].tolist(), sample.values[-1], sample.values[2:-1].any()) == ([1, 2], 3, False)
    report = codec_bench.measure(sample, [codec("none")], lambda _: None)
    head = codec_bench.shown(report, None).splitlines()[0]
    assert head.startswith(f"{folder / 'large.npy'}: 4,194,304 of 1,073,741,824 float32 in 64 pieces  memcpy ")


def test_arrays_are_read_in_row_major_order(folder: Path) -> None:
    """Whatever the file's order and its bytes'; members of an archive follow one another; samples too."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(folder / "fortran.npy", np.asfortranarray(values.astype(">f4")))
    np.savez(folder / "two.npz", a=np.asfortranarray(values), b=values[0, :2].astype(np.float64))
    assert array_file.read(str(folder / "fortran.npy")).values.tolist() == list(range(12))
    assert array_file.read(str(folder / "two.npz")).values.tolist() == [*range(12), 0, 1]
    wide = np.asfortranarray(np.arange(2**18, dtype=np.float32).reshape(2, -1))
    np.save(folder / "wide.npy", wide)
    cut = array_file.read(str(folder / "wide.npy"), most=2**17)
    assert (cut.pieces, cut.of) == (2, 2**18)
    assert cut.values.tolist() == [*range(2**16), *range(2**18 - 2**16, 2**18)]


# -- on a terminal


def _on_a_terminal(folder: Path, columns: int, *args: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the command on a terminal; return it and our end of the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    settings = {**environment(folder), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        settings.pop(name, None)
    command = subprocess.Popen(
        [sys.executable, "-P", "-m", "tierfed", "codecs", *args],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=settings,
    )
    os.close(theirs)
    return command, ours


def _read(ours: int, until: bytes | None = None) -> str:
    """Return what is written to the terminal, up to a word of it or all of it."""
    written = b""
    while until is None or until not in written:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # how a terminal says that nobody holds its other end any more
            break
        if not part:
            break
        written += part
    return written.decode(errors="replace")


def test_a_bench_on_a_narrow_terminal(folder: Path, update: Any) -> None:
    """The progress is gone at the end, and what stays fits, in paragraphs."""
    np.save(folder / "update.npy", np.ones((50, 100), np.float32))
    command, ours = _on_a_terminal(folder, 60, "--bench", "update.npy", "--codec", "none", "--codec", LONG)
    text = _read(ours)
    os.close(ours)
    assert command.wait() == 0
    lines = screen(text)
    assert f"measuring 2/2 {LONG}" in text and not any("measuring" in line for line in lines)
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("update.npy: 5,000 float32  memcpy ")
    assert lines[2].startswith("  error 0  ratio 1  biased no  encode ")
    assert lines[-1] == "  encode, decode, fold: 1 is memcpy's speed"


def test_an_interrupted_bench_leaves_a_clean_terminal(folder: Path) -> None:
    """Ctrl-C in the midst of it: its progress goes, one word stays, with the exit code of an interruption."""
    command, ours = _on_a_terminal(folder, 100, "--bench")
    text = _read(ours, b"measuring")
    command.send_signal(signal.SIGINT)
    text += _read(ours)
    os.close(ours)
    assert command.wait() == 130
    assert screen(text) == ["interrupted"]
    assert text.rfind("\033[?25h") > text.rfind("\033[?25l")  # the cursor is back
