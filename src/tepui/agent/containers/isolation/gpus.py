"""The GPUs of a machine, and which container has which: whole ones, as devices.

A GPU is a device node and the nodes that all GPUs of its maker need. Sources: NVIDIA driver's README (device
nodes, /proc/driver/nvidia); kernel document gpu/drm-uapi.rst (render nodes); Mesos docs/gpu-support.md.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tepui.agent.containers.spec import Device
from tepui.base.errors import Refused

DEV: Final = "/dev"
DRIVER: Final = "/proc/driver/nvidia/gpus"  # a directory each, with what is to be known of it
INFORMATION_BYTES_MAX: Final = 64 << 10
UUID: Final = re.compile(r"GPU-[0-9a-f-]{36}")  # while it is not known, the driver writes `?`
NVIDIA: Final = re.compile(r"nvidia(\d+)")
NVIDIA_SHARED: Final = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
RENDER: Final = re.compile(r"renderD(\d+)")
RENDER_SHARED: Final = ("kfd",)  # AMD's
ACCESS: Final = "rw"  # the node itself is made from outside


class Gpu(Struct, frozen=True):
    """One GPU. `name` is its device's: it stays the same while the machine runs."""

    name: str
    path: str
    shared: tuple[str, ...] = ()  # further nodes, which all of its kind have in common
    is_nvidia: bool = False
    uuid: str = ""  # by which NVIDIA's libraries know it; '': the driver does not tell


def find_gpus(dev: str = DEV, driver: str = DRIVER) -> tuple[Gpu, ...]:
    """Return the GPUs of the machine: NVIDIA's where there are any, else those with a render node."""
    found = _matching(dev, dev, NVIDIA, NVIDIA_SHARED, is_nvidia=True)
    if found:
        uuids = _uuids(driver)
        return tuple(replace(one, uuid=uuids.get(one.name, "")) for one in found)
    return _matching(f"{dev}/dri", dev, RENDER, RENDER_SHARED, is_nvidia=False)


def _matching(
    place: str, dev: str, pattern: re.Pattern[str], shared: tuple[str, ...], *, is_nvidia: bool
) -> tuple[Gpu, ...]:
    try:
        names = os.listdir(place)
    except OSError:
        return ()
    numbered = sorted((int(one[1]), name) for name in names if (one := pattern.fullmatch(name)))
    paths = (f"{dev}/{name}" for name in shared)
    common = tuple(path for path in paths if os.path.exists(path))
    return tuple(
        Gpu(name=name, path=f"{place}/{name}", shared=common, is_nvidia=is_nvidia)
        for _, name in numbered
    )


def _uuids(driver: str) -> dict[str, str]:
    """What NVIDIA's driver calls its GPUs, by device."""
    found: dict[str, str] = {}
    for path in glob.glob(f"{glob.escape(driver)}/*/information"):
        try:
            with open(path) as file:
                lines = [
                    line.partition(":") for line in file.read(INFORMATION_BYTES_MAX).splitlines()
                ]
        except OSError:
            continue
        said = {name.strip(): value.strip() for name, _, value in lines}
        number, uuid = said.get("Device Minor", ""), said.get("GPU UUID", "")
        if number.isdigit() and UUID.fullmatch(uuid):
            found[f"nvidia{number}"] = uuid
    return found


def chosen(
    found: tuple[Gpu, ...], gpus_milli: int | None, nvidia_devices: tuple[int, ...] | None
) -> tuple[Gpu, ...]:
    """Return the GPUs that the agent offers. Raises Refused when flags and machine disagree.

    `gpus_milli` is what `--resources` says of `gpus` (None: nothing), `nvidia_devices` are the numbers in
    `--nvidia_gpu_devices`. Without both all NVIDIA GPUs are offered. Others are only when `--resources` asks
    for them: a machine that has `gpus` is not offered to frameworks without the capability GPU_RESOURCES, and
    the graphics of a desktop's processor are no reason for that.
    """
    if nvidia_devices is not None:
        if len(set(nvidia_devices)) < len(nvidia_devices):
            raise Refused("'--nvidia_gpu_devices' contains duplicates")
        if gpus_milli is None:
            raise Refused(
                "'--nvidia_gpu_devices' cannot be set without also setting 'gpus' in '--resources'"
            )
        by_name = {one.name: one for one in found}
        for number in nvidia_devices:
            if f"nvidia{number}" not in by_name:
                raise Refused(f"'--nvidia_gpu_devices' names '{number}', which is not there")
        found = tuple(by_name[f"nvidia{number}"] for number in nvidia_devices)
    if gpus_milli is None:
        return tuple(one for one in found if one.is_nvidia)
    count = whole(gpus_milli)
    if nvidia_devices is not None and count != len(found):
        raise Refused(
            "'--resources' and '--nvidia_gpu_devices' specify different numbers of GPU devices"
        )
    if count > len(found):
        raise Refused(f"'--resources' has {count} gpus, but the machine has {len(found)}")
    return found[:count]


def whole(gpus_milli: int) -> int:
    """Return how many GPUs these are. Raises Refused for a part of one."""
    if gpus_milli < 0 or gpus_milli % 1000:
        raise Refused("The 'gpus' resource must be an non-negative integer")
    return gpus_milli // 1000


class GpuPool:
    """Which container has which GPU. What it says holds for the agent that asks: nothing is stored here."""

    def __init__(self, gpus: tuple[Gpu, ...]) -> None:
        self._gpus = {one.name: one for one in gpus}
        self._held: dict[str, tuple[str, ...]] = {}  # names of GPUs, by container

    @property
    def held(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the GPUs of each container that has any."""
        return self._held

    def free(self) -> tuple[str, ...]:
        """The names of the GPUs that no container has, in the machine's order."""
        taken = {name for names in self._held.values() for name in names}
        return tuple(name for name in self._gpus if name not in taken)

    def take(self, container_id: str, count: int) -> tuple[str, ...]:
        """Return the names of `count` GPUs that the container has from now on. Raises Refused.

        They come in place of those that it had; of these it keeps as many as it can.
        """
        had = self._held.get(container_id, ())
        names = (*had, *self.free())[:count]
        if len(names) < count:
            raise Refused(f"Requested {count} gpus but only {len(names)} available")
        self.release(container_id)
        if names:
            self._held[container_id] = names
        return names

    def recover(self, container_id: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """The container runs, and had these GPUs; return those that are not there any more."""
        known = tuple(name for name in names if name in self._gpus)
        if known:
            self._held[container_id] = known
        return tuple(name for name in names if name not in self._gpus)

    def release(self, container_id: str) -> None:
        """The container has none; one that had none is no error."""
        self._held.pop(container_id, None)

    def devices(self, container_id: str) -> tuple[Device, ...]:
        """Return the devices that the container uses, those that GPUs share once."""
        own = [self._gpus[name] for name in self._held.get(container_id, ())]
        paths = dict.fromkeys(
            path for one in own for path in (one.path, *one.shared)
        )  # in order, each once
        return tuple(Device(path=path, access=ACCESS) for path in paths)
