"""Gives each container its cgroups: limits, killing all of it at once, and what it used.

Three hierarchies are used where they are there and can be written: cgroup v1 `cpu` and `memory`, and the
cgroup2 one, which on a v1 machine has no controllers but still counts cpu time and kills (`cgroup.kill`).
Sources: kernel documents cgroup-v1/memory.rst, cgroup-v2.rst; Mesos: slave/containerizer/mesos/isolators/
cgroups/constants.hpp.
"""

from __future__ import annotations

import os

from .request import Fault
from .spawn import describe

CPU_SHARES_PER_CPU = 1024
CPU_SHARES_MIN = 2  # the kernel's
CPU_WEIGHT_MIN, CPU_WEIGHT_MAX = 1, 10_000
CFS_PERIOD_US = 100_000
CFS_QUOTA_US_MIN = 1_000
MEM_BYTES_MIN = 32 << 20  # Mesos: MIN_MEMORY; with less not even a shell starts
READ_BYTES_MAX = 1 << 20
NAME_PREFIX = "c-"  # a container called `cgroup.procs` or `tasks` is then no file of the kernel's


class Layout:
    """Where the hierarchies are mounted; '' where there is none."""

    __slots__ = ("controllers", "cpu", "memory", "unified")

    def __init__(self, unified: str, cpu: str, memory: str, controllers: frozenset[str]) -> None:
        self.unified = unified
        self.cpu = cpu
        self.memory = memory
        self.controllers = controllers  # of the cgroup2 hierarchy


def detect(mounts: str = "/proc/self/mounts") -> Layout:
    """Return the hierarchies in the table of mounts."""
    unified = cpu = memory = ""
    for line in read(mounts).splitlines():
        _, place, kind, options = line.split(" ")[:4]
        if kind == "cgroup2":
            unified = unified or place
        elif kind == "cgroup":
            words = options.split(",")
            cpu = place if "cpu" in words else cpu
            memory = place if "memory" in words else memory
    controllers = read(f"{unified}/cgroup.controllers").split() if unified else []
    return Layout(unified, cpu, memory, frozenset(controllers))


class Cgroups:
    """The cgroup of one agent in each hierarchy, under which its containers' are made."""

    def __init__(self, layout: Layout, root: str, *, cfs_quota: bool) -> None:
        self.cfs_quota = cfs_quota
        self.problems: list[str] = []
        self.unified_mount = layout.unified
        self.unified = self._make(layout.unified, root)
        self.cpu = self._make(layout.cpu, root)
        self.memory = self._make(layout.memory, root)
        self.v2 = frozenset[str]()
        if self.unified:
            wanted = frozenset({"cpu", "memory"}) & layout.controllers
            if wanted and self._delegate(layout.unified, root, wanted):
                self.v2 = wanted
        if not self.unified and not self.memory:
            self.problems.append("no cgroup hierarchy can be written")

    def _make(self, mount: str, root: str) -> str:
        if not mount:
            return ""
        path = f"{mount}/{root}"
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            self.problems.append(f"'{path}' cannot be made: {describe(error)}")
            return ""
        return path

    def _delegate(self, mount: str, root: str, controllers: frozenset[str]) -> bool:
        path = mount
        text = " ".join("+" + one for one in sorted(controllers))
        try:
            for part in ["", *root.split("/")]:
                path = f"{path}/{part}" if part else path
                write(f"{path}/cgroup.subtree_control", text)
        except OSError as error:
            self.problems.append(f"'{path}' does not pass {text} on: {describe(error)}")
            return False
        return True

    def enforced(self) -> list[str]:
        """Return what holds for every container: of 'kill', 'cpu', 'cpu-quota', 'memory', 'usage'."""
        cpu = bool(self.cpu) or "cpu" in self.v2
        found = {
            "kill": bool(self.unified or self.memory),
            "cpu": cpu,
            "cpu-quota": cpu and self.cfs_quota,
            "memory": bool(self.memory) or "memory" in self.v2,
        }
        return [name for name, holds in found.items() if holds]

    def unenforced(self) -> str:
        """Return one sentence on what does not hold and why; '' when all does."""
        held = self.enforced()
        missing = [
            text
            for name, text in (
                ("cpu", "cpu limits"),
                ("memory", "memory limits"),
                ("kill", "the reliable end of processes that leave their session"),
            )
            if name not in held
        ]
        if not missing:
            return ""
        cause = "; ".join(self.problems) or "the machine has no such cgroup controller"
        return f"not enforced: {', '.join(missing)} ({cause})"

    def create(self, container_id: str, parent: Cgroup | None) -> Cgroup:
        """Make the cgroups of a container. A child of `parent` shares its limits."""
        name = NAME_PREFIX + container_id
        cgroup = Cgroup(self.v2, cfs_quota=self.cfs_quota, shares=parent)
        try:
            if self.unified:
                base = parent.unified if parent is not None and parent.unified else self.unified
                cgroup.unified = f"{base}/{name}"
                os.mkdir(cgroup.unified)
            if parent is None:
                for base in {self.cpu, self.memory} - {""}:
                    path = f"{base}/{name}"
                    cgroup.v1.append(path)
                    os.mkdir(path)
                    if base == self.cpu:
                        cgroup.cpu = path
                    if base == self.memory:
                        cgroup.memory = path
        except OSError as error:
            cgroup.remove()
            raise Fault("make a cgroup for", f"'{container_id}'", describe(error)) from None
        return cgroup

    def leftovers(self) -> list[Cgroup]:
        """Return a cgroup for each directory that an earlier launcher left."""
        found: list[Cgroup] = []
        for base in {self.unified, self.cpu, self.memory} - {""}:
            for path in below(base):
                cgroup = Cgroup(self.v2, cfs_quota=False, shares=None)
                if base == self.unified:
                    cgroup.unified = path
                else:
                    cgroup.v1.append(path)
                found.append(cgroup)
        return found

    def remove(self) -> None:
        """Remove the agent's own cgroups, where nothing is left in them."""
        for base in {self.unified, self.cpu, self.memory} - {""}:
            for path in (base, os.path.dirname(base)):
                try:
                    os.rmdir(path)
                except OSError:
                    break  # another agent's are beside it


