"""How much each container holds on disk, counted now and then in the background.

Source: Mesos docs/isolators/disk-xfs.md (posix/disk), slave/containerizer/mesos/isolators/posix/disk.cpp.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tepui.agent.containers.oci.bundle import runtime_name
from tepui.agent.containers.usage.disk import Measurement
from tepui.base import tasks

INTERVAL_MS_MIN: Final = 100
NICE: Final = 19  # of the thread that counts: everything else goes before it
SHARE: Final = 5  # of the time, it counts one part in so many at most
PAUSE_S_MAX: Final = 1.0

Measured = Callable[[str, int], None]
Within = Callable[[], Iterable[str]]
Elsewhere = Callable[[str], tuple[str, ...]]


def nowhere(container_id: str) -> tuple[str, ...]:
    """Nothing of the container is elsewhere."""
    return ()


class DiskUsage:
    """Counts one container after the other, each once in `interval_ms` or as soon after as can be.

    One thread does it, a piece at a time with a pause after each, so that neither the agent nor its tasks
    notice.
    """

    def __init__(
        self, interval_ms: int, changes_directory: str, elsewhere: Elsewhere = nowhere
    ) -> None:
        """What a container changed in its root is below `changes_directory`, or `elsewhere` says where."""
        self._interval_s = max(interval_ms, INTERVAL_MS_MIN) / 1000
        self._changes_directory = changes_directory
        self._elsewhere = elsewhere
        self._places: dict[str, Callable[[], tuple[str, ...]]] = {}
        self._held: dict[str, int] = {}
        self._measured: Measured = lambda name, held_bytes: None
        self._working: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "disk-usage", initializer=_be_nice)

    def start(self, measured: Measured) -> None:
        """From now on containers are counted, and what each holds is told."""
        self._measured = measured
        self._working = tasks.start(self._watch())

    async def stop(self) -> None:
        """Nothing more is counted."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def watch(self, container_id: str, sandbox: str, within: Within) -> None:
        """The container is counted from now on, with its sandbox and what it changed in its root.

        `within` names the containers in it, of which the changes count as well; their sandboxes are in its.
        """

        def places() -> tuple[str, ...]:
            names = (container_id, *within())
            return (sandbox, *(place for one in names for place in self._changes_of(one)))

        self._places[container_id] = places

    def unwatch(self, container_id: str) -> None:
        """The container is gone; unknown ones are no error."""
        self._places.pop(container_id, None)
        self._held.pop(container_id, None)

    def held_bytes(self, container_id: str) -> int | None:
        """What it held when it was last counted; None: it was not yet."""
        return self._held.get(container_id)

    async def measure(self, container_id: str) -> None:
        """The container is counted, unless it goes away meanwhile."""
        loop = asyncio.get_running_loop()
        measurement = Measurement(self._places[container_id]())
        is_done = False
        try:
            while not is_done and container_id in self._places:
                step = loop.run_in_executor(self._thread, _timed, measurement)
                try:
                    is_done, took_s = await asyncio.shield(step)
                except asyncio.CancelledError:
                    with contextlib.suppress(asyncio.CancelledError):
                        await step  # it works on what is closed next
                    raise
                if not is_done:
                    await asyncio.sleep(min(took_s * (SHARE - 1), PAUSE_S_MAX))
        finally:
            measurement.close()
        if is_done and container_id in self._places:
            self._held[container_id] = measurement.held_bytes
            self._measured(container_id, measurement.held_bytes)

    def _changes_of(self, container_id: str) -> tuple[str, ...]:
        own = f"{self._changes_directory}/{runtime_name(container_id)}"
        return (own, *self._elsewhere(container_id))

    async def _watch(self) -> None:
        while True:
            began_s = time.monotonic()
            for container_id in tuple(self._places):
                if container_id in self._places:
                    await self.measure(container_id)
            await asyncio.sleep(max(0.0, self._interval_s - (time.monotonic() - began_s)))


def _timed(measurement: Measurement) -> tuple[bool, float]:
    began_s = time.monotonic()
    return measurement.step(), time.monotonic() - began_s


def _be_nice() -> None:
    """On Linux it is the thread's own."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def quota_text(held_bytes: int, quota_bytes: int) -> str:
    """The sentence, as Mesos has it."""
    return f"Disk usage ({bytes_text(held_bytes)}) exceeds quota ({bytes_text(quota_bytes)})"


def bytes_text(number: int) -> str:
    """In the largest unit in which it is whole (stout: Bytes)."""
    if number:
        for unit, size in (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
            if number % size == 0:
                return f"{number // size}{unit}"
    return f"{number}B"
