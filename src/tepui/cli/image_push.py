"""`tepui image push`: what is pushed, and with whose credentials."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
from pathlib import Path

import click
from msgspec.structs import replace

from tepui.agent.containers.images.errors import ImageError
from tepui.agent.containers.images.image import ImageConfig
from tepui.agent.containers.images.images import Images
from tepui.agent.containers.images.pushing import RootDirectory
from tepui.agent.containers.images.settings import ImageSettings
from tepui.cli.image_progress import ShowsProgress

CONFIG_VARIABLE = "DOCKER_CONFIG"  # Docker's own: the directory of config.json


def config_of(
    entrypoint: str | None,
    cmd: str | None,
    env: tuple[str, ...],
    workdir: str | None,
    user: str | None,
) -> ImageConfig:
    """What an image made of a directory says of the program in it."""
    for text in env:
        name, equals, _ = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--env '{text}': expected NAME=value")
    if workdir is not None and not workdir.startswith("/"):
        raise click.UsageError(f"--workdir '{workdir}': expected an absolute path")
    return ImageConfig(
        entrypoint=_words("--entrypoint", entrypoint),
        cmd=_words("--cmd", cmd),
        environment=env,
        directory=workdir or "",
        user=user or "",
    )


def source_of(source: str, config: ImageConfig) -> str | RootDirectory:
    """What is to be pushed; only a root file system lacks a configuration."""
    path = Path(source).absolute()
    if path.is_dir() and not (path / "oci-layout").is_file():
        return RootDirectory(path, config)
    if config != ImageConfig():
        options = "--entrypoint, --cmd, --env, --workdir and --user"
        raise click.UsageError(
            f"'{source}' has a configuration of its own: {options} are for root file systems"
        )
    return str(path)


def default_config() -> str | None:
    """The path of the config.json that `docker login` has written, if there is one."""
    directory = os.environ.get(CONFIG_VARIABLE) or os.path.expanduser("~/.docker")
    path = os.path.join(directory, "config.json")
    return path if os.path.isfile(path) else None


def push_image(
    source: str | RootDirectory,
    name: str,
    credentials: str | None,
    insecure: tuple[str, ...],
    progress: ShowsProgress,
) -> str:
    """Return the digest under which the registry has the image. Raises ClickException."""

    async def run(directory: Path) -> str:
        settings = replace(ImageSettings(), insecure_registries=insecure)
        images = Images(directory, settings)
        await images.start()
        try:
            prefix = f"pushing {name}: "
            return await images.push(
                source,
                name,
                credentials,
                lambda told: progress.tell(name, told.removeprefix(prefix)),
            )
        finally:
            await images.close()

    with tempfile.TemporaryDirectory(prefix="tepui-push-") as directory:
        try:
            return asyncio.run(run(Path(directory)))
        except ImageError as error:
            raise click.ClickException(str(error)) from None


def _words(option: str, line: str | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(line or ""))
    except ValueError as error:
        raise click.UsageError(f"{option} '{line}': {error}") from None
