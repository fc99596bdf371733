"""The cgroups of one agent, in which those of its containers are made, and what the machine lacks for them.

Used are, where they are there and can be written: the hierarchies of cgroup v1, and the cgroup2 one, which
on a v1 machine has no controllers but still counts cpu time and kills (`cgroup.kill`). A controller is
wherever the machine has put it: in a hierarchy of v1, or in cgroup2.
"""

from __future__ import annotations

import os

from ..limits import default_pids_max
from ..request import Fault
from ..spawn import describe
from . import bpf, v2
from .cgroup import Bases, Cgroup
from .files import below, number_in
from .layout import Layout

# Each costs 0.1 ms a container; `cpuset` and `devices` are joined only where a container is limited in them.
ALWAYS_JOINED = ("cpu", "memory", "pids", "blkio")
KINDS = {
    "cpu-quota": "cpu limits",
    "memory": "memory limits",
    "cpu": "cpu shares",
    "pids": "limits of processes",
    "cpuset": "the choice of cpus",
    "io": "shares of the disks",
    "devices": "limits of devices",
    "kill": "the reliable end of processes that leave their session",
}


def not_enforced(names: list[str], cause: str) -> str:
    """Return the sentence on what does not hold; '' when all does."""
    texts = [KINDS[name] for name in KINDS if name in names]
    return f"not enforced: {', '.join(texts)} ({cause})" if texts else ""


class Cgroups:
    """The cgroup of one agent in each hierarchy. `pids_max` is for containers that name no limit; 0: a half of
    the machine's, but no more than PIDS_MAX."""

    def __init__(self, layout: Layout, root: str, *, pids_max: int = 0) -> None:
        self.problems: list[str] = []
        self.layout = layout
        self.unified_mount = layout.unified
        self.bases = bases = Bases(root)
        bases.pids_max = pids_max or default_pids_max(number_in("/proc/sys/kernel/pid_max"))
        bases.mounts = dict(layout.v1)
        bases.unified = self._make(layout.unified, root)
        wanted = list(ALWAYS_JOINED) if bases.unified else [*ALWAYS_JOINED, "cpuacct"]
        for controller in wanted:
            if base := self._make(layout.v1.get(controller, ""), root):
                bases.v1[controller] = base
        if bases.unified:
            bases.v2 = self._delegated(layout, root)
        bases.bpf = "devices" not in layout.v1 and bool(bases.unified) and self._takes_programs()
        if not bases.unified and not bases.v1:
            self.problems.append("no cgroup hierarchy can be written")

    @property
    def unified(self) -> str:
        """The agent's directory in the cgroup2 hierarchy, or ''."""
        return self.bases.unified

    def _make(self, mount: str, root: str) -> str:
        if not mount:
            return ""
        path = f"{mount}/{root}"
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            text = f"'{path}' cannot be made: {describe(error)}"
            if text not in self.problems:
                self.problems.append(text)
            return ""
        return path

    def _delegated(self, layout: Layout, root: str) -> frozenset[str]:
        """Return the controllers that containers can have by cgroup2, passed on from its root down."""
        controllers = frozenset(v2.V2_CONTROLLERS) & layout.controllers
        path = layout.unified
        for part in ["", *root.split("/")]:
            path = f"{path}/{part}" if part else path
            held = v2.passed_on(path, controllers)
            if held != controllers:
                missing = ", ".join(sorted(controllers - held))
                self.problems.append(f"'{path}' does not pass {missing} on")
            controllers = held
        return controllers

    def _takes_programs(self) -> bool:
        cause = bpf.offered()
        if cause:
            self.problems.append(f"the kernel takes no program for devices: {cause}")
        return not cause

    def enforced(self) -> list[str]:
        """Return what holds for every container, of the names in KINDS."""
        v1_names, v2_names, mounts = self.bases.v1, self.bases.v2, self.bases.mounts
        cpu = "cpu" in v1_names or "cpu" in v2_names
        found = {
            "kill": bool(self.bases.unified or v1_names),
            "cpu": cpu,
            "cpu-quota": cpu,
            "memory": "memory" in v1_names or "memory" in v2_names,
            "pids": "pids" in v1_names or "pids" in v2_names,
            "cpuset": bool(v1_names or v2_names) and ("cpuset" in mounts or "cpuset" in v2_names),
            "io": "blkio" in v1_names or "io" in v2_names,
            "devices": (bool(v1_names) and "devices" in mounts) or self.bases.bpf,
        }
        return [name for name, holds in found.items() if holds]

    def unenforced(self) -> str:
        """Return one sentence on what does not hold and why; '' when all does."""
        held = self.enforced()
        cause = "; ".join(self.problems) or "the machine has no such cgroup controller"
        return not_enforced([name for name in KINDS if name not in held], cause)

    def create(
        self, container_id: str, parent: Cgroup | None, *, has_own_limits: bool = False
    ) -> Cgroup:
        """Make the cgroups of a container. One in `parent` shares its limits, or has its own under them.

        Raises Fault.
        """
        cgroup = Cgroup(self.bases, container_id, parent, has_own_limits=has_own_limits)
        try:
            cgroup.make()
        except OSError as error:
            cgroup.remove()
            raise Fault("make a cgroup for", f"'{container_id}'", describe(error)) from None
        return cgroup

    def _directories(self) -> list[str]:
        """The agent's directory in each hierarchy, whether it is there or not; cgroup2's comes first."""
        mounts = [self.layout.unified, *sorted(set(self.layout.v1.values()))]
        return [f"{mount}/{self.bases.root}" for mount in mounts if mount]

    def leftovers(self) -> list[Cgroup]:
        """Return a cgroup for each directory that an earlier launcher left, the innermost first."""
        found: list[Cgroup] = []
        for base in self._directories():
            for path in below(base):
                cgroup = Cgroup(self.bases, "", None, has_own_limits=False)
                if base == self.bases.unified:
                    cgroup.unified = path
                else:
                    cgroup.made.append(path)
                found.append(cgroup)
        return found

    def remove(self) -> None:
        """Remove the agent's own cgroups, where nothing is left in them."""
        for base in self._directories():
            for path in (base, os.path.dirname(base)):
                try:
                    os.rmdir(path)
                except FileNotFoundError:
                    continue
                except OSError:
                    break  # another agent's are beside it
