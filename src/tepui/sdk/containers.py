"""Containers for tasks: images, volumes, networks, in the words of `docker run`."""

from __future__ import annotations

from collections.abc import Sequence

from tepui.base.errors import Refused
from tepui.wire import mesos

PORT_MAX = 65_535
BRIDGE = "mesos-bridge"  # the network that agents have by themselves

Info = mesos.ContainerInfo
Docker = mesos.ContainerInfo.DockerInfo
PortMapping = mesos.NetworkInfo.PortMapping


def container(
    image: str | None = None,
    *,
    volumes: Sequence[str] = (),
    networks: Sequence[str] = (),
    publish: Sequence[str] = (),
    docker: bool = False,
    pull: bool = False,
) -> mesos.ContainerInfo | None:
    """A task's container, or None when nothing is asked for.

    A volume is `/HOST:/PATH[:ro]`, or `NAME:/PATH` of a directory in the sandbox. What is published is
    `HOST:PORT[/udp]`, on the first network, which is the agents' bridge when none is named. With `docker` it
    is left to Docker Engine, and with `pull` the registry is asked again. Raises Refused.
    """
    mappings = tuple(_mapping(text) for text in publish)
    names = tuple(networks) or ((BRIDGE,) if mappings else ())
    found = tuple(_volume(text) for text in volumes)
    if docker:
        return _of_docker(image, found, names, mappings, pull=pull)
    if image is None and not (found or names):
        return None
    own = None
    if image is not None:
        name = mesos.Image.Docker(name=image)
        own = mesos.Image(type=mesos.Image.Type.DOCKER, docker=name, cached=not pull)
    return Info(
        type=Info.Type.MESOS,
        mesos=Info.MesosInfo(image=own),
        volumes=found,
        network_infos=tuple(
            mesos.NetworkInfo(name=one, port_mappings=() if number else mappings)
            for number, one in enumerate(names)
        ),
    )


def _of_docker(
    image: str | None,
    volumes: tuple[mesos.Volume, ...],
    networks: tuple[str, ...],
    mappings: tuple[PortMapping, ...],
    *,
    pull: bool,
) -> mesos.ContainerInfo:
    if image is None:
        raise Refused("a container of Docker needs an image")
    named = tuple(one for one in networks if one not in (BRIDGE, "bridge", "host", "none"))
    if named:
        network = Docker.Network.USER
    elif "none" in networks:
        network = Docker.Network.NONE
    elif networks and networks[0] != "host":
        network = Docker.Network.BRIDGE
    else:
        network = Docker.Network.HOST
    ports = tuple(
        Docker.PortMapping(
            host_port=one.host_port, container_port=one.container_port, protocol=one.protocol
        )
        for one in mappings
    )
    return Info(
        type=Info.Type.DOCKER,
        docker=Docker(
            image=image, network=network, port_mappings=ports, force_pull_image=pull or None
        ),
        volumes=volumes,
        network_infos=tuple(mesos.NetworkInfo(name=one) for one in named),
    )


def _volume(text: str) -> mesos.Volume:
    host, colon, rest = text.partition(":")
    path, _, mode = rest.partition(":")
    if not host or not colon or not path.startswith("/") or mode not in ("", "ro", "rw"):
        raise Refused(f"volume '{text}': expected /HOST:/PATH or NAME:/PATH, and ':ro' after it")
    return mesos.Volume(
        mode=mesos.Volume.Mode.RO if mode == "ro" else mesos.Volume.Mode.RW,
        container_path=path,
        host_path=host,
    )


def _mapping(text: str) -> PortMapping:
    ports, _, protocol = text.partition("/")
    host, colon, inner = ports.partition(":")
    if not colon or protocol not in ("", "tcp", "udp"):
        raise Refused(f"publish '{text}': expected HOST:PORT or HOST:PORT/udp")
    return PortMapping(
        host_port=_port(text, host), container_port=_port(text, inner), protocol=protocol or "tcp"
    )


def _port(text: str, digits: str) -> int:
    if not digits.isdigit() or not 1 <= int(digits[:6]) <= PORT_MAX:
        raise Refused(f"publish '{text}': '{digits}' is no port from 1 to {PORT_MAX}")
    return int(digits)
