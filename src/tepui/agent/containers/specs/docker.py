"""The `ContainerSpec` of a container that Docker Engine runs.

Source: Mesos docs/docker-containerizer.md; src/docker/docker.cpp (Docker::RunOptions::create).
"""

from __future__ import annotations

import os

from msgspec.structs import replace

from tepui.agent.containers.spec import ContainerSpec, DockerOptions, Mount, Propagation
from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.specs.programs import SHELL, as_pairs, rlimits_of
from tepui.wire import mesos

Network = mesos.ContainerInfo.DockerInfo.Network
Kind = mesos.Volume.Source.Type

Volumes = tuple[tuple[str, str, bool], ...]


def docker_spec(
    plain: ContainerSpec,
    container: mesos.ContainerInfo,
    command: mesos.CommandInfo,
    sandbox_inside: str,
) -> ContainerSpec:
    """The container as Docker Engine is asked for it. Raises Unsupported."""
    docker = container.docker
    if docker is None:
        raise Unsupported("the container is of type DOCKER and says nothing of it")
    program, argv, has_own = _program(command)
    mounts, volumes, driver = _volumes(container, plain.directory, sandbox_inside)
    environment = dict(plain.environment)
    own = () if command.environment is None else command.environment.variables
    if all(one.name != "PATH" for one in own):
        environment.pop("PATH", None)  # the image's own holds
    environment["MESOS_SANDBOX"] = sandbox_inside
    options = DockerOptions(
        image=docker.image,
        force_pull=bool(docker.force_pull_image),
        network=_network(container, docker),
        port_mappings=tuple(
            (one.host_port, one.container_port, (one.protocol or "tcp").lower())
            for one in docker.port_mappings
        ),
        privileged=docker.privileged,
        parameters=as_pairs(docker.parameters),
        mounts=mounts,
        volumes=volumes,
        volume_driver=docker.volume_driver or driver,
        hostname=container.hostname,
        has_own_command=has_own,
    )
    return replace(
        plain,
        program=program,
        argv=argv,
        environment=environment,
        user=None,  # as in Mesos: the image says whom it runs as
        rlimits=rlimits_of(container),
        docker=options,
    )


def _program(command: mesos.CommandInfo) -> tuple[str, tuple[str, ...], bool]:
    """The program, its arguments, and whether it takes the place of the image's entrypoint.

    Without a shell, `value` and `arguments` follow the image's entrypoint, as in Mesos.
    """
    if command.shell:
        if command.value is None:
            raise Unsupported("the command has no value")
        return SHELL, ("sh", "-c", command.value), True
    words = (() if command.value is None else (command.value,)) + command.arguments
    return "", words, False


def _network(container: mesos.ContainerInfo, docker: mesos.ContainerInfo.DockerInfo) -> str:
    if docker.network is not Network.USER:
        if docker.port_mappings and docker.network is not Network.BRIDGE:
            raise Unsupported(
                "Port mappings are only supported for bridge and user-defined networks"
            )
        return docker.network.name.lower()
    names = [one.name for one in container.network_infos if one.name is not None]
    if not names:
        raise Unsupported("No network info found in container info")
    if len(names) > 1:
        raise Unsupported("Only a single network can be defined in Docker run")
    return names[0]


def _volumes(
    container: mesos.ContainerInfo, sandbox: str, inside: str
) -> tuple[tuple[Mount, ...], Volumes, str | None]:
    """Paths of the host, Docker's own volumes, and the driver of these."""
    mounts: list[Mount] = []
    volumes: list[tuple[str, str, bool]] = []
    driver: str | None = None
    for volume in container.volumes:
        read_only = volume.mode is mesos.Volume.Mode.RO
        path = volume.container_path
        destination = path if os.path.isabs(path) else os.path.join(inside, path)
        source = volume.source
        if source is not None and source.type is Kind.DOCKER_VOLUME and source.docker_volume:
            volumes.append((source.docker_volume.name, destination, read_only))
            if driver is not None and source.docker_volume.driver not in (None, driver):
                raise Unsupported("Only one volume driver can be used for a Docker container")
            driver = source.docker_volume.driver or driver
            continue
        host_path = volume.host_path
        propagation = Propagation.PRIVATE
        if source is not None and source.type is Kind.HOST_PATH and source.host_path is not None:
            host_path = source.host_path.path
            propagation = _propagation(source.host_path.mount_propagation)
        if host_path is None:
            raise Unsupported(f"the volume '{path}' of a Docker container needs a path of the host")
        if not os.path.isabs(host_path):
            if ".." in host_path.split("/"):
                raise Unsupported(f"the volume's host_path '{host_path}' has a '..' in it")
            host_path = os.path.join(sandbox, host_path)
        mounts.append(
            Mount(
                destination=destination,
                source=host_path,
                read_only=read_only,
                propagation=propagation,
            )
        )
    return tuple(mounts), tuple(volumes), driver


def _propagation(asked: mesos.MountPropagation | None) -> Propagation:
    modes = mesos.MountPropagation.Mode
    match None if asked is None else asked.mode:
        case modes.HOST_TO_CONTAINER:
            return Propagation.FROM_HOST
        case modes.BIDIRECTIONAL:
            return Propagation.BOTH_WAYS
        case _:
            return Propagation.PRIVATE
