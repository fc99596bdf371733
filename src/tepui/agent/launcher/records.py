"""Keeps the exits that the agent has not taken note of, one file each, written by rename."""

from __future__ import annotations

import json
import os

from .frames import Message

SUFFIX = ".json"
RECORDS_MAX = 100_000  # read at the start; an agent forgets each exit soon after it was told


class Records:
    """The directory of exits. It survives the launcher and the machine's orderly restart."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def save(self, container_id: str, record: Message) -> None:
        """Whoever reads the file finds all of `record` or no file."""
        path = self._path(container_id)
        fd = os.open(path + "~", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(record).encode())
        finally:
            os.close(fd)
        os.rename(path + "~", path)

    def forget(self, container_id: str) -> None:
        """Remove the record, if there is one."""
        try:
            os.unlink(self._path(container_id))
        except FileNotFoundError:
            pass

    def load(self) -> dict[str, Message]:
        """Return all records by container; a file that cannot be read is removed."""
        found: dict[str, Message] = {}
        for name in sorted(os.listdir(self.directory))[:RECORDS_MAX]:
            path = os.path.join(self.directory, name)
            try:
                with open(path, "rb") as file:
                    record: object = json.loads(file.read())
            except (OSError, ValueError):
                record = None
            if name.endswith(SUFFIX) and isinstance(record, dict):
                found[name.removesuffix(SUFFIX)] = record
            else:
                os.unlink(path)
        return found

    def _path(self, container_id: str) -> str:
        return os.path.join(self.directory, container_id + SUFFIX)
