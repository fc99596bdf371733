"""Directories that are removed whatever is in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tepui.base.trees import DEPTH_MAX, remove_tree


def nest(place: Path, depth: int) -> None:
    """A chain of directories, with a file in each, longer than any path may be."""
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        os.mkdir("a-name-of-some-length", dir_fd=fd)
        inner = os.open("a-name-of-some-length", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


@pytest.mark.parametrize("depth", [0, 1, DEPTH_MAX, DEPTH_MAX + 1, 3_000])
def test_a_directory_of_any_depth_is_removed(tmp_path: Path, depth: int) -> None:
    place = tmp_path / "deep"
    place.mkdir()
    nest(place, depth)
    remove_tree(str(place))
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    place = tmp_path / "place"
    place.mkdir()
    (place / "link").symlink_to(kept)
    (place / "broken").symlink_to("nowhere")
    remove_tree(str(place))
    assert (kept / "file").read_text() == "x"
    assert not place.exists()


def test_a_link_itself_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "link").symlink_to(kept)
    with pytest.raises(OSError, match="Not a directory"):
        remove_tree(str(tmp_path / "link"))
    assert kept.is_dir()


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove_tree(str(tmp_path / "none"))


def test_names_like_those_that_are_given_here_are_removed_too(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    nest(place, DEPTH_MAX + 5)
    for number in range(5):
        (place / f".tepui-removed-{number}" / "inner").mkdir(parents=True)
    (place / ".tepui-removed-5").write_text("x")
    remove_tree(str(place))
    assert not place.exists()
