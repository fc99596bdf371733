"""The images of one agent: pulled when a container asks, kept while one lives, collected when room is short.

The order for one container: `pull`, then `hold` before it is launched, `release` when all of it is gone.
Holds outlive the agent; after a restart the agent releases those of containers that are no more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from tepui.agent.containers.images import collecting, merged, pushing
from tepui.agent.containers.images.errors import Fault, ImageError
from tepui.agent.containers.images.image import Image, KeptImage, PullRequest
from tepui.agent.containers.images.local import Place, stamp_of
from tepui.agent.containers.images.names import Names
from tepui.agent.containers.images.plans import Remotes
from tepui.agent.containers.images.pulls import Progress, Pulls, name_of
from tepui.agent.containers.images.reference import Reference
from tepui.agent.containers.images.settings import ImageSettings
from tepui.agent.containers.images.shared import in_thread
from tepui.agent.containers.images.store import ImageRecord, Store, remove_tree

if TYPE_CHECKING:
    from tepui.agent.containers.images.registry import Http

THREADS_MAX: Final = 12  # unpacking, writing, removing
ROOM_ATTEMPTS_MAX: Final = 4  # of a pull that finds the disk full, and others' images that may go
ROOM_FRACTION: Final = 0.05  # of the disk, that is made free at least before the next attempt

log = logging.getLogger("tepui.agent")

T = TypeVar("T")


class Images:
    """The images below one directory. One user at a time, and for one event loop."""

    def __init__(self, directory: Path, settings: ImageSettings) -> None:
        self._directory = directory
        self._settings = settings
        self._store = Store(directory)
        self._names = Names(settings)
        self._executor = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="images")
        self._http: Http | None = None
        self._pulls: Pulls | None = None
        self._syncing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """What an agent that was killed left half done is gone, what is whole is known. Raises ImageError."""
        try:
            await in_thread(
                self._executor, lambda _: self._store.load(self._settings.partial_keep_s)
            )
        except OSError as error:
            raise ImageError(str(self._directory), "opening the store", str(error)) from None
        self._remotes = Remotes(self._settings, self._connections, self._names.default_registry)
        self._pulls = Pulls(self._store, self._settings, self._names, self._remotes, self._executor)

    def _connections(self) -> Http:
        """What speaks to registries; made when one is asked for the first time."""
        from tepui.agent.containers.images.registry import (
            Http,
        )  # aiohttp is large, and slow to import

        if self._http is None:
            self._http = Http(self._settings)
        return self._http

    async def close(self) -> None:
        """Connections are closed, and threads have ended. Pulls must have been cancelled before."""
        if self._syncing is not None:
            self._syncing.cancel()
            await asyncio.wait([self._syncing])
        if self._http is not None:
            await self._http.close()
        await asyncio.to_thread(self._executor.shutdown)

    async def pull(self, request: PullRequest, progress: Progress) -> Image:
        """Return the image, which is whole and on disk. Raises ImageError.

        One that is here is returned at once if that is enough. `progress` is told now and then, in
        words, what is being waited for. A caller that is cancelled leaves others who wait alone.
        Where the disk is full images that nobody uses make room.
        """
        try:
            found = self._names.resolve(request.name)
            record = self._cached(found, request)
            if record is None:
                record = await self._pull(found, request, progress)
        except Fault as fault:
            raise ImageError(request.name, fault.step, fault.rule) from None
        if self._store.unsynced() and self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
        self._store.use(record.name)
        return self._store.image(record)

    async def _pull(
        self, found: Place | Reference, request: PullRequest, progress: Progress
    ) -> ImageRecord:
        assert self._pulls is not None
        for _ in range(ROOM_ATTEMPTS_MAX - 1):
            try:
                return await self._pulls.pull(found, request, progress)
            except Fault as fault:
                if not fault.is_full or not await self._make_room(fault.room_bytes):
                    raise
        return await self._pulls.pull(found, request, progress)

    async def _make_room(self, wanted_bytes: int) -> bool:
        """Whether any image could go."""
        status = os.statvfs(self._directory)
        wanted = wanted_bytes / (status.f_blocks * status.f_frsize or 1)
        return bool(await self.collect(max(wanted, self._free_fraction() + ROOM_FRACTION)))

    async def _sync(self) -> None:
        """What was unpacked is safe from crashes of the machine; nobody waits for it."""
        try:
            while records := self._store.unsynced():
                await in_thread(self._executor, lambda _: self._store.sync())
                self._store.know_synced(records)
        except OSError:
            pass  # the next pull tries again
        finally:
            self._syncing = None

    def _cached(self, found: Place | Reference, request: PullRequest) -> ImageRecord | None:
        record = self._store.images.get(name_of(found))
        if record is None or not request.is_cached_enough:
            return None
        if isinstance(found, Place):
            try:
                return record if stamp_of(found) == record.stamp else None
            except OSError as error:
                raise Fault("opening", str(error)) from None
        return record

    def hold(self, container_id: str, image: Image) -> None:
        """The image's layers stay until the container is released, also after a restart; it may hold several.

        Raises ImageError when they are gone: the image has to be pulled again.
        """
        record = self._store.images.get(image.name)
        if record is None or self._store.image(record).layers != image.layers:
            record = self._with_layers(image)
        try:
            self._store.hold(container_id, record)
        except OSError as error:
            raise ImageError(image.name, "holding it", str(error)) from None
        self._store.use(record.name)

    def _with_layers(self, image: Image) -> ImageRecord:
        """Return a record for an image whose name means another one by now. Raises ImageError."""
        by_path = {
            str(self._store.layer_directory(chain_id)): chain_id for chain_id in self._store.layers
        }
        if not all(path in by_path for path in image.layers):
            raise ImageError(image.name, "holding it", "it is here no more")
        return ImageRecord(
            name=image.name,
            digest=image.digest,
            chain=tuple(by_path[path] for path in image.layers),
            config=image.config,
            passwd=image.passwd,
            group=image.group,
            size_bytes=image.size_bytes,
        )

    def release(self, container_id: str) -> None:
        """The container holds nothing, if it ever did."""
        self._store.release(container_id)

    def held(self) -> tuple[str, ...]:
        """Return the containers that hold something."""
        return tuple(self._store.holds)

    def list(self) -> tuple[Image, ...]:
        """Return all images, by name."""
        return tuple(
            self._store.image(self._store.images[name]) for name in sorted(self._store.images)
        )

    def kept(self) -> tuple[KeptImage, ...]:
        """Return all images, by name, with who uses them."""
        return tuple(self._kept(record) for _, record in sorted(self._store.images.items()))

    def _kept(self, record: ImageRecord) -> KeptImage:
        return KeptImage(
            image=self._store.image(record),
            used_at_s=self._store.used_at_s.get(record.name, 0),
            containers=self._store.holders(record),
        )

    def find(self, name: str) -> KeptImage | None:
        """Return the image of that name, short or in full, if it is here. Raises ImageError."""
        try:
            full = name if name in self._store.images else name_of(self._names.resolve(name))
        except Fault as fault:
            raise ImageError(name, fault.step, fault.rule) from None
        record = self._store.images.get(full)
        return None if record is None else self._kept(record)

    async def remove(self, name: str) -> None:
        """The image is gone, and what only it needed. Raises ImageError for an unknown or held one."""
        found = self.find(name)
        if found is None:
            raise ImageError(name, "removing it", "it is not here")
        if found.containers:
            raise ImageError(name, "removing it", f"container '{found.containers[0]}' lives on it")
        self._store.drop_image(found.image.name)
        await self._remove_layers()

    async def prune(self, excluded: Collection[str] = ()) -> tuple[str, ...]:
        """Return the names of the images removed: all that nobody holds or pulls, but for those excluded."""
        removed = self._candidates(excluded, recent_s=0)
        for name in removed:
            self._store.drop_image(name)
        await self._remove_layers()
        return removed

    async def collect(
        self, free_fraction_wanted: float, excluded: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Return the names of the images removed so that this much of the disk is free, if it can be.

        Those used longest ago go first; what is held, being pulled or was pulled just now stays.
        """
        removed: tuple[str, ...] = ()
        if self._free_fraction() < free_fraction_wanted:
            await self._remove_layers()
        while self._free_fraction() < free_fraction_wanted:
            # Asked anew each time: meanwhile others may have come to be used.
            going = self._candidates(excluded, collecting.RECENT_S)
            if not going:
                break
            self._store.drop_image(going[0])
            removed += going[:1]
            await self._remove_layers()
            log.info("image_collected image=%s free=%.3f", going[0], self._free_fraction())
        return removed

    def _candidates(self, excluded: Collection[str], recent_s: float) -> tuple[str, ...]:
        assert self._pulls is not None
        needed = {*self._pulls.needed, *self._store.held_layers()}
        return collecting.candidates(
            self._store.images,
            self._store.used_at_s,
            needed,
            {self._full(name) for name in excluded},
            time.time(),
            recent_s,
        )

    def _full(self, name: str) -> str:
        try:
            return name_of(self._names.resolve(name))
        except Fault:
            return name

    async def _remove_layers(self) -> None:
        """What nobody needs is gone. The decision is made at once, the removal takes its time."""
        assert self._pulls is not None
        dropped = self._store.drop_layers(self._pulls.needed)

        def remove(_: threading.Event) -> None:
            for path in dropped:
                remove_tree(path)

        await in_thread(self._executor, remove)

    def _free_fraction(self) -> float:
        status = os.statvfs(self._directory)
        return status.f_bavail / status.f_blocks if status.f_blocks else 1.0

    async def copy_root(self, image: Image, destination: Path) -> None:
        """The image's files are in the directory, as an overlay would show them. Raises ImageError.

        For machines without overlay file systems. When it fails a part may be there.
        """
        paths = [Path(path) for path in image.layers]
        try:
            await in_thread(
                self._executor,
                lambda is_stopped: merged.copy_root(paths, destination, is_stopped),
            )
        except OSError as error:
            raise ImageError(image.name, "copying it", str(error)) from None

    async def push(
        self,
        source: str | pushing.RootDirectory,
        name: str,
        docker_config: str | None,
        progress: Progress,
    ) -> str:
        """Return the digest under which the registry has the image. Raises ImageError.

        The source is the path of an OCI layout or of what `docker save` wrote, with a name behind it
        where there are several; or a directory that becomes an image of one layer.
        """
        temporary = self._store.new_path()
        try:
            reference = self._names.resolve(name)
            if isinstance(reference, Place):
                raise Fault("reading the name", "images are pushed to registries")
            registry = self._remotes.to_push(reference, docker_config)
            push = pushing.Push(registry, reference, self._settings, self._executor, temporary)
            return await push.run(source, lambda text: progress(f"pushing {name}: {text}"))
        except Fault as fault:
            raise ImageError(name, fault.step, fault.rule) from None
        except OSError as error:
            raise ImageError(name, "pushing", str(error)) from None
        finally:
            await in_thread(self._executor, lambda _: remove_tree(temporary))
