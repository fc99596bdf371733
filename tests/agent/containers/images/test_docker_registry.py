"""Against the registry that everybody runs, Docker's own: pushed to and pulled from, open and by password."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tepui.agent.containers.images.errors import ImageError
from tepui.agent.containers.images.image import Image, PullRequest
from tests.agent.containers.images.made import (
    Made,
    directory,
    file,
    layout_files,
    saved_files,
    tar_of,
    write_archive,
    write_files,
)
from tests.agent.containers.images.place import images_in, pull, tree, unheard

DEADLINE_S = 30.0
# What `htpasswd -B` writes for the password 'secret'.
PASSWORD_FILE = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        shutil.which("docker-registry") is None, reason="docker-registry is not installed"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and owners of files need root"),
]

APP = Made(
    tar_of(directory("etc"), file("etc/passwd", b"root:x:0:0::/:\n")),
    tar_of(file("etc/x", b"x" * 100_000), file("etc/.wh.y", b"")),
    config={"Cmd": ["sh"], "Env": ["A=1"]},
)


@contextmanager
def registry(root: Path, *, has_password: bool = False) -> Iterator[str]:
    """Give host and port of a registry of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    auth = ""
    if has_password:
        (root / "htpasswd").write_text(PASSWORD_FILE)
        auth = f"auth: {{htpasswd: {{realm: here, path: {root}/htpasswd}}}}\n"
    (root / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/blobs}}}}\n"
        f"http: {{addr: '{host}'}}\n{auth}"
    )
    serving = subprocess.Popen(
        ["docker-registry", "serve", str(root / "config.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(host, serving)
        yield host
    finally:
        serving.kill()
        serving.wait()


def _wait_for(host: str, serving: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    name, _, port = host.partition(":")
    while serving.poll() is None:
        try:
            socket.create_connection((name, int(port)), timeout=DEADLINE_S).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "docker-registry does not answer"
            threading.Event().wait(0.02)
    pytest.fail("docker-registry has ended")


def moved(store: Path, source: Path, name: str, config: str | None = None) -> Image:
    """Return the image that comes back when the source was pushed under that name."""

    async def run() -> Image:
        async with images_in(store) as images:
            await images.push(str(source), name, config, unheard)
            return await images.pull(PullRequest(name=name, docker_config=config), unheard)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.mark.parametrize("form", ["oci", "docker", "zstd", "saved"])
def test_what_is_pushed_comes_back(tmp_path: Path, open_registry: str, form: str) -> None:
    made = APP
    if form == "docker":
        made = Made(*APP.tars, config={"Cmd": ["sh"]}, oci=False)
    elif form == "zstd":
        made = Made(*APP.tars, config={"Cmd": ["sh"]}, compression="zstd")
    if form == "saved":
        source = write_archive(saved_files({"app:1": made}), tmp_path / "app.tar")
    else:
        source = write_files(layout_files({"": made}), tmp_path / "layout")
    image = moved(tmp_path / "store", source, f"{open_registry}/user/{form}:1")
    assert form == "saved" or image.digest == made.digest
    assert image.config.cmd == ("sh",)
    assert image.passwd == "root:x:0:0::/:\n"
    assert tree(Path(image.layers[1]))["etc/y"] == "device"


def test_an_image_is_pulled_by_digest(tmp_path: Path, open_registry: str) -> None:
    layout = write_files(layout_files({"": APP}), tmp_path / "layout")
    moved(tmp_path / "one", layout, f"{open_registry}/app:1")

    async def run() -> None:
        async with images_in(tmp_path / "two") as images:
            image = await pull(images, f"{open_registry}/app@{APP.digest}")
            assert image.digest == APP.digest
            with pytest.raises(ImageError, match="has no such thing"):
                await pull(images, f"{open_registry}/app:none")

    asyncio.run(run())


def test_a_download_goes_on_from_where_it_ended(tmp_path: Path, open_registry: str) -> None:
    layout = write_files(layout_files({"": APP}), tmp_path / "layout")
    moved(tmp_path / "one", layout, f"{open_registry}/app:1")

    async def run() -> None:
        async with images_in(tmp_path / "two") as images:
            for name, content in APP.blobs.items():
                path = tmp_path / "two/blobs" / name.replace(":", "-")
                path.write_bytes(content[: len(content) // 2])
            assert (await pull(images, f"{open_registry}/app:1")).digest == APP.digest

    asyncio.run(run())


def test_a_registry_with_passwords_wants_the_right_one(tmp_path: Path) -> None:
    layout = write_files(layout_files({"": APP}), tmp_path / "layout")
    with registry(tmp_path, has_password=True) as host:

        def config(user: str) -> str:
            entry = {"auth": base64.b64encode(user.encode()).decode()}
            return json.dumps({"auths": {f"http://{host}/v2/": entry}})

        name = f"{host}/app:1"
        for text in (None, config("ann:guess")):
            with pytest.raises(ImageError, match="access is denied"):
                moved(tmp_path / "store", layout, name, text)
        assert moved(tmp_path / "store", layout, name, config("ann:secret")).digest == APP.digest
