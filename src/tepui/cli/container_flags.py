"""The flags of `tepui agent` that are about containers.

Source: Mesos docs/configuration/agent.md; those without a counterpart there are marked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from tepui.agent.containers.isolation.capabilities import allowed_by
from tepui.agent.containers.isolation.devices import allowed_devices
from tepui.agent.containers.isolation.user_ranges import DEFAULT, range_of
from tepui.agent.containers.spec import Device
from tepui.agent.containers.specs.kinds import Kind as RuntimeKind
from tepui.agent.containers.specs.kinds import kinds_of
from tepui.agent.daemon.container_options import PLUGIN_DIRECTORIES, ContainerOptions
from tepui.base.errors import Refused
from tepui.cli.flags import Flag, Group, Kind, Values
from tepui.wire import json, mesos
from tepui.wire.errors import Malformed
from tepui.wire.message import ProtoMessage

T = TypeVar("T", bound=ProtoMessage)
USER_ISOLATION = "namespaces/user"  # beside Mesos's namespaces/pid and namespaces/ipc

CONTAINERS = Group(
    "Containers",
    (
        Flag(
            "containerizers",
            Kind.TEXT,
            "process,docker,oci",
            "What may run tasks, the preferred first; Mesos's 'mesos' is process and oci.",
        ),
        Flag(
            "sandbox_directory",
            Kind.PATH,
            "/mnt/mesos/sandbox",
            "Where a container with an image sees its sandbox.",
        ),
        Flag(
            "default_container_info",
            Kind.TEXT,
            None,
            "ContainerInfo, in JSON, of executors and of tasks without one that have none.",
        ),
        Flag(
            "pids_limit",
            Kind.INTEGER,
            None,
            "Processes and threads of a container; without it by the machine.",
        ),
        Flag("docker_store_dir", Kind.PATH, None, "Where images are kept; else in the work_dir."),
        Flag(
            "docker_registry",
            Kind.TEXT,
            "https://registry-1.docker.io",
            "Registry of image names that name none, or a directory of archives.",
        ),
        Flag("image_mirrors", Kind.TEXT, "", "Registries, with commas, to ask before that one."),
        Flag(
            "insecure_registries",
            Kind.TEXT,
            "",
            "Registries, host:port with commas, that have no TLS.",
        ),
        Flag("docker_config", Kind.TEXT, None, "Docker's config.json with credentials, or a path."),
        Flag(
            "image_disk_headroom",
            Kind.NUMBER,
            "0.1",
            "Unused images go when less of the disk than this share is free.",
        ),
        Flag("docker_socket", Kind.PATH, "/var/run/docker.sock", "Where Docker Engine listens."),
        Flag(
            "docker_remove_delay",
            Kind.DURATION,
            "0secs",
            "Ended containers of Docker are kept for this time.",
        ),
        Flag(
            "network_cni_config_dir", Kind.PATH, None, "Directory of CNI networks' configurations."
        ),
        Flag(
            "network_cni_plugins_dir",
            Kind.PATH,
            ":".join(PLUGIN_DIRECTORIES),
            "Directories of CNI plugins, with colons.",
        ),
        Flag(
            "network_bridge_subnet",
            Kind.TEXT,
            None,
            "Addresses of the network 'mesos-bridge', such as 172.31.0.0/16.",
        ),
        Flag(
            "container_disk_watch_interval",
            Kind.DURATION,
            "15secs",
            "What containers hold on disk is counted this often.",
        ),
        Flag(
            "enforce_container_disk_quota",
            Kind.SWITCH,
            "false",
            "End containers that hold more on disk than they were given.",
        ),
        Flag(
            "nvidia_gpu_devices",
            Kind.TEXT,
            None,
            "Numbers of NVIDIA GPUs, with commas, to offer; needs gpus in --resources.",
        ),
        Flag(
            "allowed_devices",
            Kind.TEXT,
            None,
            "DeviceWhitelist, in JSON: devices that every container may use, and no others.",
        ),
        Flag(
            "effective_capabilities",
            Kind.TEXT,
            None,
            "CapabilityInfo, in JSON, of tasks that ask for none.",
        ),
        Flag(
            "bounding_capabilities",
            Kind.TEXT,
            None,
            "CapabilityInfo, in JSON: no task gets any other.",
        ),
        Flag(
            "user_namespace_ids",
            Kind.TEXT,
            DEFAULT,
            "With namespaces/user in --isolation: the host's ids that users of containers have.",
        ),
        Flag("seccomp_config_dir", Kind.PATH, None, "Directory of seccomp profiles."),
        Flag("seccomp_profile_name", Kind.TEXT, None, "The profile of tasks that name none."),
    ),
)


def container_options(values: Values) -> ContainerOptions:
    """The options; raises Refused for a flag whose value cannot be."""
    delay_ms = values.set_duration_ms("docker_remove_delay")
    return ContainerOptions(
        kinds=_kinds(values),
        sandbox_directory=_absolute(values, "sandbox_directory"),
        default_container_info=_message(values, "default_container_info", mesos.ContainerInfo),
        pids_max=values.integer("pids_limit"),
        image_directory=values.text("docker_store_dir"),
        image_registry=values.required("docker_registry"),
        image_mirrors=_words(values, "image_mirrors"),
        insecure_registries=_words(values, "insecure_registries"),
        image_config=_config(values),
        image_headroom=_headroom(values),
        docker_socket=values.required("docker_socket"),
        docker_remove_delay_ms=delay_ms,
        network_config_directory=values.text("network_cni_config_dir"),
        network_plugin_directories=tuple(values.required("network_cni_plugins_dir").split(":")),
        network_bridge_subnet=values.text("network_bridge_subnet"),
        disk_interval_ms=values.set_duration_ms("container_disk_watch_interval"),
        is_disk_quota_enforced=values.switch("enforce_container_disk_quota"),
        nvidia_devices=_numbers(values, "nvidia_gpu_devices"),
        devices=_devices(values),
        capabilities=allowed_by(
            values.text("effective_capabilities"), values.text("bounding_capabilities")
        ),
        user_ids=_user_ids(values),
        seccomp_directory=values.text("seccomp_config_dir"),
        seccomp_profile=values.text("seccomp_profile_name"),
    )


def _kinds(values: Values) -> tuple[RuntimeKind, ...]:
    given = values.required("containerizers")
    try:
        return kinds_of(given)
    except ValueError as error:
        raise Refused(f"flag --containerizers: '{given}': {error}") from None


def _user_ids(values: Values) -> tuple[int, int] | None:
    found = range_of(values.required("user_namespace_ids"))
    kinds = (values.text("isolation") or "").split(",")
    return found if USER_ISOLATION in (one.strip() for one in kinds) else None


def _numbers(values: Values, name: str) -> tuple[int, ...] | None:
    given = values.text(name)
    if given is None:
        return None
    words = given.split(",")
    if not all(word.isdecimal() for word in words):
        raise Refused(f"flag --{name}: '{given}': numbers with commas")
    return tuple(int(word) for word in words)


def _devices(values: Values) -> tuple[Device, ...] | None:
    given = values.text("allowed_devices")
    return None if given is None else allowed_devices(given)


def _absolute(values: Values, name: str) -> str:
    path = values.required(name)
    if not path.startswith("/"):
        raise Refused(f"flag --{name}: '{path}': an absolute path")
    return path


def _words(values: Values, name: str) -> tuple[str, ...]:
    return tuple(word for word in (values.text(name) or "").split(",") if word)


def _message(values: Values, name: str, kind: type[T]) -> T | None:
    given = values.text(name)
    if given is None:
        return None
    try:
        return json.decode(kind, given.encode())
    except (Malformed, UnicodeEncodeError) as error:
        raise Refused(f"flag --{name}: '{given}': {error}") from None


def _config(values: Values) -> str | None:
    given = values.text("docker_config")
    if given is None or given.lstrip().startswith("{"):
        return given
    try:
        return Path(given).read_text()
    except (OSError, ValueError) as error:
        raise Refused(f"flag --docker_config: '{given}': {error}") from None


def _headroom(values: Values) -> float:
    share = values.number("image_disk_headroom")
    if share is None or not 0 <= share <= 1:
        raise Refused(f"flag --image_disk_headroom: '{share}': a share of the disk, from 0 to 1")
    return share
