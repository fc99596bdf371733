"""Specs of what the core has launched, on the ground that was made ready."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from msgspec.structs import replace

from tepui.agent.containers.images.image import Image
from tepui.agent.containers.spec import ContainerSpec, Inside, InsideDocker
from tepui.agent.containers.specs.docker import docker_spec
from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.specs.image_users import ImageUser, image_user
from tepui.agent.containers.specs.kinds import Kind, kind_of
from tepui.agent.containers.specs.oci import oci_spec, window_of
from tepui.agent.containers.specs.privileges import PrivilegeRules
from tepui.agent.containers.specs.programs import (
    environment_in,
    program_of,
    refuse_secret_references,
    rlimits_of,
)
from tepui.agent.containers.specs.wanted import Wanted, wanted_of
from tepui.agent.containers.users import ids_of
from tepui.agent.containers.volumes.secrets import Secrets
from tepui.agent.core.actions import NO_LIMITS, CommandProbe, LaunchContainer
from tepui.agent.core.environment import own_variables
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.daemon.devices import Devices
from tepui.agent.daemon.grounds import Grounds
from tepui.base.errors import Refused
from tepui.wire import mesos

SPEC_FAULTS = (Unsupported, Refused, OSError)


class Specs:
    """Makes specs. `lacks` says of each runtime why this machine has it not."""

    def __init__(
        self,
        options: ContainerOptions,
        lacks: Mapping[Kind, str],
        grounds: Grounds,
        secrets: Secrets,
        privileges: PrivilegeRules,
        devices: Devices,
    ) -> None:
        self._options = options
        self._lacks = lacks
        self._grounds = grounds
        self._secrets = secrets
        self._privileges = privileges
        self._devices = devices

    def kind(self, container: mesos.ContainerInfo | None) -> Kind:
        """What runs such a container. Raises Unsupported."""
        return kind_of(container, self._options.kinds, self._lacks)

    def of_launch(self, action: LaunchContainer) -> ContainerSpec:
        """The container as a runtime wants it. Raises one of SPEC_FAULTS, and HostError for its user."""
        if action.command is None:
            ground = self._grounds.get(action.container_id)
            if ground is not None:
                self._grounds.keep(ground)
            return _group(action)
        refuse_secret_references(action.command)
        match self.kind(action.container):
            case Kind.DOCKER:
                assert action.container is not None, "a container without description is a process"
                plain = self._plain(action)
                inside = self._options.sandbox_directory
                spec = docker_spec(plain, action.container, action.command, inside)
                return self._with_docker_devices(spec)
            case Kind.OCI:
                return self._oci(action, action.command)
            case _:
                program, argv = program_of(action.command)
                plain = self._plain(action)
                devices = self._devices.own(action.container_id)
                if not self._devices.is_restricting:
                    return replace(plain, program=program, argv=argv)
                return replace(plain, program=program, argv=argv, devices=devices)

    def of_probe(self, probe: CommandProbe, *, is_docker: bool) -> ContainerSpec:
        """A command in the container of the task that it looks after. Raises Unsupported."""
        spec = self.inside(
            probe.container_id,
            probe.beside,
            probe.command,
            probe.environment,
            probe.directory,
            probe.user,
            is_docker=is_docker,
        )
        return replace(spec, rlimits=rlimits_of(probe.container), stdout=None, stderr=None)

    def inside(
        self,
        container_id: str,
        parent: str,
        command: mesos.CommandInfo,
        environment: Mapping[str, str],
        directory: str,
        user: str | None,
        *,
        is_docker: bool = False,
    ) -> ContainerSpec:
        """A program in a container that runs, with its namespaces, root and limits. Raises Unsupported."""
        ground = self._grounds.get(parent)
        image = None if ground is None else ground.image
        program, argv = program_of(command, None if image is None else image.config)
        plain = ContainerSpec(
            container_id=container_id,
            program=program,
            argv=argv,
            environment=dict(environment),
            directory=directory,
            user=user,
            parent=parent,
        )
        if is_docker:
            # The Engine gives what its container has; the framework's user is none of the image's.
            own = own_variables(command)
            return replace(plain, environment=own, inside=InsideDocker(user=command.user or ""))
        if ground is None:
            return plain
        who = ground.user
        if image is not None:
            if command.user:
                who = image_user(command.user, image.passwd, image.group)
            environment = environment_in(
                image.config,
                command,
                environment,
                sandbox=ground.sandbox_inside,
                home=who.home,
            )
        place = ground.directory or ground.sandbox_inside
        inside = Inside(uid=who.uid, gid=who.gid, groups=who.groups, directory=place)
        return replace(plain, user=None, environment=dict(environment), inside=inside)

    def _plain(self, action: LaunchContainer) -> ContainerSpec:
        """What all containers have; the program is filled in later."""
        limits = action.limits
        return ContainerSpec(
            container_id=action.container_id,
            program="",
            argv=(),
            environment={
                **action.environment,
                **self._devices.environment(action.container_id),
            },
            directory=action.directory,
            user=action.user,
            rlimits=rlimits_of(action.container),
            cpus_milli=limits.cpus_milli,
            cpus_limit_milli=limits.cpus_limit_milli or 0,
            mem_bytes=limits.mem_limit_bytes or 0,
            mem_soft_bytes=limits.mem_bytes,
            pids_max=self._options.pids_max or 0,
            parent=action.parent,
            has_own_limits=action.parent is not None and limits != NO_LIMITS,
            tty=window_of(action.container),
        )

    def _oci(self, action: LaunchContainer, command: mesos.CommandInfo) -> ContainerSpec:
        ground = self._grounds.get(action.container_id)
        if ground is None:
            raise Unsupported("the container was not provisioned")
        wanted = wanted_of(action.container)
        ground = replace(ground, user=_user(action, command, wanted, ground.image))
        self._grounds.keep(ground)
        privileges = self._privileges.privileges_of(wanted)
        spec = oci_spec(self._plain(action), wanted, ground, privileges, command)
        return self._with_oci_devices(spec)

    def _with_oci_devices(self, spec: ContainerSpec) -> ContainerSpec:
        """In a root of its own devices are made; on the host's they are there, and may be used or not."""
        devices, own = self._devices.own(spec.container_id), spec.isolation
        assert own is not None, "an OCI container has isolation"
        if own.layers:
            return replace(spec, isolation=replace(own, devices=devices))
        if not self._devices.is_restricting or spec.devices is not None:
            return spec
        return replace(spec, devices=devices)

    def _with_docker_devices(self, spec: ContainerSpec) -> ContainerSpec:
        assert spec.docker is not None, "made for Docker"
        flags = tuple(
            ("device", f"{one.path}:{one.path}:{one.access}")
            for one in self._devices.own(spec.container_id)
        )
        if not flags:
            return spec
        options = replace(spec.docker, parameters=(*spec.docker.parameters, *flags))
        return replace(spec, docker=options)

    async def hand_over(self, spec: ContainerSpec) -> None:
        """The sandbox and the secrets belong to whom the container runs as. Raises OSError."""
        own = spec.isolation
        if own is None or not spec.program or os.geteuid() != 0:
            return
        first = 0 if own.users is None else own.users.first
        self._secrets.hand_over(spec.container_id, first + own.uid, first + own.gid)
        if os.stat(spec.directory).st_uid != own.uid:
            await asyncio.to_thread(_give, spec.directory, own.uid, own.gid)


