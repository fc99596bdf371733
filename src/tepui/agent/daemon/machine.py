"""What this machine has to offer.

Source: Mesos slave/containerizer/containerizer.cpp (resources), slave/constants.hpp.
"""

from __future__ import annotations

import os
import shutil

from tepui.resources import Resources, parse_resources
from tepui.web.process import memory_bytes

MIB = 1 << 20
KEPT_MEM_MIB = 1024  # for the system; of a machine with less than twice that, half
KEPT_DISK_MIB = 5 * 1024  # the same
PORTS = "[31000-32000]"  # Mesos: DEFAULT_PORTS


def resources_of(text: str | None, default_role: str, work_dir: str) -> Resources:
    """What the flag says; of cpus, mem, disk and ports that it leaves out, what the machine has.

    Raises `Refused` for a flag that cannot be read.
    """
    given = parse_resources(text or "", default_role)
    if text is not None and text.lstrip().startswith("["):
        return given  # a JSON list is complete
    missing = [part for name, part in _detected(work_dir) if name not in given.names()]
    return given + parse_resources(";".join(missing), default_role)


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
