"""Docker volumes of containers that Docker Engine does not run.

    driver           the volume                                     how long
    none, 'local'    a directory of the agent's, by its name        it stays
    any other        what the driver's plug-in mounts (plugins.py)  while a container has it

A plug-in mounts a volume once an agent, for the first container that has it, and unmounts it after the
last. Whatever is about to be done is written before (journal.py), so an agent that was killed at any
moment is followed by one that undoes what containers that are no more had. What a plug-in does not
unmount is tried again: when the volume is wanted, when the plug-in has unmounted another, and when an
agent starts.

Source: Mesos docker/volume isolator (slave/containerizer/mesos/isolators/docker/volume).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from msgspec.structs import replace

from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.volumes.journal import Journal, Key, Record
from tepui.agent.containers.volumes.plugins import Plugin, PluginPlaces, PluginRefused
from tepui.base import tasks
from tepui.base.errors import HostError
from tepui.wire import mesos

CALLS_MAX: Final = 8  # of plug-ins at once; others wait
UNMOUNTS_MAX: Final = 5  # refused by a plug-in that knows the volume; then it is forgotten
LOCAL: Final = "local"
LOCAL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")  # as Docker's

log = logging.getLogger("tepui.agent")

T = TypeVar("T")
DockerVolume = mesos.Volume.Source.DockerVolume


class _Turn:
    """Who works with a volume, and how many want to."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class DockerVolumes:
    """The volumes of one agent's containers."""

    def __init__(self, work_dir: str, places: PluginPlaces | None = None) -> None:
        self._local = Path(work_dir) / "volumes" / LOCAL
        self._journal = Journal(os.path.join(work_dir, "volumes", "mounted"))
        self._places = places or PluginPlaces()
        self._records: dict[Key, Record] = {}
        self._turns: dict[Key, _Turn] = {}
        self._mounting: dict[str, set[asyncio.Task[str | HostError]]] = {}
        # Not the threads that everything else works in: a plug-in may hang.
        self._threads = ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="volumes")

    async def start(self, living: Collection[str]) -> None:
        """Containers that are no more have no volume; what nobody has is unmounted, if that can be."""
        self._records = await asyncio.to_thread(self._journal.read)
        for key, record in self._records.items():
            users = tuple(one for one in record.users if one in living)
            self._records[key] = replace(record, users=users)
        drivers = {record.driver for record in self._records.values()}
        await asyncio.gather(*(self._sweep(driver) for driver in drivers))

    async def mount(self, container_id: str, volume: DockerVolume, sandbox: str) -> str:
        """Where the volume is; it stays there until the container is released.

        A new local volume belongs to whom the container's sandbox belongs to.
        Raises Unsupported and HostError. Who is cancelled releases the container.
        """
        if volume.driver in (None, "", LOCAL):
            return await asyncio.to_thread(self._local_volume, volume, sandbox)
        # What has begun goes on: the release of the container waits for it.
        task = tasks.start(self._mount(container_id, volume))
        self._mounting.setdefault(container_id, set()).add(task)
        task.add_done_callback(partial(self._has_mounted, container_id))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, HostError):
            raise outcome
        return outcome

    async def release(self, container_id: str) -> None:
        """The container has no volume, and what nobody else has is unmounted, if that can be."""
        if mounting := self._mounting.get(container_id):
            await asyncio.wait(mounting)
        for key, record in list(self._records.items()):
            if container_id in record.users:
                await self._done(self._leave(container_id, key))

    def _has_mounted(self, container_id: str, task: asyncio.Task[str | HostError]) -> None:
        self._mounting[container_id].discard(task)
        if not self._mounting[container_id]:
            del self._mounting[container_id]

    @asynccontextmanager
    async def _alone(self, key: Key) -> AsyncIterator[None]:
        """Nobody else works with the volume."""
        turn = self._turns.setdefault(key, _Turn())
        turn.wanted += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                del self._turns[key]

    async def _mount(self, container_id: str, volume: DockerVolume) -> str | HostError:
        assert volume.driver is not None
        key = volume.driver, volume.name
        async with self._alone(key):
            work = partial(self._mount_now, key, container_id, options_of(volume))
            return await self._in_thread(work)

    async def _leave(self, container_id: str, key: Key) -> None:
        async with self._alone(key):
            record = self._records.get(key)
            if record is None or container_id not in record.users:
                return
            users = tuple(one for one in record.users if one != container_id)
            outcome = await self._in_thread(partial(self._leave_now, replace(record, users=users)))
        if outcome is True:
            await self._sweep(key[0])  # its plug-in is there again

    async def _sweep(self, driver: str) -> None:
        """All that nobody has is unmounted, until the plug-in does not answer."""
        for key, record in list(self._records.items()):
            if record.driver != driver or record.users:
                continue
            async with self._alone(key):
                now = self._records.get(key)
                if now is None or now.users:
                    continue
                outcome = await self._in_thread(partial(self._leave_now, now))
            if isinstance(outcome, HostError) and not isinstance(outcome, PluginRefused):
                return

    async def _done(self, work: Coroutine[None, None, None]) -> None:
        """It is done, also when nobody waits for it any more."""
        await asyncio.shield(tasks.start(work))

    async def _in_thread(self, work: Callable[[], T]) -> T | HostError:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except HostError as error:
            return error

    # In a thread.

    def _mount_now(self, key: Key, container_id: str, options: Mapping[str, str]) -> str:
        driver, name = key
        plugin = Plugin(driver, self._places)
        record = self._records.get(key)
        if record is not None and record.mountpoint is not None and record.users:
            users = tuple(dict.fromkeys((*record.users, container_id)))
            self._keep(replace(record, users=users))
            return record.mountpoint
        plugin.activate(name)  # before anything is written: drivers may be called anything
        if record is not None:
            self._undo(plugin, record)
        record = Record(driver, name, container_id, (container_id,))
        self._keep(record)
        mountpoint = plugin.mount(name, options, container_id)
        self._keep(replace(record, mountpoint=mountpoint))
        return mountpoint

    def _leave_now(self, record: Record) -> bool:
        """Whether the plug-in has unmounted it."""
        self._keep(record)
        if record.users:
            return False
        plugin = Plugin(record.driver, self._places)
        try:
            plugin.unmount(record.name, record.mount_id)
        except PluginRefused as refused:
            refusals = record.refusals + 1
            may_be_mounted = record.mountpoint is not None and plugin.knows(record.name)
            if refusals < UNMOUNTS_MAX and may_be_mounted:
                log.warning("volume_not_unmounted reason=%s", refused)
                self._keep(replace(record, refusals=refusals))
                raise
            log.warning("volume_forgotten refusals=%d reason=%s", refusals, refused)
            self._forget(record.key)
            return False
        except HostError as error:
            log.warning("volume_not_unmounted reason=%s", error)
            raise
        self._forget(record.key)
        return True

    def _undo(self, plugin: Plugin, record: Record) -> None:
        """What may have been mounted by its record is not. Raises HostError when nobody answers."""
        try:
            plugin.unmount(record.name, record.mount_id)
        except PluginRefused as refused:
            log.info("volume_was_not_mounted reason=%s", refused)
        self._forget(record.key)

    def _keep(self, record: Record) -> None:
        self._records[record.key] = record
        self._journal.write(record)

    def _forget(self, key: Key) -> None:
        self._journal.remove(key)
        self._records.pop(key, None)

    def _local_volume(self, volume: DockerVolume, sandbox: str) -> str:
        if LOCAL_NAME.fullmatch(volume.name) is None:
            raise Unsupported(
                f"'{volume.name}' is not the name of a local volume: letters, digits and _.-, of"
                " which a letter or digit is the first"
            )
        if options_of(volume):
            raise Unsupported(
                f"the volume '{volume.name}' has driver_options, of which the driver 'local' of"
                " this agent knows none"
            )
        path = self._local / volume.name
        try:
            self._local.mkdir(mode=0o711, parents=True, exist_ok=True)
            path.mkdir(mode=0o755)
            owner = os.stat(sandbox)
            os.chown(path, owner.st_uid, owner.st_gid)
        except FileExistsError:
            if path.is_symlink() or not path.is_dir():
                raise HostError("make", f"'{path}'", "it is not a directory") from None
        except OSError as error:
            raise HostError("make", f"'{path}'", str(error)) from None
        return str(path)


def options_of(volume: DockerVolume) -> dict[str, str]:
    """What the driver is told of the volume."""
    options = volume.driver_options
    return {} if options is None else {one.key: one.value for one in options.parameter}
