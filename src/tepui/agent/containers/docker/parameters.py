"""What the flags of `docker run` mean, for those who give them as parameters of a DockerInfo.

Each flag changes the body of the request in its own way. Flags that would take the container out of the
agent's hands are refused with the reason, unknown ones by their name. Source: `docker run --help`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from msgspec import Struct, field

from tepui.agent.containers.docker.body import (
    BindOptions,
    CreateBody,
    DeviceMapping,
    DeviceRequest,
    Driver,
    EndpointConfig,
    Health,
    IpamConfig,
    LogConfig,
    MountPoint,
    NetworkingConfig,
    PortBinding,
    ThrottleDevice,
    TmpfsOptions,
    Ulimit,
    VolumeOptions,
    WeightDevice,
)
from tepui.base.errors import HostError

PARAMETERS_MAX = 1000
PORTS_MAX = 1000  # of one range
PROFILE_BYTES_MAX = 1 << 20
MIB_POWERS: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
NS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
PORT = re.compile(
    r"(?:(?:(\[[0-9a-fA-F:]+\]|[0-9.]*):)?(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:/(tcp|udp|sctp))?"
)


class BadValue(Exception):
    """The value of a flag cannot be: the text says what it has to be."""


class Draft(Struct):
    """The request as the flags so far have made it."""

    body: CreateBody
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    ipam: IpamConfig = field(default_factory=IpamConfig)
    health: Health = field(default_factory=Health)
    log_options: dict[str, str] = {}
    log_driver: str | None = None
    platform: str | None = None
    pull: str = "missing"  # 'always', 'missing', 'never'


Flag: TypeAlias = Callable[[Draft, str], None]


def apply(draft: Draft, parameters: tuple[tuple[str, str], ...]) -> None:
    """The draft is as the flags say, the later ones over the earlier. Raises HostError."""
    if len(parameters) > PARAMETERS_MAX:
        _refuse(f"{len(parameters)} of them", f"there may be {PARAMETERS_MAX}")
    for name, value in parameters:
        if reason := REFUSED.get(name):
            _refuse(f"'{name}'", reason)
        flag = FLAGS.get(name)
        if flag is None:
            _refuse(f"'{name}'", "`docker run` has no such flag that is known here")
        try:
            flag(draft, value)
        except BadValue as error:
            _refuse(f"'{name}'", f"its value '{value}' {error}")
    _settle(draft)


def _settle(draft: Draft) -> None:
    """What several flags say together is in the body."""
    body = draft.body
    if draft.ipam != IpamConfig():
        draft.endpoint.ipam = draft.ipam
    if draft.endpoint != EndpointConfig():
        network = body.host_config.network_mode
        body.networking_config = NetworkingConfig({network: draft.endpoint})
    if draft.health != Health():
        body.healthcheck = draft.health
    if draft.log_driver is not None:
        body.host_config.log_config = LogConfig(draft.log_driver, draft.log_options)
    elif draft.log_options and body.host_config.log_config is not None:
        body.host_config.log_config.config.update(draft.log_options)


def _refuse(subject: str, cause: str) -> NoReturn:
    raise HostError("use the Docker parameter", subject, cause)


# Values


def _switch(value: str) -> bool:
    if value.lower() in ("", "true", "t", "1"):
        return True
    if value.lower() in ("false", "f", "0"):
        return False
    raise BadValue("is neither true nor false")


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise BadValue("is no whole number") from None


def _size(value: str) -> int:
    if value == "-1":
        return -1  # no limit
    found = SIZE.fullmatch(value)
    if found is None:
        raise BadValue("is no size such as 64m")
    return int(Decimal(found[1]) * (1 << MIB_POWERS[found[2].lower()]))


def _duration(value: str) -> int:
    parts = DURATION_PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise BadValue("is no duration such as 1m30s")
    return int(sum(Decimal(number) * NS[unit] for number, unit in parts))


def _nano_cpus(value: str) -> int:
    try:
        nano = Decimal(value) * 10**9
    except InvalidOperation:
        raise BadValue("is no number of cpus") from None
    if not nano.is_finite() or nano < 0 or nano != int(nano):
        raise BadValue("is no number of cpus")
    return int(nano)


def _pair(value: str, separator: str, what: str) -> tuple[str, str]:
    left, found, right = value.partition(separator)
    if not found or not left:
        raise BadValue(f"is not of the form {what}")
    return left, right


def _assignment(value: str) -> tuple[str, str]:
    return _pair(value, "=", "name=value")


# How a flag changes the body


def _set(name: str, read: Callable[[str], object], draft: Draft, value: str) -> None:
    setattr(draft.body, name, read(value))


def _set_host(name: str, read: Callable[[str], object], draft: Draft, value: str) -> None:
    setattr(draft.body.host_config, name, read(value))


def _put(name: str, draft: Draft, value: str) -> None:
    key, text = _assignment(value)
    places: dict[str, str] = getattr(draft.body.host_config, name)
    places[key] = text


def _text(name: str) -> Flag:
    return partial(_set, name, str)


def _host_text(name: str) -> Flag:
    return partial(_set_host, name, str)


def _host_number(name: str) -> Flag:
    return partial(_set_host, name, _number)


def _host_switch(name: str) -> Flag:
    return partial(_set_host, name, _switch)


def _append(name: str, draft: Draft, value: str) -> None:
    values: list[str] = getattr(draft.body.host_config, name)
    values.append(value)


def _host_list(name: str) -> Flag:
    return partial(_append, name)


def _throttle(name: str, read: Callable[[str], int], draft: Draft, value: str) -> None:
    path, rate = _pair(value, ":", "device:rate")
    limits: list[ThrottleDevice] = getattr(draft.body.host_config, name)
    limits.append(ThrottleDevice(path, read(rate)))


def _weight_device(draft: Draft, value: str) -> None:
    path, weight = _pair(value, ":", "device:weight")
    draft.body.host_config.blkio_weight_device.append(WeightDevice(path, _number(weight)))


def _env(draft: Draft, value: str) -> None:
    name, text = _assignment(value)
    draft.body.env = [one for one in draft.body.env if not one.startswith(f"{name}=")]
    draft.body.env.append(f"{name}={text}")


def _label(draft: Draft, value: str) -> None:
    name, _, text = value.partition("=")
    if name in draft.body.labels:
        raise BadValue("is a label that is set already")
    draft.body.labels[name] = text


def _add_host(draft: Draft, value: str) -> None:
    _pair(value, ":", "host:address")
    draft.body.host_config.extra_hosts.append(value)


def _device(draft: Draft, value: str) -> None:
    parts = value.split(":")
    if len(parts) > 3 or not parts[0].startswith("/"):
        raise BadValue("is not of the form /dev/on-host[:/dev/in-container][:rwm]")
    inside, access = parts[0], "rwm"
    if len(parts) == 3:
        inside, access = parts[1], parts[2]
    elif len(parts) == 2 and parts[1].startswith("/"):
        inside = parts[1]
    elif len(parts) == 2:
        access = parts[1]
    draft.body.host_config.devices.append(DeviceMapping(parts[0], inside, access))


def _gpus(draft: Draft, value: str) -> None:
    request = DeviceRequest(capabilities=[["gpu"]])
    if value == "all":
        request.count = -1
    elif value.isdigit():
        request.count = int(value)
    elif value.startswith("device="):
        request.device_ids = value.removeprefix("device=").strip('"').split(",")
    else:
        raise BadValue("is neither all, a number nor device=...")
    draft.body.host_config.device_requests.append(request)


def _ulimit(draft: Draft, value: str) -> None:
    name, limits = _pair(value, "=", "name=soft[:hard]")
    soft, _, hard = limits.partition(":")
    limit = Ulimit(name, _number(soft), _number(hard or soft))
    others = [one for one in draft.body.host_config.ulimits if one.name != name]
    draft.body.host_config.ulimits = [*others, limit]


def _volume(draft: Draft, value: str) -> None:
    if not value.strip(":"):
        raise BadValue("is not of the form [source:]path[:options]")
    if ":" in value:
        draft.body.host_config.binds.append(value)
    else:
        draft.body.volumes[value] = {}


def _tmpfs(draft: Draft, value: str) -> None:
    path, _, options = value.partition(":")
    draft.body.host_config.tmpfs[path] = options


def _mount(draft: Draft, value: str) -> None:
    words: dict[str, str] = {}
    for part in value.split(","):
        name, _, text = part.partition("=")
        words[MOUNT_WORDS.get(name, name)] = text
    kind = words.pop("type", "volume")
    if kind not in ("bind", "volume", "tmpfs"):
        raise BadValue("has a type other than bind, volume and tmpfs")
    if "target" not in words:
        raise BadValue("has no target")
    mount = MountPoint(kind, words.pop("target"), words.pop("source", ""))
    if "readonly" in words:
        mount.read_only = _switch(words.pop("readonly"))
    if "bind-propagation" in words:
        mount.bind_options = BindOptions(words.pop("bind-propagation"))
    if "volume-driver" in words or "volume-nocopy" in words:
        driver = words.pop("volume-driver", "")
        mount.volume_options = VolumeOptions(
            no_copy="volume-nocopy" in words and _switch(words.pop("volume-nocopy")),
            driver_config=Driver(driver) if driver else None,
        )
    if "tmpfs-size" in words or "tmpfs-mode" in words:
        try:
            mode = int(words.pop("tmpfs-mode", "0"), 8)
        except ValueError:
            raise BadValue("has a mode that is no octal number") from None
        mount.tmpfs_options = TmpfsOptions(_size(words.pop("tmpfs-size", "0")), mode)
    if words:
        raise BadValue(f"has the unknown word '{min(words)}'")
    draft.body.host_config.mounts.append(mount)


MOUNT_WORDS: Final = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


def _ports(text: str) -> range:
    first, _, last = text.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not ports or ports[-1] > 65535 or len(ports) > PORTS_MAX:
        raise BadValue(f"has a range that is no range of at most {PORTS_MAX} ports")
    return ports


def _publish(draft: Draft, value: str) -> None:
    found = PORT.fullmatch(value)
    if found is None:
        raise BadValue("is not of the form [[address:]port:]port[/protocol]")
    address, outer, inner = (found[1] or "").strip("[]"), found[2], _ports(found[3])
    hosts = _ports(outer) if outer else None
    if hosts is not None and len(hosts) != len(inner):
        raise BadValue("has ranges of different lengths")
    for index, port in enumerate(inner):
        name = f"{port}/{found[4] or 'tcp'}"
        bound = PortBinding(address, "" if hosts is None else str(hosts[index]))
        draft.body.exposed_ports[name] = {}
        draft.body.host_config.port_bindings.setdefault(name, []).append(bound)


def _expose(draft: Draft, value: str) -> None:
    ports, _, protocol = value.partition("/")
    if not re.fullmatch(r"\d+(-\d+)?", ports):
        raise BadValue("is not of the form port[-port][/protocol]")
    for port in _ports(ports):
        draft.body.exposed_ports[f"{port}/{protocol or 'tcp'}"] = {}


def _security(draft: Draft, value: str) -> None:
    option = value.replace(":", "=", 1) if "=" not in value else value
    name, _, profile = option.partition("=")
    if name == "seccomp" and profile not in ("unconfined", "builtin") and profile[:1] != "{":
        # The Engine wants the profile itself: whoever asks reads the file.
        try:
            with Path(profile).open() as file:
                option = f"seccomp={file.read(PROFILE_BYTES_MAX)}"
        except (OSError, ValueError) as error:
            raise BadValue(f"names a profile that cannot be read: {error}") from None
    draft.body.host_config.security_opt.append(option)


def _memory(draft: Draft, value: str) -> None:
    draft.body.host_config.memory = draft.body.host_config.memory_swap = _size(value)


def _cpus(draft: Draft, value: str) -> None:
    draft.body.host_config.nano_cpus = _nano_cpus(value)
    draft.body.host_config.cpu_quota = draft.body.host_config.cpu_period = 0


def _entrypoint(draft: Draft, value: str) -> None:
    draft.body.entrypoint = [value]


def _network(draft: Draft, value: str) -> None:
    draft.body.host_config.network_mode = value


def _alias(draft: Draft, value: str) -> None:
    draft.endpoint.aliases.append(value)


def _ip(draft: Draft, value: str) -> None:
    draft.ipam.ipv4_address = value


def _ip6(draft: Draft, value: str) -> None:
    draft.ipam.ipv6_address = value


def _link_local_ip(draft: Draft, value: str) -> None:
    draft.ipam.link_local_ips.append(value)


def _log_driver(draft: Draft, value: str) -> None:
    draft.log_driver = value


def _log_option(draft: Draft, value: str) -> None:
    name, text = _assignment(value)
    draft.log_options[name] = text


def _health_command(draft: Draft, value: str) -> None:
    draft.health.test = ["CMD-SHELL", value]


def _no_health(draft: Draft, value: str) -> None:
    if _switch(value):
        draft.health.test = ["NONE"]


def _health(name: str, read: Callable[[str], int], draft: Draft, value: str) -> None:
    setattr(draft.health, name, read(value))


def _pull(draft: Draft, value: str) -> None:
    if value not in ("always", "missing", "never"):
        raise BadValue("is none of always, missing and never")
    draft.pull = value


def _platform(draft: Draft, value: str) -> None:
    draft.platform = value


def _ignored(draft: Draft, value: str) -> None:
    """It changes nothing here: what it is about is the command line itself."""


REFUSED: Final[Mapping[str, str]] = {
    "attach": "the output goes to the sandbox",
    "cidfile": "there is no command line that could write it",
    "detach": "there is no command line to be detached from",
    "detach-keys": "there is no command line to be detached from",
    "env-file": "name the variables one by one",
    "help": "there is no command line",
    "isolation": "it is for other systems than Linux",
    "kernel-memory": "Linux has no such limit any more",
    "label-file": "name the labels one by one",
    "name": "the agent finds its containers by their names",
    "restart": "whether a task is started again is the framework's to say",
    "rm": "the agent removes the container when its end was taken note of",
    "sig-proxy": "there is no command line to pass signals on",
    "use-api-socket": "it is the command line's",
}

FLAGS: Final[Mapping[str, Flag]] = {
    "add-host": _add_host,
    "blkio-weight": _host_number("blkio_weight"),
    "blkio-weight-device": _weight_device,
    "cap-add": _host_list("cap_add"),
    "cap-drop": _host_list("cap_drop"),
    "cgroup-parent": _host_text("cgroup_parent"),
    "cgroupns": _host_text("cgroupns_mode"),
    "cpu-period": _host_number("cpu_period"),
    "cpu-quota": _host_number("cpu_quota"),
    "cpu-rt-period": _host_number("cpu_realtime_period"),
    "cpu-rt-runtime": _host_number("cpu_realtime_runtime"),
    "cpu-shares": _host_number("cpu_shares"),
    "cpus": _cpus,
    "cpuset-cpus": _host_text("cpuset_cpus"),
    "cpuset-mems": _host_text("cpuset_mems"),
    "device": _device,
    "device-cgroup-rule": _host_list("device_cgroup_rules"),
    "device-read-bps": partial(_throttle, "blkio_device_read_bps", _size),
    "device-read-iops": partial(_throttle, "blkio_device_read_iops", _number),
    "device-write-bps": partial(_throttle, "blkio_device_write_bps", _size),
    "device-write-iops": partial(_throttle, "blkio_device_write_iops", _number),
    "disable-content-trust": _ignored,
    "dns": _host_list("dns"),
    "dns-opt": _host_list("dns_options"),
    "dns-option": _host_list("dns_options"),
    "dns-search": _host_list("dns_search"),
    "domainname": _text("domainname"),
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "gpus": _gpus,
    "group-add": _host_list("group_add"),
    "health-cmd": _health_command,
    "health-interval": partial(_health, "interval", _duration),
    "health-retries": partial(_health, "retries", _number),
    "health-start-period": partial(_health, "start_period", _duration),
    "health-timeout": partial(_health, "timeout", _duration),
    "hostname": _text("hostname"),
    "init": _host_switch("init"),
    "interactive": partial(_set, "open_stdin", _switch),
    "ip": _ip,
    "ip6": _ip6,
    "ipc": _host_text("ipc_mode"),
    "label": _label,
    "link": _host_list("links"),
    "link-local-ip": _link_local_ip,
    "log-driver": _log_driver,
    "log-opt": _log_option,
    "mac-address": _text("mac_address"),
    "memory": _memory,
    "memory-reservation": partial(_set_host, "memory_reservation", _size),
    "memory-swap": partial(_set_host, "memory_swap", _size),
    "memory-swappiness": _host_number("memory_swappiness"),
    "mount": _mount,
    "net": _network,
    "net-alias": _alias,
    "network": _network,
    "network-alias": _alias,
    "no-healthcheck": _no_health,
    "oom-kill-disable": _host_switch("oom_kill_disable"),
    "oom-score-adj": _host_number("oom_score_adj"),
    "pid": _host_text("pid_mode"),
    "pids-limit": _host_number("pids_limit"),
    "platform": _platform,
    "privileged": _host_switch("privileged"),
    "publish": _publish,
    "publish-all": _host_switch("publish_all_ports"),
    "pull": _pull,
    "quiet": _ignored,
    "read-only": _host_switch("readonly_rootfs"),
    "runtime": _host_text("runtime"),
    "security-opt": _security,
    "shm-size": partial(_set_host, "shm_size", _size),
    "stop-signal": _text("stop_signal"),
    "stop-timeout": partial(_set, "stop_timeout", _number),
    "storage-opt": partial(_put, "storage_opt"),
    "sysctl": partial(_put, "sysctls"),
    "tmpfs": _tmpfs,
    "tty": partial(_set, "tty", _switch),
    "ulimit": _ulimit,
    "user": _text("user"),
    "userns": _host_text("userns_mode"),
    "uts": _host_text("uts_mode"),
    "volume": _volume,
    "volume-driver": _host_text("volume_driver"),
    "volumes-from": _host_list("volumes_from"),
    "workdir": _text("working_dir"),
}
