"""Runs containers through Docker Engine. Mesos: slave/containerizer/docker.cpp.

The Engine keeps what there is: a container that ended stays there until its exit is forgotten, found again by
its labels. `Launching` starts containers, `Watching` waits for the end of each and tells it, `Removing` takes
from the Engine what is forgotten, and `Recovering` finds what an earlier agent has left; they share `Parts`.
Output is taken over by `Following`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial

from tepui.agent.containers.docker.answers import Info, addresses_of
from tepui.agent.containers.docker.engine import NewLimits
from tepui.agent.containers.docker.launching import Launching
from tepui.agent.containers.docker.limits import keep_memory, limit_of, new_limits
from tepui.agent.containers.docker.parts import Parts
from tepui.agent.containers.docker.recovering import Recovering
from tepui.agent.containers.docker.removing import Removing
from tepui.agent.containers.docker.settings import DockerSettings
from tepui.agent.containers.docker.streams import hijack
from tepui.agent.containers.docker.usage import memory_in_use, signal_all, used
from tepui.agent.containers.docker.watching import Watching
from tepui.agent.containers.runtime import OnExit
from tepui.agent.containers.spec import Capabilities, ContainerSpec, Found, Started, Stdio, Usage
from tepui.base.errors import HostError


class DockerRuntime:
    """A `Runtime` of containers that Docker Engine runs, and of sessions inside them.

    While the Engine is away all methods raise; containers run on, a `destroy` and the exits are made up for
    when it is back. What of the contract the Engine cannot give: an exit with 128 and a signal's number counts
    as that signal; a main process gets only the signals that it handles, and SIGKILL; there are no groups and
    no `umask`; `stdio` and an end that the next agent finds are not for both kinds: containers have ends that
    are kept, sessions have streams. A `parent` ends its containers but shares no limits with them.
    """

    def __init__(self, settings: DockerSettings, on_exit: OnExit) -> None:
        self._parts = Parts(settings)
        self._engine, self._containers = self._parts.engine, self._parts.containers
        self._removing = Removing(self._parts)
        self._watching = Watching(self._parts, on_exit)
        self._launching = Launching(self._parts, self._watching, self._removing)
        self._recovering = Recovering(self._parts, self._watching, self._removing)
        self._info: Info | None = None
        self._forgetting: set[asyncio.Future[None]] = set()

    # Runtime

    async def recover(self) -> list[Found]:
        """Return all containers there are."""
        await self._engine.version()
        self._info = await self._engine.info()
        await self._recovering.recover()
        return [
            Found(one.container_id, one.pid, one.start_time, one.exited)
            for one in self._containers.all()
        ]

    async def launch(
        self,
        spec: ContainerSpec,
        stdio: Stdio | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Started:
        """Start a container, its image pulled if need be: `progress` is told of that."""
        name = spec.container_id
        if self._containers.get(name) is not None:
            raise HostError("launch", f"'{name}'", "there is a container of this id")
        if spec.parent is not None:
            self._containers.running(spec.parent)
        container = self._containers.add(name, spec.parent)
        try:
            if spec.inside is not None:
                return await self._launching.launch_session(container, spec, stdio)
            if stdio is not None:
                cause = "only sessions inside a Docker container have streams that are handed over"
                raise HostError("launch", f"'{name}'", cause)
            return await self._launching.launch(container, spec, progress)
        except BaseException:
            self._containers.drop(name)
            raise

    async def terminal(self, container_id: str) -> int:
        """Return a descriptor of the terminal's other side: a socket."""
        container = self._containers.running(container_id)
        if container.session is not None:
            return container.session.terminal()
        output = 1 if container.prints_to_terminal else 0
        path = f"containers/{container.engine_id}/attach?stream=1&stdin=1&stdout={output}"
        attached = await self._engine.in_thread(partial(hijack, self._engine.socket, path, {}))
        return attached.detach()

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """The container's terminal has this size."""
        container = self._containers.running(container_id)
        if container.session is not None:
            await container.session.resize(rows, columns)
        else:
            await self._engine.resize(container.engine_id, rows, columns, is_exec=False)

    async def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to every process of the container.

        In place of SIGTERM the image's own stop signal is sent, where it names one.
        """
        container = self._containers.known(container_id)
        if container.exited is not None:
            return
        if signum == signal.SIGKILL:
            await self.destroy(container_id)
        elif container.session is not None:
            container.session.kill(signum)
        else:
            chosen: int | str = signum
            if signum == signal.SIGTERM and container.stop_signal:
                chosen = container.stop_signal
            places = container.places()
            await self._engine.kill(container.engine_id, chosen)
            if (number := _number_of(chosen)) is not None:
                signal_all(places, number, but=container.pid)

    async def destroy(self, container_id: str) -> None:
        """Kill every process of the container; while the Engine is away, as soon as it is back."""
        container = self._containers.known(container_id)
        if container.exited is not None:
            return
        await self._watching.destroy(container)

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
        container = self._containers.running(container_id)
        if container.session is not None:
            return ()
        notes: list[str] = []
        limits = new_limits(cpus_milli, cpus_limit_milli, mem_bytes, mem_soft_bytes)
        if limits.memory:
            in_use = memory_in_use(container.places())
            if note := keep_memory(limits, container.mem_bytes, in_use):
                notes.append(note)
        if limits != NewLimits():
            warnings = await self._engine.update(container.engine_id, limits)
            # Whatever is asked, the Engine also tells what its host's network lacks.
            notes += [text for text in warnings if "forwarding" not in text]
        if cpus_milli or cpus_limit_milli:
            container.cpus_milli = cpus_milli or cpus_limit_milli
        if limits.memory:
            container.mem_bytes = limit_of(limits.memory)
        return tuple(notes)

    async def usage(self, container_id: str) -> Usage:
        """Return what a running container uses; of a session, what its container does."""
        container = self._containers.around(self._containers.running(container_id))
        now = used(container.places())
        return Usage(
            cpu_user_ms=now.cpu_user_ms,
            cpu_system_ms=now.cpu_system_ms,
            mem_rss_bytes=now.mem_rss_bytes,
            processes=now.processes,
            threads=now.threads,
            cpus_limit_milli=container.cpus_milli,
            mem_limit_bytes=container.mem_bytes,
        )

    async def forget(self, container_id: str) -> None:
        """Nothing of the container is kept, or only for as long as the settings say."""
        forgetting = asyncio.ensure_future(self._forget(container_id))
        self._forgetting.add(forgetting)
        forgetting.add_done_callback(self._forgetting.discard)
        await forgetting

    async def _forget(self, container_id: str) -> None:
        container = self._containers.get(container_id)
        if container is None:
            return
        if container.exited is None:
            raise HostError("forget", f"'{container_id}'", "it has not exited")
        if container.engine_id:
            await self._removing.dispose(container)
        self._containers.drop(container_id)
        await self._engine.in_thread(partial(self._parts.following.forget, container_id))

    def capabilities(self) -> Capabilities:
        """Return what this machine enforces; known after `recover`."""
        assert self._info is not None, "recover is called first"
        held = {
            "cpu": self._info.cpu_shares,
            "cpu-quota": self._info.cpu_quota,
            "memory": self._info.memory_limit,
            "pids": self._info.pids_limit,
            "cpuset": self._info.cpu_set,
        }
        enforced = ("kill", *(name for name, holds in held.items() if holds), "devices")
        missing = [name for name, holds in held.items() if not holds]
        unenforced = (
            f"not enforced: {', '.join(missing)} (Docker Engine's machine cannot)"
            if missing
            else ""
        )
        return Capabilities(enforced, unenforced)

    # More than a Runtime

    async def addresses(self, container_id: str) -> tuple[str, ...]:
        """Return the container's own addresses; none where it has the host's network."""
        container = self._containers.running(container_id)
        return addresses_of(await self._engine.inspect(container.engine_id))

    def changes(self, container_id: str) -> tuple[str, ...]:
        """Return where on disk is what a container writes outside its sandbox; nothing of unknown ones."""
        container = self._containers.get(container_id)
        return () if container is None else container.changes

    async def close(self) -> None:
        """The agent ends: containers run on, and what is known of them is kept for the next."""
        await self._parts.end_jobs()
        for container in self._containers.all():
            if container.session is not None:
                container.session.kill(signal.SIGKILL)
                container.session.close()
        await asyncio.gather(*self._forgetting, return_exceptions=True)
        await self._parts.close()


def _number_of(name: int | str) -> int | None:
    """Return a signal's number; None for a name that is not known here."""
    if isinstance(name, int):
        return name
    if name.isdigit():
        return int(name)
    try:
        return signal.Signals["SIG" + name.upper().removeprefix("SIG")]
    except KeyError:
        return None