class Cgroup:
    """The cgroups of one container. `shares` is the container whose limits it lives under."""

    __slots__ = (
        "cfs_quota", "cpu", "mem_limit_bytes", "memory", "oom_fd", "shares", "unified", "v1", "v2",
    )  # fmt: skip

    def __init__(self, v2: frozenset[str], *, cfs_quota: bool, shares: Cgroup | None) -> None:
        self.v2 = v2
        self.cfs_quota = cfs_quota
        self.shares = shares
        self.unified = self.cpu = self.memory = ""
        self.v1: list[str] = []
        self.oom_fd = -1
        self.mem_limit_bytes = 0

    def tasks_files(self) -> list[str]:
        """Return the files into which a process writes 0 to be in the v1 cgroups."""
        owner = self if self.shares is None else self.shares
        return [f"{path}/tasks" for path in owner.v1]

    # Limits

    def limit(self, cpus_milli: int, mem_bytes: int) -> list[str]:
        """Set the limits; return a note on each that stays as it was. 0 leaves a limit alone."""
        if self.shares is not None:
            return []
        notes: list[str] = []
        try:
            if cpus_milli:
                self._limit_cpu(cpus_milli)
            if mem_bytes:
                notes += self._limit_memory(max(mem_bytes, MEM_BYTES_MIN))
        except OSError as error:
            raise Fault(
                "set the limits of", f"'{self.unified or self.v1}'", describe(error)
            ) from None
        return notes

    def _limit_cpu(self, cpus_milli: int) -> None:
        shares = max(CPU_SHARES_MIN, CPU_SHARES_PER_CPU * cpus_milli // 1000)
        quota_us = max(CFS_QUOTA_US_MIN, CFS_PERIOD_US * cpus_milli // 1000)
        if self.cpu:
            write(f"{self.cpu}/cpu.shares", str(shares))
            if self.cfs_quota:
                write(f"{self.cpu}/cpu.cfs_period_us", str(CFS_PERIOD_US))
                write(f"{self.cpu}/cpu.cfs_quota_us", str(quota_us))
        elif "cpu" in self.v2:
            weight = shares * 100 // CPU_SHARES_PER_CPU  # both name 1 cpu by their default
            weight = min(CPU_WEIGHT_MAX, max(CPU_WEIGHT_MIN, weight))
            write(f"{self.unified}/cpu.weight", str(weight))
            if self.cfs_quota:
                write(f"{self.unified}/cpu.max", f"{quota_us} {CFS_PERIOD_US}")

    def _limit_memory(self, mem_bytes: int) -> list[str]:
        limit, usage = self._memory_files("limit_in_bytes", "max", "usage_in_bytes", "current")
        if not limit:
            return []
        # A limit under what is in use would kill in v2 and be refused in v1: it is not lowered that far.
        if self.mem_limit_bytes > mem_bytes and number_in(usage) > mem_bytes:
            return [
                f"the memory limit stays at {self.mem_limit_bytes} bytes: more than {mem_bytes} are used"
            ]
        write(limit, str(mem_bytes))
        self.mem_limit_bytes = mem_bytes
        return []

    def _memory_files(self, limit1: str, limit2: str, usage1: str, usage2: str) -> tuple[str, str]:
        if self.memory:
            return f"{self.memory}/memory.{limit1}", f"{self.memory}/memory.{usage1}"
        if "memory" in self.v2 and self.unified:
            return f"{self.unified}/memory.{limit2}", f"{self.unified}/memory.{usage2}"
        return "", ""

    # Out of memory

    def watch_oom(self) -> int:
        """Return a descriptor that becomes readable when the container is out of memory, or -1.

        Only v1 needs it: in v2 `memory.oom.group` has the kernel end the container as a whole.
        """
        try:
            if self.memory:
                self.oom_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                control = os.open(f"{self.memory}/memory.oom_control", os.O_RDONLY)
                try:
                    write(f"{self.memory}/cgroup.event_control", f"{self.oom_fd} {control}")
                finally:
                    os.close(control)
            elif "memory" in self.v2 and self.shares is None:
                write(f"{self.unified}/memory.oom.group", "1")
        except OSError:
            self.close_oom()  # the kill is still seen in its counter when the container ends
        return self.oom_fd

    def close_oom(self) -> None:
        """Stop watching."""
        if self.oom_fd >= 0:
            os.close(self.oom_fd)
            self.oom_fd = -1

    def oom_kills(self) -> int:
        """Return how many processes the kernel killed for want of memory."""
        control, _ = self._memory_files("oom_control", "events", "", "")
        return words_in(control).get("oom_kill", 0) if control else 0

    def mem_peak_bytes(self) -> int:
        """Return the most memory the container ever had."""
        peak, _ = self._memory_files("max_usage_in_bytes", "peak", "", "")
        return number_in(peak) if peak else 0

    # Processes

    def pids(self) -> list[int]:
        """Return the processes in the cgroup."""
        place = self.unified or (self.v1[0] if self.v1 else "")
        return [int(pid) for pid in read(f"{place}/cgroup.procs").split()] if place else []

    def kill(self) -> None:
        """Send SIGKILL to all processes in the cgroup, and to what they fork meanwhile."""
        if self.unified:
            try:
                write(f"{self.unified}/cgroup.kill", "1")
                return
            except OSError:
                pass  # Linux before 5.14
        for pid in self.pids():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue

    def empty(self) -> bool:
        """Tell whether no process is left; the cgroup2 directory, if there is one, is then gone."""
        if not self.unified:
            return not self.pids()
        return remove_directory(self.unified)

    def remove(self) -> bool:
        """Remove what is left of the cgroups; tell whether nothing is."""
        self.close_oom()
        gone = not self.unified or remove_directory(self.unified)
        for path in self.v1:
            gone = remove_directory(path) and gone
        return gone

    # Usage

    def cpu_seconds(self) -> tuple[float, float] | None:
        """Return user and system time, or None where it is not counted."""
        words = words_in(f"{self.unified}/cpu.stat") if self.unified else {}
        if "user_usec" not in words:
            return None
        return words["user_usec"] / 1e6, words["system_usec"] / 1e6

    def rss_bytes(self) -> int | None:
        """Return the anonymous memory in use, or None where it is not counted."""
        if self.memory:
            return words_in(f"{self.memory}/memory.stat").get("total_rss")
        if "memory" in self.v2 and self.shares is None:
            return words_in(f"{self.unified}/memory.stat").get("anon")
        return None

    def threads(self) -> int:
        """Return how many threads there are."""
        if self.unified:
            return len(read(f"{self.unified}/cgroup.threads").split())
        return len(read(f"{self.v1[0]}/tasks").split()) if self.v1 else 0


def below(base: str) -> list[str]:
    """Return the cgroups below `base`, the innermost first."""
    found: list[str] = []
    for place, names, _ in os.walk(base, topdown=False):
        found += [f"{place}/{name}" for name in names]
    return found


def remove_directory(path: str) -> bool:
    """Remove a cgroup without processes; tell whether it is gone."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def write(path: str, text: str) -> None:
    """Write `text` in one call, as control files want it."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def read(path: str) -> str:
    """Return the text of a control file; '' when it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts: list[bytes] = []
        while part := os.read(fd, READ_BYTES_MAX):
            parts.append(part)
        return b"".join(parts).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def number_in(path: str) -> int:
    """Return the number in a control file; 0 for `max` or none."""
    text = read(path).strip()
    return int(text) if text.isdigit() else 0


def words_in(path: str) -> dict[str, int]:
    """Return the `name number` lines of a control file."""
    found: dict[str, int] = {}
    for line in read(path).splitlines():
        name, _, value = line.partition(" ")
        if value.isdigit():
            found[name] = int(value)
    return found
