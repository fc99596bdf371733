"""What was made ready for each container, on disk: a new agent must know what the one before had done."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

import msgspec

from tepui.agent.containers.specs.oci import Ground

NAME = "ground.json"

log = logging.getLogger("tepui.agent")


class Grounds:
    """One small file a container, in a directory of the container's own that goes with it."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self._known: dict[str, Ground] = {}

    def load(self) -> None:
        """All that an earlier agent has left; a file that cannot be read is no ground."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.directory):
                path = self.directory / name / NAME
                try:
                    self._known[name] = msgspec.json.decode(path.read_bytes(), type=Ground)
                except FileNotFoundError:
                    continue
                except (OSError, msgspec.DecodeError) as error:
                    log.warning("ground_not_read container=%s reason=%s", name, error)

    def __getitem__(self, container_id: str) -> Ground:
        return self._known[container_id]

    def get(self, container_id: str) -> Ground | None:
        """The ground of a container that has one."""
        return self._known.get(container_id)

    def ids(self) -> tuple[str, ...]:
        """Containers that have one."""
        return tuple(self._known)

    def place(self, container_id: str) -> Path:
        """A directory for the container, which goes with its ground."""
        return self.directory / container_id

    def know(self, ground: Ground) -> None:
        """It is of a container that does not run yet, and need not outlive the agent."""
        self._known[ground.container_id] = ground

    def keep(self, ground: Ground) -> None:
        """It is on disk when this returns. Raises OSError."""
        place = self.place(ground.container_id)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = place / f"{NAME}~"
        fresh.write_bytes(msgspec.json.encode(ground))
        fresh.replace(place / NAME)
        self._known[ground.container_id] = ground

    def drop(self, container_id: str) -> None:
        """The container is no more, and nothing of it is left here."""
        if self._known.pop(container_id, None) is not None:
            shutil.rmtree(self.directory / container_id, ignore_errors=True)
