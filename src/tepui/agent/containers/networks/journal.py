"""What CNI has to undo, on disk: a directory for each container that is, or may be, on networks.

Its lock (flock of the directory) is inherited by every plugin that works for the container. So it is free
only when no plugin does: of this agent, of a thread that nobody waits for any more, or of an agent that was
killed and whose plugin went on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from tepui.agent.containers.networks.definitions import Json
from tepui.agent.containers.networks.spec import NetworkAsked
from tepui.base.errors import HostError

RECORD = "attached.json"
LOCK_RETRY_S = 0.01


class Joined(Struct, frozen=True):
    """A network of a container, with what its plugins were given, and what the last of them answered."""

    name: str
    version: str
    interface: str
    configurations: tuple[Json, ...]
    asked: NetworkAsked
    is_bridge: bool = False
    result: Json | None = None  # None: none has answered
    is_complete: bool = False


class Record(Struct, frozen=True):
    """All networks of a container; which have been joined is not known before `result`."""

    container_id: str
    namespace: str
    namespace_id: tuple[int, int] | None  # device and inode: a path may come to mean another
    networks: tuple[Joined, ...]


class Held:
    """One container's directory, locked."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    def read(self) -> Record | None:
        """What was written, or None. Raises HostError when it cannot be understood."""
        path = os.path.join(self.path, RECORD)
        try:
            with open(path, "rb") as file:
                return msgspec.json.decode(file.read(), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise HostError("read", f"'{path}'", str(error)) from None

    def write(self, record: Record, *, durable: bool) -> None:
        """Whoever reads finds all of it, or what was there; a durable one survives the machine's crash."""
        path = os.path.join(self.path, RECORD)
        try:
            with open(path + "~", "wb") as file:
                file.write(msgspec.json.encode(record))
                if durable:
                    file.flush()
                    os.fdatasync(file.fileno())
            os.rename(path + "~", path)
            if durable:
                os.fsync(self.fd)
        except OSError as error:
            raise HostError("write", f"'{path}'", str(error)) from None

    def remove(self) -> None:
        """Nothing is kept of the container."""
        try:
            for name in (RECORD, RECORD + "~"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.path, name))
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise HostError("remove", f"'{self.path}'", str(error)) from None


class Journal:
    """The directories of all containers."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def containers(self) -> list[str]:
        """Those of which something is kept."""
        try:
            return sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HostError("list", f"'{self._directory}'", str(error)) from None

    @contextmanager
    def hold(self, container_id: str, timeout_s: float, *, make: bool = False) -> Iterator[Held]:
        """Nobody else, and no plugin, works for this container meanwhile.

        Raises HostError when that is not so in time, and KeyError when nothing is kept and not to be made.
        """
        path = os.path.join(self._directory, container_id)
        deadline = time.monotonic() + timeout_s
        while True:
            fd = _open(path, make=make)
            try:
                _lock(fd, path, deadline)
                if _is_at(fd, path):  # else whoever held it has removed it meanwhile
                    yield Held(path, fd)
                    return
            finally:
                os.close(fd)


def _open(path: str, *, make: bool) -> int:
    try:
        if make:
            os.makedirs(path, mode=0o700, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        if not make:
            raise KeyError(path) from None
        raise HostError("make", f"'{path}'", "it was removed at once") from None
    except OSError as error:
        raise HostError("open", f"'{path}'", str(error)) from None


def _lock(fd: int, path: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                cause = "a plugin still works for this container"
                raise HostError("lock", f"'{path}'", cause) from None
            time.sleep(LOCK_RETRY_S)


def _is_at(fd: int, path: str) -> bool:
    try:
        there = os.stat(path)
    except OSError:
        return False
    return os.path.samestat(os.fstat(fd), there)
