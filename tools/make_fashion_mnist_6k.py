"""Make `tierfed/data/fashion_mnist_6k.npz` from the files of Debian's `dataset-fashion-mnist`, bit for bit.

    apt-get download dataset-fashion-mnist
    dpkg-deb -x dataset-fashion-mnist_*.deb unpacked
    python tools/make_fashion_mnist_6k.py unpacked/usr/share/datasets/fashion-mnist

takes 600 training and 100 test images of each of the ten classes, and writes them as uint8
with the licence notice beside them; with `--check` it compares and writes nothing.

An image's place in the draw is the SHA-256 of its file's name and its index, so that the choice
depends on no generator of random numbers and on no library's version.  An image that was
already taken is passed over, test images being drawn first: none of them is trained on.
The archive's members carry a fixed date; its bytes depend on zlib's deflate, its arrays do not.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent / "tierfed" / "data"
ARCHIVE = HERE / "fashion_mnist_6k.npz"
NOTICE = HERE / "fashion_mnist_6k.LICENSE"
CLASSES = 10
DRAWS = (("test", "t10k", 100), ("train", "train", 600))  # part, file stem, images of each class

SOURCES = {  # SHA-256 of the unpacked files
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
}


def read_idx(path: Path) -> np.ndarray:
    """Return the array of a gzipped IDX file of unsigned bytes; exits if the file is not the one expected."""
    data = gzip.decompress(path.read_bytes())
    found = hashlib.sha256(data).hexdigest()
    if found != SOURCES[path.name]:
        sys.exit(f"{path}: unpacked it has the SHA-256 {found}, expected {SOURCES[path.name]}")
    rank = data[3]
    shape = tuple(np.frombuffer(data, ">u4", rank, 4))
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def draw(images: np.ndarray, labels: np.ndarray, stem: str, each: int, taken: set[bytes]) -> np.ndarray:
    """Return the indices of `each` images of every class, none of whose pixels are in `taken`, in the draw's order."""
    left = dict.fromkeys(range(CLASSES), each)
    chosen = []
    for i in sorted(range(len(labels)), key=lambda i: hashlib.sha256(f"{stem} {i}".encode()).digest()):
        label, pixels = int(labels[i]), images[i].tobytes()
        if left[label] and pixels not in taken:
            left[label] -= 1
            taken.add(pixels)
            chosen.append(i)
    return np.array(chosen)


def subset(folder: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of the archive, drawn from the files in `folder`."""
    arrays: dict[str, np.ndarray] = {}
    taken: set[bytes] = set()
    for part, stem, each in DRAWS:
        images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz")
        rows = draw(images, labels, stem, each, taken)
        arrays[f"{part}_images"] = images[rows].reshape(len(rows), -1)
        arrays[f"{part}_labels"] = labels[rows]
    return arrays


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """Return an .npz of `arrays`, the same bytes on every run."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            member = io.BytesIO()
            np.lib.format.write_array(member, arrays[name], version=(1, 0), allow_pickle=False)
            archive.writestr(entry, member.getvalue(), compresslevel=9)
    return out.getvalue()


def notice(copyright_file: Path) -> str:
    """Return the licence notice, from the package's own copyright file."""
    text = copyright_file.read_text()
    licence = text[text.index("License: Expat\n Permission") :].splitlines()[1:]
    body = "\n".join("" if line.strip() == "." else line.strip() for line in licence)
    return (
        "fashion_mnist_6k.npz: 6000 training and 1000 test images of Fashion-MNIST\n"
        "https://github.com/zalandoresearch/fashion-mnist\n\n"
        "The MIT License (MIT)\n\nCopyright (c) 2017 Zalando SE, https://tech.zalando.com\n\n" + body + "\n"
    )


def main() -> None:
    """Write the archive and its notice, or compare them."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("folder", type=Path, help="…/usr/share/datasets/fashion-mnist of the unpacked package")
    options.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    chosen = options.parse_args()
    packed = pack(subset(chosen.folder))
    text = notice(chosen.folder.parents[1] / "doc" / "dataset-fashion-mnist" / "copyright")
    if chosen.check:
        if ARCHIVE.read_bytes() != packed or NOTICE.read_text() != text:
            sys.exit(f"{ARCHIVE} or its notice is not what the package's files give")
    else:
        ARCHIVE.write_bytes(packed)
        NOTICE.write_text(text)
    print(f"{ARCHIVE.name}: {len(packed)} bytes, SHA-256 {hashlib.sha256(packed).hexdigest()}")


if __name__ == "__main__":
    main()
