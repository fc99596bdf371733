"""Makes of a spec the request that creates its container. Mesos: docker/docker.cpp, RunOptions::create."""

from __future__ import annotations

from msgspec import Struct

from tepui.agent.containers.docker.body import (
    BindOptions,
    CreateBody,
    DeviceMapping,
    HostConfig,
    LogConfig,
    MountPoint,
    PortBinding,
    Ulimit,
)
from tepui.agent.containers.docker.draft import Draft
from tepui.agent.containers.docker.parameters import apply
from tepui.agent.containers.docker.settings import DockerSettings
from tepui.agent.containers.spec import ContainerSpec, DockerOptions, Mount, Propagation
from tepui.base.errors import HostError

NAME_PREFIX = "mesos-"  # Mesos: DOCKER_NAME_PREFIX
LABEL_AGENT = "tepui.agent"
LABEL_CONTAINER = "tepui.container"
LABEL_PARENT = "tepui.parent"

CPU_SHARES_PER_CPU = 1024
CPU_SHARES_MIN = 2
CFS_PERIOD_US = 100_000
CFS_QUOTA_US_MIN = 1_000
MEM_BYTES_MIN = 32 << 20  # Mesos: MIN_MEMORY
IO_WEIGHT_MIN, IO_WEIGHT_MAX = 10, 1000  # the Engine's
IO_WEIGHT_DEFAULT = 500  # the Engine's, which a spec knows as 100

# The Engine's own copy of the output, from which it is taken over. With two older files an agent may be
# away for so long as it takes to print two of them.
LOG_DRIVER = "json-file"
LOG_BYTES_MAX = 64 << 20
LOG_FILES = 3


class Request(Struct, frozen=True):
    """What the Engine is asked."""

    body: CreateBody
    platform: str | None
    pull: str  # 'always', 'missing', 'never'
    is_output_kept: bool  # in a log that can be taken over


def name_of(container_id: str) -> str:
    """Return the name by which the Engine knows a container."""
    return NAME_PREFIX + container_id


def request_of(spec: ContainerSpec, settings: DockerSettings) -> Request:
    """Return the request. Raises HostError for what the Engine cannot be asked."""
    options = spec.docker
    assert options is not None, "only containers of Docker come here"
    host_config = HostConfig(
        network_mode=options.network,
        privileged=options.privileged,
        pids_limit=spec.pids_max,
        cpuset_cpus=spec.cpuset,
        devices=[DeviceMapping(one.path, one.path, one.access) for one in spec.devices or ()],
        ulimits=[
            Ulimit(kind.removeprefix("RLMT_").lower(), _limit(soft), _limit(hard))
            for kind, soft, hard in spec.rlimits
        ],
        volume_driver=options.volume_driver or "",
        binds=[_volume(*one) for one in options.volumes],
        log_config=LogConfig(
            LOG_DRIVER, {"max-size": str(LOG_BYTES_MAX), "max-file": str(LOG_FILES)}
        )
        if spec.stdout is not None or spec.stderr is not None
        else LogConfig("none"),
    )
    host_config.mounts.append(MountPoint("bind", settings.sandbox_directory, spec.directory))
    for mount in options.mounts:
        _mount(host_config, mount)
    _limits(host_config, spec)

    body = CreateBody(
        image=options.image,
        env=_environment(spec, settings),
        user=spec.user or "",
        hostname=_hostname(options),
        tty=spec.tty is not None,
        open_stdin=spec.tty is not None,
        host_config=host_config,
        labels={
            LABEL_AGENT: settings.agent,
            LABEL_CONTAINER: spec.container_id,
        }
        | ({LABEL_PARENT: spec.parent} if spec.parent is not None else {}),
    )
    _command(body, spec, options)
    _port_mappings(body, options)
    draft = Draft(body, pull="always" if options.force_pull else "missing")
    apply(draft, options.parameters)
    log = host_config.log_config
    return Request(body, draft.platform, draft.pull, log is not None and log.type == LOG_DRIVER)


