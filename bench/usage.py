"""What it costs an agent to read what its containers use.

    bench/run usage

The containers are real ones of a real launcher; the reader is the agent's, in the benchmark's own process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench import faults
from bench.faults import fault
from bench.table import Row, measured, percentile, show
from tepui.agent.containers.process import ProcessRuntime
from tepui.agent.containers.runtimes import Runtimes
from tepui.agent.containers.spec import ContainerSpec
from tepui.agent.containers.starting import LauncherConfig, cgroup_root_of
from tepui.agent.core.actions import Limits
from tepui.agent.daemon.disk_usage import DiskUsage
from tepui.agent.daemon.usage import ContainerUsage
from tepui.agent.launcher.cgroups import detect

MIB = 1 << 20
AT_ONCE = 32  # launches under way
FILES = 10  # of a container, about: what the bare limit reads


class Options(Struct, frozen=True):
    """How many containers, and for how long they are looked at."""

    containers: int = 500
    seconds: int = 10

    @property
    def title(self) -> str:
        """What the table is called."""
        return (
            f"usage: {self.containers} containers, read once a second for {self.seconds} s,"
            " as statistics and as metrics"
        )


class Figures(Struct, frozen=True):
    """Of one run."""

    cpu_s: float
    samples_s: list[float]  # how long each took
    bare_s: float  # processor of the bare reads of one sample


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run usage", description=__doc__)
    parser.add_argument("--containers", type=int, default=Options().containers)
    parser.add_argument("--seconds", type=int, default=Options().seconds)
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    given = parser.parse_args()
    options = Options(given.containers, given.seconds)
    show([measured("usage", options.title, given.runs, lambda: rows(options))])


def rows(options: Options) -> list[Row]:
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        found = faults.run(measure(Path(name), options))
    bare = f"{FILES} bare reads a container"
    busy = found.cpu_s / options.seconds * 100
    limit = found.bare_s * 100
    longest_s = percentile(found.samples_s, 99)
    return [
        Row("processor of the agent", busy, "% of a core", "< 5", limit, bare),
        Row("one look at all, p50", percentile(found.samples_s, 50) * 1e3, "ms"),
        Row("one look at all, longest", longest_s * 1e3, "ms"),
    ]


async def measure(directory: Path, options: Options) -> Figures:
    """Launch the containers, look at them, and end them."""
    config = LauncherConfig(runtime_directory=str(directory / "run"))
    runtime = ProcessRuntime(config, lambda exited: None)
    usage = ContainerUsage(
        Runtimes(runtime),
        DiskUsage(1_000, str(directory / "changes")),
        detect(),
        cgroup_root_of(config),
    )
    names = [f"sleeper{number}" for number in range(options.containers)]
    limits = dict.fromkeys(names, Limits(100, None, 32 * MIB, 32 * MIB, 0))
    await runtime.recover()
    try:
        for first in range(0, len(names), AT_ONCE):
            launches = (runtime.launch(spec(name, directory)) for name in names[first:][:AT_ONCE])
            await asyncio.gather(*launches)
        samples_s = []
        await usage.sample(names, lambda name: 0)  # opens the files, once
        began_s = time.process_time()
        for _ in range(options.seconds):
            at_s = time.perf_counter()
            sample = await usage.sample(names, lambda name: 0)
            told = usage.statistics(sample, limits)
            usage.metrics(sample, names)
            samples_s.append(time.perf_counter() - at_s)
            if sum(one.processes == 1 for one in told.values()) != len(names):
                fault("a container was not seen with its one process")
            await asyncio.sleep(max(0.0, 1 - samples_s[-1]))
        cpu_s = time.process_time() - began_s
        return Figures(cpu_s, samples_s, bare_s(directory, options))
    finally:
        usage.close()
        await runtime.end()


def spec(name: str, directory: Path) -> ContainerSpec:
    """A container that does nothing, with limits."""
    return ContainerSpec(
        container_id=name,
        program="sleep",
        argv=("sleep", "1000"),
        environment={"PATH": os.defpath},
        directory=str(directory),
        cpus_milli=100,
        mem_bytes=32 * MIB,
        stdout=None,
        stderr=None,
    )


def bare_s(directory: Path, options: Options) -> float:
    """The processor that it takes to read a small file of the kernel's as often."""
    fd = os.open("/proc/self/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    try:
        began_s = time.process_time()
        for _ in range(options.containers * FILES):
            os.pread(fd, 16 << 10, 0)
        return time.process_time() - began_s
    finally:
        os.close(fd)


if __name__ == "__main__":
    main()
