"""Sandboxes: directories for each run of an executor, owned by its user, filled by the fetcher.

Source: Mesos slave/paths.cpp (createExecutorDirectory).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import lzma
import os
import pwd
import struct
import zlib
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from tepui.agent.core.actions import PrepareSandbox
from tepui.agent.core.events import SandboxFailed, SandboxPrepared, SandboxStage
from tepui.agent.daemon.put import Put
from tepui.agent.fetcher.errors import FetchFailed
from tepui.agent.fetcher.fetch import Fetcher
from tepui.base import tasks
from tepui.base.trees import remove_tree
from tepui.web.files import Files

SANDBOX_MODE = 0o750
# A fetched archive may hold anything; these come out of the libraries that read it, a LookupError
# also for a user who was removed meanwhile.
FETCH_FAULTS: Final = (
    FetchFailed,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    LookupError,
    OverflowError,
)

log = logging.getLogger("tepui.agent")


class Sandboxes:
    """Makes, fills and removes sandboxes, and tells /files of them."""

    def __init__(self, put: Put, fetcher: Fetcher, files: Files) -> None:
        self._put = put
        self._fetcher = fetcher
        self._files = files
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._removals: set[asyncio.Task[None]] = set()
        self._virtual_paths: dict[str, str] = {}  # by the directory

    def prepare(self, action: PrepareSandbox) -> None:
        """The directory is there when this returns; the URIs come later."""
        if action.has_image and not _is_known(action.user):
            action = replace(action, user=None)  # it gets its owner with the container
        fault = _make_or_fault(action)
        if fault is not None:
            text = f"Failed to create executor directory '{action.directory}': {fault}"
            self._put(SandboxFailed(action.container_id, SandboxStage.DIRECTORY, text))
            return
        if action.virtual_path:
            self.attach(action.directory, action.virtual_path)
        if not action.uris:
            self._put(SandboxPrepared(action.container_id))
            return
        self._fetches[action.container_id] = tasks.start(self._fetch(action))

    def attach(self, directory: str, virtual_path: str) -> None:
        """/files knows the directory, which is there already."""
        latest = str(Path(directory).with_name("latest"))
        for path in (directory, latest, virtual_path):
            self._files.attach(path, directory)
        self._virtual_paths[directory] = virtual_path

    def abandon(self, container_id: str) -> None:
        """Nothing more is fetched for the container."""
        fetch = self._fetches.pop(container_id, None)
        if fetch is not None:
            fetch.cancel()

    def remove(self, directory: str, within: str = "") -> None:
        """The directory will be gone soon."""
        virtual_path = self._virtual_paths.pop(directory, None)
        latest = str(Path(directory).with_name("latest"))
        for path in (virtual_path, latest):
            if path is not None and self._files.target(path) == directory:
                self._files.detach(path)
        self._files.detach(directory)
        how = (_remove_within, within, directory) if within else (_remove, directory)
        removal = tasks.start(asyncio.to_thread(*how))
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def close(self) -> None:
        """End all fetches and removals."""
        waiting = [*self._fetches.values(), *self._removals]
        for fetch in self._fetches.values():
            fetch.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        self._fetcher.close()

    async def _fetch(self, action: PrepareSandbox) -> None:
        try:
            await self._fetcher.fetch(action.uris, action.directory, action.user)
        except FETCH_FAULTS as failed:
            text = f"Failed to fetch all URIs for container '{action.container_id}': {failed}"
            self._put(SandboxFailed(action.container_id, SandboxStage.FETCH, text))
        else:
            self._put(SandboxPrepared(action.container_id))
        finally:
            self._fetches.pop(action.container_id, None)


def left_in(work_dir: str) -> tuple[tuple[str, int], ...]:
    """The sandboxes that agents have made there, and when each was last changed, in milliseconds."""
    found = []
    for path in Path(work_dir).glob("slaves/*/frameworks/*/executors/*/runs/*"):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                found.append((str(path), path.stat().st_mtime_ns // 1_000_000))
    return tuple(found)


def _is_known(user: str | None) -> bool:
    with contextlib.suppress(KeyError, ValueError):  # a name with a NUL is a ValueError
        return user is None or pwd.getpwnam(user) is not None
    return False


def _make_or_fault(action: PrepareSandbox) -> str | None:
    """The directory is there, or the answer says why it is not."""
    try:
        user = pwd.getpwnam(action.user) if action.user is not None else None
    except (KeyError, ValueError):  # a name with a NUL is a ValueError
        return f"Failed to chown directory to '{action.user}': No such user '{action.user}'"
    try:
        _make(Path(action.directory), user, has_latest=bool(action.virtual_path))
        if action.link:
            _link(Path(action.link), action.directory)
    except PermissionError as error:
        return f"Failed to chown directory to '{action.user}': {error.strerror}"
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a path with a NUL
        return str(error)
    return None


def _make(directory: Path, user: pwd.struct_passwd | None, *, has_latest: bool) -> None:
    """The directory is there, as it should be: an agent that was killed may have begun with it."""
    _make_place(directory.parent)
    directory.mkdir(mode=SANDBOX_MODE, exist_ok=True)
    directory.chmod(SANDBOX_MODE)  # whatever the umask is
    if user is not None and user.pw_uid != os.geteuid():
        os.chown(directory, user.pw_uid, user.pw_gid)
    if has_latest:
        _link(directory.with_name("latest"), str(directory))


def _make_place(directory: Path) -> None:
    """The directory is there; one in a sandbox is none that a task has laid to lead elsewhere."""
    directory.mkdir(parents=True, exist_ok=True)
    if directory.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "it is a symbolic link", str(directory))


def _link(path: Path, target: str) -> None:
    """A symbolic link at `path` leads to `target`."""
    _make_place(path.parent)
    fresh = path.with_name(f".{path.name}-{target.rpartition('/')[2]}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)


def _remove_within(within: str, directory: str) -> None:
    """The directory is gone, unless the way to it from the sandbox around it leads through a link."""
    fds = []
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    *way, name = directory.removeprefix(within + "/").split("/")
    try:
        fds.append(os.open(within, flags))
        for part in way:
            fds.append(os.open(part, flags | os.O_NOFOLLOW, dir_fd=fds[-1]))
        remove_tree(name, fds[-1])
    except (OSError, ValueError) as error:
        log.warning("sandbox_not_removed directory=%s reason=%s", directory, error)
    finally:
        for fd in fds:
            os.close(fd)


def _remove(directory: str) -> None:
    try:
        remove_tree(directory)
    except (OSError, ValueError) as error:  # a NUL
        log.warning("sandbox_not_removed directory=%s reason=%s", directory, error)
        return
    runs = Path(directory).parent
    latest = runs / "latest"
    with contextlib.suppress(OSError):  # not empty: other runs are still there
        if latest.is_symlink() and not latest.exists():
            latest.unlink()
        runs.rmdir()
        runs.parent.rmdir()
