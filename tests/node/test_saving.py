"""Residuals and bases by themselves: what is kept, for how long, and what of it comes back from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tierfed.errors import NoBase, TierfedError
from tierfed.node.bases import HELD, Base, Bases
from tierfed.node.fates import TOLD_AGAIN, Fates, Part, ended_of
from tierfed.node.keepers import Keeping
from tierfed.node.residuals import PROGRAMS, Key, Residuals
from tierfed.node.saving import folder_of, load, save
from tierfed.wire.keeping import base_name

NODE = "c-eu-03"
FIRST, SECOND, THIRD = ((2, 0, 0, 0),), ((3, 0, 0, 0),), ((4, 0, 0, 0),)


def key(program: str = "p", codec: str = "error_feedback+sign", path: str = "v1.w") -> Key:
    """Of a residual."""
    return Key(program, "< e-0", "2.0", path, codec)


def full(value: float, size: int = 5000) -> np.ndarray:
    """A residual."""
    return np.full(size, value, np.float32)


def sent(residuals: Residuals, attempt: tuple[str, int], value: float, order=FIRST, of: Key | None = None):
    """Code a message that leaves `value`; return what it took."""
    of = of or key()
    taken = residuals.take(attempt, of, order, 5000, np.float32)
    residuals.put(attempt, of, order, full(value))
    return None if taken is None else float(taken[0])


def here(residuals: Residuals) -> dict[str, float]:
    """What is there, by the program."""
    return {k.program: float(a[0]) for k, a in residuals.all()}


def test_a_residual_belongs_to_the_attempt_that_took_it():
    """What counts leaves its own, what does not gives back what it took, and another one meanwhile finds nothing."""
    residuals = Residuals()
    assert sent(residuals, ("a", 1), 1.0) is None
    residuals.end(("a", 1), True)
    assert sent(residuals, ("b", 1), 2.0) == 1.0
    assert sent(residuals, ("c", 1), 4.0) is None
    assert here(residuals) == {"p": 1.0}  # as it is if all that is under way fails
    residuals.end(("c", 1), True)
    residuals.end(("b", 1), False)
    assert here(residuals) == {"p": 5.0}
    residuals.end(("b", 1), True)  # said again
    assert here(residuals) == {"p": 5.0}


def test_coding_again_takes_what_was_taken_and_the_next_turn_what_was_left():
    """The same message finds the same residual; one of the next turn finds what the one before left."""
    residuals = Residuals()
    sent(residuals, ("a", 1), 1.0)
    residuals.end(("a", 1), True)
    assert [sent(residuals, ("b", 1), 2.0) for _ in range(2)] == [1.0, 1.0]
    assert sent(residuals, ("b", 1), 3.0, SECOND) == 2.0
    assert sent(residuals, ("b", 2), 7.0, FIRST) is None  # another attempt, while the first one is under way
    residuals.end(("b", 1), SECOND)  # the first turn counts, the second does not
    assert here(residuals) == {"p": 3.0}
    residuals.end(("b", 2), FIRST)  # lost before it gave anything
    assert here(residuals) == {"p": 3.0}


def test_another_size_or_codec_drops_what_was_left():
    """A tensor that is sent otherwise than before starts from nothing, and what was left is gone."""
    residuals = Residuals()
    sent(residuals, ("a", 1), 1.0)
    residuals.end(("a", 1), True)
    other = key(codec="error_feedback+int8")
    assert sent(residuals, ("b", 1), 2.0, of=other) is None
    residuals.end(("b", 1), True)
    assert [k.codec for k, _ in residuals.all()] == ["error_feedback+int8"]
    assert residuals.take(("c", 1), other, FIRST, 6000, np.float32) is None
    residuals.end(("c", 1), False)
    assert here(residuals) == {}


def test_of_programs_the_last_used_are_kept():
    """Memory is bounded by the programs in use, not by those that ever were."""
    residuals = Residuals()
    for number in range(PROGRAMS + 2):
        sent(residuals, ("a", number), 1.0, of=key(program=f"p{number}"))
        residuals.end(("a", number), True)
    assert sorted(here(residuals)) == sorted(f"p{n}" for n in range(2, PROGRAMS + 2))


def test_attempts_that_nobody_speaks_of_are_given_up():
    """Of attempts whose end is never told, the oldest counts as failed in the end."""
    residuals = Residuals()
    sent(residuals, ("a", 0), 1.0)
    residuals.end(("a", 0), True)
    for number in range(1, 66):
        sent(residuals, ("a", number), 9.0)
    assert len(residuals._open) == 64 and here(residuals) == {"p": 1.0}


def test_a_node_goes_on_with_what_it_has_saved(tmp_path: Path):
    """Every bit and every key comes back, of tensors of several pieces too; float64 stays float64."""
    rng = np.random.default_rng(0)
    rows = [
        (key(), rng.standard_normal(5000).astype(np.float32)),
        (key(path="v1.b", program="q"), rng.standard_normal((1 << 20) + 7)),
    ]
    save(tmp_path, 7, NODE, rows)
    back = load(folder_of(tmp_path, 7), NODE)
    assert [k for k, _ in back] == [k for k, _ in rows]
    assert all(a.tobytes() == b.tobytes() and a.dtype == b.dtype for (_, a), (_, b) in zip(back, rows, strict=True))
    assert load(folder_of(tmp_path, 7), "c-eu-04") == []
    keeping = Keeping()
    keeping.restore(folder_of(tmp_path, 7), NODE)
    assert sent(keeping.residuals, ("a", 1), 0.0) == float(rows[0][1][0])


def test_what_is_under_way_is_saved_as_if_it_failed(tmp_path: Path):
    """A round that has not ended when a checkpoint is made has not been, for whoever goes on from it."""
    keeping = Keeping()
    sent(keeping.residuals, ("a", 1), 1.0)
    keeping.end(("a", 1), Part([FIRST], {}), True)
    sent(keeping.residuals, ("b", 1), 2.0)
    keeping.saving(tmp_path, 3, NODE)()
    ((_, array),) = load(folder_of(tmp_path, 3), NODE)
    assert array[0] == 1.0


def test_of_files_the_last_two_rounds_stay(tmp_path: Path):
    """Disk is bounded too; the folder of a round goes with the last node's file."""
    for number in range(4):
        for node in (NODE, "c-eu-04"):
            save(tmp_path, number, node, [(key(), full(number))])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["round-000002", "round-000003"]
    assert [p.name for p in folder_of(tmp_path, 3).iterdir() if p.suffix != ".kept"] == []


