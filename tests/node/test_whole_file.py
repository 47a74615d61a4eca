"""Files that are there whole, or not at all."""

import pytest

from tierfed.node.whole_file import whole_file


def test_a_file_takes_the_place_of_another_when_it_is_whole(tmp_path):
    """Until the block ends the earlier one is there; after it nothing is beside."""
    target = tmp_path / "state.ckpt"
    for text in (b"first", b"second, and longer"):
        before = target.read_bytes() if target.exists() else None
        with whole_file(target) as file:
            file.write(text)
            assert (target.read_bytes() if target.exists() else None) == before
        assert target.read_bytes() == text
    assert [path.name for path in tmp_path.iterdir()] == ["state.ckpt"]


def test_what_is_not_finished_replaces_nothing(tmp_path):
    """An error within the block leaves the earlier file, and goes on."""
    target = tmp_path / "state.ckpt"
    target.write_bytes(b"first")
    with pytest.raises(RuntimeError, match="halfway"), whole_file(target) as file:
        file.write(b"sec")
        raise RuntimeError("halfway")
    assert target.read_bytes() == b"first"
