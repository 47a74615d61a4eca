"""Codecs of other packages: found by entry point, checked, and put through the laws; ours cannot be taken."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tierfed.codecs import TABLE, ArrayStage, FloatStage, ShortStage, codec, names
from tierfed.errors import CodecError, UnsupportedError
from tierfed.types import TensorType

PAGE = (Path(__file__).parents[2] / "docs" / "codecs.md").read_text()
EXAMPLE = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class Uniform8" in block)
REGISTRATION = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """`install(package, {entry: target}, {module: source})` puts a package on the path, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def put(package, entries, sources):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {target}" for name, target in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[tierfed.codecs]", *lines, ""]))
        for module, source in sources.items():
            (tmp_path / f"{module}.py").write_text(source)
            modules.append(module)

    yield put
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def uniform8(install):
    """The example of docs/codecs.md, installed as the page says."""
    name, target = re.search(r'^(\w+) = "(.*)"$', REGISTRATION, re.MULTILINE).groups()
    install("uniform", {name: target}, {"uniform8": EXAMPLE})


def test_the_example_of_the_page_is_a_codec(uniform8):
    """It is listed, takes part in chains, and shows its options as ours do."""
    assert names() == [*TABLE, "uniform8"]
    c = codec("uniform8(15)+zstd")
    assert str(c) == "uniform8(steps=15)+zstd"
    assert codec(c.config) == c
    assert codec("uniform8") != c


def test_the_example_of_the_page_keeps_the_laws(uniform8):
    """Within its bound, the input unchanged, and accumulated as decoded and added."""
    for spec in ("uniform8", "uniform8+zstd"):
        c = codec(spec)
        x = np.random.default_rng(0).standard_normal((70, 50)).astype(np.float32)
        before = x.tobytes()
        data = c.encode(x[::-1, ::2])
        assert x.tobytes() == before
        y = c.decode(data, TensorType("float32", (70, 25)))
        assert (np.abs(y - x[::-1, ::2]) <= c.array_stage.bound(x)[0, 0]).all()
        total = np.ones(70 * 25, np.float32)
        c.accumulate_chunk(data, total)
        assert (total == y.reshape(-1) + np.float32(1)).all()
        with pytest.raises(CodecError):
            c.decode(data[:-1], TensorType("float32", (70, 25)))
        assert c.decode(c.encode(np.zeros(0, np.float32)), TensorType("float32", (0,))).shape == (0,)
        with pytest.raises(CodecError, match="uniform8: a value is not finite"):
            c.encode(np.float32([1, np.nan]))


def test_the_example_of_the_page_refuses_hostile_bytes(uniform8):
    """A range that is none leaves the sum untouched."""
    total = np.ones(4, np.float32)
    with pytest.raises(CodecError, match="uniform8: no range"):
        codec("uniform8").accumulate_chunk(np.float32([np.nan, 1]).tobytes() + bytes(4), total)
    assert (total == 1).all()


@pytest.mark.parametrize("name", ["int8", "zstd"])
def test_names_of_ours_cannot_be_taken(install, name):
    """A package that registers a name of the table does not change what the name means."""
    install("thief", {name: "uniform8:Uniform8"}, {"uniform8": EXAMPLE})
    assert names() == list(TABLE)
    assert any(type(s) is TABLE[name] for s in codec(name).stages)


def test_names_that_come_later_cannot_be_taken(install, monkeypatch):
    """A later version would read other bytes under the same name."""
    monkeypatch.setattr("tierfed.codecs.table.LATER", ("quicfl",))
    install("thief", {"quicfl": "uniform8:Uniform8"}, {"uniform8": EXAMPLE})
    with pytest.raises(UnsupportedError, match="quicfl is not supported by this version"):
        codec("quicfl")


MEND = "a codec is a frozen dataclass under tierfed.codecs.ArrayStage, ShortStage or ByteStage, see docs/codecs.md"
EVERY = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tierfed.codecs import ShortStage


