"""A store of images for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from tepui.agent.containers.images.image import Image, PullRequest
from tepui.agent.containers.images.images import Images
from tepui.agent.containers.images.settings import ImageSettings

SETTINGS = ImageSettings(retry_ms=1, certificates="/nonexistent")


@asynccontextmanager
async def images_in(directory: Path, **settings: object) -> AsyncIterator[Images]:
    """Give a started store in the directory, with these settings."""
    images = Images(directory, msgspec.structs.replace(SETTINGS, **settings))
    await images.start()
    try:
        yield images
    finally:
        await images.close()


def unheard(text: str) -> None:
    """Progress that is of no interest."""


async def pull(images: Images, name: str, told: list[str] | None = None) -> Image:
    return await images.pull(PullRequest(name=name), (told if told is not None else []).append)


def tree(root: Path) -> dict[str, str]:
    """Return what is below the directory, by path: content, '->' and a link's target, or '/'."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"->{path.readlink()}"
        elif path.is_dir():
            found[name] = "/"
        elif path.is_file():
            found[name] = path.read_text(errors="replace")
        else:
            found[name] = "device"
    return found
