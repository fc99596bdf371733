"""Docker Engine as one agent uses it: its library is imported when there is an Engine, for it is large."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tepui.agent.containers.docker.settings import DockerSettings
from tepui.agent.containers.runtime import OnExit
from tepui.base.errors import HostError

if TYPE_CHECKING:
    from tepui.agent.containers.docker.runtime import DockerRuntime


class DockerEngine:
    """The Engine at one socket, which may be there or not."""

    def __init__(self, settings: DockerSettings, on_exit: OnExit) -> None:
        self._settings = settings
        self._on_exit = on_exit
        self._runtime: DockerRuntime | None = None

    async def why_not(self) -> str:
        """Why there is no Engine that will do; '' when there is."""
        socket = self._settings.socket
        if not os.path.exists(socket):
            return f"no Docker Engine answers: there is no '{socket}'"
        from tepui.agent.containers.docker.finding import find_engine

        try:
            await find_engine(socket)
        except HostError as error:
            return str(error)
        return ""

    def runtime(self) -> DockerRuntime:
        """What runs containers there, of which there is one."""
        from tepui.agent.containers.docker.runtime import DockerRuntime

        if self._runtime is None:
            self._runtime = DockerRuntime(self._settings, self._on_exit)
        return self._runtime

    def changes(self, container_id: str) -> tuple[str, ...]:
        """Where on disk is what the Engine's container writes outside its sandbox; nothing of others."""
        return () if self._runtime is None else self._runtime.changes(container_id)

    async def close(self) -> None:
        """Leave the Engine, and what it runs."""
        if self._runtime is not None:
            await self._runtime.close()
