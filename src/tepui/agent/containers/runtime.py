"""The contract of everything that runs containers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tepui.agent.containers.spec import (
    Capabilities,
    ContainerSpec,
    Exited,
    Found,
    Started,
    Stdio,
    Usage,
)

OnExit = Callable[[Exited], None]


class Runtime(Protocol):
    """Runs containers that outlive the agent.

    A container's life: `launch` returns when its program was reached (or raises, and nothing of it is left).
    It runs until its main process ends, by itself, by `signal`, by `destroy`, or for want of memory. What is
    left of its processes is then killed, also those that left the session, and containers whose `parent` it
    was end with it. When all are gone its exit is final: it is kept on disk, and `on_exit`, given when the
    runtime was made, is called once. The runtime keeps the exit until `forget`, so that an agent which dies
    between hearing of it and saving it finds it again: a new agent calls `recover` first, and gets every
    container that runs or whose exit was not forgotten. Exits that `recover` returned are not told again by
    `on_exit`. A container that ran and that `recover` does not return is gone, and its status is lost.

    Every method raises `HostError` when the machine does not do what was asked. Two containers of one id
    cannot be at the same time, and an id is free again after `forget`.
    """

    async def recover(self) -> list[Found]:
        """Return all containers there are. Called once, before anything else."""
        ...

    async def launch(self, spec: ContainerSpec, stdio: Stdio | None = None) -> Started:
        """Start a container. Its exit may be told before this returns.

        With `stdio` its streams are those; they do not outlive the agent.
        """
        ...

    async def terminal(self, container_id: str) -> int:
        """Return a descriptor of the terminal's other side, of a container that has a `tty`.

        What is written there is typed; what the program writes may be read there only if its `stdout` is
        None, else it is in that file. The caller closes it.
        """
        ...

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """The terminal of a container that runs has this size, and its program was told by SIGWINCH."""
        ...

    async def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to every process of the container; none is sent when it has exited."""
        ...

    async def destroy(self, container_id: str) -> None:
        """Kill every process of the container; its exit follows. Nothing happens when it has exited."""
        ...

    async def update(
        self,
        container_id: str,
        cpus_milli: int,
        mem_bytes: int,
        *,
        cpus_limit_milli: int = 0,
        mem_soft_bytes: int = 0,
    ) -> tuple[str, ...]:
        """Set new limits, as in ContainerSpec; return notes on what could not be set.

        0 leaves one as it is; NO_LIMIT lifts `mem_bytes` and `cpus_limit_milli`.

        A memory limit is never lowered under what is in use.
        """
        ...

    async def usage(self, container_id: str) -> Usage:
        """Return what a running container uses."""
        ...

    async def forget(self, container_id: str) -> None:
        """The exit was taken note of: nothing of the container is kept. Unknown ids are no error."""
        ...

    def capabilities(self) -> Capabilities:
        """Return what this machine enforces; known after `recover`."""
        ...
