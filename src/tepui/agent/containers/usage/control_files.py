"""The control files of a container's cgroups, and what the kernel writes in them.

A controller is read wherever the machine has put it: in a hierarchy of v1, or in cgroup2.
Sources: kernel documents cgroup-v2.rst, cgroup-v1/memory.rst, blkio-controller.rst, pids.rst.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from tepui.agent.containers.usage.used import DeviceIo, Places, Reading
from tepui.agent.launcher.cgroups.layout import MAIN_NAME

READ_BYTES: Final = 16 << 10  # of a file, at a time
FILE_BYTES_MAX: Final = 4 << 20  # `cgroup.procs` of a container with half a million processes
FULL_PAGE_BYTES: Final = 4000  # the kernel writes lists by the page: less than one was the end
NO_LIMIT_BYTES: Final = 1 << 62  # what v1 writes for none is rounded down from 2**63
USER_HZ: Final = os.sysconf("SC_CLK_TCK")


class ControlFile:
    """One control file: its descriptor if it is kept open, and what it says."""

    __slots__ = ("fd", "parse", "path")

    def __init__(self, path: str, parse: Callable[[bytes, Found], None]) -> None:
        self.path = path
        self.parse = parse
        self.fd = -1


class Found:
    """What the files have said so far."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.io: dict[tuple[int, int], dict[str, int]] | None = None

    def disk(self, device: bytes) -> dict[str, int]:
        """The counters of one disk."""
        major, _, minor = device.partition(b":")
        assert self.io is not None, "set before a line is looked at"
        return self.io.setdefault((int(major), int(minor)), {})

    def reading(self) -> Reading:
        """All of it."""
        disks = None
        if self.io is not None:
            disks = tuple(DeviceIo(*number, **self.io[number]) for number in sorted(self.io))
        return Reading(io=disks, network=None, **self.numbers)


Words = Mapping[bytes, tuple[str, int, int]]
"""Of a line's name: the field of Reading, and the factor and divisor of its number."""

_CPU_TIMES: Words = {
    b"user_usec": ("cpu_user_us", 1, 1),
    b"system_usec": ("cpu_system_us", 1, 1),
}
_CPU_V2: Words = {
    **_CPU_TIMES,
    b"nr_periods": ("cpu_periods", 1, 1),
    b"nr_throttled": ("cpu_throttled_periods", 1, 1),
    b"throttled_usec": ("cpu_throttled_us", 1, 1),
}
_CPU_V1: Words = {
    b"nr_periods": ("cpu_periods", 1, 1),
    b"nr_throttled": ("cpu_throttled_periods", 1, 1),
    b"throttled_time": ("cpu_throttled_us", 1, 1000),
}
_CPUACCT: Words = {
    b"user": ("cpu_user_us", 1_000_000, USER_HZ),
    b"system": ("cpu_system_us", 1_000_000, USER_HZ),
}
_MEMORY_V1: Words = {
    b"total_rss": ("mem_anon_bytes", 1, 1),
    b"total_cache": ("mem_file_bytes", 1, 1),
    b"total_mapped_file": ("mem_mapped_file_bytes", 1, 1),
    b"total_swap": ("mem_swap_bytes", 1, 1),
    b"total_unevictable": ("mem_unevictable_bytes", 1, 1),
    b"hierarchical_memory_limit": ("mem_limit_bytes", 1, 1),
}
_MEMORY_V2: Words = {
    b"anon": ("mem_anon_bytes", 1, 1),
    b"file": ("mem_file_bytes", 1, 1),
    b"file_mapped": ("mem_mapped_file_bytes", 1, 1),
    b"unevictable": ("mem_unevictable_bytes", 1, 1),
    b"kernel": ("mem_kernel_bytes", 1, 1),
}
_IO_V2 = {b"rbytes": "read_bytes", b"wbytes": "write_bytes", b"rios": "reads", b"wios": "writes"}


