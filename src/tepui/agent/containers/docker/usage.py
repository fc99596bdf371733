"""What a container of Docker Engine uses, read from its cgroups: the Engine's own answer takes a second.

Sources: kernel documents cgroup-v1/cpuacct.rst, cgroup-v1/memory.rst, cgroup-v2.rst, proc(5).
"""

from __future__ import annotations

import contextlib
import os

from msgspec import Struct

from tepui.agent.launcher.cgroups.files import below, number_in, read, words_in

NS_PER_MS = 1_000_000
US_PER_MS = 1_000


class Places(Struct, frozen=True):
    """Directories of one container's cgroups; '' where there is none."""

    cpu: str = ""  # v1
    memory: str = ""  # v1
    unified: str = ""  # v2

    @property
    def any(self) -> str:
        """One in which all processes are; '' when none is known."""
        return self.memory or self.cpu or self.unified


class Used(Struct, frozen=True):
    """What the cgroups count."""

    cpu_user_ms: int
    cpu_system_ms: int
    mem_rss_bytes: int
    processes: int
    threads: int


def places_of(pid: int, engine_id: str) -> Places:
    """Return the cgroups of a container by its main process.

    Only those that bear the container's name are taken: the process may have ended, and its number be another's.
    """
    paths: dict[str, str] = {}
    for line in read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if engine_id in path:
            for one in controllers.split(","):
                paths[one] = path
    mounts = _mounts()

    def place(controller: str) -> str:
        if controller not in paths or controller not in mounts:
            return ""
        return mounts[controller] + paths[controller]

    if v1 := place("memory"):
        return Places(cpu=place("cpuacct"), memory=v1)
    return Places(cpu=place("cpuacct"), unified=place(""))


def _mounts() -> dict[str, str]:
    """Where each controller of v1 is mounted; '' is cgroup2."""
    found: dict[str, str] = {}
    for line in read("/proc/self/mounts").splitlines():
        _, place, kind, options = line.split(" ")[:4]
        if kind == "cgroup2":
            found.setdefault("", place)
        elif kind == "cgroup":
            for one in options.split(","):
                found.setdefault(one, place)
    return found


def used(places: Places) -> Used:
    """Return what is used now; 0 where it is not counted."""
    if places.cpu:
        user_ms = number_in(f"{places.cpu}/cpuacct.usage_user") // NS_PER_MS
        system_ms = number_in(f"{places.cpu}/cpuacct.usage_sys") // NS_PER_MS
    else:
        words = words_in(f"{places.unified}/cpu.stat") if places.unified else {}
        user_ms = words.get("user_usec", 0) // US_PER_MS
        system_ms = words.get("system_usec", 0) // US_PER_MS
    if places.memory:
        rss = words_in(f"{places.memory}/memory.stat").get("total_rss", 0)
    else:
        rss = words_in(f"{places.unified}/memory.stat").get("anon", 0) if places.unified else 0
    return Used(user_ms, system_ms, rss, len(pids(places)), _threads(places))


def memory_in_use(places: Places) -> int:
    """Return all that is charged to the container, also what could be given back."""
    if places.memory:
        return number_in(f"{places.memory}/memory.usage_in_bytes")
    return number_in(f"{places.unified}/memory.current") if places.unified else 0


def pids(places: Places) -> list[int]:
    """Return all processes of the container."""
    if not places.any:
        return []
    directories = [places.any, *below(places.any)]
    return [int(pid) for one in directories for pid in read(f"{one}/cgroup.procs").split()]


def _threads(places: Places) -> int:
    if not places.any:
        return 0
    name = "cgroup.threads" if places.any == places.unified else "tasks"
    return sum(len(read(f"{one}/{name}").split()) for one in [places.any, *below(places.any)])


def signal_all(places: Places, signum: int, *, but: int) -> None:
    """Every process of the container but one was sent the signal, as far as this process may."""
    for pid in pids(places):
        if pid != but:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signum)


def start_time_of(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 when it has ended."""
    fields = read(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0
