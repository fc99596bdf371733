"""What this machine has to offer.

Source: Mesos slave/containerizer/containerizer.cpp (resources), slave/constants.hpp.
"""

from __future__ import annotations

import os
import shutil

from tepui.agent.containers.isolation.gpus import Gpu, chosen
from tepui.resources import Resources, parse_resources
from tepui.web.process import memory_bytes

MIB = 1 << 20
KEPT_MEM_MIB = 1024  # for the system; of a machine with less than twice that, half
KEPT_DISK_MIB = 5 * 1024  # the same
PORTS = "[31000-32000]"  # Mesos: DEFAULT_PORTS


def resources_of(
    text: str | None, default_role: str, work_dir: str, gpus: tuple[Gpu, ...] = ()
) -> Resources:
    """What the flag says; of cpus, mem, disk, ports and gpus that it leaves out, what the machine has.

    `gpus` are those that are offered. Raises `Refused` for a flag that cannot be read.
    """
    given = parse_resources(text or "", default_role)
    if _is_complete(text):
        return given
    detected = _detected(work_dir)
    if gpus:
        detected.append(("gpus", f"gpus:{len(gpus)}"))
    missing = [part for name, part in detected if name not in given.names()]
    return given + parse_resources(";".join(missing), default_role)


def gpus_of(
    text: str | None,
    default_role: str,
    nvidia_devices: tuple[int, ...] | None,
    found: tuple[Gpu, ...],
) -> tuple[Gpu, ...]:
    """Those of the GPUs found that are offered: as many as the flag says, or all of NVIDIA.

    Raises `Refused` when flags and machine disagree.
    """
    given = parse_resources(text or "", default_role)
    is_said = "gpus" in given.names() or _is_complete(text)
    return chosen(found, given.scalar("gpus") if is_said else None, nvidia_devices)


def _is_complete(text: str | None) -> bool:
    """A JSON list is: what it leaves out is not offered."""
    return text is not None and text.lstrip().startswith("[")


def _detected(work_dir: str) -> list[tuple[str, str]]:
    mem_mib = memory_bytes()[0] // MIB
    disk_mib = shutil.disk_usage(work_dir).total // MIB
    return [
        ("cpus", f"cpus:{os.cpu_count() or 1}"),
        ("mem", f"mem:{_without(mem_mib, KEPT_MEM_MIB)}"),
        ("disk", f"disk:{_without(disk_mib, KEPT_DISK_MIB)}"),
        ("ports", f"ports:{PORTS}"),
    ]


def _without(total: int, kept: int) -> int:
    return total - kept if total >= 2 * kept else total // 2
