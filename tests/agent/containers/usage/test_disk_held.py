"""What directories hold, counted as du counts it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tepui.agent.containers.usage import disk
from tepui.agent.containers.usage.disk import ENTRIES_AT_ONCE, Measurement, held_bytes


def du(*places: Path) -> int:
    told = subprocess.run(["du", "-s", "-B1", "-x", "-c", *places], capture_output=True, check=True)
    return int(told.stdout.splitlines()[-1].split()[0])


def filled(place: Path, count: int = 3) -> Path:
    for number in range(count):
        inner = place / f"d{number}" / "e"
        inner.mkdir(parents=True)
        (inner / "f").write_bytes(b"x" * 5_000 * (number + 1))
    return place


def steps(measurement: Measurement) -> int:
    count = 1
    while not measurement.step():
        count += 1
    return count


def test_as_much_is_held_as_du_says(tmp_path: Path) -> None:
    one, two = filled(tmp_path / "one"), filled(tmp_path / "two", 7)
    (one / "sparse").touch()
    os.truncate(one / "sparse", 1 << 30)
    (one / "to-root").symlink_to("/")
    os.link(one / "d2/e/f", two / "again")
    os.link(one / "d2/e/f", one / "d0/again")
    assert held_bytes(str(one), str(two)) == du(one, two)
    assert held_bytes(str(one)) == du(one)


def test_what_is_not_there_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    for name in ("none", "link"):
        assert held_bytes(str(tmp_path / name)) == 0


def test_single_file_counts_once(tmp_path: Path) -> None:
    file, more = tmp_path / "file", filled(tmp_path / "more")
    file.write_text("x" * 9_000)
    os.link(file, more / "again")
    assert held_bytes(str(file)) == du(file)
    assert held_bytes(str(file), str(more)) == du(file, more)


def test_deep_directories_need_no_descriptors_of_their_own(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    name = "deeper" * 40
    for _ in range(30):  # a path to it would be too long
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    with os.fdopen(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        file.write(b"x" * 100_000)
    os.close(here)
    before = len(os.listdir("/proc/self/fd"))
    assert held_bytes(str(tmp_path)) >= 100_000
    assert len(os.listdir("/proc/self/fd")) == before


def test_many_files_are_counted_in_pieces(tmp_path: Path) -> None:
    for number in range(ENTRIES_AT_ONCE * 3):
        (tmp_path / str(number)).touch()
    measurement = Measurement((str(tmp_path),))
    assert steps(measurement) == 4
    assert measurement.held_bytes == du(tmp_path)


def test_count_that_is_given_up_leaves_nothing_open(tmp_path: Path) -> None:
    for number in range(ENTRIES_AT_ONCE + 1):
        (tmp_path / str(number)).touch()
    before = len(os.listdir("/proc/self/fd"))
    measurement = Measurement((str(tmp_path),))
    assert not measurement.step()
    measurement.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_directory_that_is_moved_away_meanwhile_is_left_out(tmp_path: Path) -> None:
    inner = tmp_path / "here" / "inner"
    inner.mkdir(parents=True)
    for number in range(ENTRIES_AT_ONCE):
        (inner / str(number)).touch()
    (tmp_path / "elsewhere").mkdir()
    measurement = Measurement((str(tmp_path / "here"),))
    assert not measurement.step()
    inner.rename(tmp_path / "elsewhere" / "inner")
    (tmp_path / "elsewhere" / "more").write_bytes(b"x" * 100_000)
    assert measurement.step()
    assert measurement.held_bytes < 100_000


def test_entries_of_one_count_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk.ENTRIES_MAX == 2_000_000
    for number in range(3):
        (tmp_path / str(number)).write_bytes(b"x" * 4_096)
    alone = os.stat(tmp_path).st_blocks * 512
    monkeypatch.setattr(disk, "ENTRIES_MAX", 2)
    assert held_bytes(str(tmp_path)) == alone + 2 * 4_096
    monkeypatch.setattr(disk, "ENTRIES_MAX", 3)
    assert held_bytes(str(tmp_path)) == alone + 3 * 4_096


def test_directories_that_wait_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk.WAITING_MAX == 200_000
    filled(tmp_path, 3)
    whole = held_bytes(str(tmp_path))
    monkeypatch.setattr(disk, "WAITING_MAX", 3)
    assert held_bytes(str(tmp_path)) == whole
    monkeypatch.setattr(disk, "WAITING_MAX", 2)
    assert held_bytes(str(tmp_path)) < whole


def test_of_files_beyond_those_remembered_each_name_has_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert disk.LINKED_MAX == 200_000
    (tmp_path / "a").write_bytes(b"x" * 8_192)
    os.link(tmp_path / "a", tmp_path / "b")
    whole = held_bytes(str(tmp_path))
    monkeypatch.setattr(disk, "LINKED_MAX", 0)
    assert held_bytes(str(tmp_path)) == whole == du(tmp_path)