@pytest.mark.parametrize("damage", ["cut", "flip", "piece", "twice", "empty"])
def test_a_damaged_file_is_told_and_passed_over(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture):
    """Cut short, changed, without a piece or with one twice: the node starts from nothing, and its log says so."""
    rows = [(key(), full(1.0)), (key(path="v1.b"), full(2.0))]
    save(tmp_path, 7, NODE, rows)
    file = folder_of(tmp_path, 7) / f"{NODE}.kept"
    data = file.read_bytes()
    save(tmp_path, 8, NODE, rows[:1])
    one = (folder_of(tmp_path, 8) / f"{NODE}.kept").stat().st_size  # the first frame, and one of a residual
    spoilt = {
        "cut": data[:-100],
        "flip": data[:-500] + bytes([data[-500] ^ 1]) + data[-499:],
        "piece": data[:one],
        "twice": data + data[one:],
        "empty": b"",
    }[damage]
    file.write_bytes(spoilt)
    with pytest.raises(TierfedError):
        load(folder_of(tmp_path, 7), NODE)
    keeping = Keeping()
    keeping.restore(folder_of(tmp_path, 7), NODE)
    assert list(keeping.residuals.all()) == [] and file.name in caplog.text


def base(value: float, order=FIRST, *holders: str) -> Base:
    """A base that these children hold."""
    arrays = {"v1.w": full(value)}
    return Base(arrays, base_name(arrays), order, set(holders))


