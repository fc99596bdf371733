"""The body of the request that creates a container. Source: Docker Engine API, ContainerCreate."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec import Struct, field

Texts: TypeAlias = dict[str, str]


class LogConfig(Struct, rename="pascal"):
    """Where the output goes."""

    type: str
    config: Texts = {}


class Ulimit(Struct, rename="pascal"):
    """A resource limit; -1 is none."""

    name: str
    soft: int
    hard: int


class DeviceMapping(Struct, rename="pascal"):
    """A device of the host."""

    path_on_host: str
    path_in_container: str
    cgroup_permissions: str = "rwm"


class DeviceRequest(Struct, rename="pascal"):
    """Devices that a driver chooses; a count of -1 is all."""

    driver: str = ""
    count: int = 0
    device_ids: list[str] = field(default_factory=list, name="DeviceIDs")
    capabilities: list[list[str]] = []


class ThrottleDevice(Struct, rename="pascal"):
    """A limit on reading or writing of one device."""

    path: str
    rate: int


class WeightDevice(Struct, rename="pascal"):
    """A weight for one device."""

    path: str
    weight: int


class PortBinding(Struct, rename="pascal"):
    """Where on the host a port is found; '' is anywhere."""

    host_ip: str = ""
    host_port: str = ""


class BindOptions(Struct, rename="pascal"):
    """Of a mount of the host's."""

    propagation: str


class Driver(Struct, rename="pascal"):
    """What makes a volume."""

    name: str
    options: Texts = {}


class VolumeOptions(Struct, rename="pascal", omit_defaults=True):
    """Of a mount of a volume."""

    no_copy: bool = False
    labels: Texts = {}
    driver_config: Driver | None = None


class TmpfsOptions(Struct, rename="pascal", omit_defaults=True):
    """Of a file system in memory."""

    size_bytes: int = 0
    mode: int = 0


class MountPoint(Struct, rename="pascal", omit_defaults=True):
    """A mount: `type` is bind, volume or tmpfs."""

    type: str
    target: str
    source: str = ""
    read_only: bool = False
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class Health(Struct, rename="pascal", omit_defaults=True):
    """How the Engine sees whether the container is well; times in nanoseconds."""

    test: list[str] = []
    interval: int = 0
    timeout: int = 0
    retries: int = 0
    start_period: int = 0


class HostConfig(Struct, rename="pascal", omit_defaults=True):
    """What depends on the machine."""

    network_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    port_bindings: dict[str, list[PortBinding]] = {}
    log_config: LogConfig | None = None

    # What it sees
    mounts: list[MountPoint] = []
    binds: list[str] = []
    tmpfs: Texts = {}
    volume_driver: str = ""
    volumes_from: list[str] = []
    links: list[str] = []
    readonly_rootfs: bool = False
    storage_opt: Texts = {}
    shm_size: int = 0
    devices: list[DeviceMapping] = []
    device_cgroup_rules: list[str] = []
    device_requests: list[DeviceRequest] = []
    dns: list[str] = []
    dns_options: list[str] = []
    dns_search: list[str] = []
    extra_hosts: list[str] = []

    # Limits
    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    nano_cpus: int = 0
    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    pids_limit: int = 0
    ulimits: list[Ulimit] = []
    blkio_weight: int = 0
    blkio_weight_device: list[WeightDevice] = []
    blkio_device_read_bps: list[ThrottleDevice] = []
    blkio_device_read_iops: list[ThrottleDevice] = field(
        default_factory=list, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_bps: list[ThrottleDevice] = []
    blkio_device_write_iops: list[ThrottleDevice] = field(
        default_factory=list, name="BlkioDeviceWriteIOps"
    )
    cgroup_parent: str = ""

    # What it may do
    cap_add: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []
    group_add: list[str] = []
    sysctls: Texts = {}
    ipc_mode: str = ""
    pid_mode: str = ""
    uts_mode: str = field(default="", name="UTSMode")
    userns_mode: str = ""
    cgroupns_mode: str = ""
    runtime: str = ""
    init: bool | None = None


class IpamConfig(Struct, omit_defaults=True):
    """Addresses that are asked for."""

    ipv4_address: str = field(default="", name="IPv4Address")
    ipv6_address: str = field(default="", name="IPv6Address")
    link_local_ips: list[str] = field(default_factory=list, name="LinkLocalIPs")


class EndpointConfig(Struct, omit_defaults=True):
    """A container's place in its network."""

    ipam: IpamConfig | None = field(default=None, name="IPAMConfig")
    aliases: list[str] = field(default_factory=list, name="Aliases")


class NetworkingConfig(Struct):
    """Places by the network's name."""

    endpoints: dict[str, EndpointConfig] = field(name="EndpointsConfig")


class CreateBody(Struct, rename="pascal", omit_defaults=True):
    """One container. An absent `entrypoint` or `cmd` is the image's."""

    image: str
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    env: list[str] = []
    labels: Texts = {}
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    domainname: str = ""
    mac_address: str = ""
    tty: bool = False
    open_stdin: bool = False
    exposed_ports: dict[str, dict[str, str]] = {}
    volumes: dict[str, dict[str, str]] = {}
    stop_signal: str = ""
    stop_timeout: int | None = None
    healthcheck: Health | None = None
    host_config: HostConfig = field(default_factory=HostConfig)
    networking_config: NetworkingConfig | None = None


def builtins_of(body: CreateBody) -> dict[str, object]:
    """Return what the library sends."""
    return msgspec.convert(msgspec.to_builtins(body), dict[str, object])
