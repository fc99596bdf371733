"""Small images of one static busybox, as archives that an agent reads where they lie."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tests.agent.containers.images.made import (
    Made,
    Member,
    directory,
    file,
    saved_files,
    symlink,
    tar_of,
    write_archive,
)

BUSYBOX = shutil.which("busybox")
PATH = "PATH=/bin"
MARK = "mark-of-the-image"  # a file that no host has
WORKER = 1234  # the id of the images' user who is not root
PASSWD = f"root:x:0:0::/root:/bin/sh\nworker:x:{WORKER}:{WORKER}::/home/worker:/bin/sh\n"
GROUP = f"root:x:0:\nworker:x:{WORKER}:\n"
OWN = """#!/bin/sh
echo "arguments: $*"
echo "own: $OWN"
echo "place: $(pwd)"
echo "user: $(id -u):$(id -g) $HOME"
"""


class Images(Struct, frozen=True):
    """Paths of archives."""

    plain: str  # names no program
    own: str  # has an entrypoint, a command, variables, a working directory and a user
    data: str  # files, and no program at all
    broken: str  # begins as an archive does
    links: str  # its directory /link is a link to a directory of the host


def busybox_image(config: Mapping[str, object] | None = None, *members: Member) -> Made:
    """An image in memory, of busybox and these further members."""
    return Made(
        tar_of(*_base()), *([tar_of(*members)] if members else []), config=config or {"Env": [PATH]}
    )


def make_images(place: Path, linked: Path) -> Images:
    """All images; `linked` is where the link in the last one leads, if it leads out."""
    place.mkdir(parents=True, exist_ok=True)
    own = {
        "Env": [PATH, "OWN=of the image"],
        "Entrypoint": ["/bin/own", "entry"],
        "Cmd": ["by", "default"],
        "WorkingDir": "/srv",
        "User": "worker",
    }
    made = {
        "plain": busybox_image(),
        "own": busybox_image(own, directory("srv"), file("bin/own", OWN.encode(), mode=0o755)),
        "data": Made(tar_of(directory("words"), file("words/one", b"of the data\n"))),
        "links": busybox_image(None, symlink("link", f"/../..{linked}")),
    }
    paths = {
        name: str(write_archive(saved_files({f"{name}:1": image}), place / f"{name}.tar"))
        for name, image in made.items()
    }
    broken = place / "broken.tar"
    broken.write_bytes(Path(paths["data"]).read_bytes()[:1500])
    return Images(broken=str(broken), **paths)


def _base() -> list[Member]:
    """Busybox with all its names, users, and a place for everybody's files."""
    assert BUSYBOX is not None, "such tests are skipped without"
    names = subprocess.run([BUSYBOX, "--list"], capture_output=True, check=True, text=True).stdout
    links = [symlink(f"bin/{name}", "busybox") for name in names.split() if name != "busybox"]
    return [
        directory("bin"),
        file("bin/busybox", Path(BUSYBOX).read_bytes(), mode=0o755),
        *links,
        directory("etc"),
        file("etc/passwd", PASSWD.encode()),
        file("etc/group", GROUP.encode()),
        directory("tmp", 0o1777),
        directory("www"),
        file("www/index.html", b"served\n"),
        file(MARK),
    ]
