"""Runs containers with namespaces and a root of their own, by an OCI runtime under the launcher."""

from __future__ import annotations

import asyncio
import logging
import os

from msgspec import Struct
from msgspec.structs import replace

from tepui.agent.containers.messages import Oci, users_of
from tepui.agent.containers.oci.bundle import (
    config_of,
    notes_on,
    prepared_volumes,
    process_inside,
    runtime_name,
)
from tepui.agent.containers.oci.finding import OciProgram
from tepui.agent.containers.process import ProcessRuntime
from tepui.agent.containers.spec import (
    Capabilities,
    ContainerSpec,
    Found,
    Inside,
    Started,
    Stdio,
    Usage,
)
from tepui.agent.launcher.oci import BUNDLES_NAME, STATE_NAME
from tepui.base.errors import HostError
from tepui.base.trees import remove_tree

log = logging.getLogger(__name__)


class OciConfig(Struct, frozen=True, kw_only=True):
    """Where containers live. `missing` says why there is no `program`."""

    program: OciProgram | None
    missing: str = ""
    runtime_directory: str  # the launcher's
    containers_directory: str  # what containers change in their roots; the agent's own


class OciRuntime:
    """A `Runtime` of containers with `isolation` and of sessions in them; all else is the launcher's as it is.

    What a container changes in its root is in the containers directory, until it is forgotten.
    """

    def __init__(self, launcher: ProcessRuntime, config: OciConfig) -> None:
        self._launcher = launcher
        self._config = config
        self._runtime_directory = os.path.abspath(config.runtime_directory)
        self._containers_directory = os.path.abspath(config.containers_directory)
        self._kept: set[str] = set()  # containers that have changes there, or may have

    async def recover(self) -> list[Found]:
        """Return all containers there are; what others have left is removed."""
        found = await self._launcher.recover()
        self._kept.update(one.container_id for one in found)
        await asyncio.to_thread(self._sweep, {runtime_name(name) for name in self._kept})
        return found

    async def launch(self, spec: ContainerSpec, stdio: Stdio | None = None) -> Started:
        """Start a container."""
        if spec.isolation is None and spec.inside is None:
            return await self._launcher.launch(spec, stdio)
        if not spec.program:
            started = await self._launcher.launch(spec, stdio)
            return replace(started, namespaces={**_joined(spec), **started.namespaces})
        if spec.inside is not None:
            if self._config.program is None:  # then its parent is a process
                return await self._launcher.launch(spec, stdio)
            return await self._launcher.launch(spec, stdio, self._session(spec))
        if self._config.program is None:
            raise HostError("launch", f"'{spec.container_id}'", self._config.missing)
        name = spec.container_id
        is_first = (
            name not in self._kept
        )  # else it will be refused, and the other one's changes stay
        self._kept.add(name)
        try:
            started = await self._launcher.launch(spec, stdio, self._container(spec))
        except HostError:
            if is_first:
                await self._remove(name)
            raise
        return replace(started, notes=(*started.notes, *notes_on(spec)))

    async def terminal(self, container_id: str) -> int:
        """Return a descriptor of the terminal's other side."""
        return await self._launcher.terminal(container_id)

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """The container's terminal has this size."""
        await self._launcher.resize(container_id, rows, columns)

    async def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to every process of the container."""
        await self._launcher.signal(container_id, signum)

    async def destroy(self, container_id: str) -> None:
        """Kill every process of the container."""
        await self._launcher.destroy(container_id)

    async def update(
        self,
        container_id: str,
        cpus_milli: int,
        mem_bytes: int,
        *,
        cpus_limit_milli: int = 0,
        mem_soft_bytes: int = 0,
    ) -> tuple[str, ...]:
        """Set new limits."""
        return await self._launcher.update(
            container_id,
            cpus_milli,
            mem_bytes,
            cpus_limit_milli=cpus_limit_milli,
            mem_soft_bytes=mem_soft_bytes,
        )

    async def usage(self, container_id: str) -> Usage:
        """Return what a running container uses."""
        return await self._launcher.usage(container_id)

    async def forget(self, container_id: str) -> None:
        """Nothing of the container is kept."""
        await self._launcher.forget(container_id)
        await self._remove(container_id)

    def capabilities(self) -> Capabilities:
        """Return what this machine enforces; known after `recover`."""
        return self._launcher.capabilities()

    # What the launcher is asked

    def _container(self, spec: ContainerSpec) -> Oci:
        own = spec.isolation
        assert own is not None, "asked of containers with isolation only"
        base = self._base(spec.container_id)
        changes = self._changes(spec.container_id)
        return replace(
            base,
            config=config_of(spec, base.bundle, is_crun=base.is_crun, is_rootless=base.is_rootless),
            layers=own.layers,
            upper=f"{changes}/upper" if own.layers else "",
            work=f"{changes}/work" if own.layers else "",
            volumes=prepared_volumes(own),
            users=users_of(own),
        )

    def _session(self, spec: ContainerSpec) -> Oci:
        assert isinstance(spec.inside, Inside), "asked of sessions in such containers only"
        if spec.parent is None:
            raise HostError("launch", f"'{spec.container_id}'", "a session has a parent")
        return replace(
            self._base(spec.container_id),
            process=process_inside(spec, spec.inside),
            parent=runtime_name(spec.parent),
        )

    def _base(self, container_id: str) -> Oci:
        program = self._config.program
        assert program is not None, "looked at before"
        name = runtime_name(container_id)
        return Oci(
            runtime=program.path,
            is_crun=program.is_crun,
            name=name,
            bundle=f"{self._runtime_directory}/{BUNDLES_NAME}/{name}",
            state=f"{self._runtime_directory}/{STATE_NAME}",
            hidden=program.hidden,
            guarded=program.guarded,
            is_rootless=program.is_rootless,
        )

    # What containers have changed

    def _changes(self, container_id: str) -> str:
        return f"{self._containers_directory}/{runtime_name(container_id)}"

    async def _remove(self, container_id: str) -> None:
        self._kept.discard(container_id)
        place = self._changes(container_id)
        if os.path.exists(place):
            await asyncio.to_thread(_remove_all, place)

    def _sweep(self, kept: set[str]) -> None:
        os.makedirs(self._containers_directory, mode=0o700, exist_ok=True)
        for name in os.listdir(self._containers_directory):
            if name not in kept:
                _remove_all(f"{self._containers_directory}/{name}")


def _joined(spec: ContainerSpec) -> dict[str, str]:
    own = spec.isolation
    return {} if own is None else {kind: path for kind, path in own.namespaces.items() if path}


def _remove_all(place: str) -> None:
    try:
        remove_tree(place)
    except OSError as error:  # the next agent tries again
        log.warning("changes_not_removed place=%s reason=%s", place, error)
