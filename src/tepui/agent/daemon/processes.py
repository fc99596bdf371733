"""GET /containers/processes?container_id=: what runs in a container, as of ps(1).

The processes are those of the container's cgroups, or where it has none of its own its descendants.
"""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path
from typing import Final

from msgspec import Struct

from tepui.agent.core.actions import FoundContainer

PROCESSES_MAX: Final = 2_000  # listed
COMMAND_CHARS_MAX: Final = 400
DIRECTORIES_MAX: Final = 1_000  # cgroups within that of a container
TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
CGROUPS: Final = "/sys/fs/cgroup"
NESTED: Final = "."  # between the ids of a pod and of a container in it


class Process(Struct, frozen=True):
    """One process; times are of it alone, and those it waited for."""

    pid: int
    parent: int
    user: str
    state: str
    threads: int
    cpu_ms: int
    rss_bytes: int
    started_s: float  # after the start of the machine
    command: str


class Processes(Struct, frozen=True):
    """What runs in a container, at one moment."""

    container_id: str
    at_s: float  # after the start of the machine
    memory_bytes: int  # of the machine
    processes: tuple[Process, ...]


async def processes_of(found: FoundContainer) -> Processes:
    """What runs there now."""
    return await asyncio.to_thread(_processes, found)


def _processes(found: FoundContainer) -> Processes:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    memory = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    listed: list[Process] = []
    pids = _pids(found.pid or 0)
    if NESTED in found.container_id:
        pids = _without_neighbours(found.pid or 0, pids)
    for pid in sorted(pids)[:PROCESSES_MAX]:
        process = _read(pid)
        if process is not None:
            listed.append(process)
    return Processes(found.container_id, uptime, memory, tuple(listed))


def _pids(first: int) -> set[int]:
    if first <= 0:
        return set()
    place = _cgroup_of(first)
    if place is None:
        return _descendants(first)
    found: set[int] = set()
    for number, (directory, _, files) in enumerate(os.walk(place)):
        if number >= DIRECTORIES_MAX:
            break
        if "cgroup.procs" in files:
            try:
                found.update(map(int, Path(directory, "cgroup.procs").read_text().split()))
            except OSError:
                continue  # it has gone meanwhile
    return found or {first}


def _without_neighbours(first: int, pids: set[int]) -> set[int]:
    """Those of one container of a pod, whose cgroups are those of all of them."""
    space = _pid_space(first)
    if space is None or space == _pid_space(os.getpid()):
        return pids & _descendants(first)
    return {pid for pid in pids if _pid_space(pid) == space}


def _pid_space(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def _cgroup_of(pid: int) -> str | None:
    """A cgroup directory of the container's own, in any hierarchy; None: it shares all of them."""
    try:
        theirs = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        ours = set(Path("/proc/self/cgroup").read_text().splitlines())
    except OSError:
        return None
    for line in theirs:
        _, controllers, path = line.split(":", 2)
        if line in ours or path == "/":
            continue
        names = [controllers, controllers.removeprefix("name="), "unified", ""]
        for name in names:
            directory = f"{CGROUPS}/{name}{path}".replace("//", "/")
            if os.path.exists(f"{directory}/cgroup.procs"):
                return directory
    return None


def _descendants(first: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = _read(int(name))
            if process is not None:
                children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = [first]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def _read(pid: int) -> Process | None:
    """None: it has ended meanwhile."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        uid = os.stat(f"/proc/{pid}").st_uid
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    command = line.replace(b"\0", b" ").strip().decode(errors="replace") or f"[{name}]"
    return Process(
        pid=pid,
        parent=int(fields[1]),
        user=_user(uid),
        state=fields[0],
        threads=int(fields[17]),
        cpu_ms=(int(fields[11]) + int(fields[12])) * 1000 // TICKS,
        rss_bytes=int(fields[21]) * PAGE_BYTES,
        started_s=int(fields[19]) / TICKS,
        command=command[:COMMAND_CHARS_MAX],
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