def test_a_base_is_that_of_the_last_attempt_that_counted():
    """Of an attempt that failed nothing stays; of children only those are holders who were there to the end."""
    bases = Bases(8)
    bases.put(("a", 1), ("p", "1.0"), base(1.0, FIRST, "c-0", "c-1"))
    bases.forget("c-1")  # it has another connection
    bases.end(("a", 1), True, {"c-0": True, "c-1": True})
    assert bases.get(("b", 1), ("p", "1.0")).holders == {"c-0"}
    bases.put(("b", 1), ("p", "1.0"), base(2.0, FIRST, "c-0"))
    assert bases.get(("b", 1), ("p", "1.0")).arrays["v1.w"][0] == 2.0  # the next turn follows this one
    assert bases.get(("c", 1), ("p", "1.0")).arrays["v1.w"][0] == 1.0  # another attempt does not
    bases.end(("b", 1), False, {"c-0": False})
    assert bases.get(("c", 1), ("p", "1.0")).arrays["v1.w"][0] == 1.0
    bases.put(("c", 1), ("p", "1.0"), base(3.0, SECOND, "c-0", "c-1"))
    bases.end(("c", 1), THIRD, {"c-0": SECOND, "c-1": THIRD})  # c-0 was lost when it got this
    assert bases.get(("d", 1), ("p", "1.0")).holders == {"c-1"}


def test_a_base_is_found_by_its_name_alone():
    """Another name, or none here, is a `NoBase` that says which is meant and which is here."""
    bases = Bases(8)
    find = bases.find(("a", 1), ("p", "1.0"), "c-0, site 1.0")
    with pytest.raises(NoBase, match=r"^c-0, site 1\.0: a difference to base 31313131, here is none"):
        find(b"1" * 16)
    made = base(1.0)
    bases.put(("a", 1), ("p", "1.0"), made)
    assert find(made.name) is made.arrays
    with pytest.raises(
        NoBase, match=f"here is {made.name.hex()[:8]}\n  to mend: the parent sends the next one in full"
    ):
        find(bytes(16))


def test_a_name_is_that_of_the_elements():
    """One bit more or less, another path or another order of chunks is another name."""
    names = {base_name({p: a}) for p in ("v1", "v2") for a in (full(0), full(1), -full(0), full(0, 5001))}
    assert len(names) == 8 and all(len(name) == 16 for name in names)
    assert base_name({"a": full(0), "b": full(1)}) == base_name({"b": full(1), "a": full(0)})


def test_of_bases_too_the_last_programs_are_kept_and_longer_at_the_receiver():
    """Who sends differences forgets before who needs what they are to."""
    bases = Bases(HELD)
    for number in range(HELD + 1):
        bases.put(("a", number), (f"p{number}", "1.0"), base(1.0))
        bases.end(("a", number), True, {})
    assert bases.get(("b", 1), ("p1", "1.0")) is not None and len(bases._held) == HELD


def test_words_are_said_again_at_the_next_beginnings():
    """The last few that were not heard, newest last; a child that was told nothing is told nothing again."""
    fates = Fates()
    for number in range(TOLD_AGAIN + 2):
        fates.told("c-0", (f"s-{number}", 1), number % 2 == 0)
    words = fates.words("c-0")
    assert fates.words("c-1").after(0) == [] and len(words.after(0)) == TOLD_AGAIN
    assert ended_of({"ended": words.after(0)}, "c-0")[-1] == ("s-5", 1, False)
    assert words.after(words.count - 1) == words.after(0)[-1:] and words.after(words.count) == []
    for wrong in ("no", [["s-1", 1]], [["s-1", "1", True]], [[1, 1, True]], [["s-1", 1, "yes"]]):
        with pytest.raises(TierfedError, match="c-0"):
            ended_of({"ended": wrong}, "c-0")
