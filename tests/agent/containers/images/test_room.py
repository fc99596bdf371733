"""Images leave room on the disk to others, whatever they unpack to."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from tepui.agent.containers.images import room
from tepui.agent.containers.images.errors import Fault, ImageError
from tepui.agent.containers.images.room import check_room
from tests.agent.containers.images.fake_registry import fake_registry
from tests.agent.containers.images.made import Made, directory, file, tar_of
from tests.agent.containers.images.place import images_in, pull
from tests.real.small_disk import small_disk

DISK_MIB = 96
DISK_FILES = 21_000  # of which a twentieth is kept: more than are looked at together
MIB = 1 << 20


def test_last_twentieth_of_a_disk_is_kept_and_a_gigabyte_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.statvfs(tmp_path)
    free_bytes = status.f_bavail * status.f_frsize
    monkeypatch.setattr(room, "KEPT_BYTES_MAX", 0)
    monkeypatch.setattr(room, "KEPT_FILES_MAX", 0)
    check_room(tmp_path, "storing", free_bytes // 2)
    with pytest.raises(Fault, match=r"^storing: .* MB are to come, and .* MB are free") as full:
        check_room(tmp_path, "storing", free_bytes * 2)
    assert full.value.is_full
    monkeypatch.setattr(room, "KEPT_BYTES_MAX", 1 << 62)
    monkeypatch.setattr(room, "KEPT_FRACTION", 1.0)
    with pytest.raises(Fault, match="are kept for others"):
        check_room(tmp_path, "unpacking")


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="a file system can't be mounted")
@pytest.mark.parametrize("kind", ["bytes", "files"])
def test_a_bomb_ends_before_the_disk_is_full_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    """The least that was free meanwhile is what its neighbours had."""
    if kind == "bytes":
        layer = tar_of(file("zeros", bytes(2 * DISK_MIB * MIB)))
    else:
        layer = tar_of(*(directory(f"{at:06}") for at in range(2 * DISK_FILES)))
    least = {"bytes": 1 << 62, "files": 1 << 62}
    over = threading.Event()

    def look(disk: Path) -> None:
        while not over.wait(0.002):
            status = os.statvfs(disk)
            least["bytes"] = min(least["bytes"], status.f_bavail * status.f_frsize)
            least["files"] = min(least["files"], status.f_favail)

    async def run(disk: Path) -> None:
        async with fake_registry() as fake, images_in(disk, registry=fake.url) as images:
            fake.add("bomb", "1", Made(layer))
            with pytest.raises(ImageError, match=r"unpacking layer 1 of 1: .* kept for others"):
                await pull(images, "bomb:1")
            assert list((disk / "tmp").iterdir()) == []

    with small_disk(tmp_path / "disk", DISK_MIB, DISK_FILES) as disk:
        looking = threading.Thread(target=look, args=(disk,))
        looking.start()
        try:
            asyncio.run(run(disk))
        finally:
            over.set()
            looking.join()
    assert least["bytes"] > 0
    assert least["files"] > 0
