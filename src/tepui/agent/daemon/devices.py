"""Which devices each container may use: those that are allowed to all, and GPUs of its own.

What GPUs a container has is on disk, one small file each, for an agent that comes after this one.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection
from typing import Final

from tepui.agent.containers.isolation.gpus import Gpu, GpuPool
from tepui.agent.containers.spec import Device
from tepui.base.errors import Refused

FRESH: Final = "~"  # at the end of a name: it is being written

log = logging.getLogger("tepui.agent")


class Devices:
    """Where neither GPUs nor allowed devices were named, processes may use all, and images the harmless ones."""

    def __init__(
        self, allowed: tuple[Device, ...] | None, gpus: tuple[Gpu, ...], directory: str
    ) -> None:
        self._allowed = allowed
        self._gpus = {one.name: one for one in gpus}
        self._pool = GpuPool(gpus)
        self._directory = directory

    def recover(self, living: Collection[str]) -> None:
        """Containers that run have the GPUs that an earlier agent has given them; others have none."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._directory):
                path = f"{self._directory}/{name}"
                if name not in living:
                    os.unlink(path)
                    continue
                with open(path) as file:
                    missing = self._pool.recover(name, tuple(file.read().split()))
                if missing:
                    log.warning("gpus_missing container=%s gpus=%s", name, ",".join(missing))

    def take(self, container_id: str, count: int) -> None:
        """The container has so many GPUs until `release`. Raises Refused, and OSError.

        What it has is on disk when this returns.
        """
        if not count:
            return
        names = self._pool.take(container_id, count)
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            path = f"{self._directory}/{container_id}"
            with open(path + FRESH, "w") as file:
                file.write("\n".join(names))
            os.replace(path + FRESH, path)
        except OSError:
            self._pool.release(container_id)
            raise
        log.info("gpus_given container=%s gpus=%s", container_id, ",".join(names))

    def release(self, container_id: str) -> None:
        """The container is gone; one that had no GPUs is no error."""
        if container_id in self._pool.held:
            self._pool.release(container_id)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._directory}/{container_id}")

    def own(self, container_id: str) -> tuple[Device, ...]:
        """What the container may use beyond the harmless devices."""
        return (*(self._allowed or ()), *self._pool.devices(container_id))

    @property
    def is_restricting(self) -> bool:
        """Whether plain processes may use no others: GPUs that are offered are for those who have them."""
        return self._allowed is not None or bool(self._gpus)

    def environment(self, container_id: str) -> dict[str, str]:
        """Variables by which libraries find the container's GPUs; on a machine with NVIDIA's only.

        The libraries number the GPUs that a process can open, from 0, so numbers of the machine are of no
        use in a container. Names by which they know them hold everywhere, where the driver tells them.
        """
        held = [self._gpus[name] for name in self._pool.held.get(container_id, ())]
        if not any(one.is_nvidia for one in self._gpus.values()):
            return {}
        if not held:
            return {"NVIDIA_VISIBLE_DEVICES": "void"}
        numbers = ",".join(one.name.removeprefix("nvidia") for one in held)
        names = ",".join(one.uuid for one in held)
        has_names = all(one.uuid for one in held)
        return {
            "NVIDIA_VISIBLE_DEVICES": names if has_names else numbers,
            "CUDA_VISIBLE_DEVICES": names
            if has_names
            else ",".join(str(number) for number in range(len(held))),
        }


def refuse_missing(allowed: tuple[Device, ...]) -> None:
    """Raises Refused for a device that the machine does not have: no container could be launched."""
    for one in allowed:
        if not os.path.exists(one.path):
            raise Refused(f"'--allowed_devices' names '{one.path}', which is not there")
