"""What is mounted through volume plug-ins, on disk: a new agent must know what it has to undo."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from tepui.base.errors import HostError

log = logging.getLogger("tepui.agent")

Key = tuple[str, str]  # driver and name


class Record(Struct, frozen=True):
    """One volume, and the containers that have it. Without users it is to be unmounted."""

    driver: str
    name: str
    mount_id: str  # what the plug-in knows the mount by: the container that asked first
    users: tuple[str, ...]
    mountpoint: str | None = None  # None: whether it was mounted is not known
    refusals: int = 0  # how often the plug-in would not unmount it

    @property
    def key(self) -> Key:
        return self.driver, self.name


class Journal:
    """One small file a volume."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def read(self) -> dict[Key, Record]:
        """All that is kept; a file that cannot be read is logged, and stays."""
        found: dict[Key, Record] = {}
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self._directory.glob("*.json")):
                try:
                    record = msgspec.json.decode(path.read_bytes(), type=Record)
                except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
                    log.warning("volume_record_not_read path=%s reason=%s", path, error)
                    continue
                found[record.key] = record
        return found

    def write(self, record: Record) -> None:
        """It survives the machine's crash when this returns. Raises HostError."""
        path = self._path(record.key)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = path.with_suffix(".fresh")
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fdatasync(file.fileno())
            fresh.replace(path)
            self._sync()
        except OSError as error:
            raise HostError("write", f"'{path}'", str(error)) from None

    def remove(self, key: Key) -> None:
        """Nothing is kept of the volume. Raises HostError."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise HostError("remove", f"'{path}'", str(error)) from None

    def _path(self, key: Key) -> Path:
        name = hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()
        return self._directory / f"{name[:32]}.json"

    def _sync(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