def _give(directory: str, uid: int, gid: int) -> None:
    """All of the directory is this user's."""
    os.chown(directory, uid, gid)
    for place, directories, files in os.walk(directory):
        for name in (*directories, *files):
            os.chown(os.path.join(place, name), uid, gid, follow_symlinks=False)


def _group(action: LaunchContainer) -> ContainerSpec:
    """The container of a pod: limits for those within it."""
    limits = action.limits
    return ContainerSpec(
        container_id=action.container_id,
        program="",
        argv=(),
        environment={},
        directory=action.directory,
        cpus_milli=limits.cpus_milli,
        cpus_limit_milli=limits.cpus_limit_milli or 0,
        mem_bytes=limits.mem_limit_bytes or 0,
        mem_soft_bytes=limits.mem_bytes,
    )


def _user(
    action: LaunchContainer, command: mesos.CommandInfo, wanted: Wanted, image: Image | None
) -> ImageUser:
    """Whom the container runs as: the task's user, else the image's, else the framework's.

    The framework's may be none of the image's: then it has the ids that the machine knows them by.
    """
    if image is None:
        ids = ids_of(action.user)
        if ids is None:
            return ImageUser(os.geteuid(), os.getegid(), tuple(os.getgroups()))
        return ImageUser(ids.uid, ids.gid, ids.groups)
    asked = (command.user if action.user is not None else None) or wanted.user or image.config.user
    if asked or action.user is None:
        return image_user(asked or "", image.passwd, image.group)
    try:
        return image_user(action.user, image.passwd, image.group)
    except Unsupported:
        ids = ids_of(action.user)
        return ImageUser() if ids is None else ImageUser(ids.uid, ids.gid)
