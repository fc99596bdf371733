"""The flags of `docker run`: each changes the draft of a request in its own way. Source: `docker run --help`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from tepui.agent.containers.docker import flags_of_mounts as mounts
from tepui.agent.containers.docker import flags_of_networks as networks
from tepui.agent.containers.docker.body import (
    DeviceMapping,
    DeviceRequest,
    ThrottleDevice,
    Ulimit,
    WeightDevice,
)
from tepui.agent.containers.docker.draft import Draft, Flag
from tepui.agent.containers.docker.values import (
    BadValue,
    assignment,
    duration,
    nano_cpus,
    number,
    pair,
    size,
    switch,
)

PROFILE_BYTES_MAX = 1 << 20


def _set(name: str, read: Callable[[str], object], draft: Draft, value: str) -> None:
    setattr(draft.body, name, read(value))


def _set_host(name: str, read: Callable[[str], object], draft: Draft, value: str) -> None:
    setattr(draft.body.host_config, name, read(value))


def _put(name: str, draft: Draft, value: str) -> None:
    key, text = assignment(value)
    places: dict[str, str] = getattr(draft.body.host_config, name)
    places[key] = text


def _text(name: str) -> Flag:
    return partial(_set, name, str)


def _host_text(name: str) -> Flag:
    return partial(_set_host, name, str)


def _host_number(name: str) -> Flag:
    return partial(_set_host, name, number)


def _host_switch(name: str) -> Flag:
    return partial(_set_host, name, switch)


def _append(name: str, draft: Draft, value: str) -> None:
    values: list[str] = getattr(draft.body.host_config, name)
    values.append(value)


def _host_list(name: str) -> Flag:
    return partial(_append, name)


def _throttle(name: str, read: Callable[[str], int], draft: Draft, value: str) -> None:
    path, rate = pair(value, ":", "device:rate")
    limits: list[ThrottleDevice] = getattr(draft.body.host_config, name)
    limits.append(ThrottleDevice(path, read(rate)))


def _weight_device(draft: Draft, value: str) -> None:
    path, weight = pair(value, ":", "device:weight")
    draft.body.host_config.blkio_weight_device.append(WeightDevice(path, number(weight)))


def _env(draft: Draft, value: str) -> None:
    name, text = assignment(value)
    draft.body.env = [one for one in draft.body.env if not one.startswith(f"{name}=")]
    draft.body.env.append(f"{name}={text}")


def _label(draft: Draft, value: str) -> None:
    name, _, text = value.partition("=")
    if name in draft.body.labels:
        raise BadValue("is a label that is set already")
    draft.body.labels[name] = text


def _add_host(draft: Draft, value: str) -> None:
    pair(value, ":", "host:address")
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
    name, limits = pair(value, "=", "name=soft[:hard]")
    soft, _, hard = limits.partition(":")
    limit = Ulimit(name, number(soft), number(hard or soft))
    others = [one for one in draft.body.host_config.ulimits if one.name != name]
    draft.body.host_config.ulimits = [*others, limit]


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
    draft.body.host_config.memory = draft.body.host_config.memory_swap = size(value)


def _cpus(draft: Draft, value: str) -> None:
    draft.body.host_config.nano_cpus = nano_cpus(value)
    draft.body.host_config.cpu_quota = draft.body.host_config.cpu_period = 0


def _entrypoint(draft: Draft, value: str) -> None:
    draft.body.entrypoint = [value]


def _log_driver(draft: Draft, value: str) -> None:
    draft.log_driver = value


def _log_option(draft: Draft, value: str) -> None:
    name, text = assignment(value)
    draft.log_options[name] = text


def _health_command(draft: Draft, value: str) -> None:
    draft.health.test = ["CMD-SHELL", value]


def _no_health(draft: Draft, value: str) -> None:
    if switch(value):
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
    "device-read-bps": partial(_throttle, "blkio_device_read_bps", size),
    "device-read-iops": partial(_throttle, "blkio_device_read_iops", number),
    "device-write-bps": partial(_throttle, "blkio_device_write_bps", size),
    "device-write-iops": partial(_throttle, "blkio_device_write_iops", number),
    "disable-content-trust": _ignored,
    "dns": _host_list("dns"),
    "dns-opt": _host_list("dns_options"),
    "dns-option": _host_list("dns_options"),
    "dns-search": _host_list("dns_search"),
    "domainname": _text("domainname"),
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": networks.expose,
    "gpus": _gpus,
    "group-add": _host_list("group_add"),
    "health-cmd": _health_command,
    "health-interval": partial(_health, "interval", duration),
    "health-retries": partial(_health, "retries", number),
    "health-start-period": partial(_health, "start_period", duration),
    "health-timeout": partial(_health, "timeout", duration),
    "hostname": _text("hostname"),
    "init": _host_switch("init"),
    "interactive": partial(_set, "open_stdin", switch),
    "ip": networks.ip,
    "ip6": networks.ip6,
    "ipc": _host_text("ipc_mode"),
    "label": _label,
    "link": _host_list("links"),
    "link-local-ip": networks.link_local_ip,
    "log-driver": _log_driver,
    "log-opt": _log_option,
    "mac-address": _text("mac_address"),
    "memory": _memory,
    "memory-reservation": partial(_set_host, "memory_reservation", size),
    "memory-swap": partial(_set_host, "memory_swap", size),
    "memory-swappiness": _host_number("memory_swappiness"),
    "mount": mounts.mount,
    "net": networks.network,
    "net-alias": networks.alias,
    "network": networks.network,
    "network-alias": networks.alias,
    "no-healthcheck": _no_health,
    "oom-kill-disable": _host_switch("oom_kill_disable"),
    "oom-score-adj": _host_number("oom_score_adj"),
    "pid": _host_text("pid_mode"),
    "pids-limit": _host_number("pids_limit"),
    "platform": _platform,
    "privileged": _host_switch("privileged"),
    "publish": networks.publish,
    "publish-all": _host_switch("publish_all_ports"),
    "pull": _pull,
    "quiet": _ignored,
    "read-only": _host_switch("readonly_rootfs"),
    "runtime": _host_text("runtime"),
    "security-opt": _security,
    "shm-size": partial(_set_host, "shm_size", size),
    "stop-signal": _text("stop_signal"),
    "stop-timeout": partial(_set, "stop_timeout", number),
    "storage-opt": partial(_put, "storage_opt"),
    "sysctl": partial(_put, "sysctls"),
    "tmpfs": mounts.tmpfs,
    "tty": partial(_set, "tty", switch),
    "ulimit": _ulimit,
    "user": _text("user"),
    "userns": _host_text("userns_mode"),
    "uts": _host_text("uts_mode"),
    "volume": mounts.volume,
    "volume-driver": _host_text("volume_driver"),
    "volumes-from": _host_list("volumes_from"),
    "workdir": _text("working_dir"),
}
