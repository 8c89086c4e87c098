"""Files are complete or absent."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from napari_lesion_points.errors import OutputError
from napari_lesion_points.store.atomic import atomic_path, atomic_write

if TYPE_CHECKING:
    from pathlib import Path


def write_and_fail(path: Path, error: Exception) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise error


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_text_and_bytes_into_new_folders(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a" / "b" / "text.csv", "é\n")
    atomic_write(tmp_path / "a" / "b" / "bytes", b"\x00\xff")
    assert (tmp_path / "a" / "b" / "text.csv").read_bytes() == "é\n".encode()
    assert contents(tmp_path / "a" / "b") == ["bytes", "text.csv"]


def test_the_temporary_name_keeps_the_ending_and_hides(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "x.nii.gz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.name.endswith("x.nii.gz")
        temporary.write_bytes(b"1")
    assert contents(tmp_path) == ["x.nii.gz"]


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "points.csv"
    atomic_write(target, "old")
    with pytest.raises(KeyError):
        write_and_fail(target, KeyError())
    assert target.read_text() == "old"
    assert contents(tmp_path) == ["points.csv"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.csv"), atomic_path(tmp_path / "x.csv"):
        pass


@pytest.mark.parametrize("name", ["folder", "file/below.csv"])
def test_folders_and_files_in_each_others_place(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="A folder is where a file should be, or the reverse"):
        atomic_write(tmp_path / name, "x")
    assert contents(tmp_path) == ["file", "folder"]
    assert contents(tmp_path / "folder") == []


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.csv.*Free some space"):
        write_and_fail(tmp_path / "x.csv", OSError(errno.ENOSPC, "No space left on device"))
    assert contents(tmp_path) == []
