"""Which machine the figures are from, and in what state it was."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench import processes


class Machine(Struct, frozen=True):
    """What a reader of figures must know; the load is that of before."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    file_system: str  # where benchmarks write
    python: str
    date: str
    commit: str  # of what is measured; a `+` follows when there are changes
    load_1_min: float
    load_5_min: float

    def describe(self) -> str:
        """The lines over a table."""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_bytes / 1e9:.0f} GB memory;"
            f" {self.file_system}\n"
            f"Linux {self.kernel}, Python {self.python}; Tepui at {self.commit}; {self.date}\n"
            f"load average before: {self.load_1_min:.2f} (1 min), {self.load_5_min:.2f} (5 min)"
        )


def machine() -> Machine:
    """This machine, now."""
    load_1_min, load_5_min, _ = os.getloadavg()
    return Machine(
        cpu=_field("/proc/cpuinfo", "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024,
        kernel=platform.release(),
        file_system=_file_system(Path(tempfile.gettempdir())),
        python=platform.python_version(),
        date=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        commit=_commit(processes.SOURCE),
        load_1_min=load_1_min,
        load_5_min=load_5_min,
    )


def _field(file: str, name: str) -> str:
    """The first value of the name; machines differ in what they tell."""
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return f"0 ({name} unknown)"


def _file_system(directory: Path) -> str:
    """The kind of the file system that holds the directory, and where that is mounted."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(len(at), kind, at) for at, kind in mounts if directory.is_relative_to(at)]
    _, kind, at = max(holding)
    return f"{kind} on {at}"


def _commit(directory: Path) -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    commit = git("rev-parse", "--short=10", "HEAD")
    if not commit:
        return f"{directory} (no commit)"
    return f"{commit}+" if git("status", "--porcelain", "--", str(directory)) else commit
