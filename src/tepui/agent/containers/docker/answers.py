"""What Docker Engine answers, as far as it is used here. Source: Docker Engine API, v1.40 and later."""

from __future__ import annotations

import signal

from msgspec import Struct, field

from tepui.agent.containers.spec import Exited

EXIT_CODE_OF_SIGNALS = 128
# A process that got one of these did not end by it, unless it chose to.
NOT_DEADLY = (
    signal.SIGCHLD, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGURG, signal.SIGWINCH,
)  # fmt: skip
DEADLY = frozenset(range(1, signal.SIGSYS + 1)) - frozenset(NOT_DEADLY)
NOT_STARTED = "created"


class State(Struct, frozen=True, rename="pascal"):
    """Whether a container runs, and how it ended."""

    status: str = ""
    running: bool = False
    oom_killed: bool = field(default=False, name="OOMKilled")
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    finished_at: str = ""


class Config(Struct, frozen=True, rename="pascal"):
    """What a container was made with."""

    labels: dict[str, str] | None = None
    stop_signal: str = ""
    tty: bool = False


class LogConfig(Struct, frozen=True, rename="pascal"):
    """Where a container's output goes."""

    type: str = ""


class HostConfig(Struct, frozen=True, rename="pascal"):
    """A container's limits."""

    cpu_shares: int = 0
    memory: int = 0
    log_config: LogConfig = LogConfig()


class Endpoint(Struct, frozen=True, rename="pascal"):
    """A container's place in one network."""

    ip_address: str = field(default="", name="IPAddress")
    ipv6_address: str = field(default="", name="GlobalIPv6Address")


class NetworkSettings(Struct, frozen=True, rename="pascal"):
    """The networks that a container is in, by name."""

    networks: dict[str, Endpoint | None] | None = None


class GraphDriver(Struct, frozen=True, rename="pascal"):
    """Where a container's root is kept: under other names with each storage driver."""

    name: str = ""
    data: dict[str, str] | None = None


class Mounted(Struct, frozen=True, rename="pascal"):
    """A mount of a container: `type` is bind, volume or tmpfs; `source` is on the host."""

    type: str = ""
    name: str = ""
    source: str = ""
    driver: str = ""


class Inspected(Struct, frozen=True, rename="pascal"):
    """All about one container."""

    id: str
    name: str
    state: State
    config: Config
    host_config: HostConfig
    network_settings: NetworkSettings = NetworkSettings()
    log_path: str = ""
    graph_driver: GraphDriver | None = None
    mounts: list[Mounted] | None = None
    hosts_path: str = ""
    hostname_path: str = ""
    resolv_conf_path: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self.config.labels or {}


class Listed(Struct, frozen=True, rename="pascal"):
    """A container in the list of all."""

    id: str


class InspectedExec(Struct, frozen=True, rename="pascal"):
    """A process that was started in a container."""

    running: bool
    pid: int = 0
    exit_code: int | None = None


class Version(Struct, frozen=True, rename="pascal"):
    """Which Engine it is."""

    version: str
    api_version: str


class Info(Struct, frozen=True, rename="pascal"):
    """What the Engine's machine can do, and whether containers run on when the Engine ends."""

    cpu_shares: bool = field(default=False, name="CPUShares")
    cpu_quota: bool = field(default=False, name="CpuCfsQuota")
    memory_limit: bool = False
    pids_limit: bool = False
    cpu_set: bool = field(default=False, name="CPUSet")
    live_restore_enabled: bool = False


def wait_status_of(exit_code: int) -> int:
    """Return the status as of wait(2).

    The Engine tells 128 and a signal's number for who was ended by that signal. So does a shell of its
    children, and a program may exit with such a number itself: these three cannot be told apart, and all
    count as ended by the signal.
    """
    if exit_code - EXIT_CODE_OF_SIGNALS in DEADLY:
        return exit_code - EXIT_CODE_OF_SIGNALS
    return (exit_code & 0xFF) << 8


def exited_of(container_id: str, one: Inspected, text: str, *, oom: bool) -> Exited:
    """Return the end of a container that has ended; `oom`: for want of memory."""
    limit = one.host_config.memory
    texts = [part for part in (one.state.error, text) if part]
    return Exited(
        container_id=container_id,
        wait_status=wait_status_of(one.state.exit_code),
        oom=oom,
        mem_limit_bytes=limit,
        # Its cgroup is gone; but who was killed for want of memory had come to the limit.
        mem_peak_bytes=limit if oom else 0,
        text="; ".join(texts),
    )


def addresses_of(one: Inspected) -> tuple[str, ...]:
    """Return a container's own addresses; none where it has the host's network."""
    return tuple(
        address
        for endpoint in (one.network_settings.networks or {}).values()
        if endpoint is not None
        for address in (endpoint.ip_address, endpoint.ipv6_address)
        if address
    )