def shares_of(cpus_milli: int) -> int:
    """Return a share of the cpus as the kernel counts it."""
    return max(CPU_SHARES_MIN, CPU_SHARES_PER_CPU * cpus_milli // 1000)


def quota_of(cpus_milli: int) -> int:
    """Return the cpu time in a period, in microseconds."""
    return max(CFS_QUOTA_US_MIN, CFS_PERIOD_US * cpus_milli // 1000)


def _limits(host_config: HostConfig, spec: ContainerSpec) -> None:
    if spec.cpus_milli:
        host_config.cpu_shares = shares_of(spec.cpus_milli)
    if spec.cpus_limit_milli > 0:
        host_config.cpu_quota = quota_of(spec.cpus_limit_milli)
        host_config.cpu_period = CFS_PERIOD_US
    if spec.mem_bytes > 0:
        # No swap beyond it. Differs from Mesos: there a container may swap as much again.
        host_config.memory = host_config.memory_swap = max(spec.mem_bytes, MEM_BYTES_MIN)
    if spec.mem_soft_bytes > 0 and (not host_config.memory or spec.mem_soft_bytes < spec.mem_bytes):
        host_config.memory_reservation = max(spec.mem_soft_bytes, MEM_BYTES_MIN)
    if spec.io_weight:
        weight = spec.io_weight * IO_WEIGHT_DEFAULT // 100
        host_config.blkio_weight = min(IO_WEIGHT_MAX, max(IO_WEIGHT_MIN, weight))


def _limit(value: int | None) -> int:
    return -1 if value is None else value


def _environment(spec: ContainerSpec, settings: DockerSettings) -> list[str]:
    environment = spec.environment | {
        "MESOS_SANDBOX": settings.sandbox_directory,
        "MESOS_CONTAINER_NAME": name_of(spec.container_id),
    }
    return [f"{name}={value}" for name, value in environment.items()]


def _command(body: CreateBody, spec: ContainerSpec, options: DockerOptions) -> None:
    """A program of its own replaces the image's entrypoint and command; else what is given is appended."""
    if options.has_own_command:
        if not spec.program:
            raise HostError("launch", f"'{spec.container_id}'", "a Docker container has a program")
        body.entrypoint = [spec.program]
        body.cmd = list(spec.argv[1:])
    elif spec.argv:
        body.cmd = list(spec.argv)


def _hostname(options: DockerOptions) -> str:
    if options.hostname and options.network == "host":
        cause = "a container in the host's network has the host's name"
        raise HostError("set the hostname", f"'{options.hostname}'", cause)
    return options.hostname or ""


def _port_mappings(body: CreateBody, options: DockerOptions) -> None:
    if options.port_mappings and options.network in ("host", "none"):
        raise HostError(
            "map the port",
            str(options.port_mappings[0][0]),
            "Port mappings are only supported for bridge and user-defined networks",
        )
    for host_port, container_port, protocol in options.port_mappings:
        name = f"{container_port}/{protocol.lower()}"
        body.exposed_ports[name] = {}
        bindings = body.host_config.port_bindings.setdefault(name, [])
        bindings.append(PortBinding(host_port=str(host_port)))


def _volume(name: str, path: str, is_read_only: bool) -> str:
    if ":" in name or ":" in path:
        raise HostError("mount the volume", f"'{name}' at '{path}'", "there is a ':' in it")
    return f"{name}:{path}:{'ro' if is_read_only else 'rw'}"


def _mount(host_config: HostConfig, mount: Mount) -> None:
    if mount.layers:
        cause = "an image as a volume is not for Docker containers"
        raise HostError("mount at", f"'{mount.destination}'", cause)
    if mount.source is None:
        options = [*mount.options, *(["ro"] if mount.read_only else [])]
        host_config.tmpfs[mount.destination] = ",".join(options)
        return
    if mount.options:
        cause = f"Docker Engine knows no option '{mount.options[0]}'"
        raise HostError("mount", f"'{mount.source}'", cause)
    point = MountPoint("bind", mount.destination, mount.source, mount.read_only)
    if mount.propagation is not Propagation.PRIVATE:
        point.bind_options = BindOptions(mount.propagation)
    host_config.mounts.append(point)
