"""The core's containers on a runtime: specs, and their life as events in the right order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Final

from tepui.agent.containers.runtime import Runtime
from tepui.agent.containers.spec import ContainerSpec, Exited, Rlimit, Usage
from tepui.agent.core.actions import LaunchContainer, Limits
from tepui.agent.core.events import ContainerExited, ContainerStarted, LaunchFailed
from tepui.agent.core.recovery import Found
from tepui.agent.daemon.put import Put
from tepui.base import tasks
from tepui.base.errors import HostError
from tepui.wire import mesos

MIB = 1 << 20
FAULTS: Final = (HostError, OSError)  # OSError: the launcher's directory, when it is started anew

log = logging.getLogger("tepui.agent")


class Unsupported(Exception):
    """This agent cannot run such a container; a sentence says why."""


class Containers:
    """Containers of tasks and executors, and of the commands of checks.

    An exit that is told before its launch has returned waits for it; a container that is to be
    destroyed while it is launched is destroyed right after.
    """

    def __init__(self, put: Put) -> None:
        self._put = put
        self._runtime: Runtime | None = None
        self._launching: dict[str, Exited | None] = {}
        self._doomed: set[str] = set()
        self._limits: dict[str, Limits] = {}  # of the containers that there are
        self._waiting: dict[str, asyncio.Future[Exited]] = {}  # of commands that someone awaits
        self._jobs: set[asyncio.Task[None]] = set()
        self._early: list[Exited] | None = None  # exits that come while the core recovers

    @property
    def runtime(self) -> Runtime:
        """What runs the containers."""
        assert self._runtime is not None, "bound before the first launch"
        return self._runtime

    def bind(self, runtime: Runtime) -> None:
        """Use this runtime, which calls `exited`."""
        self._runtime = runtime

    async def recover(self) -> dict[str, Found]:
        """What an earlier agent has left, by id. The core adopts or ends each.

        Exits that come before it has done so wait for `recovered`.
        """
        self._early = []
        return {
            one.container_id: Found(
                one.pid, None if one.exited is None else _exited_event(one.exited)
            )
            for one in await self.runtime.recover()
        }

    def adopt(self, container_id: str, limits: Limits) -> None:
        """It is one of the core's: its exit is told."""
        self._limits[container_id] = limits

    def recovered(self) -> None:
        """What was found is adopted or being ended; the exits that came meanwhile are told now."""
        early, self._early = self._early or [], None
        for exited in early:
            self.exited(exited)

    def exited(self, exited: Exited) -> None:
        """The runtime calls this for every container that is gone."""
        name = exited.container_id
        if self._early is not None:
            self._early.append(exited)
            return
        if name in self._launching:
            self._launching[name] = exited
            return
        waiting = self._waiting.pop(name, None)
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(exited)
            self.forget(name)
        elif self._limits.pop(name, None) is not None:
            log.info("container_exited container=%s status=%s", name, exited.wait_status)
            self._put(_exited_event(exited))
        else:
            self.forget(name)

    # What the core asks for

    def launch(self, action: LaunchContainer) -> None:
        """ContainerStarted or LaunchFailed follows."""
        self._launching[action.container_id] = None
        self._limits[action.container_id] = action.limits
        self._do(self._launch(action))

    def signal(self, container_id: str, number: int) -> None:
        """Every process of the container will get the signal."""
        self._do(self._tried("signal", container_id, self.runtime.signal(container_id, number)))

    def destroy(self, container_id: str) -> None:
        """ContainerExited follows, of a container that is being launched after its start."""
        if container_id in self._launching:
            self._doomed.add(container_id)
            return
        self._do(self._tried("destroy", container_id, self.runtime.destroy(container_id)))

    def update(self, container_id: str, limits: Limits) -> None:
        """The container will have these limits; a refusal is logged."""
        if container_id in self._limits:
            self._limits[container_id] = limits
        self._do(self._update(container_id, limits))

    def forget(self, container_id: str) -> None:
        """Nothing of the container is kept, here or in the runtime."""
        self._limits.pop(container_id, None)
        self._do(self._tried("forget", container_id, self.runtime.forget(container_id)))

    # What checks and views ask for

    async def run(self, spec: ContainerSpec) -> int:
        """The raw wait status of a command that is run to its end. Raises HostError.

        When the caller is cancelled the command is destroyed.
        """
        name = spec.container_id
        waiting: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()
        self._waiting[name] = waiting
        try:
            await self.runtime.launch(spec)
            return (await waiting).wait_status
        except FAULTS:
            self._waiting.pop(name, None)
            raise
        except asyncio.CancelledError:
            self._do(self._tried("destroy", name, self.runtime.destroy(name)))
            raise

    async def usage(self) -> dict[str, mesos.ResourceStatistics]:
        """What each container uses, as far as that can be said."""
        names = [name for name in self._limits if name not in self._launching]
        found = await asyncio.gather(*(self._usage(name) for name in names))
        return {name: one for name, one in zip(names, found, strict=True) if one is not None}

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _launch(self, action: LaunchContainer) -> None:
        name = action.container_id
        try:
            started = await self.runtime.launch(spec_of(action))
        except (*FAULTS, Unsupported) as error:
            del self._launching[name]
            self._limits.pop(name, None)
            self._doomed.discard(name)
            self._put(LaunchFailed(name, str(error)))
            return
        for text in started.notes:
            log.warning("container_note container=%s text=%s", name, text)
        log.info("container_started container=%s pid=%s", name, started.pid)
        exited = self._launching.pop(name)
        self._put(ContainerStarted(name, started.pid))
        if exited is not None:
            self._doomed.discard(name)
            self.exited(exited)
        elif name in self._doomed:
            self._doomed.discard(name)
            self.destroy(name)

    async def _update(self, container_id: str, limits: Limits) -> None:
        try:
            notes = await self.runtime.update(
                container_id, limits.cpus_milli, limits.mem_limit_bytes or 0
            )
        except FAULTS as error:
            log.warning("update_failed container=%s reason=%s", container_id, error)
            return
        for text in notes:
            log.warning("container_note container=%s text=%s", container_id, text)

    async def _usage(self, container_id: str) -> mesos.ResourceStatistics | None:
        try:
            usage = await self.runtime.usage(container_id)
        except FAULTS:
            return None  # it is gone by now
        return statistics_of(usage, self._limits.get(container_id))

    async def _tried(
        self, name: str, container_id: str, doing: Coroutine[None, None, None]
    ) -> None:
        try:
            await doing
        except FAULTS as error:
            log.warning("%s_failed container=%s reason=%s", name, container_id, error)

    def _do(self, doing: Coroutine[None, None, None]) -> None:
        job = tasks.start(doing)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)


