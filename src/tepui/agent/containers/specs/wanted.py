"""What a container shall have beyond a process, said in one way for both of the API's kinds.

A Docker container can be run without Docker Engine: its image, network mode, volumes, privileges and the
most usual flags of `docker run` are things that an OCI runtime does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from tepui.agent.containers.spec import Rlimit
from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.specs.programs import rlimits_of
from tepui.wire import mesos

MESOS_BRIDGE = "mesos-bridge"  # as Marathon calls it by default (--mesos_bridge_name)
PARAMETERS_MAX = 1_000  # of one Docker container

Network = mesos.ContainerInfo.DockerInfo.Network


class Wanted(Struct, frozen=True, kw_only=True):
    """A container as asked for; what says nothing is as the image has it, or the agent's default."""

    image: mesos.Image | None = None
    is_docker: bool = False  # it is of type DOCKER, though no Engine runs it
    networks: tuple[mesos.NetworkInfo, ...] = ()  # that have names; without any, see below
    is_without_network: bool = False  # nothing but a loopback; else the host's network
    volumes: tuple[mesos.Volume, ...] = ()
    hostname: str | None = None
    linux: mesos.LinuxInfo | None = None
    rlimits: tuple[Rlimit, ...] = ()
    is_privileged: bool = False
    is_read_only: bool = False
    added_capabilities: tuple[str, ...] = ()
    dropped_capabilities: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}  # under the task's own
    user: str | None = None
    directory: str | None = None
    shm_bytes: int | None = None
    tmpfs: tuple[tuple[str, str], ...] = ()  # path, options

    @property
    def is_plain(self) -> bool:
        """Whether a process will do: nothing of it needs namespaces."""
        return self == Wanted(rlimits=self.rlimits)


def wanted_of(container: mesos.ContainerInfo | None) -> Wanted:
    """What the container shall have. Raises Unsupported."""
    if container is None:
        return Wanted()
    named = tuple(one for one in container.network_infos if one.name is not None)
    common = Wanted(
        networks=named,
        volumes=container.volumes,
        hostname=container.hostname,
        linux=container.linux_info,
        rlimits=rlimits_of(container),
    )
    if container.type is mesos.ContainerInfo.Type.DOCKER:
        if container.docker is None:
            raise Unsupported("the container is of type DOCKER and says nothing of it")
        return _of_docker(common, container.docker)
    return replace(common, image=None if container.mesos is None else container.mesos.image)


def _of_docker(common: Wanted, docker: mesos.ContainerInfo.DockerInfo) -> Wanted:
    name = mesos.Image.Docker(name=docker.image)
    image = mesos.Image(
        type=mesos.Image.Type.DOCKER, docker=name, cached=not docker.force_pull_image
    )
    wanted = replace(common, image=image, is_docker=True, is_privileged=docker.privileged)
    mappings = tuple(
        mesos.NetworkInfo.PortMapping(
            host_port=one.host_port, container_port=one.container_port, protocol=one.protocol
        )
        for one in docker.port_mappings
    )
    match docker.network:
        case Network.HOST:
            wanted = replace(wanted, networks=())
        case Network.NONE:
            wanted = replace(wanted, networks=(), is_without_network=True)
        case Network.BRIDGE:
            bridge = mesos.NetworkInfo(name=MESOS_BRIDGE, port_mappings=mappings)
            wanted = replace(wanted, networks=(bridge,))
        case Network.USER:
            if not wanted.networks:
                raise Unsupported("the container's network is USER, and it names none")
            first = replace(wanted.networks[0], port_mappings=mappings)
            wanted = replace(wanted, networks=(first, *wanted.networks[1:]))
    if len(docker.parameters) > PARAMETERS_MAX:
        raise Unsupported(f"the container has more than {PARAMETERS_MAX} parameters")
    for parameter in docker.parameters:
        wanted = _with_parameter(wanted, parameter.key.lstrip("-"), parameter.value)
    return wanted


