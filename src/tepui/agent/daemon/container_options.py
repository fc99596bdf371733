"""What an agent is told of containers: runtimes, images, networks, and what holds by default."""

from __future__ import annotations

from msgspec import Struct

from tepui.agent.containers.isolation.capabilities import Allowed
from tepui.agent.containers.spec import Device
from tepui.agent.containers.specs.kinds import Kind
from tepui.wire import mesos

PLUGIN_DIRECTORIES = ("/usr/lib/cni", "/opt/cni/bin")  # Debian's, and everybody else's


class ContainerOptions(Struct, frozen=True, kw_only=True):
    """Names and defaults are those of Mesos's flags, where it has them."""

    kinds: tuple[Kind, ...] = (Kind.PROCESS, Kind.DOCKER, Kind.OCI)
    sandbox_directory: str = "/mnt/mesos/sandbox"  # where containers with an image see theirs
    default_container_info: mesos.ContainerInfo | None = None  # of executors that have none
    pids_max: int | None = None  # processes and threads of a container; None: by the machine
    image_directory: str | None = None  # None: in the work_dir
    image_registry: str = "https://registry-1.docker.io"  # of names without one; or a directory
    image_mirrors: tuple[str, ...] = ()  # asked before it
    insecure_registries: tuple[str, ...] = ()  # host:port that may be asked without TLS
    image_config: str | None = None  # Docker's config.json: its text, or its path
    image_headroom: float = 0.1  # of the disk, which shall stay free: images go before that
    docker_socket: str = "/var/run/docker.sock"
    docker_remove_delay_ms: int = 0  # ended containers of Docker are kept for so long
    network_config_directory: str | None = None
    network_plugin_directories: tuple[str, ...] = PLUGIN_DIRECTORIES
    network_bridge_subnet: str | None = None  # of the network that is there by itself
    disk_interval_ms: int = 15_000  # what containers hold on disk is counted so often
    is_disk_quota_enforced: bool = False  # who holds more than its `disk` is ended
    nvidia_devices: tuple[int, ...] | None = None  # numbers of GPUs; None: as `gpus` says, or all
    devices: tuple[Device, ...] | None = None  # that all may use; None: processes may use any
    capabilities: Allowed = Allowed()
    user_ids: tuple[int, int] | None = (
        None  # the first and the last for users of containers; None: the host's
    )
    seccomp_directory: str | None = None  # where profiles are, by name
    seccomp_profile: str | None = None  # None: the one that comes with the agent
