"""Where this machine has its hierarchies of cgroups, and what an agent's directories in them are called.

Sources: cgroups(7), kernel documents cgroup-v1/cgroups.rst, cgroup-v2.rst.
"""

from __future__ import annotations

import os

from .files import read

V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices")
NAME_PREFIX = "c-"  # a container called `cgroup.procs` or `tasks` is then no file of the kernel's
MAIN_NAME = "main"  # v2: where a container's processes are when containers in it have limits


class Layout:
    """Where the hierarchies are mounted; '' or left out where there is none."""

    __slots__ = ("controllers", "unified", "v1")

    def __init__(self, unified: str, v1: dict[str, str], controllers: frozenset[str]) -> None:
        self.unified = unified
        self.v1 = v1  # by controller; several may share one mount
        self.controllers = controllers  # of the cgroup2 hierarchy


def detect(mounts: str = "/proc/self/mounts") -> Layout:
    """Return the hierarchies in the table of mounts."""
    unified = ""
    v1: dict[str, str] = {}
    for line in read(mounts).splitlines():
        _, place, kind, options = line.split(" ")[:4]
        if kind == "cgroup2":
            unified = unified or place
        elif kind == "cgroup":
            words = options.split(",")
            v1.update({name: place for name in V1_CONTROLLERS if name in words})
    controllers = read(f"{unified}/cgroup.controllers").split() if unified else []
    return Layout(unified, v1, frozenset(controllers))


def places_of(layout: Layout, root: str, lineage: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Return a container's directories: in the cgroup2 hierarchy ('': none), and by controller of v1.

    `lineage` is its id after those of the containers that it lives in. Where it has no directory of its own
    in a hierarchy, it is left out there: its processes are in that of the container around it.
    """
    unified = _place_in(layout.unified, root, lineage) if layout.unified else ""
    found = {name: _place_in(mount, root, lineage) for name, mount in layout.v1.items()}
    return unified, {name: place for name, place in found.items() if place}


def _place_in(mount: str, root: str, lineage: tuple[str, ...]) -> str:
    place = f"{mount}/{root}"
    for container_id in lineage:
        inner = f"{place}/{NAME_PREFIX}{container_id}"
        if os.path.isdir(inner):
            place = inner
        elif container_id == lineage[-1]:
            return ""
    return place
