"""Pushing: what was pushed can be pulled, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path

import pytest

from tepui.agent.containers.images.errors import ImageError
from tepui.agent.containers.images.image import ImageConfig
from tepui.agent.containers.images.pushing import RootDirectory
from tests.agent.containers.images.fake_registry import fake_registry
from tests.agent.containers.images.made import (
    Made,
    digest,
    file,
    layout_files,
    saved_files,
    tar_of,
    write_archive,
    write_files,
)
from tests.agent.containers.images.place import images_in, pull, tree, unheard

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and owners of files need root"),
]

APP = Made(tar_of(file("a", b"1")), tar_of(file("b", b"2")), config={"Cmd": ["a"]})


def test_layouts_are_pushed_as_they_are_and_only_once(tmp_path: Path) -> None:
    async def run() -> None:
        layout = write_files(layout_files({"": APP}), tmp_path / "layout")
        async with fake_registry() as fake, images_in(tmp_path / "s", registry=fake.url) as images:
            told: list[str] = []
            assert await images.push(str(layout), "user/app:1", None, told.append) == APP.digest
            assert told[-1] == "pushing user/app:1: 3 of 3 parts sent"
            assert fake.uploads == 3
            await images.push(str(layout), "user/app:2", None, told.append)
            assert fake.uploads == 3
            assert (await pull(images, "user/app:2")).digest == APP.digest
            assert list((tmp_path / "s/tmp").iterdir()) == []

    asyncio.run(run())


def test_what_docker_saved_is_pushed_compressed(tmp_path: Path) -> None:
    async def run() -> None:
        saved = write_archive(saved_files({"app:1": APP}), tmp_path / "app.tar")
        async with fake_registry() as fake, images_in(tmp_path / "s", registry=fake.url) as images:
            await images.push(str(saved), "app:1", None, unheard)
            image = await pull(images, "app:1")
            assert image.config.cmd == ("a",)
            assert [tree(Path(layer)) for layer in image.layers] == [{"a": "1"}, {"b": "2"}]

    asyncio.run(run())


def test_a_directory_becomes_an_image_of_one_layer(tmp_path: Path) -> None:
    async def run() -> None:
        root = write_files({"etc/passwd": b"ann:x:1:1::/:\n", "bin/app": b"#!"}, tmp_path / "root")
        os.chown(root / "bin/app", 1, 2)  # which takes set-user-ID away
        (root / "bin/app").chmod(0o4755)
        (root / "sh").symlink_to("bin/app")
        config = ImageConfig(entrypoint=("/bin/app",), environment=("A=1",), user="ann")
        async with fake_registry() as fake, images_in(tmp_path / "s", registry=fake.url) as images:
            source = RootDirectory(root, config)
            first = await images.push(source, "app:1", None, unheard)
            assert await images.push(source, "app:2", None, unheard) == first
            assert fake.uploads == 2
            image = await pull(images, "app:1")
            assert image.digest == first
            assert image.config == config
            assert image.passwd == "ann:x:1:1::/:\n"
            status = (Path(image.layers[0]) / "bin/app").stat()
            assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o4755, 1, 2)

    asyncio.run(run())


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_registries_that_ask_who_pushes_are_told(tmp_path: Path, auth: str) -> None:
    async def run() -> None:
        layout = write_files(layout_files({"": APP}), tmp_path / "layout")
        async with fake_registry() as fake, images_in(tmp_path / "s", registry=fake.url) as images:
            fake.auth, fake.user = auth, "ann:secret"
            with pytest.raises(ImageError, match="access is denied with nobody's credentials"):
                await images.push(str(layout), "app:1", None, unheard)
            entry = {"auth": base64.b64encode(b"ann:secret").decode()}
            config = json.dumps({"auths": {fake.host: entry}})
            await images.push(str(layout), "app:1", config, unheard)
            assert set(fake.blobs) == set(APP.blobs)

    asyncio.run(run())


def test_a_registry_that_fails_in_passing_is_asked_again(tmp_path: Path) -> None:
    async def run() -> None:
        layout = write_files(layout_files({"": APP}), tmp_path / "layout")
        async with fake_registry() as fake, images_in(tmp_path / "s", registry=fake.url) as images:
            fake.failures["/blobs/uploads/"] = 3
            fake.failures["/manifests/1"] = 3
            await images.push(str(layout), "app:1", None, unheard)
            assert ("app", "1") in fake.manifests

    asyncio.run(run())


def test_what_cannot_be_pushed_is_named(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path / "s", registry=fake.url) as images:
            for source, name, rule in (
                ("/nonexistent", "app:1", "there is no '/nonexistent'"),
                (RootDirectory(Path("/nonexistent")), "app:1", "there is no directory"),
                ("/", "App", "is not a repository"),
                ("/", f"app@{digest(b'')}", "images are pushed by tag"),
            ):
                with pytest.raises(ImageError, match=rule):
                    await images.push(source, name, None, unheard)
            assert fake.asked == []

    asyncio.run(run())
