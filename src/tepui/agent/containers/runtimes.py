"""All runtimes of one agent as one: each container is run by the one that its spec is for.

What Docker Engine does not run, one runtime does: that of OCI containers hands plain processes on to the
launcher, which both share.
"""

from __future__ import annotations

from collections.abc import Iterable

from tepui.agent.containers.runtime import Runtime
from tepui.agent.containers.spec import (
    Capabilities,
    ContainerSpec,
    Found,
    Started,
    Stdio,
    Usage,
)


class Runtimes:
    """A `Runtime`. A spec of `docker` must not come where there is none: whoever makes specs asks first."""

    def __init__(self, launched: Runtime, docker: Runtime | None = None) -> None:
        self._launched = launched
        self._docker = docker
        self._of_docker: set[str] = set()

    def use_docker(self, docker: Runtime, found: Iterable[Found] = ()) -> None:
        """There is an Engine; if it is known only after `recover`, it has the containers that were found."""
        self._docker = docker
        self._of_docker.update(one.container_id for one in found)

    async def recover(self) -> list[Found]:
        """Return all containers there are, of every runtime."""
        found = await self._launched.recover()
        if self._docker is not None:
            others = await self._docker.recover()
            self._of_docker.update(one.container_id for one in others)
            found = found + others
        return found

    async def launch(self, spec: ContainerSpec, stdio: Stdio | None = None) -> Started:
        """Start a container."""
        is_docker = spec.docker is not None or (
            spec.inside is not None and spec.parent in self._of_docker
        )
        if is_docker:
            self._of_docker.add(spec.container_id)
        try:
            return await self._of(spec.container_id).launch(spec, stdio)
        except BaseException:
            self._of_docker.discard(spec.container_id)
            raise

    async def terminal(self, container_id: str) -> int:
        """Return a descriptor of the terminal's other side."""
        return await self._of(container_id).terminal(container_id)

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """The container's terminal has this size."""
        await self._of(container_id).resize(container_id, rows, columns)

    async def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to every process of the container."""
        await self._of(container_id).signal(container_id, signum)

    async def destroy(self, container_id: str) -> None:
        """Kill every process of the container."""
        await self._of(container_id).destroy(container_id)

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
        return await self._of(container_id).update(
            container_id,
            cpus_milli,
            mem_bytes,
            cpus_limit_milli=cpus_limit_milli,
            mem_soft_bytes=mem_soft_bytes,
        )

    async def usage(self, container_id: str) -> Usage:
        """Return what a running container uses."""
        return await self._of(container_id).usage(container_id)

    async def forget(self, container_id: str) -> None:
        """Nothing of the container is kept."""
        await self._of(container_id).forget(container_id)
        self._of_docker.discard(container_id)

    def capabilities(self) -> Capabilities:
        """Return what this machine enforces."""
        return self._launched.capabilities()

    def is_of_docker(self, container_id: str) -> bool:
        """Whether Docker Engine runs the container."""
        return container_id in self._of_docker

    def _of(self, container_id: str) -> Runtime:
        if container_id in self._of_docker and self._docker is not None:
            return self._docker
        return self._launched
