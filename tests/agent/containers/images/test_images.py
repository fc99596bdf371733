"""Keeping images: held while containers live on them, removed and collected when nobody does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tepui.agent.containers.images import collecting
from tepui.agent.containers.images.errors import ImageError
from tepui.agent.containers.images.image import Image, ImageConfig
from tepui.agent.containers.images.store import ImageRecord
from tests.agent.containers.images.fake_registry import fake_registry
from tests.agent.containers.images.made import (
    Made,
    digest,
    directory,
    file,
    saved_files,
    tar_of,
    write_archive,
)
from tests.agent.containers.images.place import images_in, pull, tree

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and owners of files need root"),
]

BASE = tar_of(file("base"))


def archives(tmp_path: Path, *names: str) -> str:
    """Return a directory with an archive a name; all share their base."""
    (tmp_path / "archives").mkdir()
    for name in names:
        made = Made(BASE, tar_of(file(name)))
        write_archive(saved_files({f"{name}:latest": made}), tmp_path / f"archives/{name}.tar")
    return str(tmp_path / "archives")


def kept(store: Path) -> int:
    """Return how many layers are there."""
    layers = len(list((store / "layers").iterdir()))
    assert layers == len(list((store / "records").iterdir()))
    assert list((store / "tmp").iterdir()) == []
    return layers


def test_what_a_container_lives_on_stays_until_it_is_released(tmp_path: Path) -> None:
    async def run() -> None:
        registry, store = archives(tmp_path, "a", "b"), tmp_path / "store"
        async with images_in(store, registry=registry) as images:
            image = await pull(images, "a")
            images.hold("root.child", image)
            await pull(images, "b")
            with pytest.raises(ImageError, match="lives on it"):
                await images.remove("a")
            assert [Path(name).name for name in await images.prune()] == ["b.tar"]
            assert kept(store) == 2
        async with images_in(store, registry=registry) as images:
            assert images.held() == ("root.child",)
            assert await images.prune() == ()
            images.release("root.child")
            images.release("root.child")
            await images.remove("a")
            assert images.list() == ()
            assert kept(store) == 0
            assert list((store / "holds").iterdir()) == []

    asyncio.run(run())


def test_a_container_with_image_volumes_keeps_all_its_images(tmp_path: Path) -> None:
    async def run() -> None:
        registry, store = archives(tmp_path, "a", "b"), tmp_path / "store"
        async with images_in(store, registry=registry) as images:
            for name in ("a", "b", "a"):
                images.hold("c", await pull(images, name))
            assert await images.prune() == ()
        async with images_in(store, registry=registry) as images:
            assert [one.containers for one in images.kept()] == [("c",), ("c",)]
            for name in ("a", "b"):
                with pytest.raises(ImageError, match="lives on it"):
                    await images.remove(name)
            images.release("c")
            assert len(await images.prune()) == 2
            assert kept(store) == 0

    asyncio.run(run())


def test_another_name_of_the_same_layers_is_removed_while_containers_run(tmp_path: Path) -> None:
    async def run() -> None:
        registry, store = archives(tmp_path, "a"), tmp_path / "store"
        shutil.copy(tmp_path / "archives/a.tar", tmp_path / "archives/again.tar")
        async with images_in(store, registry=registry) as images:
            first, again = [await pull(images, name) for name in ("a", "again")]
            assert first.layers == again.layers
            images.hold("c", again)
            await images.remove("a")
            assert [one.image.name for one in images.kept()] == [again.name]
            assert kept(store) == 2

    asyncio.run(run())


def test_layers_of_an_image_that_was_replaced_stay_for_its_containers(tmp_path: Path) -> None:
    async def run() -> None:
        registry, store = archives(tmp_path, "a"), tmp_path / "store"
        async with images_in(store, registry=registry) as images:
            first = await pull(images, "a")
            images.hold("c", first)
            newer = Made(tar_of(file("newer")))
            write_archive(saved_files({"a:latest": newer}), tmp_path / "archives/a.tar")
            second = await pull(images, "a")
            assert second.layers != first.layers
            images.hold("d", first)
            await images.remove("a")
            assert tree(Path(first.layers[1])) == {"a": "content"}
            images.release("c")
            images.release("d")
            await images.prune()
            assert kept(store) == 0
            with pytest.raises(ImageError, match="it is here no more"):
                images.hold("e", first)

    asyncio.run(run())


def test_images_are_listed_and_unknown_ones_not_removed(tmp_path: Path) -> None:
    async def run() -> None:
        registry = archives(tmp_path, "b", "a")
        async with images_in(tmp_path / "store", registry=registry) as images:
            await pull(images, "b")
            await pull(images, "a")
            assert [Path(image.name).name for image in images.list()] == ["a.tar", "b.tar"]
            await images.remove(images.list()[0].name)
            for name, rule in (("a", "it is not here"), ("A", "is not a repository")):
                with pytest.raises(ImageError, match=rule):
                    await images.remove(name)
            assert kept(tmp_path / "store") == 2

    asyncio.run(run())


def test_pruning_leaves_what_is_excluded(tmp_path: Path) -> None:
    async def run() -> None:
        registry = archives(tmp_path, "a", "b")
        async with images_in(tmp_path / "store", registry=registry) as images:
            await pull(images, "a")
            await pull(images, "b")
            assert len(await images.prune(excluded=["a"])) == 1
            assert [Path(image.name).name for image in images.list()] == ["a.tar"]

    asyncio.run(run())


def test_collecting_frees_until_there_is_room_and_leaves_what_was_just_pulled(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        registry = archives(tmp_path, "a", "b", "c")
        store = tmp_path / "store"
        async with images_in(store, registry=registry) as images:
            for name in ("a", "b", "c"):
                images.hold(f"of-{name}", await pull(images, name))
            assert await images.collect(0.0) == ()
            assert await images.collect(1.0) == ()
            images.release("of-a")
            assert await images.collect(1.0) == ()  # it was used just now
        for path in (store / "images").iterdir():
            os.utime(path, (1, 1))
        async with images_in(store, registry=registry) as images:
            assert [Path(name).name for name in await images.collect(1.0)] == ["a.tar"]
            assert len(images.list()) == 2
            images.release("of-b")
            images.release("of-c")
            assert [Path(name).name for name in await images.collect(1.0, ["c"])] == ["b.tar"]
            assert kept(store) == 2

    asyncio.run(run())


def test_those_used_longest_ago_are_collected_first() -> None:
    def record(name: str, *chain: str) -> ImageRecord:
        return ImageRecord(
            name=name,
            digest="",
            chain=chain,
            config=ImageConfig(),
            passwd="",
            group="",
            size_bytes=0,
        )

    images = {
        name: record(name, "base", f"top-{name}")
        for name in ("new", "old", "older", "held", "kept")
    }
    used = {"new": 99.0, "old": 39.0, "older": 7.0, "held": 1.0, "kept": 1.0}
    going = collecting.candidates(images, used, {"base", "top-held"}, {"kept"}, 100, recent_s=61)
    assert going == ("older", "old")
    going = collecting.candidates(images, used, {"base", "top-held"}, {"kept"}, 100, recent_s=62)
    assert going == ("older",)


def test_what_is_being_pulled_is_not_collected(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            first, second = (
                Made(BASE),
                Made(BASE, tar_of(file("top", bytes(300_000))), compression=""),
            )
            fake.add("first", "1", first)
            fake.add("second", "1", second)
            await pull(images, "first:1")
            fake.stops_at[digest(second.layers[1])] = 100
            pulling = asyncio.create_task(pull(images, "second:1"))
            await fake.stopped.wait()
            # All layers of the first one are counted on by the second.
            assert await images.prune() == ()
            fake.gate.set()
            assert len((await pulling).layers) == 2

    asyncio.run(run())


def test_layers_of_an_earlier_boot_that_were_never_synced_are_pulled_again(tmp_path: Path) -> None:
    async def run() -> None:
        registry, store = archives(tmp_path, "a"), tmp_path / "store"
        async with images_in(store, registry=registry) as images:
            await pull(images, "a")
        for path in (store / "records").iterdir():
            record = json.loads(path.read_text())
            path.write_text(json.dumps({**record, "boot_id": "another"}))
        async with images_in(store, registry=registry) as images:
            assert images.list() == ()
            assert kept(store) == 0
            await pull(images, "a")

    asyncio.run(run())


def test_an_image_of_directories_of_any_depth_goes_as_others_do(tmp_path: Path) -> None:
    """This is deeper than what goes down by recursion can take."""

    async def run() -> None:
        store = tmp_path / "store"
        async with fake_registry() as fake, images_in(store, registry=fake.url) as images:
            fake.add("deep", "1", Made(tar_of(directory("d/" * 1100))))
            fake.add("broken", "1", Made(tar_of(directory("d/" * 1100)), diff_ids=[digest(b"")]))
            await pull(images, "deep:1")
            assert kept(store) == 1
            await images.remove("deep:1")
            assert kept(store) == 0
            with pytest.raises(ImageError, match="is not 'sha256:"):
                await pull(images, "broken:1")
            assert kept(store) == 0

    asyncio.run(run())


def test_the_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with images_in(tmp_path / "store"):
            assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700

    asyncio.run(run())


def test_a_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ImageError, match="opening the store"):
            async with images_in(tmp_path / "file/store"):
                pass

    asyncio.run(run())


def test_an_overlay_of_the_layers_shows_what_a_copy_shows(tmp_path: Path) -> None:
    base = tar_of(file("d/one", b"1"), file("d/two", b"2"), file("o/old"), file("gone"))
    top = tar_of(
        file("d/.wh.one", b""), file("o/.wh..wh..opq", b""), file("o/new"), file(".wh.gone", b"")
    )
    path = write_archive(saved_files({"a:1": Made(base, top)}), tmp_path / "a.tar")

    async def run() -> Image:
        async with images_in(tmp_path / "store") as images:
            image = await pull(images, str(path))
            await images.copy_root(image, tmp_path / "copy")
            return image

    image = asyncio.run(run())
    assert sorted(tree(tmp_path / "copy")) == ["d", "d/two", "o", "o/new"]
    (tmp_path / "root").mkdir()
    names = ":".join(os.path.basename(layer) for layer in reversed(image.layers))
    script = (
        f"cd {tmp_path}/store/layers && "
        f"mount -t overlay overlay -o lowerdir={names} {tmp_path}/root && "
        f"cd {tmp_path}/root && find . | sort"
    )
    # In a mount namespace of its own, so that nothing stays mounted.
    command = ["unshare", "--mount", "sh", "-c", script]
    shown = subprocess.run(command, capture_output=True, text=True)
    if shown.returncode != 0:
        pytest.skip(f"overlay file systems cannot be mounted here: {shown.stderr}")
    assert shown.stdout.split() == [".", "./d", "./d/two", "./o", "./o/new"]
