"""Who was killed for want of memory, as the kernel's log has it: Docker Engine learns that too late at times.

The Engine asks to be told of a cgroup only after its container has started, and hears nothing when the cgroup
is gone before it looks. The kernel writes first, and then kills.

Source: kernel, mm/oom_kill.c (dump_oom_victim, __oom_kill_process); Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from typing import Final, TypeVar

PATH: Final = "/dev/kmsg"
RECORD_BYTES_MAX: Final = 8192  # the kernel's own limit is less
RECORDS_MAX: Final = 100_000  # that are read in a row: more than a log holds
KILLED_MAX: Final = 2_000  # cgroups, and processes, that are remembered: the last ones

# The first is left out where there are many at a time; the second never, but it names no cgroup.
_CGROUP: Final = re.compile(rb"oom-kill:.*oom_memcg=([^,]*),task_memcg=")
_PROCESS: Final = re.compile(rb"Memory cgroup out of memory: Killed process (\d+) ")

Key = TypeVar("Key")
Value = TypeVar("Value")


class KernelLog:
    """Reads the log on, each time it is asked. Where that may not be read nobody was killed."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._fd = -1
        self._killed = 0  # processes, of all that were read
        self._cgroups: OrderedDict[bytes, None] = (
            OrderedDict()
        )  # names, without what is around them
        self._pids: OrderedDict[int, int] = OrderedDict()  # and how many were killed before each
        self._lock = threading.Lock()

    def killed(self) -> int:
        """Return how many processes were killed so far. For a thread."""
        with self._lock:
            self._read_on()
            return self._killed

    def has_cgroup(self, engine_id: str) -> bool:
        """Whether the container has reached its limit, and a process of it was killed. For a thread."""
        with self._lock:
            self._read_on()
            name = engine_id.encode()
            return any(name in cgroup for cgroup in self._cgroups)

    def pids_since(self, killed: int) -> set[int]:
        """Return the processes that were killed after the first so many, as far as is known."""
        with self._lock:
            return {pid for pid, before in self._pids.items() if before >= killed}

    def close(self) -> None:
        """Nothing is open."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _read_on(self) -> None:
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            for _ in range(RECORDS_MAX):
                try:
                    record = os.read(self._fd, RECORD_BYTES_MAX)
                except BrokenPipeError:
                    continue  # what came next was overwritten: it goes on with the oldest there is
                if not record:
                    return
                self._take(record)
        except OSError:
            return  # it was read to its end, or may not be

    def _take(self, record: bytes) -> None:
        if found := _CGROUP.search(record):
            _remember(self._cgroups, found[1].rpartition(b"/")[2], None)
        elif found := _PROCESS.search(record):
            _remember(self._pids, int(found[1]), self._killed)
            self._killed += 1


def _remember(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > KILLED_MAX:
        kept.popitem(last=False)
