"""The cgroups of one container: its limits, its end as a whole, and what it used.

A container in another shares that one's limits, unless it has its own; then they hold under its parent's.
Whichever it is, it has a directory of its own in at least one hierarchy, by which its processes are known.
"""

from __future__ import annotations

import os

from ..limits import NO_LIMIT, Limits, mem_limit_bytes
from ..request import Fault
from ..spawn import describe
from . import bpf, v1, v2
from .files import number_in, read, remove_directory, words_in, write
from .layout import NAME_PREFIX

USER_HZ = os.sysconf("SC_CLK_TCK")


class Bases:
    """Where the cgroups of an agent's containers are made."""

    __slots__ = ("bpf", "mounts", "pids_max", "root", "unified", "v1", "v2")

    def __init__(self, root: str) -> None:
        self.root = root
        self.mounts: dict[str, str] = {}  # of cgroup v1, by controller
        self.unified = ""  # the agent's directories: in cgroup2,
        self.v1: dict[str, str] = {}  # and in cgroup v1, by controller
        self.v2: frozenset[str] = frozenset()  # the controllers that containers have by cgroup2
        self.bpf = False  # programs that guard devices are taken
        self.pids_max = 0  # of a container that names no limit; 0: none


class Cgroup:
    """The cgroups of one container. `shares` is the container whose limits it lives under, if not its own."""

    __slots__ = (
        "bases", "made", "main", "mem_limit_bytes", "name", "oom_fd", "parent", "places", "shares", "unified",
        "v2",
    )  # fmt: skip

    def __init__(
        self, bases: Bases, container_id: str, parent: Cgroup | None, *, has_own_limits: bool
    ) -> None:
        self.bases = bases
        self.name = NAME_PREFIX + container_id
        self.parent = parent
        self.shares = None if parent is None or has_own_limits else parent
        self.unified = ""
        self.main = ""  # v2: where its processes are, when containers in it have limits
        self.v2: frozenset[str] = frozenset()  # the controllers that it has limits of
        self.made: list[str] = []  # its directories in the hierarchies of v1
        # By controller of v1: where its processes are, which may be a directory of the container around it.
        self.places: dict[str, str] = {} if parent is None else dict(parent.places)
        self.oom_fd = -1
        self.mem_limit_bytes = 0

    @property
    def memory(self) -> str:
        """Its own directory in v1's hierarchy of the memory controller, or ''."""
        return self._own("memory")

    def _own(self, controller: str) -> str:
        place = self.places.get(controller, "")
        return place if place in self.made else ""

    def make(self) -> None:
        """Make its directories. Raises OSError; what was made is then to be removed."""
        above = self.parent
        if self.bases.unified:
            base = self.bases.unified
            if above is not None and above.unified:
                base = above.unified
                if self.shares is None and self.bases.v2:
                    above.pass_on()
            self.unified = f"{base}/{self.name}"
            os.mkdir(self.unified)
            if self.shares is None:
                self.v2 = self.bases.v2
        if self.shares is None:
            for controller in self.bases.v1:
                self.enter(controller)
        elif not self.unified:
            self.enter("pids" if "pids" in self.bases.v1 else next(iter(self.bases.v1)))

    def enter(self, controller: str) -> str:
        """Its processes will be in a directory of its own in v1's hierarchy of `controller`."""
        above = self.parent.places.get(controller, "") if self.parent is not None else ""
        if not above:
            above = f"{self.bases.mounts[controller]}/{self.bases.root}"
        place = f"{above}/{self.name}"
        self.places[controller] = place
        if place not in self.made:
            try:
                os.mkdir(place)
            except FileNotFoundError:  # the first container in this hierarchy
                os.makedirs(place)
            self.made.append(place)
        return place

    def pass_on(self) -> None:
        """Containers in it can have limits of their own in v2: it keeps its processes in `main` from now on."""
        if self.main:
            return
        main = v2.make_room(self.unified)
        missing = self.bases.v2 - v2.passed_on(self.unified, self.bases.v2)
        if missing:
            cause = f"its cgroup does not pass {', '.join(sorted(missing))} on"
            raise OSError(cause)
        self.main = main

    def tasks_files(self) -> list[str]:
        """Return the files into which a process writes 0 to be in the v1 cgroups."""
        return sorted({f"{place}/tasks" for place in self.places.values()})

    # Limits

    def limit(self, asked: Limits, *, at_launch: bool = False) -> list[str]:
        """Set the limits; return a note on each that stays as it was. Raises Fault.

        Only `at_launch`, before there are processes, does it get a cpuset or rules for devices.
        """
        try:
            notes = self._set(asked) if self.shares is None else []
            if at_launch:
                notes += self._set_for_launch(asked)
            return notes
        except OSError as error:
            place = self.unified or next(iter(self.made), self.name)
            raise Fault("set the limits of", f"'{place}'", describe(error)) from None

    def _set(self, asked: Limits) -> list[str]:
        cpu, pids, io = self._own("cpu"), self._own("pids"), self._own("blkio")
        notes: list[str] = []
        if asked.cpus_milli:
            if cpu:
                v1.set_cpu_shares(cpu, asked.cpus_milli)
            elif "cpu" in self.v2:
                v2.set_cpu_weight(self.unified, asked.cpus_milli)
        if asked.cpus_limit_milli:
            if cpu:
                notes.append(v1.set_cpu_quota(cpu, asked.cpus_limit_milli))
            elif "cpu" in self.v2:
                v2.set_cpu_quota(self.unified, asked.cpus_limit_milli)
        if asked.mem_bytes:
            notes.append(self._limit_memory(mem_limit_bytes(asked.mem_bytes)))
        if asked.mem_soft_bytes:
            soft_bytes = mem_limit_bytes(asked.mem_soft_bytes)
            if self.memory:
                v1.set_soft_memory(self.memory, soft_bytes)
            elif "memory" in self.v2:
                v2.set_soft_memory(self.unified, soft_bytes)
        if asked.pids_max:
            place = pids or (self.unified if "pids" in self.v2 else "")
            if place:
                write(
                    f"{place}/pids.max",
                    "max" if asked.pids_max == NO_LIMIT else str(asked.pids_max),
                )
        if asked.io_weight:
            if io:
                notes.append(v1.set_io_weight(io, asked.io_weight))
            elif "io" in self.v2:
                notes.append(v2.set_io_weight(self.unified, asked.io_weight))
            else:
                notes.append("the io weight was not set: there is no such cgroup controller")
        return [note for note in notes if note]

    def _set_for_launch(self, asked: Limits) -> list[str]:
        notes: list[str] = []
        if self.shares is None and not asked.pids_max and self.bases.pids_max:
            self._set(Limits(pids_max=self.bases.pids_max))
        if asked.cpuset and self.shares is None:
            if "cpuset" in self.bases.mounts:
                place = self.enter("cpuset")
                v1.fill_cpuset(self.bases.mounts["cpuset"], place)
                write(f"{place}/cpuset.cpus", asked.cpuset)
            elif "cpuset" in self.v2:
                write(f"{self.unified}/cpuset.cpus", asked.cpuset)
            else:
                notes.append(
                    f"its cpus are not '{asked.cpuset}' alone: there is no such cgroup controller"
                )
        if asked.devices is not None:
            if "devices" in self.bases.mounts:
                v1.set_devices(self.enter("devices"), asked.devices)
            elif self.unified and self.bases.bpf:
                bpf.attach(self.unified, asked.devices)
            else:
                notes.append("its devices are not limited: there is no such cgroup controller")
        return notes

    def _limit_memory(self, mem_bytes: int) -> str:
        limit, usage = self._memory_files("limit_in_bytes", "max", "usage_in_bytes", "current")
        if not limit:
            return ""
        if mem_bytes == NO_LIMIT:
            write(limit, str(NO_LIMIT) if self.memory else "max")
            self.mem_limit_bytes = 0
            return ""
        # A limit under what is in use would kill in v2 and be refused in v1: it is not lowered that far.
        is_lower = not self.mem_limit_bytes or self.mem_limit_bytes > mem_bytes
        if is_lower and number_in(usage) > mem_bytes:
            stays = f"at {self.mem_limit_bytes} bytes" if self.mem_limit_bytes else "lifted"
            return f"the memory limit stays {stays}: more than {mem_bytes} are used"
        write(limit, str(mem_bytes))
        self.mem_limit_bytes = mem_bytes
        return ""

    def _memory_files(self, limit1: str, limit2: str, usage1: str, usage2: str) -> tuple[str, str]:
        if self.memory:
            return f"{self.memory}/memory.{limit1}", f"{self.memory}/memory.{usage1}"
        if "memory" in self.v2:
            return f"{self.unified}/memory.{limit2}", f"{self.unified}/memory.{usage2}"
        return "", ""

    # Out of memory

    def watch_oom(self) -> int:
        """Return a descriptor that becomes readable when the container is out of memory, or -1.

        It also does when a container around it is: `oom_kills` tells. Only v1 needs it: in v2
        `memory.oom.group` has the kernel end the container as a whole.
        """
        try:
            if self.memory:
                self.oom_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                control = os.open(f"{self.memory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    write(f"{self.memory}/cgroup.event_control", f"{self.oom_fd} {control}")
                finally:
                    os.close(control)
            elif "memory" in self.v2:
                write(f"{self.unified}/memory.oom.group", "1")
        except OSError:
            self.close_oom()  # the kill is still seen in its counter when the container ends
        return self.oom_fd

    def close_oom(self) -> None:
        """Stop watching."""
        if self.oom_fd >= 0:
            os.close(self.oom_fd)
            self.oom_fd = -1

    def reached_mem_limit(self) -> bool:
        """Tell whether its own limit was reached, not that of a container around it or in it."""
        if self.memory:
            return number_in(f"{self.memory}/memory.failcnt") > 0
        if "memory" in self.v2:
            return words_in(f"{self.unified}/memory.events.local").get("oom", 0) > 0
        return False

    def oom_kills(self) -> int:
        """Return how many processes the kernel killed for want of memory under its own limit, as far as known.

        v1 counts a kill only where the process was, which may be a container in this one.
        """
        if self.memory:
            kills = words_in(f"{self.memory}/memory.oom_control").get("oom_kill", 0)
        elif "memory" in self.v2:
            kills = words_in(f"{self.unified}/memory.events").get("oom_kill", 0)
        else:
            return 0
        return kills if kills and self.reached_mem_limit() else 0

    def mem_peak_bytes(self) -> int:
        """Return the most memory the container ever had."""
        peak, _ = self._memory_files("max_usage_in_bytes", "peak", "", "")
        return number_in(peak) if peak else 0

    # Processes

    @property
    def home(self) -> str:
        """The directory in the cgroup2 hierarchy into which its processes are born, or ''."""
        return self.main or self.unified

    def pids(self) -> list[int]:
        """Return its processes, without those of containers in it."""
        place = self.home or (self.made[0] if self.made else "")
        return [int(pid) for pid in read(f"{place}/cgroup.procs").split()] if place else []

    def kill(self) -> None:
        """Send SIGKILL to all its processes, and to what they fork meanwhile.

        In the cgroup2 hierarchy that includes the containers in it.
        """
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
        """Tell whether no process is left, here and in containers in it.

        The cgroup2 directory, if there is one, is then gone.
        """
        if not self.unified:
            return not self.pids()
        return (not self.main or remove_directory(self.main)) and remove_directory(self.unified)

    def remove(self) -> bool:
        """Remove what is left of the cgroups; tell whether nothing is."""
        self.close_oom()
        gone = not self.main or remove_directory(self.main)
        gone = (not self.unified or remove_directory(self.unified)) and gone
        for place in self.made:
            gone = remove_directory(place) and gone
        return gone

    # Usage

    def cpu_seconds(self) -> tuple[float, float] | None:
        """Return user and system time, or None where it is not counted."""
        words = words_in(f"{self.unified}/cpu.stat") if self.unified else {}
        if "user_usec" in words:
            return words["user_usec"] / 1e6, words["system_usec"] / 1e6
        place = self._own("cpuacct")
        words = words_in(f"{place}/cpuacct.stat") if place else {}
        if "user" in words:
            return words["user"] / USER_HZ, words["system"] / USER_HZ
        return None

    def rss_bytes(self) -> int | None:
        """Return the anonymous memory in use, or None where it is not counted."""
        if self.memory:
            return words_in(f"{self.memory}/memory.stat").get("total_rss")
        if "memory" in self.v2:
            return words_in(f"{self.unified}/memory.stat").get("anon")
        return None

    def threads(self) -> int:
        """Return how many threads there are."""
        if self.home:
            return len(read(f"{self.home}/cgroup.threads").split())
        return len(read(f"{self.made[0]}/tasks").split()) if self.made else 0