def files_of(places: Places) -> list[ControlFile]:
    """Return the files of a container, whether they are there or not."""
    v1, unified = places.v1, places.unified
    files: list[ControlFile] = []
    if unified:
        files.append(
            ControlFile(f"{unified}/cpu.stat", _words(_CPU_TIMES if "cpu" in v1 else _CPU_V2))
        )
    elif "cpuacct" in v1:
        files.append(ControlFile(f"{v1['cpuacct']}/cpuacct.stat", _words(_CPUACCT)))
    if "cpu" in v1:
        files.append(ControlFile(f"{v1['cpu']}/cpu.stat", _words(_CPU_V1)))
    if "memory" in v1:
        place = v1["memory"]
        files += [
            ControlFile(f"{place}/memory.stat", _words(_MEMORY_V1)),
            ControlFile(f"{place}/memory.usage_in_bytes", _number("mem_total_bytes")),
            ControlFile(f"{place}/memory.kmem.usage_in_bytes", _number("mem_kernel_bytes")),
        ]
    elif unified:
        files += [
            ControlFile(f"{unified}/memory.stat", _words(_MEMORY_V2)),
            ControlFile(f"{unified}/memory.current", _number("mem_total_bytes")),
            ControlFile(f"{unified}/memory.max", _number("mem_limit_bytes")),
            ControlFile(f"{unified}/memory.swap.current", _number("mem_swap_bytes")),
        ]
    if "blkio" in v1:
        throttle = f"{v1['blkio']}/blkio.throttle"
        files += [
            ControlFile(
                f"{throttle}.io_service_bytes_recursive", _io_v1("read_bytes", "write_bytes")
            ),
            ControlFile(f"{throttle}.io_serviced_recursive", _io_v1("reads", "writes")),
        ]
    elif unified:
        files.append(ControlFile(f"{unified}/io.stat", _io_v2))
    if place := v1.get("pids") or unified:
        files.append(ControlFile(f"{place}/pids.current", _number("threads")))
    if place := unified or v1.get("pids") or next(iter(v1.values()), ""):
        files.append(ControlFile(f"{place}/cgroup.procs", _lines))
    if unified and "memory" not in v1:
        files.append(ControlFile(f"{unified}/{MAIN_NAME}/cgroup.procs", _lines))
    return files


def is_there(path: str) -> bool:
    """Return whether it is to be read: `main` may come later."""
    return os.path.exists(path) or path.endswith(f"/{MAIN_NAME}/cgroup.procs")


def _words(wanted: Words) -> Callable[[bytes, Found], None]:
    """The parser of `name number` lines: the words stay where they are, so they are looked up once."""
    known: list[tuple[int, bytes, str, int, int]] = []

    def parse(data: bytes, found: Found) -> None:
        words = data.split()
        for at, name, field, factor, divisor in known:
            if at + 1 >= len(words) or words[at] != name:
                known.clear()
                break
            _note(found, field, int(words[at + 1]) * factor // divisor)
        if not known:
            for at in range(0, len(words) - 1, 2):
                if (one := wanted.get(words[at])) is not None:
                    known.append((at, words[at], *one))
                    _note(found, one[0], int(words[at + 1]) * one[1] // one[2])

    return parse


def _note(found: Found, field: str, number: int) -> None:
    if field != "mem_limit_bytes" or number < NO_LIMIT_BYTES:
        found.numbers[field] = number


def _number(field: str) -> Callable[[bytes, Found], None]:
    """The parser of a file that is one number, or `max`."""

    def parse(data: bytes, found: Found) -> None:
        text = data.strip()
        if text.isdigit():
            _note(found, field, int(text))

    return parse


def _lines(data: bytes, found: Found) -> None:
    found.numbers["processes"] = found.numbers.get("processes", 0) + data.count(b"\n")


def _io_v1(read: str, write: str) -> Callable[[bytes, Found], None]:
    """The parser of `8:0 Read 4096` lines."""
    fields = {b"Read": read, b"Write": write}

    def parse(data: bytes, found: Found) -> None:
        found.io = found.io or {}
        for line in data.splitlines():
            words = line.split()
            if len(words) == 3 and (field := fields.get(words[1])) is not None:
                found.disk(words[0])[field] = int(words[2])

    return parse


def _io_v2(data: bytes, found: Found) -> None:
    found.io = found.io or {}
    for line in data.splitlines():
        device, *words = line.split()
        if b":" not in device:
            continue
        disk = found.disk(device)
        for word in words:
            name, _, value = word.partition(b"=")
            if (field := _IO_V2.get(name)) is not None:
                disk[field] = int(value)


def content_of(fd: int) -> bytes:
    """Return all that the file says, up to FILE_BYTES_MAX."""
    data = os.pread(fd, READ_BYTES, 0)
    if len(data) < FULL_PAGE_BYTES:
        return data
    parts = [data]
    at = len(data)
    while at < FILE_BYTES_MAX and (part := os.pread(fd, READ_BYTES, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
