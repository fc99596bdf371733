"""Where a runtime's files are: in memory where that can be, and nothing of them is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tepui.agent.launcher import rooms
from tepui.agent.launcher.rooms import NAMES, Rooms

TOKEN = "tepui-0123456789ab"


@pytest.fixture(autouse=True)
def any_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "FREE_BYTES_MIN", 0)


class Machine:
    """A runtime directory, and two places of which the second is said to be in memory."""

    def __init__(self, directory: Path) -> None:
        self.runtime = directory / "runtime"
        self.on_disk, self.in_memory = directory / "run", directory / "shm"
        for place in (self.runtime, self.on_disk, self.in_memory):
            place.mkdir()
        self.mounts = directory / "mounts"
        self.mounts.write_text(
            f"/dev/sda {self.on_disk} ext4 rw 0 0\ntmpfs {self.in_memory} tmpfs rw 0 0\n"
        )

    def rooms(self) -> Rooms:
        places = (str(self.on_disk), str(self.in_memory))
        return Rooms(str(self.runtime), TOKEN, places, str(self.mounts))

    def kept(self) -> list[str]:
        return sorted(
            os.listdir(self.runtime) + os.listdir(self.on_disk) + os.listdir(self.in_memory)
        )


def test_files_of_a_runtime_are_in_memory_under_their_names_in_the_runtime_directory(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path)
    own = machine.rooms()
    own.make()
    own.make()
    for name in NAMES:
        (machine.runtime / name / "a").mkdir()
        assert (machine.in_memory / TOKEN / name / "a").is_dir()
    assert (machine.in_memory / TOKEN).stat().st_mode & 0o777 == 0o700
    own.clear()
    assert machine.kept() == []


def test_nothing_is_made_before_the_first_container(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.rooms().clear()
    assert machine.kept() == []


def test_what_a_killed_launcher_has_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.rooms().make()
    (machine.runtime / NAMES[0] / "a").mkdir()
    (machine.runtime / NAMES[0] / "a/config.json").write_text("{}")
    own = machine.rooms()
    own.clear()
    assert machine.kept() == []
    own.make()
    assert os.listdir(machine.runtime / NAMES[0]) == []


def test_directories_on_disk_of_a_launcher_of_before_are_cleared(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.runtime / NAMES[1] / "a").mkdir(parents=True)
    machine.rooms().clear()
    assert machine.kept() == []


def test_machine_without_such_a_place_keeps_them_on_disk(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.mounts.write_text("")
    machine.rooms().make()
    assert machine.kept() == []


def test_place_with_little_room_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path)
    free = os.statvfs(machine.in_memory)
    monkeypatch.setattr(rooms, "FREE_BYTES_MIN", free.f_blocks * free.f_frsize + 1)
    machine.rooms().make()
    assert machine.kept() == []


def test_link_that_another_user_has_put_there_is_neither_used_nor_followed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    precious = tmp_path / "precious"
    (precious / "file").mkdir(parents=True)
    (machine.in_memory / TOKEN).symlink_to(precious)
    own = machine.rooms()
    own.clear()
    own.make()
    assert os.listdir(precious) == ["file"]
    assert machine.kept() == [TOKEN]  # as it was


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_directory_of_another_user_is_not_used(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    theirs = machine.in_memory / TOKEN
    (theirs / "file").mkdir(parents=True)
    os.chown(theirs, 12345, 12345)
    own = machine.rooms()
    own.clear()
    own.make()
    assert os.listdir(theirs) == ["file"]
    assert os.listdir(machine.runtime) == []
