"""Images that are on this machine: OCI layouts and what Docker saves, as directories and archives."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tepui.agent.containers.images.errors import ImageError
from tests.agent.containers.images.made import (
    Made,
    digest,
    directory,
    file,
    layout_files,
    saved_files,
    tar_of,
    write_archive,
    write_files,
)
from tests.agent.containers.images.place import images_in, pull, tree

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and owners of files need root"),
]

BASE = tar_of(directory("etc"), file("etc/passwd", b"root:x:0:0::/:\n"))
TOP = tar_of(file("etc/x", b"x"))
APP = Made(BASE, TOP, config={"Cmd": ["sh"]})
OTHER = Made(BASE, tar_of(file("other")), compression="")


def pulled(store: Path, name: str, **settings: object) -> list[dict[str, str]]:
    """Return what the layers of the image hold."""

    async def run() -> list[dict[str, str]]:
        async with images_in(store, **settings) as images:
            image = await pull(images, name)
            assert list((store / "tmp").iterdir()) == []
            return [tree(Path(layer)) for layer in image.layers]

    return asyncio.run(run())


def failure(store: Path, name: str) -> str:
    with pytest.raises(ImageError) as failed:
        pulled(store, name)
    return str(failed.value)


@pytest.mark.parametrize(
    "form", ["layout", "layout.tar", "layout.tar.gz", "saved", "saved.gz", "both"]
)
def test_every_form_gives_the_same_layers(tmp_path: Path, form: str) -> None:
    path = tmp_path / "image"
    if form == "layout":
        write_files(layout_files({"": APP}), path)
    elif form.startswith("layout"):
        write_archive(layout_files({"": APP}), path, compressed=form.endswith("gz"))
    elif form.startswith("saved"):
        write_archive(saved_files({"app:1": APP}), path, compressed=form.endswith("gz"))
    else:  # Docker of 25 and newer
        write_archive({**saved_files({"app:1": APP}), **layout_files({"1": APP})}, path)
    layers = pulled(tmp_path / "store", str(path))
    assert layers == [
        {"etc": "/", "etc/passwd": "root:x:0:0::/:\n"},
        {"etc": "/", "etc/x": "x"},
    ]


@pytest.mark.parametrize("make", [layout_files, saved_files])
def test_of_several_images_one_is_named(
    tmp_path: Path, make: Callable[[Mapping[str, Made]], dict[str, bytes]]
) -> None:
    path = write_archive(make({"app:1": APP, "example.org/other:2": OTHER}), tmp_path / "all.tar")
    assert "other" in pulled(tmp_path / "store", f"{path}:example.org/other:2")[1]
    assert "etc/x" in pulled(tmp_path / "store", f"file://{path}:app:1")[1]
    assert "several images" in failure(tmp_path / "store", str(path)) or "2 images" in failure(
        tmp_path / "store", str(path)
    )
    assert "it has no image 'none:1', but app:1" in failure(tmp_path / "store", f"{path}:none:1")


def test_layers_that_docker_saved_as_links_are_found(tmp_path: Path) -> None:
    path = write_archive(saved_files({"app:1": Made(BASE, BASE)}), tmp_path / "app.tar")
    assert pulled(tmp_path / "store", str(path)) == [tree_of_base(), tree_of_base()]


def tree_of_base() -> dict[str, str]:
    return {"etc": "/", "etc/passwd": "root:x:0:0::/:\n"}


def test_a_registry_may_be_a_directory_of_archives(tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    write_archive(saved_files({"app:1": APP}), tmp_path / "archives/app:1.tar")
    assert len(pulled(tmp_path / "store", "app:1", registry=str(tmp_path / "archives"))) == 2


def test_an_archive_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    write_archive(saved_files({"app:1": APP}), path)
    assert "etc/x" in pulled(tmp_path / "store", str(path))[1]
    write_archive(saved_files({"app:1": OTHER}), path)
    assert "other" in pulled(tmp_path / "store", str(path))[1]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"index.json": b"{"}, "index.json cannot be read"),
        ({"blobs/" + APP.digest.replace(":", "/"): b"{}"}, "has 2 bytes, not"),
        (
            {"blobs/" + digest(APP.config).replace(":", "/"): bytes(len(APP.config))},
            "has the digest",
        ),
        (
            {"blobs/" + digest(APP.layers[0]).replace(":", "/"): bytes(len(APP.layers[0]))},
            "the archive ends within a member|verifying",
        ),
    ],
)
def test_broken_layouts_are_named(tmp_path: Path, change: dict[str, bytes], rule: str) -> None:
    path = write_files({**layout_files({"": APP}), **change}, tmp_path / "layout")
    told = failure(tmp_path / "store", str(path))
    assert any(part in told for part in rule.split("|"))


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({"repositories": b"{}"}, "before 1.10"),
        ({"x": b""}, "it has neither `index.json`"),
        ({"manifest.json": b"{}"}, "manifest.json cannot be read"),
        ({"manifest.json": b"[]"}, "it has 0 images"),
        ({"manifest.json": b'[{"Config": "../../etc/passwd", "Layers": []}]'}, "is missing"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, files: dict[str, bytes], rule: str) -> None:
    path = write_archive(files, tmp_path / "x.tar")
    assert rule in failure(tmp_path / "store", str(path))


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    os.mkfifo(tmp_path / "pipe")
    assert "is not a tar archive" in failure(tmp_path / "store", f"{tmp_path}/text")
    assert "is not a regular file" in failure(tmp_path / "store", f"{tmp_path}/pipe")
    assert "there is no" in failure(tmp_path / "store", f"{tmp_path}/none")
