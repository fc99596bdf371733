"""Containers and their volumes (Mesos: common/validation.cpp, validateContainerInfo)."""

from __future__ import annotations

from tepui.wire import mesos

_SourceType = mesos.Volume.Source.Type


def container_error(container: mesos.ContainerInfo) -> str | None:
    """What is wrong with the container; its image is the agent's to judge."""
    for volume in container.volumes:
        if error := _volume_error(volume):
            return f"Invalid volume: {error}"
    if container.type is not mesos.ContainerInfo.Type.DOCKER:
        return None
    if container.docker is None:
        return "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo"
    if any(parameter.key == "name" for parameter in container.docker.parameters):
        return "Parameter in DockerInfo must not be 'name'"
    return None


def _volume_error(volume: mesos.Volume) -> str | None:
    origins = (volume.host_path, volume.image, volume.source)
    if sum(origin is not None for origin in origins) != 1:
        return "Only one of them should be set: 'host_path', 'image' and 'source'"
    return None if volume.source is None else _source_error(volume.source)


def _source_error(source: mesos.Volume.Source) -> str | None:
    match source.type:
        case _SourceType.DOCKER_VOLUME:
            return _unless(source.docker_volume, "source.docker_volume", "DOCKER_VOLUME")
        case _SourceType.HOST_PATH:
            return _unless(source.host_path, "source.host_path", "HOST_PATH")
        case _SourceType.SANDBOX_PATH:
            return _unless(source.sandbox_path, "source.sandbox_path", "SANDBOX_PATH")
        case _SourceType.SECRET:
            return _unless(source.secret, "source.secret", "SECRET")
        case _SourceType.CSI_VOLUME:
            volume = source.csi_volume
            if volume is None:
                return _unless(volume, "source.csi_volume", "CSI")
            field = "source.csi_volume.static_provisioning"
            return _unless(volume.static_provisioning, field, "CSI")
        case _:
            return "'source.type' is unknown"


def _unless(present: object, field: str, kind: str) -> str | None:
    return None if present is not None else f"'{field}' is not set for {kind} volume"