def _with_parameter(wanted: Wanted, name: str, value: str) -> Wanted:
    change = _PARAMETERS.get(name)
    if change is None:
        known = ", ".join(sorted(_PARAMETERS))
        raise Unsupported(
            f"the parameter '{name}' needs Docker Engine, which this agent does not use"
            f" (without it there are: {known})"
        )
    return change(wanted, value)


def _env(wanted: Wanted, value: str) -> Wanted:
    name, is_variable, text = value.partition("=")
    if not name or not is_variable:
        raise Unsupported(f"the parameter 'env' is NAME=VALUE, not '{value}'")
    return replace(wanted, environment={**wanted.environment, name: text})


def _capability(field: str) -> Callable[[Wanted, str], Wanted]:
    def change(wanted: Wanted, value: str) -> Wanted:
        before: tuple[str, ...] = getattr(wanted, field)
        name = value.upper()
        name = name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"
        return replace(wanted, **{field: (*before, name)})

    return change


def _shm_size(wanted: Wanted, value: str) -> Wanted:
    return replace(wanted, shm_bytes=bytes_of("shm-size", value))


def _tmpfs(wanted: Wanted, value: str) -> Wanted:
    path, _, options = value.partition(":")
    if not path.startswith("/"):
        raise Unsupported(f"the parameter 'tmpfs' is an absolute path, not '{value}'")
    return replace(wanted, tmpfs=(*wanted.tmpfs, (path, options)))


def _ulimit(wanted: Wanted, value: str) -> Wanted:
    name, _, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    hard = hard or soft
    if not name or not soft.lstrip("-").isdigit() or not hard.lstrip("-").isdigit():
        raise Unsupported(f"the parameter 'ulimit' is NAME=SOFT[:HARD], not '{value}'")
    pair = [None if int(text) < 0 else int(text) for text in (soft, hard)]
    limit: Rlimit = (f"RLMT_{name.upper()}", pair[0], pair[1])
    return replace(wanted, rlimits=(*wanted.rlimits, limit))


def _volume(wanted: Wanted, value: str) -> Wanted:
    parts = value.split(":")
    if len(parts) not in (2, 3) or not parts[0].startswith("/"):
        raise Unsupported(f"the parameter 'volume' is /HOST:/CONTAINER[:ro], not '{value}'")
    is_read_only = len(parts) == 3 and "ro" in parts[2].split(",")
    mode = mesos.Volume.Mode.RO if is_read_only else mesos.Volume.Mode.RW
    volume = mesos.Volume(mode=mode, container_path=parts[1], host_path=parts[0])
    return replace(wanted, volumes=(*wanted.volumes, volume))


def _yes(field: str) -> Callable[[Wanted, str], Wanted]:
    def change(wanted: Wanted, value: str) -> Wanted:
        return replace(wanted, **{field: value.lower() in ("", "true", "1")})

    return change


def _text(field: str) -> Callable[[Wanted, str], Wanted]:
    return lambda wanted, value: replace(wanted, **{field: value})


def bytes_of(name: str, value: str) -> int:
    """A size as Docker writes it: `64m`, `1g`, bytes without a letter. Raises Unsupported."""
    text = value.strip().lower().removesuffix("b")
    factors = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
    factor = factors.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdigit() or len(digits) > 15:
        raise Unsupported(f"the parameter '{name}' is a size such as 64m, not '{value}'")
    return int(digits) * factor


_PARAMETERS: dict[str, Callable[[Wanted, str], Wanted]] = {
    "cap-add": _capability("added_capabilities"),
    "cap-drop": _capability("dropped_capabilities"),
    "env": _env,
    "e": _env,
    "hostname": _text("hostname"),
    "label": lambda wanted, value: wanted,  # for those who ask Docker Engine
    "privileged": _yes("is_privileged"),
    "read-only": _yes("is_read_only"),
    "shm-size": _shm_size,
    "tmpfs": _tmpfs,
    "ulimit": _ulimit,
    "user": _text("user"),
    "volume": _volume,
    "v": _volume,
    "workdir": _text("directory"),
}
