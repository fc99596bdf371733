"""Which devices a container may use, as rules for its cgroup, and the agent's `--allowed_devices`.

A rule is what cgroup v1's `devices.allow` takes: `c 1:3 rwm` is a character device, major 1, minor 3, which
may be read, written and made; `*` is any number. For v2 the launcher makes a program of the same rules.
Sources: kernel document cgroup-v1/devices.rst; kernel document admin-guide/devices.txt; Mesos:
docs/configuration/agent.md (allowed_devices).
"""

from __future__ import annotations

import os
import stat
from typing import Final

from tepui.agent.containers.spec import ContainerSpec, Device
from tepui.base.errors import HostError, Refused
from tepui.wire import json, mesos
from tepui.wire.errors import Malformed

ANY: Final = "*"
ALL_DEVICES: Final = (Device(path=ANY),)  # what a privileged container may use
ALL_RULE: Final = "a *:* rwm"
# Differs from Mesos: /dev/net/tun, tty0 and tty1 are the host's, and have to be allowed.
DEFAULT_RULES: Final = (
    "c *:* m",  # to make a node of a device is not to use it
    "b *:* m",
    "c 1:3 rwm",  # null
    "c 1:5 rwm",  # zero
    "c 1:7 rwm",  # full
    "c 1:8 rwm",  # random
    "c 1:9 rwm",  # urandom
    "c 5:0 rwm",  # tty: the process's own
    "c 5:1 rwm",  # console
    "c 5:2 rwm",  # ptmx
    "c 136:* rwm",  # pts
)
DEVICES_MAX: Final = 200  # of one container beside the default ones
ACCESSES: Final = frozenset("rwm")


def rules_for(spec: ContainerSpec) -> tuple[str, ...] | None:
    """Return the rules of a container; None where it may use all devices.

    Raises HostError for a device that the machine does not have.
    """
    devices = spec.devices
    isolation = spec.isolation
    if isolation is not None and isolation.devices:
        devices = (*(devices or ()), *isolation.devices)
    if devices is None:
        return DEFAULT_RULES if isolation is not None and isolation.layers else None
    if len(devices) > DEVICES_MAX:
        cause = f"{len(devices)} devices are over the limit of {DEVICES_MAX}"
        raise HostError("limit the devices of", f"'{spec.container_id}'", cause)
    return rules_of(devices)


def rules_of(devices: tuple[Device, ...]) -> tuple[str, ...]:
    """Return the rules by which these devices, and the default ones, may be used. Raises HostError."""
    if any(one.path == ANY for one in devices):
        return (ALL_RULE,)
    return (*DEFAULT_RULES, *(rule_of(one) for one in devices))


def rule_of(device: Device) -> str:
    """Return the rule of one device of this machine. Raises HostError."""
    if not device.access or not set(device.access) <= ACCESSES:
        raise HostError(
            "allow the device", f"'{device.path}'", f"'{device.access}' is not of r, w, m"
        )
    try:
        found = os.stat(device.path)
    except OSError as error:
        raise HostError("allow the device", f"'{device.path}'", str(error.strerror)) from None
    if stat.S_ISCHR(found.st_mode):
        kind = "c"
    elif stat.S_ISBLK(found.st_mode):
        kind = "b"
    else:
        raise HostError("allow the device", f"'{device.path}'", "it is not a device")
    number = found.st_rdev
    return f"{kind} {os.major(number)}:{os.minor(number)} {device.access}"


def allowed_devices(text: str) -> tuple[Device, ...]:
    """Return what `--allowed_devices` gives to every container. Raises Refused."""
    try:
        listed = json.decode(mesos.DeviceWhitelist, text.encode())
    except Malformed as error:
        raise Refused(f"'--allowed_devices' is no DeviceWhitelist: {error}") from None
    return tuple(_allowed(one) for one in listed.allowed_devices)


def _allowed(one: mesos.DeviceAccess) -> Device:
    path = one.device.path
    # As in Mesos: by its number a device cannot be named here, for the container needs its path.
    if path is None:
        raise Refused("'--allowed_devices' has a device without 'path'")
    if not path.startswith("/dev/"):
        raise Refused(f"'--allowed_devices' has the path '{path}', which is not below '/dev/'")
    access = "".join(
        letter
        for letter, is_allowed in (
            ("r", one.access.read),
            ("w", one.access.write),
            ("m", one.access.mknod),
        )
        if is_allowed
    )
    if not access:
        raise Refused(f"'--allowed_devices' allows nothing with '{path}'")
    return Device(path=path, access=access)