@dataclass(frozen=True, slots=True)
class Every(ShortStage):
    """Each element whose index is a multiple of a number."""

    name: ClassVar[str] = "every"
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)
    unbiased: ClassVar[bool] = False
    linear: ClassVar[bool] = True
    step: int = 2

    def length(self, size):
        return -(-size // self.step)

    def head_bytes(self, size):
        return 0

    def shorten(self, chunk, first, stream):
        return b"", np.ascontiguousarray(chunk[:: self.step])

    def expand(self, head, values, out, *, adding):
        if not adding:
            out[:] = 0
        out[:: self.step] += values.astype(out.dtype)

    def places(self, head, size):
        return np.arange(0, size, self.step)

    def bound(self, chunk, inner):
        far = np.abs(chunk.astype(np.float64))
        far[:: self.step] = inner.bound(chunk[:: self.step])
        return far
'''


def test_a_short_stage_of_a_package_is_one(install):
    """It stands in chains, its floats are coded by what follows, and its codes add up."""
    install("thin", {"every": "every:Every"}, {"every": EVERY})
    c = codec("every(3)+int8+zstd")
    x = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    y = c.decode(c.encode(x), TensorType("float32", (100,)))
    thin = codec("int8").decode(codec("int8").encode(x[::3]), TensorType("float32", (34,)))
    assert y[::3].tobytes() == thin.tobytes() and np.count_nonzero(y) == 34
    total = np.zeros(100, np.float32)
    summing = c.summing(100, "float32")
    for _ in range(3):
        summing.add(memoryview(c.encode(x)))
    summing.into(total)
    assert np.abs(total - 3 * y).max() < 1e-5


@pytest.mark.parametrize(
    ("source", "what", "mend"),
    [
        ("Uniform8 = 3", "is no stage", MEND),
        ("class Uniform8: pass", "is no stage", MEND),
        (EXAMPLE.replace("def bound", "def limit"), "lacks bound", MEND),
        (EXAMPLE.replace("@dataclass(frozen=True, slots=True)", ""), "is no frozen dataclass", MEND),
        (EXAMPLE.replace("frozen=True, ", ""), "is no frozen dataclass", MEND),
        (EXAMPLE.replace("int = 255", "int"), "has an option without a default", MEND),
        (EXAMPLE.replace("    lossy: ClassVar[bool] = True\n", ""), "lacks lossy", MEND),
        (EVERY.replace("Every", "Uniform8").replace("    dtypes: ", "    others: "), "lacks dtypes", MEND),
        (EXAMPLE.replace('= "uniform8"', '= "uniform9"'), "calls itself uniform9", MEND),
        (
            "import nothing_like_this",
            "cannot be loaded: ModuleNotFoundError: No module named 'nothing_like_this'",
            None,
        ),
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero", None),
    ],
)
def test_a_package_that_is_no_codec_is_named(install, source, what, mend):
    """The error names the codec, the package that registered it, and what is wrong with it."""
    install("broken", {"uniform8": "uniform8:Uniform8"}, {"uniform8": source})
    with pytest.raises(CodecError) as e:
        codec("uniform8+zstd")
    assert str(e.value) == (
        f'codec "uniform8+zstd": uniform8, registered by broken, {what}\n'
        f"  to mend: {mend or 'repair or uninstall that package'}"
    )


def test_two_packages_of_one_name_are_refused(install, uniform8):
    """Which of the two would be meant depends on the path, so neither is."""
    install("other", {"uniform8": "other8:Uniform8"}, {"other8": EXAMPLE})
    with pytest.raises(CodecError) as e:
        codec("uniform8")
    assert str(e.value) == (
        'codec "uniform8": uniform8 is registered twice, by other, uniform\n  to mend: uninstall one of these packages'
    )


def test_a_mistake_in_the_name_suggests_it(uniform8):
    """Third parties' names are among the suggestions."""
    listed = f"{', '.join(TABLE)} and uniform8"
    with pytest.raises(CodecError, match=f"did you mean uniform8[?] the codecs are {listed}"):
        codec("unifrom8")


def test_the_table_of_the_page_is_the_table():
    """The page lists every codec, with what it declares."""
    section = PAGE.partition("## The codecs of this version")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section if line.startswith("| `")]
    assert [row[0].strip("`").split("(")[0] for row in rows] == list(TABLE)
    for cells, cls in zip(rows, TABLE.values(), strict=True):
        if issubclass(cls, ArrayStage | ShortStage):
            stage = codec(cls.name).array_stage
            assert cells[1] == ("array → bytes" if issubclass(cls, ArrayStage) else "array → shorter")
            assert cells[3:5] == ["yes" if stage.lossy else "no", "yes" if stage.unbiased else "no"]
            if cells[2] != "its own":
                assert float(cells[2]) == stage.nbytes(1 << 18, "float32") * 8 / (1 << 18)
        else:
            assert cells[1] == ("array → array" if issubclass(cls, FloatStage) else "bytes → bytes")