def spec_of(action: LaunchContainer) -> ContainerSpec:
    """The container as the runtime wants it. Raises Unsupported."""
    refuse_more_than_a_process(action.container)
    refuse_secret_references(action.command)
    program, argv = program_of(action.command)
    return ContainerSpec(
        container_id=action.container_id,
        program=program,
        argv=argv,
        environment=dict(action.environment),
        directory=action.directory,
        user=action.user,
        rlimits=rlimits_of(action.container),
        cpus_milli=action.limits.cpus_milli,
        mem_bytes=action.limits.mem_limit_bytes or 0,
    )


def refuse_more_than_a_process(container: mesos.ContainerInfo | None) -> None:
    """Raises Unsupported for images, volumes and networks of its own."""
    if container is None:
        return
    if container.type is mesos.ContainerInfo.Type.DOCKER:
        raise Unsupported("this agent does not run Docker containers")
    if container.mesos is not None and container.mesos.image is not None:
        raise Unsupported("this agent does not run container images")
    if container.volumes:
        path = container.volumes[0].container_path
        raise Unsupported(f"this agent does not mount volumes, as '{path}' asks for")
    for network in container.network_infos:
        if network.name is not None:
            raise Unsupported(f"this agent knows no network '{network.name}'")


def refuse_secret_references(command: mesos.CommandInfo) -> None:
    """Raises Unsupported for a variable that the agent would have to look up."""
    for one in () if command.environment is None else command.environment.variables:
        is_secret = one.type is mesos.Environment.Variable.Type.SECRET
        if is_secret and (one.secret is None or one.secret.value is None):
            raise Unsupported(f"this agent cannot look up the secret of the variable '{one.name}'")


def program_of(command: mesos.CommandInfo) -> tuple[str, tuple[str, ...]]:
    """The program, and the name it is called by with its arguments.

    Raises Unsupported when there is none.
    """
    if command.shell:
        if command.value is None:
            raise Unsupported("the command has no value")
        return "/bin/sh", ("sh", "-c", command.value)
    program = command.value or (command.arguments[0] if command.arguments else None)
    if program is None:
        raise Unsupported("the command has neither value nor arguments")
    return program, command.arguments or (program,)


def rlimits_of(container: mesos.ContainerInfo | None) -> tuple[Rlimit, ...]:
    """The resource limits by name, soft before hard. Raises Unsupported for half a limit."""
    if container is None or container.rlimit_info is None:
        return ()
    limits: list[Rlimit] = []
    for one in container.rlimit_info.rlimits:
        if one.type is None or (one.soft is None) != (one.hard is None):
            raise Unsupported("a resource limit has a type, and both soft and hard or neither")
        limits.append((one.type.name, one.soft, one.hard))
    return tuple(limits)


def statistics_of(usage: Usage, limits: Limits | None) -> mesos.ResourceStatistics:
    """The usage as Mesos's message."""
    mem = None if limits is None else limits.mem_limit_bytes
    return mesos.ResourceStatistics(
        timestamp=time.time(),
        processes=usage.processes,
        threads=usage.threads,
        cpus_user_time_secs=usage.cpu_user_ms / 1000,
        cpus_system_time_secs=usage.cpu_system_ms / 1000,
        cpus_limit=None if limits is None else limits.cpus_milli / 1000,
        cpus_soft_limit=None if limits is None else limits.cpus_milli / 1000,
        mem_limit_bytes=mem,
        mem_soft_limit_bytes=None if limits is None else limits.mem_bytes,
        mem_rss_bytes=usage.mem_rss_bytes,
        mem_total_bytes=usage.mem_rss_bytes,
    )


def _exited_event(exited: Exited) -> ContainerExited:
    return ContainerExited(exited.container_id, exited.wait_status, _memory_text(exited))


def _memory_text(exited: Exited) -> str | None:
    if not exited.oom:
        return None
    limit, peak = exited.mem_limit_bytes / MIB, exited.mem_peak_bytes / MIB
    return f"Memory limit exceeded: Requested: {limit:g}MB Maximum Used: {peak:g}MB"
