"""What an agent is started with; the command line fills it from flags named as in Mesos."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

from tepui import MESOS_VERSION
from tepui.agent.core.reconfiguration import Policy
from tepui.agent.core.state import Settings
from tepui.agent.daemon.checkpoint import boot_id
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.fetcher.options import FetcherOptions
from tepui.base.durations import format_duration_ms
from tepui.wire import mesos


class Recover(StrEnum):
    """`--recover`: take over what runs, or end it."""

    RECONNECT = "reconnect"
    CLEANUP = "cleanup"


class AgentOptions(Struct, frozen=True, kw_only=True):
    """`flags` are further flags as given, for those who ask (/flags)."""

    master: str  # host:port
    work_dir: str
    runtime_dir: str
    ip: str = "127.0.0.1"
    port: int = 5051  # 0: any; the chosen one is reported
    advertise_ip: str | None = None
    advertise_port: int | None = None
    hostname: str | None = None  # None: the ip
    resources: str | None = None  # None, or names left out: what the machine has
    attributes: str = ""
    default_role: str = "*"
    domain: mesos.DomainInfo | None = None
    switch_user: bool = True
    cgroups: bool = True
    cgroups_root: str = ""
    cgroups_enable_cfs: bool = False
    registration_backoff_factor_ms: int = 1_000
    executor_registration_timeout_ms: int = 60_000
    executor_reregistration_timeout_ms: int = 15_000
    recover: Recover = Recover.RECONNECT
    strict: bool = True  # a checkpoint that can't be read ends the agent
    reconfiguration_policy: Policy = Policy.EQUAL
    executor_shutdown_grace_period_ms: int = 5_000
    recovery_timeout_ms: int = 900_000
    gc_delay_ms: int = 604_800_000
    gc_disk_headroom: float = 0.1
    disk_watch_interval_ms: int = 10_000
    http_heartbeat_interval_ms: int = 30_000
    max_completed_executors_per_framework: int = 150
    fetch_timeout_ms: int = 600_000  # of all URIs of one container
    fetch_bytes_max: int = 10 << 30  # of one URI
    log_file: str | None = None  # served as /slave/log
    containers: ContainerOptions = ContainerOptions()
    fetcher: FetcherOptions = FetcherOptions()
    flags: dict[str, str] = field(default_factory=dict)


def settings_of(options: AgentOptions, ip: str, port: int, hostname: str) -> Settings:
    """The part that decisions depend on."""
    return Settings(
        ip=ip,
        port=port,
        hostname=hostname,
        work_dir=options.work_dir,
        version=MESOS_VERSION,
        boot_id=boot_id(),
        switch_user=options.switch_user,
        cgroups_enable_cfs=options.cgroups_enable_cfs,
        default_container_info=options.containers.default_container_info,
        executor_registration_timeout_ms=options.executor_registration_timeout_ms,
        executor_reregistration_timeout_ms=options.executor_reregistration_timeout_ms,
        executor_shutdown_grace_period_ms=options.executor_shutdown_grace_period_ms,
        recovery_timeout_ms=options.recovery_timeout_ms,
        heartbeat_ms=options.http_heartbeat_interval_ms,
        gc_delay_ms=options.gc_delay_ms,
        gc_disk_headroom=options.gc_disk_headroom,
        completed_executors_max=options.max_completed_executors_per_framework,
    )


def flags_of(options: AgentOptions, port: int) -> dict[str, str]:
    """All flags as texts, sorted by name."""
    flags = dict(options.flags)
    for name in options.__struct_fields__:
        value = getattr(options, name)
        if name in ("flags", "domain", "containers", "fetcher", "fetch_bytes_max") or value is None:
            continue
        if name.endswith("_ms"):
            flags[name.removesuffix("_ms")] = format_duration_ms(value)
        elif isinstance(value, bool):
            flags[name] = "true" if value else "false"
        else:
            flags[name] = str(value)
    flags["port"] = str(port)
    return {name: flags[name] for name in sorted(flags)}
