"""`tepui task cp`: files into and out of a task's container, as a tar archive through a session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

import click

from tepui.cli.exec import exit_code
from tepui.cli.inside import Inside
from tepui.cli.logs import sandbox_of
from tepui.sdk import CallRefused, OperatorClient
from tepui.sdk.reach import ContainerClient, stdin_message
from tepui.wire import mesos
from tepui.wire.agent import ProcessIO
from tepui.wire.media import Media

PIECE_BYTES = 256 * 1024
NO_SUCH_FILE = "no such file"  # the words of the agent when there is no tar
ERROR_BYTES_MAX = 16 * 1024


async def copy_out(inside: Inside, source: str, target: str) -> None:
    """The file or directory of the container is here; what has no tar gives files of its sandbox."""
    directory, name = posixpath.split(source.rstrip("/") or "/")
    command = ("tar", "-C", directory or ".", "-cf", "-", "--", name or ".")
    with tempfile.TemporaryFile() as archive:
        try:
            await _tar(inside, command, archive.write, None)
        except CallRefused as refused:
            if NO_SUCH_FILE not in refused.text:
                raise click.ClickException(refused.text) from None
            await _copy_file(inside, source, target)
            return
        archive.seek(0)
        await asyncio.to_thread(_unpack, archive, name or ".", target)


async def copy_in(inside: Inside, source: str, target: str) -> None:
    """The local file or directory is in the container; one that ends with '/' is a directory there."""
    path = Path(source)
    if not path.exists():
        raise click.ClickException(f"there is no '{source}'")
    if target.endswith("/") or target in ("", "."):
        directory, name = target or ".", path.name
    else:
        directory, name = posixpath.split(target)
    with tempfile.TemporaryFile() as archive:
        await asyncio.to_thread(_pack, archive, path, name)
        archive.seek(0)
        command = ("tar", "-C", directory or ".", "-xf", "-")
        try:
            await _tar(inside, command, lambda _: None, archive)
        except CallRefused as refused:
            if NO_SUCH_FILE in refused.text:
                text = "the container has no tar, without which nothing can be copied into it"
                raise click.ClickException(text) from None
            raise click.ClickException(refused.text) from None


async def _tar(
    inside: Inside,
    command: tuple[str, ...],
    take: Callable[[bytes], object],
    archive: IO[bytes] | None,
) -> None:
    info = mesos.CommandInfo(value=command[0], arguments=command, shell=False)
    session = inside.new_session()
    errors = bytearray()

    async def pieces() -> AsyncIterator[ProcessIO]:
        while archive is not None and (piece := archive.read(PIECE_BYTES)):
            yield stdin_message(piece)
        yield stdin_message(b"")

    async with ContainerClient(inside.address) as agent:
        async with agent.session(session, info) as output:
            typing = asyncio.create_task(agent.input(session, pieces()))
            try:
                async for message in output:
                    data = None if message.data is None else message.data.data
                    if data is None or message.data is None:
                        continue
                    if message.data.type is ProcessIO.Data.Type.STDERR:
                        errors += data[: ERROR_BYTES_MAX - len(errors)]
                    else:
                        take(data)
            finally:
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)
        code = exit_code(await agent.wait(session))
        with contextlib.suppress(CallRefused):
            await agent.remove(session)
    if code != 0:
        said = errors.decode(errors="replace").strip().splitlines()
        raise click.ClickException(said[0] if said else f"tar ended with {code} in the container")


def _pack(archive: IO[bytes], path: Path, name: str) -> None:
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(path, arcname=name)


def _unpack(archive: IO[bytes], name: str, target: str) -> None:
    """Into a directory that is there; else under the name that was given."""
    place = Path(target)
    with tempfile.TemporaryDirectory(dir=_beside(place), prefix=".tepui-cp-") as fresh:
        with tarfile.open(fileobj=archive) as tar:
            tar.extractall(fresh, filter="data")
        came = Path(fresh) if name in (".", "/") else Path(fresh, name)
        if place.is_dir():
            place = place / (came.name if came != Path(fresh) else "root")
        if place.is_dir() and not place.is_symlink():
            raise click.ClickException(f"there is a directory '{place}' already")
        os.replace(came, place)


def _beside(place: Path) -> str:
    directory = place if place.is_dir() else place.parent
    if not directory.is_dir():
        raise click.ClickException(f"there is no directory '{directory}'")
    return str(directory)


async def _copy_file(inside: Inside, source: str, target: str) -> None:
    """A single file of the sandbox, as /files shows it."""
    path = f"{sandbox_of(inside.task)}/{posixpath.normpath(source).lstrip('/')}"
    place = Path(target)
    if place.is_dir():
        place = place / posixpath.basename(source)
    done = asyncio.Event()
    done.set()
    async with OperatorClient(inside.address, media=Media.PROTOBUF) as agent:
        try:
            await agent.read_file(path, 0, 0)
        except CallRefused as refused:
            text = f"the container has no tar, and its sandbox no file '{source}'"
            raise click.ClickException(text if refused.status == 404 else refused.text) from None
        with place.open("wb") as file:
            async for piece in agent.follow_file(path, ended=done, poll_ms=1):
                file.write(piece)
