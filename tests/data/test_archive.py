"""The Fashion-MNIST subset: whole, balanced, nothing tested on that was trained on, and made again alike."""

import hashlib
import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tierfed.data
from tierfed.data import DATASETS

FOLDER = Path(tierfed.data.__file__).parent
PACKAGE = Path("/usr/share/datasets/fashion-mnist")
TOOL = Path(__file__).parents[2] / "tools" / "make_fashion_mnist_6k.py"
FASHION = DATASETS["fashion-mnist-6k"]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The script that makes the archive, as a module."""
    spec = importlib.util.spec_from_file_location("make_fashion_mnist_6k", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_archive_is_the_one_that_was_published() -> None:
    """Its bytes are those that accuracies were measured with."""
    digest = hashlib.sha256((FOLDER / FASHION.archive).read_bytes()).hexdigest()
    assert digest == "ddb38ca37df617b61e74ae02472b9bbee8764e126a48298b03f1ba51a92c9f4e"


def test_the_licence_notice_stands_beside_it() -> None:
    """The MIT licence asks for its notice in all copies."""
    notice = (FOLDER / "fashion_mnist_6k.LICENSE").read_text()
    assert "Copyright (c) 2017 Zalando SE" in notice and "shall be included" in notice


@pytest.mark.parametrize(("part", "each"), [("train", 600), ("test", 100)])
def test_classes_are_balanced(part: str, each: int) -> None:
    """As many images of each of the ten classes, in no order of class."""
    images, labels = FASHION.examples(part)
    assert images.shape == (10 * each, 784) and labels.shape == (10 * each,)
    assert np.bincount(labels).tolist() == [each] * 10
    assert len(np.unique(labels[:50])) == 10


def test_no_image_is_there_twice_and_none_is_in_both_parts() -> None:
    """Test images are never trained on, not even as an identical copy under another number."""
    train, test = ({row.tobytes() for row in FASHION.examples(part)[0]} for part in ("train", "test"))
    assert len(train) == 6000 and len(test) == 1000
    assert not train & test


def test_images_are_float32_between_zero_and_one() -> None:
    """Bytes 0 to 255 become k / 255 exactly as numpy divides."""
    images, labels = FASHION.examples("train")
    assert images.dtype == np.float32 and labels.dtype == np.int32
    assert images.min() == 0 and images.max() == 1
    levels = np.unique(images)
    assert np.array_equal(levels, np.arange(256, dtype=np.float32) / np.float32(255))


def test_what_a_caller_does_to_its_examples_stays_its_own() -> None:
    """Each call gives fresh arrays; the archive behind them cannot be written to."""
    images, labels = FASHION.examples("test")
    images[:], labels[:] = 9, 9
    fresh, fresh_labels = FASHION.examples("test")
    assert fresh.max() == 1 and np.bincount(fresh_labels).tolist() == [100] * 10


def test_packing_the_arrays_again_gives_an_archive_of_the_same_bytes(tool: ModuleType) -> None:
    """No date, no order and no default of a library's gets into the archive."""
    with np.load(FOLDER / FASHION.archive, allow_pickle=False) as members:
        arrays = {name: members[name][:50] for name in members.files}
    packed = tool.pack(arrays)
    assert packed == tool.pack(dict(reversed(arrays.items())))
    with np.load(io.BytesIO(packed), allow_pickle=False) as again:
        assert all(np.array_equal(again[name], array) for name, array in arrays.items())


def test_the_draw_takes_the_same_of_each_class_and_no_image_twice(tool: ModuleType) -> None:
    """Twenty images, ten classes, each image there two times: one of each is drawn, or the draw falls short."""
    labels = np.tile(np.arange(10, dtype=np.uint8), 2)
    images = np.repeat(labels[:, None], 4, 1)
    drawn = tool.draw(images, labels, "some", 1, set())
    assert sorted(labels[drawn]) == list(range(10))
    assert len(tool.draw(images, labels, "some", 2, set())) == 10
    assert len(tool.draw(images, labels, "some", 1, {images[3].tobytes()})) == 9


@pytest.mark.skipif(not PACKAGE.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_script_makes_the_archive_from_the_package() -> None:
    """Bit for bit, notice included."""
    done = subprocess.run([sys.executable, TOOL, PACKAGE, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
