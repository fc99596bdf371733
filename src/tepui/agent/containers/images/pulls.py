"""Pulls images: whatever is missing of one is fetched and unpacked, each layer once for all who wait."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from tepui.agent.containers.images import layers, merged
from tepui.agent.containers.images.downloads import Downloads
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.filtering import STEP
from tepui.agent.containers.images.image import PullRequest
from tepui.agent.containers.images.layers import Budget
from tepui.agent.containers.images.local import Place
from tepui.agent.containers.images.manifest import Platform, this_machine
from tepui.agent.containers.images.names import Names
from tepui.agent.containers.images.plans import Plan, Remotes, plan_local, plan_remote
from tepui.agent.containers.images.reference import Reference
from tepui.agent.containers.images.room import check_room
from tepui.agent.containers.images.settings import ImageSettings
from tepui.agent.containers.images.shared import Shared, in_thread
from tepui.agent.containers.images.store import ImageRecord, LayerRecord, Store, remove_tree
from tepui.agent.containers.images.streams import Slice

UNPACKS_MAX: Final = 4  # at once, of all pulls; not more than there are processors
PROGRESS_S: Final = 0.5  # between two texts at least

Progress = Callable[[str], None]
_MB: Final = 1_000_000


class Pulls:
    """Pulls that are under way."""

    def __init__(
        self,
        store: Store,
        settings: ImageSettings,
        names: Names,
        remotes: Remotes,
        executor: Executor,
    ) -> None:
        self._store = store
        self._settings = settings
        self._names = names
        self._remotes = remotes
        self._executor = executor
        self._downloads = Downloads(store, executor, settings.retry_ms)
        self._images: Shared[tuple[str, str], ImageRecord] = Shared()
        self._layers: Shared[str, None] = Shared()
        self._reports: dict[tuple[str, str], Report] = {}
        self._needed: Counter[str] = Counter()  # chain ids of what is being pulled
        self._fetched: dict[str, int] = {}  # by chain id: bytes that are there of what is coming
        self._turns = asyncio.Semaphore(max(1, min(UNPACKS_MAX, os.cpu_count() or 1)))

    @property
    def needed(self) -> Iterable[str]:
        """Layers that pulls under way count on, by chain id."""
        return self._needed.keys()

    async def pull(
        self, found: Place | Reference, request: PullRequest, progress: Progress
    ) -> ImageRecord:
        """Return the image; all of it is on disk. Raises Fault."""
        name = name_of(found)
        key = (name, request.docker_config or "")
        report = self._reports.setdefault(key, Report(request.name))
        report.add(progress)
        try:
            return await self._images.join(
                key, functools.partial(self._pull, found, request, name, report)
            )
        finally:
            report.remove(progress)
            if not report.listeners and self._reports.get(key) is report:
                del self._reports[key]

    async def _pull(
        self, found: Place | Reference, request: PullRequest, name: str, report: Report
    ) -> ImageRecord:
        temporary = self._store.new_path()
        try:
            if isinstance(found, Place):
                report.tell("reading the archive")
                plan: Plan = await plan_local(found, temporary, self._settings, self._executor)
            else:
                report.tell(f"asking {found.registry}")
                plan = await plan_remote(
                    found, request, self._remotes, self._downloads, self._settings
                )
            if note := foreign(plan.config.platform):
                report.tell(note)
            return await self._have(plan, name, report)
        except OSError as error:
            raise Fault("storing", _cause(error)) from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    async def _have(self, plan: Plan, name: str, report: Report) -> ImageRecord:
        """Return the image of the plan; its layers are made where they are missing."""
        self._needed.update(plan.chain)
        telling: asyncio.Task[None] | None = None
        try:
            known = self._store.images.get(name)
            if known is not None and _is_same(known, plan):
                return known
            self._check_room(plan)
            telling = asyncio.create_task(self._tell(plan, report))
            budget = Budget(
                self._settings.unpacked_bytes_max,
                self._settings.files_max,
                lambda: check_room(self._store.directory, STEP),
            )
            await _all([self._layer(plan, at, budget) for at in range(len(plan.chain))])
            report.tell(self._text(plan))
            record = await self._assemble(plan, name)
            await in_thread(self._executor, lambda _: self._store.write_image(record))
            self._store.know_image(record)
            return record
        finally:
            if telling is not None:
                telling.cancel()
            self._needed.subtract(plan.chain)
            self._needed += Counter()  # what nobody needs is no key
            for chain_id in plan.chain:
                if chain_id not in self._layers:
                    self._fetched.pop(chain_id, None)

    def _check_room(self, plan: Plan) -> None:
        missing = {
            chain_id: size
            for chain_id, size in zip(plan.chain, plan.sizes, strict=True)
            if chain_id not in self._store.layers
        }
        if missing:
            check_room(self._store.directory, "storing", sum(missing.values()))

    async def _layer(self, plan: Plan, at: int, budget: Budget) -> None:
        """The layer is in the store. Raises Fault."""
        chain_id = plan.chain[at]
        if not self._store.check_layer(chain_id):
            await self._layers.join(chain_id, functools.partial(self._make_layer, plan, at, budget))

    async def _make_layer(self, plan: Plan, at: int, budget: Budget) -> None:
        chain_id = plan.chain[at]
        made = self._store.new_path()
        self._fetched[chain_id] = 0
        try:
            # The blob stays until the layer is kept: an agent that dies before has it still.
            async with plan.blob(at, lambda size: self._gained(chain_id, size)) as (blob, digest):
                unpack = functools.partial(
                    _unpack, blob, made, digest, plan.config.diff_ids[at], budget
                )
                async with self._turns:
                    unpacked = await in_thread(self._executor, unpack)
                if at > 0:
                    await self._layer(plan, at - 1, budget)
                below = [self._store.layer_directory(other) for other in plan.chain[:at]]
                record = LayerRecord(
                    chain_id=chain_id,
                    size_bytes=unpacked.size_bytes,
                    files=unpacked.files,
                    boot_id=self._store.boot_id,
                )

                def keep(_: threading.Event) -> None:
                    layers.settle(made, unpacked.contents, below)
                    self._store.write_layer(made, record)

                await in_thread(self._executor, keep)
                self._store.layers[chain_id] = record
        except Fault as fault:
            if fault.step.startswith("unpacking"):
                step = f"unpacking layer {at + 1} of {len(plan.chain)}"
                raise Fault(step, fault.rule, room_bytes=fault.room_bytes) from None
            raise
        except OSError as error:
            raise Fault(f"unpacking layer {at + 1} of {len(plan.chain)}", _cause(error)) from None
        finally:
            if made.exists():
                # Another layer's fault may cancel this one just now.
                await in_thread(self._executor, lambda _: remove_tree(made), may_stop=False)

    def _gained(self, chain_id: str, size: int) -> None:
        self._fetched[chain_id] = size

    async def _assemble(self, plan: Plan, name: str) -> ImageRecord:
        records = [self._store.layers[chain_id] for chain_id in plan.chain]
        # Layers that were there already, or that others unpacked, count as well.
        layers_budget = Budget(self._settings.unpacked_bytes_max, self._settings.files_max)
        for record in records:
            layers_budget.take(record.size_bytes, record.files)
        paths = [self._store.layer_directory(chain_id) for chain_id in plan.chain]
        passwd, group = await in_thread(self._executor, lambda _: _accounts(paths))
        return ImageRecord(
            name=name,
            digest=plan.digest,
            chain=plan.chain,
            config=plan.config.image,
            passwd=passwd,
            group=group,
            size_bytes=sum(record.size_bytes for record in records),
            stamp=plan.stamp,
        )

    async def _tell(self, plan: Plan, report: Report) -> None:
        while True:
            report.tell(self._text(plan))
            await asyncio.sleep(PROGRESS_S)

    def _text(self, plan: Plan) -> str:
        whole = [chain_id in self._store.layers for chain_id in plan.chain]
        there = sum(
            size if is_whole else self._fetched.get(chain_id, 0)
            for chain_id, size, is_whole in zip(plan.chain, plan.sizes, whole, strict=True)
        )
        megabytes = f"{_megabytes(there)} of {_megabytes(sum(plan.sizes))} MB"
        return f"{megabytes}, {sum(whole)} of {len(whole)} layers unpacked"


def _is_same(known: ImageRecord, plan: Plan) -> bool:
    return (known.digest, known.chain, known.stamp) == (plan.digest, plan.chain, plan.stamp)


class Report:
    """Who wants to know how a pull goes on, and what they know."""

    def __init__(self, name: str) -> None:
        self.listeners: list[Progress] = []
        self._name = name
        self._last = ""

    def add(self, listener: Progress) -> None:
        self.listeners.append(listener)
        if self._last:
            listener(self._last)

    def remove(self, listener: Progress) -> None:
        self.listeners.remove(listener)

    def tell(self, text: str) -> None:
        told = f"pulling {self._name}: {text}"
        if told != self._last:
            self._last = told
            for listener in list(self.listeners):
                listener(told)


def name_of(found: Place | Reference) -> str:
    """Return the name in full, by which the store knows the image."""
    if isinstance(found, Place):
        return f"{found.path}:{found.name}" if found.name else str(found.path)
    return str(found)


def foreign(platform: Platform) -> str:
    """Return what to say of an image for another machine, which may run it nonetheless; else ''."""
    ours = this_machine()
    if platform.architecture in {"", *(each.architecture for each in ours)}:
        return ""
    return f"it is for {platform}, and this machine is {ours[0]}"


async def _all(works: Iterable[Coroutine[None, None, None]]) -> None:
    """All is done. When one fails the others are cancelled, and have ended before this raises."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # one of them has been raised


def _unpack(
    blob: Slice,
    made: Path,
    digest: str,
    diff_id: str,
    budget: Budget,
    is_stopped: threading.Event,
) -> layers.Unpacked:
    made.mkdir(mode=0o755)
    return layers.unpack(
        blob, made, digest=digest, diff_id=diff_id, budget=budget, is_stopped=is_stopped
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MB:.0f}" if size_bytes >= 10 * _MB else f"{size_bytes / _MB:.1f}"


def _accounts(paths: list[Path]) -> tuple[str, str]:
    return merged.read_text(paths, "/etc/passwd"), merged.read_text(paths, "/etc/group")


def _cause(error: OSError) -> str:
    where = f" ('{error.filename}')" if error.filename else ""
    return f"{os.strerror(error.errno)}{where}" if error.errno else str(error)
