"""The core's containers on their runtimes: their life as events in the right order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Final

from tepui.agent.containers.networks.messages import ip_address_of
from tepui.agent.containers.runtimes import Runtimes
from tepui.agent.containers.spec import NO_LIMIT, ContainerSpec, Exited, Stdio
from tepui.agent.core.actions import CommandProbe, LaunchContainer, Limits, ProvisionContainer
from tepui.agent.core.events import (
    ContainerExited,
    ContainerProgressed,
    ContainerProvisioned,
    ContainerStarted,
    DiskExceeded,
    Event,
    LaunchFailed,
)
from tepui.agent.core.recovery import Found
from tepui.agent.daemon.devices import Devices
from tepui.agent.daemon.disk_usage import DiskUsage, quota_text
from tepui.agent.daemon.provisioning import FAULTS as PROVISION_FAULTS
from tepui.agent.daemon.provisioning import Provisioning, is_group_of_network
from tepui.agent.daemon.put import Put
from tepui.agent.daemon.specs import SPEC_FAULTS, Specs
from tepui.agent.daemon.usage import ContainerUsage, Sample
from tepui.base import tasks
from tepui.base.errors import HostError
from tepui.wire import mesos

MIB = 1 << 20
PROGRESS_S = 5.0
GIVEN_UP: Final = "the container was destroyed before it was launched"
FAILED: Final = {  # what is counted of that, by the names that Mesos's metrics have
    "destroy": "containerizer/mesos/container_destroy_errors",
    "release": "containerizer/mesos/provisioner/remove_container_errors",
}
FAULTS: Final = (HostError, OSError)  # OSError: the launcher's directory, when it is started anew

log = logging.getLogger("tepui.agent")


class Progress:
    """What is said of a provisioning: the first news late enough to be of interest, then one each few seconds."""

    def __init__(self, container_id: str, put: Put) -> None:
        self._container_id = container_id
        self._put = put
        self._due_s = time.monotonic() + PROGRESS_S

    def say(self, message: str) -> None:
        """How far it is, in words."""
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + PROGRESS_S
            self._put(ContainerProgressed(self._container_id, message))


class Containers:
    """Containers of tasks and executors, and of the commands of checks.

    An exit that is told before its launch has returned waits for it; a container that is to be
    destroyed while it is launched is destroyed right after, and while it is provisioned at once.
    """

    def __init__(self, put: Put) -> None:
        self._put = put
        self._runtime: Runtimes | None = None
        self._specs: Specs | None = None
        self._provisioning: Provisioning | None = None
        self._usage: ContainerUsage | None = None
        self._disk: DiskUsage | None = None
        self._devices: Devices | None = None
        self._is_quota_enforced = False
        self._provisions: dict[str, asyncio.Task[None]] = {}
        self._provisioned: set[str] = set()  # and not launched
        self._pids: dict[str, int] = {}
        self._gone: dict[str, asyncio.Event] = {}  # of those whose end somebody awaits
        self._launching: dict[str, Exited | None] = {}
        self._doomed: set[str] = set()
        self._limits: dict[str, Limits] = {}  # of the containers that there are
        self._waiting: dict[str, asyncio.Future[Exited]] = {}  # of commands that someone awaits
        self._jobs: set[asyncio.Task[None]] = set()
        self._failed: Counter[str] = Counter()  # what was tried in vain, by its name in the log
        self._early: list[Exited] | None = None  # exits that come while the core recovers

    @property
    def runtime(self) -> Runtimes:
        """What runs the containers."""
        assert self._runtime is not None, "bound before the first launch"
        return self._runtime

    @property
    def specs(self) -> Specs:
        """What makes specs of what the core asks for."""
        assert self._specs is not None, "bound before the first launch"
        return self._specs

    @property
    def provisioning(self) -> Provisioning:
        """What containers need before they run."""
        assert self._provisioning is not None, "bound before the first launch"
        return self._provisioning

    @property
    def devices(self) -> Devices:
        """Which devices containers have."""
        assert self._devices is not None, "bound before the first launch"
        return self._devices

    @property
    def disk(self) -> DiskUsage:
        """What containers hold on disk."""
        assert self._disk is not None, "bound before the first launch"
        return self._disk

    def bind(
        self,
        runtime: Runtimes,
        specs: Specs,
        provisioning: Provisioning,
        usage: ContainerUsage,
        disk: DiskUsage,
        devices: Devices,
        *,
        is_quota_enforced: bool = False,
    ) -> None:
        """Use these; the runtimes call `exited`. With a quota, what holds too much on disk is told."""
        self._runtime = runtime
        self._specs = specs
        self._provisioning = provisioning
        self._usage = usage
        self._disk = disk
        self._devices = devices
        self._is_quota_enforced = is_quota_enforced

    async def recover(self) -> dict[str, Found]:
        """What an earlier agent has left, by id. The core adopts or ends each.

        Exits that come before it has done so wait for `recovered`. What containers that are no more have
        left besides is cleared.
        """
        self._early = []
        found = await self.runtime.recover()
        living = {one.container_id for one in found if one.exited is None}
        for one in found:
            if is_group_of_network(one.container_id) and one.exited is not None:
                await self.runtime.forget(one.container_id)
        self.devices.recover(living)
        await self.provisioning.start(living)
        self._pids = {one.container_id: one.pid for one in found if one.exited is None}
        return {
            one.container_id: Found(
                one.pid,
                None if one.exited is None else _exited_event(one.exited),
                self.provisioning.addresses(one.container_id),
            )
            for one in found
            if not is_group_of_network(one.container_id)
        }

    def adopt(self, container_id: str, limits: Limits, directory: str) -> None:
        """It is one of the core's: its exit is told."""
        self._limits[container_id] = limits
        self._watch_disk(container_id, directory)

    def recovered(self) -> None:
        """What was found is adopted or being ended; the exits that came meanwhile are told now."""
        self.disk.start(self._disk_measured)
        early, self._early = self._early or [], None
        for exited in early:
            self.exited(exited)

    def exited(self, exited: Exited) -> None:
        """The runtime calls this for every container that is gone."""
        name = exited.container_id
        self._pids.pop(name, None)
        self._unwatch(name)
        gone = self._gone.pop(name, None)
        if gone is not None:
            gone.set()
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
            if exited.text:
                log.warning("container_note container=%s text=%s", name, exited.text)
            self._put(_exited_event(exited))
        else:
            self.forget(name)

    # What the core asks for

    def provision(self, action: ProvisionContainer) -> None:
        """ContainerProvisioned or LaunchFailed follows, and ContainerProgressed before that."""
        self._provisions[action.container_id] = tasks.start(self._provision(action))

    def launch(self, action: LaunchContainer) -> None:
        """ContainerStarted or LaunchFailed follows."""
        self._provisioned.discard(action.container_id)
        self._launching[action.container_id] = None
        self._limits[action.container_id] = action.limits
        self._watch_disk(action.container_id, action.directory)
        self._do(self._launch(action))

    def signal(self, container_id: str, number: int) -> None:
        """Every process of the container will get the signal."""
        self._do(self._tried("signal", container_id, self.runtime.signal(container_id, number)))

    def destroy(self, container_id: str) -> None:
        """ContainerExited follows, of a container that is being launched after its start.

        LaunchFailed follows of one that has not been launched.
        """
        provision = self._provisions.get(container_id)
        if provision is not None:
            provision.cancel()
            return
        if container_id in self._provisioned:
            self._provisioned.discard(container_id)
            self._do(self._give_up(container_id))
            return
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
        self._do(self._forget(container_id))

    # What checks and views ask for

    async def run(self, spec: ContainerSpec) -> int:
        """The raw wait status of a command that is run to its end. Raises HostError.

        When the caller is cancelled the command is destroyed.
        """
        _, exiting = await self.start(spec)
        try:
            return (await exiting).wait_status
        except asyncio.CancelledError:
            name = spec.container_id
            self._do(self._tried("destroy", name, self.runtime.destroy(name)))
            raise

    async def start(
        self, spec: ContainerSpec, stdio: Stdio | None = None
    ) -> tuple[int, asyncio.Future[Exited]]:
        """The pid of a command that runs for whoever asks, and its exit, which the core does not hear.

        Raises HostError. When the caller is cancelled the command is destroyed.
        """
        name = spec.container_id
        waiting: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()
        self._waiting[name] = waiting
        try:
            started = await self.runtime.launch(spec, stdio)
        except FAULTS:
            self._waiting.pop(name, None)
            raise
        except asyncio.CancelledError:
            self._do(self._tried("destroy", name, self.runtime.destroy(name)))
            raise
        if not waiting.done():
            self._pids[name] = started.pid
        return started.pid, waiting

    def pid(self, container_id: str) -> int | None:
        """The first process of a container that runs; None where there is none."""
        return self._pids.get(container_id) or None

    def gone(self, container_id: str) -> asyncio.Event:
        """Set when the container has exited, or is not there."""
        if container_id not in self._pids:
            there_is_none = asyncio.Event()
            there_is_none.set()
            return there_is_none
        return self._gone.setdefault(container_id, asyncio.Event())

    def probe_spec(self, probe: CommandProbe) -> ContainerSpec:
        """The command of a check in the container of its task. Raises Unsupported."""
        return self.specs.of_probe(probe, is_docker=self.runtime.is_of_docker(probe.beside))

    def network_of(self, container_id: str) -> int | str | None:
        """The network namespace of a container, by a path or a process in it; None: the host's."""
        pid = self.pid(container_id)
        if self.runtime.is_of_docker(container_id):
            return pid
        return self.provisioning.network_of(container_id, pid)

    async def usage(self) -> dict[str, mesos.ResourceStatistics]:
        """What each container uses, as far as that can be said."""
        assert self._usage is not None, "bound before the first launch"
        return self._usage.statistics(await self._sample(), self._limits)

    async def metrics(self) -> dict[str, float]:
        """What all of them use together, and what could not be done with them."""
        assert self._usage is not None, "bound before the first launch"
        top = [name for name in self._limits if _is_top(name)]
        used = self._usage.metrics(await self._sample(), top)
        return used | {metric: float(self._failed[name]) for name, metric in FAILED.items()}

    async def close(self) -> None:
        """Wait for what is under way; what is provisioned is given up."""
        await self.disk.stop()
        assert self._usage is not None, "bound before the first launch"
        self._usage.close()
        for provision in self._provisions.values():
            provision.cancel()
        await asyncio.gather(*self._provisions.values(), return_exceptions=True)
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _provision(self, action: ProvisionContainer) -> None:
        name = action.container_id
        progress = Progress(name, self._put)
        try:
            await self.provisioning.provision(action, progress.say)
            self._provisioned.add(name)
            event: Event = ContainerProvisioned(name)
        except PROVISION_FAULTS as error:
            event = LaunchFailed(name, str(error))
        except asyncio.CancelledError:
            event = LaunchFailed(name, GIVEN_UP)
        del self._provisions[name]
        self._put(event)

    async def _give_up(self, container_id: str) -> None:
        await self._tried("release", container_id, self.provisioning.release(container_id))
        self._put(LaunchFailed(container_id, GIVEN_UP))

    async def _launch(self, action: LaunchContainer) -> None:
        name = action.container_id
        try:
            self.devices.take(name, action.gpus)
            spec = self.specs.of_launch(action)
            await self.specs.hand_over(spec)
            started = await self.runtime.launch(spec)
        except (*FAULTS, *SPEC_FAULTS) as error:
            del self._launching[name]
            self._limits.pop(name, None)
            self._doomed.discard(name)
            self._unwatch(name)
            self._put(LaunchFailed(name, str(error)))
            return
        for text in started.notes:
            log.warning("container_note container=%s text=%s", name, text)
        log.info("container_started container=%s pid=%s", name, started.pid)
        exited = self._launching.pop(name)
        if exited is None:
            self._pids[name] = started.pid
        networks = self.provisioning.addresses(name) or _network_infos(started.addresses)
        self._put(ContainerStarted(name, started.pid, networks))
        if exited is not None:
            self._doomed.discard(name)
            self.exited(exited)
        elif name in self._doomed:
            self._doomed.discard(name)
            self.destroy(name)

    async def _forget(self, container_id: str) -> None:
        """The runtime first: what it still has is on the ground."""
        await self._tried("forget", container_id, self.runtime.forget(container_id))
        await self._tried("release", container_id, self.provisioning.release(container_id))

    async def _update(self, container_id: str, limits: Limits) -> None:
        try:
            notes = await self.runtime.update(
                container_id,
                limits.cpus_milli,
                NO_LIMIT if limits.mem_limit_bytes is None else limits.mem_limit_bytes,
                cpus_limit_milli=NO_LIMIT
                if limits.cpus_limit_milli is None
                else limits.cpus_limit_milli,
                mem_soft_bytes=limits.mem_bytes,
            )
        except FAULTS as error:
            log.warning("update_failed container=%s reason=%s", container_id, error)
            return
        for text in notes:
            log.warning("container_note container=%s text=%s", container_id, text)

    async def _sample(self) -> Sample:
        assert self._usage is not None, "bound before the first launch"
        names = [name for name in self._limits if name not in self._launching]
        return await self._usage.sample(names, self._network_pid)

    def _network_pid(self, container_id: str) -> int:
        """A process in the container's network; 0: it has the host's, or there is none."""
        pid = self._pids.get(container_id, 0)
        if self.provisioning.network_of(container_id, pid or 1) is None:
            return 0
        inside = f"{container_id}."
        within = (one for name, one in self._pids.items() if one and name.startswith(inside))
        return pid or next(within, 0)

    def _watch_disk(self, container_id: str, directory: str) -> None:
        """As in Mesos, a container in another counts as the other's."""
        if not _is_top(container_id):
            return
        inside = f"{container_id}."
        self.disk.watch(
            container_id,
            directory,
            lambda: [name for name in self._limits if name.startswith(inside)],
        )

    def _disk_measured(self, container_id: str, held_bytes: int) -> None:
        limits = self._limits.get(container_id)
        if not self._is_quota_enforced or limits is None or not limits.disk_bytes:
            return
        if held_bytes > limits.disk_bytes:
            self._put(DiskExceeded(container_id, quota_text(held_bytes, limits.disk_bytes)))

    def _unwatch(self, container_id: str) -> None:
        """It is gone: nothing of it is counted, and its GPUs are free."""
        assert self._usage is not None, "bound before the first launch"
        self._usage.forget(container_id)
        self.disk.unwatch(container_id)
        self.devices.release(container_id)

    async def _tried(
        self, name: str, container_id: str, doing: Coroutine[None, None, None]
    ) -> None:
        try:
            await doing
        except FAULTS as error:
            self._failed[name] += 1
            log.warning("%s_failed container=%s reason=%s", name, container_id, error)

    def _do(self, doing: Coroutine[None, None, None]) -> None:
        job = tasks.start(doing)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)


def _is_top(container_id: str) -> bool:
    """Whether it is in no other container."""
    return "." not in container_id


def _network_infos(addresses: tuple[str, ...]) -> tuple[mesos.NetworkInfo, ...]:
    """Those that Docker Engine gave, as one network, which is how Mesos tells them."""
    own = tuple(ip_address_of(one) for one in addresses)
    return (mesos.NetworkInfo(ip_addresses=own),) if own else ()


def _exited_event(exited: Exited) -> ContainerExited:
    memory = _memory_text(exited)
    return ContainerExited(exited.container_id, exited.wait_status, memory, exited.text)


def _memory_text(exited: Exited) -> str | None:
    if not exited.oom:
        return None
    limit, peak = exited.mem_limit_bytes / MIB, exited.mem_peak_bytes / MIB
    return f"Memory limit exceeded: Requested: {limit:g}MB Maximum Used: {peak:g}MB"
