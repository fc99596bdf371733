"""The parts that run containers, put together for one agent."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import time
from pathlib import Path

from msgspec import Struct

from tepui.agent.containers.docker.settings import DockerSettings
from tepui.agent.containers.images.images import Images
from tepui.agent.containers.images.settings import ImageSettings
from tepui.agent.containers.isolation.gpus import Gpu
from tepui.agent.containers.isolation.user_ranges import UserRanges
from tepui.agent.containers.isolation.user_support import (
    WITHOUT_ROOT,
    WITHOUT_ROOT_USERS,
    refusal_without_root,
    refuse_without_users,
)
from tepui.agent.containers.networks import Networks, NetworkSettings
from tepui.agent.containers.oci.finding import OciProgram, find_runtime
from tepui.agent.containers.oci.runtime import OciConfig, OciRuntime
from tepui.agent.containers.process import ProcessRuntime
from tepui.agent.containers.runtime import OnExit
from tepui.agent.containers.runtimes import Runtimes
from tepui.agent.containers.spec import Found
from tepui.agent.containers.specs.kinds import Kind
from tepui.agent.containers.specs.privileges import PrivilegeRules
from tepui.agent.containers.starting import LauncherConfig, cgroup_root_of
from tepui.agent.containers.volumes.docker import DockerVolumes
from tepui.agent.containers.volumes.secrets import Secrets
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.daemon.devices import Devices
from tepui.agent.daemon.disk_usage import DiskUsage, nowhere
from tepui.agent.daemon.docker_engine import DockerEngine
from tepui.agent.daemon.grounds import Grounds
from tepui.agent.daemon.options import AgentOptions
from tepui.agent.daemon.provisioning import NO_NETWORKS, Provisioning
from tepui.agent.daemon.specs import Specs
from tepui.agent.daemon.usage import ContainerUsage
from tepui.agent.launcher.cgroups import detect
from tepui.base import tasks
from tepui.base.errors import HostError

ENGINE_WAIT_S = 30.0  # for an Engine that has tasks: less than a master waits for an agent (75 s)
ENGINE_LOOK_S = 0.5
ENGINE_AGAIN_S = 10.0  # between looks whether there is an Engine by now

log = logging.getLogger("tepui.agent")


class ContainerParts(Struct, frozen=True):
    """What the daemon needs of them."""

    launcher: ProcessRuntime
    docker: DockerEngine | None  # None: the operator does not want it
    runtimes: Runtimes
    images: Images
    networks: Networks
    specs: Specs
    provisioning: Provisioning
    usage: ContainerUsage
    disk: DiskUsage
    devices: Devices
    privileges: PrivilegeRules
    preparing: set[asyncio.Task[None]]
    is_quota_enforced: bool
    kinds: tuple[Kind, ...]  # that the operator wants
    lacks: dict[Kind, str]  # why this machine has not the runtime; whole when it was found out
    awaiting: list[asyncio.Task[None]] = []  # for an Engine that is away

    def without_images(self) -> str:
        """Why images are of no use to this agent; else ''."""
        if self.lacks.get(Kind.OCI):
            return self.lacks[Kind.OCI]
        return "" if Kind.OCI in self.kinds else "its --containerizers do not name 'oci'"

    def lacking(self) -> dict[str, str]:
        """What this machine does not do for containers, and why; known when `find_out` was called."""
        found = {
            "limits": self.runtimes.capabilities().unenforced,
            "images": self.without_images(),
            "docker": self.lacks.get(Kind.DOCKER, ""),
        }
        if not found["images"]:
            is_root = os.geteuid() == 0
            found["networks"] = self.networks.without_bridge() if is_root else NO_NETWORKS
            found["users"] = "" if is_root else WITHOUT_ROOT_USERS
        return {name: why for name, why in found.items() if why}

    async def find_out(self, *, awaits_docker: bool) -> None:
        """Know what this machine has. Called once, before anything else.

        With `awaits_docker` an Engine that is away is waited for, for it alone knows what became of tasks.
        """
        if not self.without_images():
            # Beside all that follows: a launch that comes before it is done does not wait for it.
            preparing = tasks.start(asyncio.to_thread(self.privileges.prepare))
            self.preparing.add(preparing)
            preparing.add_done_callback(self.preparing.discard)
        if self.docker is None:
            return
        until_s = time.monotonic() + (ENGINE_WAIT_S if awaits_docker else 0)
        is_told = False
        while (why := await self.docker.why_not()) and time.monotonic() < until_s:
            if not is_told:
                log.warning("docker_awaited reason=%s", why)
            is_told = True
            await asyncio.sleep(ENGINE_LOOK_S)
        if why:
            self.lacks[Kind.DOCKER] = why
        else:
            self.runtimes.use_docker(self.docker.runtime())

    def await_docker(self) -> None:
        """An Engine that was away when the agent began is used from when it answers.

        What it still has of this agent's was given up when the agent began, and ends.
        """
        if self.docker is not None and Kind.DOCKER in self.lacks:
            self.awaiting.append(tasks.start(self._await(self.docker)))

    async def _await(self, docker: DockerEngine) -> None:
        found: list[Found] | None = None
        while found is None:
            await asyncio.sleep(ENGINE_AGAIN_S)
            if not await docker.why_not():
                with contextlib.suppress(HostError):  # it is away again
                    found = await docker.runtime().recover()
        self.runtimes.use_docker(docker.runtime(), found)
        del self.lacks[Kind.DOCKER]
        log.info("docker_is_back given_up=%d", len(found))
        for one in found:
            end = self.runtimes.destroy if one.exited is None else self.runtimes.forget
            try:
                await end(one.container_id)
            except HostError as error:
                log.warning("container_not_ended id=%s reason=%s", one.container_id, error)

    async def close(self, *, leaves_tasks: bool) -> None:
        """Leave what runs to the next agent, or end the launcher with all that it has."""
        for one in self.awaiting:
            one.cancel()
        await asyncio.gather(*self.awaiting, return_exceptions=True)
        if leaves_tasks:
            await self.launcher.close()
        else:
            await self.launcher.end()
        if self.docker is not None:
            await self.docker.close()
        await self.images.close()
        await asyncio.gather(*self.preparing)


def container_parts(
    options: AgentOptions, gpus: tuple[Gpu, ...], on_exit: OnExit
) -> ContainerParts:
    """All parts of an agent that offers these GPUs; nothing is started yet."""
    asked = options.containers
    config = LauncherConfig(
        runtime_directory=options.runtime_dir,
        cgroups=options.cgroups,
        cgroup_root=options.cgroups_root,
    )
    launcher = ProcessRuntime(config, on_exit)
    changes_directory = os.path.join(options.work_dir, "containers")
    image_directory = asked.image_directory or os.path.join(options.work_dir, "images")
    program, missing = _oci_program(asked, changes_directory, image_directory)
    oci = OciRuntime(
        launcher,
        OciConfig(
            program=program,
            missing=missing,
            runtime_directory=options.runtime_dir,
            containers_directory=changes_directory,
        ),
    )
    lacks = {Kind.OCI: missing} if missing else {}
    users = None
    if asked.user_ids is not None:
        refuse_without_users(
            program, missing, changes_directory, image_directory, asked.user_ids[0]
        )
        users = UserRanges(*asked.user_ids)
    docker = DockerEngine(_docker(options), on_exit) if Kind.DOCKER in asked.kinds else None
    runtimes = Runtimes(oci)
    images = Images(Path(image_directory), _images(asked))
    networks = Networks(_networks(asked), os.path.join(options.work_dir, "networks"))
    grounds = Grounds(os.path.join(options.work_dir, "grounds"))
    secrets = Secrets(options.work_dir, os.path.join(options.runtime_dir, "secrets"))
    privileges = PrivilegeRules(
        asked.capabilities,
        asked.seccomp_directory,
        asked.seccomp_profile,
        compiles_filters=program is not None and not program.is_crun,
    )
    devices = Devices(asked.devices, gpus, os.path.join(options.work_dir, "gpus"))
    specs = Specs(asked, lacks, grounds, secrets, privileges, devices)
    disk = DiskUsage(
        asked.disk_interval_ms, changes_directory, docker.changes if docker else nowhere
    )
    layout = detect() if options.cgroups else None
    volumes = DockerVolumes(options.work_dir)
    provisioning = Provisioning(
        asked, lacks, runtimes, images, networks, grounds, secrets, volumes, users
    )
    return ContainerParts(
        launcher,
        docker,
        runtimes,
        images,
        networks,
        specs,
        provisioning,
        ContainerUsage(runtimes, disk, layout, cgroup_root_of(config)),
        disk,
        devices,
        privileges,
        set(),
        asked.is_disk_quota_enforced,
        asked.kinds,
        lacks,
    )


def _oci_program(
    asked: ContainerOptions, changes_directory: str, image_directory: str
) -> tuple[OciProgram | None, str]:
    """The runtime, or one sentence on what is missing; without root it is tried out."""
    program, missing = find_runtime()
    if program is None or not program.is_rootless or Kind.OCI not in asked.kinds:
        return program, missing
    missing = refusal_without_root(changes_directory, image_directory)
    if missing:
        return None, missing
    log.warning("containers_without_root lacks=%s", WITHOUT_ROOT)
    return program, ""


def _docker(options: AgentOptions) -> DockerSettings:
    asked = options.containers
    return DockerSettings(
        agent=hashlib.sha1(os.fsencode(os.path.realpath(options.work_dir))).hexdigest()[:12],
        state_directory=os.path.join(options.work_dir, "docker"),
        socket=asked.docker_socket,
        sandbox_directory=asked.sandbox_directory,
        remove_delay_ms=asked.docker_remove_delay_ms,
        credentials=asked.image_config or "",
    )


def _images(asked: ContainerOptions) -> ImageSettings:
    return ImageSettings(
        registry=asked.image_registry,
        mirrors=asked.image_mirrors,
        insecure_registries=asked.insecure_registries,
        docker_config=asked.image_config,
    )


def _networks(asked: ContainerOptions) -> NetworkSettings:
    return NetworkSettings(
        config_directory=asked.network_config_directory,
        plugins_directories=tuple(
            path for path in asked.network_plugin_directories if os.path.isdir(path)
        ),
        bridge_subnet=asked.network_bridge_subnet,
    )
