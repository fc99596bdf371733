"""Finds all processes of a container in /proc, for machines where it has no cgroup of its own.

A process belongs to a container when it carries the container's mark in its environment, or is in its
session, or has an ancestor that does. One that cleared its environment, left the session and lost its
parent is a child of the launcher (PR_SET_CHILD_SUBREAPER) that nobody knows: it is taken for a part of
whichever container ends when no other container is left. Source: proc_pid_stat(5).
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "TEPUI_CONTAINER"
ENVIRONMENT_BYTES_MAX = 1 << 20
PF_FORKNOEXEC = 0x40
STOP_ROUNDS_MAX = 10  # walks that may find newly forked processes before all are killed
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process:
    """What /proc/PID/stat says of one process."""

    __slots__ = (
        "flags", "parent", "pid", "rss_bytes", "session", "start_time", "state", "system_ticks", "threads",
        "user_ticks",
    )  # fmt: skip

    def __init__(self, pid: int, stat: bytes) -> None:
        fields = stat[stat.rindex(b")") + 2 :].split()
        self.pid = pid
        self.state = fields[0]
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.flags = int(fields[6])
        self.user_ticks = int(fields[11])
        self.system_ticks = int(fields[12])
        self.threads = int(fields[17])
        self.start_time = int(fields[19])
        self.rss_bytes = int(fields[21]) * PAGE_BYTES

    @property
    def executed(self) -> bool:
        """It became another program since it was forked."""
        return not self.flags & PF_FORKNOEXEC

    @property
    def ended(self) -> bool:
        """Only its parent's wait is missing."""
        return self.state in (b"Z", b"X")


def read_process(pid: int) -> Process | None:
    """Return the process `pid`, or None when there is none."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        return Process(pid, os.read(fd, 4096))
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)


class Root:
    """The main process of a container, told from a later one with the same pid by its start time."""

    __slots__ = ("container_id", "pid", "start_time")

    def __init__(self, container_id: str, pid: int, start_time: int) -> None:
        self.container_id = container_id
        self.pid = pid
        self.start_time = start_time


class Tree:
    """The processes of the machine, with their marks kept between walks."""

    def __init__(self, token: str) -> None:
        self.token = token
        self._marks: dict[int, tuple[int, str]] = {}  # pid -> start time, container

    def mark(self, container_id: str) -> str:
        """Return the value of the MARK variable for `container_id`."""
        return f"{self.token}/{container_id}"

    def walk(self) -> dict[int, Process]:
        """Return all processes that have not ended."""
        found: dict[int, Process] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                process = read_process(int(name))
                if process is not None and not process.ended:
                    found[process.pid] = process
        self._marks = {pid: mark for pid, mark in self._marks.items() if pid in found}
        return found

    def container_of(self, process: Process) -> str:
        """Return the container that marked `process`, or ''."""
        known = self._marks.get(process.pid)
        # Forks inherit the mark and exec replaces it by another's or the same: what is known stays true.
        if known is not None and known[0] == process.start_time:
            return known[1]
        container = self._read_mark(process.pid)
        self._marks[process.pid] = (process.start_time, container)
        return container

    def _read_mark(self, pid: int) -> str:
        try:
            fd = os.open(f"/proc/{pid}/environ", os.O_RDONLY)
        except OSError:
            return ""  # another user's
        try:
            data = b"\0" + os.read(fd, ENVIRONMENT_BYTES_MAX)
        except OSError:
            return ""
        finally:
            os.close(fd)
        _, found, rest = data.partition(f"\0{MARK}={self.token}/".encode())
        return rest.partition(b"\0")[0].decode(errors="replace") if found else ""

    def members(self, of: Root, others: set[int], *, adopt: bool) -> list[Process]:
        """Return the living processes of the container that began with `of`.

        `others` are the main processes of the other containers; with `adopt` the launcher's unknown
        children are counted in.
        """
        processes = self.walk()
        leader = processes.get(of.pid)
        reused = leader is not None and leader.start_time != of.start_time
        known: dict[int, bool] = {0: False, 1: False, os.getpid(): False}

        def belongs(pid: int) -> bool:
            answer = known.get(pid)
            if answer is not None:
                return answer
            known[pid] = False  # ends a circle that a reused pid could make
            process = processes.get(pid)
            if process is None or pid in others or process.session in others:
                return False
            if of.pid in (pid, process.session) and not reused:
                answer = True
            elif mark := self.container_of(process):
                answer = mark == of.container_id
            elif process.parent == os.getpid():
                answer = adopt
            else:
                answer = belongs(process.parent)
            known[pid] = answer
            return answer

        return [process for pid, process in processes.items() if belongs(pid)]

    def left_over(self) -> list[Process]:
        """Return the processes that an earlier launcher of this agent marked."""
        return [one for one in self.walk().values() if self.container_of(one)]


def has_executed(pid: int) -> bool:
    """Tell whether `pid`, which may have ended but not been reaped, became another program since it was forked."""
    process = read_process(pid)
    return process is None or process.executed


def send(processes: list[Process], number: int) -> None:
    """Send signal `number` to each of `processes` that is still there."""
    for process in processes:
        try:
            os.kill(process.pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def kill_all(find: Callable[[], list[Process]]) -> bool:
    """Kill all that `find` finds; tell whether there was nothing to kill.

    They are stopped first, until a walk finds no new one, so that none forks away from the kill.
    """
    stopped: set[int] = set()
    found = find()
    for _ in range(STOP_ROUNDS_MAX):
        new = [process for process in found if process.pid not in stopped]
        if not new:
            break
        send(new, signal.SIGSTOP)
        stopped.update(process.pid for process in new)
        found = find()
    send(found, signal.SIGKILL)
    return not found


def start_time_of(pid: int) -> int:
    """Return when `pid` started, in clock ticks since boot; 0 when it is gone."""
    process = read_process(pid)
    return process.start_time if process is not None else 0
