"""Containers of a cached image on one real agent: one at a time, 32 at once, and 1,000 together.

    bench/run containers

Beside it, in the same run: bare `crun run`, and `docker run` on an Engine of its own where there is one.
Needs root, crun and a static busybox.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from bench import faults, processes
from bench.calls import Offer
from bench.cluster import TERMINAL, Cluster, Waiting, cluster
from bench.faults import fault
from bench.processes import MB
from bench.table import Row, measured, percentile, show
from tests.agent.containers.host import digest_of
from tests.agent.containers.images import made
from tests.real import docker_engine

CPUS, MEM = 0.01, 32.0  # of each container
BUSYBOX = shutil.which("busybox") or "/bin/busybox"
TOOLS = ("sh", "sleep", "true", "echo")
PLACES = ("proc", "sys", "dev", "etc", "mnt")  # of other file systems: every image has them
BARE_S = 120.0  # all runs of bare crun are over by then
CGROUPS = Path("/sys/fs/cgroup")
LEFT_S = 10.0  # what ended containers have is cleared by then
LOOK_S = 0.1


class Options(Struct, frozen=True):
    """How many containers."""

    one_at_a_time: int = 50
    cycles: int = 320  # whole lives, of which `at_once` are under way
    at_once: int = 32
    together: int = 1_000  # that run at the same time
    with_docker: bool = True

    @property
    def title(self) -> str:
        """What the table is called."""
        return (
            f"containers of a cached image on one agent: {self.one_at_a_time} one at a time; "
            f"{self.cycles} with {self.at_once} at once; {self.together:,} together"
        )


class Together(Struct, frozen=True):
    """Many containers that run at the same time."""

    started_s: float
    ended_s: float
    pss_bytes: int  # of master, agent, launcher and what runs in the containers
    launcher_bytes: int
    before_bytes: int  # of agent and launcher (RSS)
    after_bytes: int
    left: int  # files and cgroups of containers that are gone


class Measured(Struct, frozen=True):
    """The figures of one cluster."""

    running_s: list[float]
    cycles_s: float
    together: Together


def main() -> None:
    """Run, and print the table."""
    default = Options()
    parser = argparse.ArgumentParser(prog="bench/run containers", description=__doc__)
    parser.add_argument("--one-at-a-time", type=int, default=default.one_at_a_time)
    parser.add_argument(
        "--cycles", type=int, default=default.cycles, help="whole lives of containers"
    )
    parser.add_argument("--at-once", type=int, default=default.at_once)
    parser.add_argument("--together", type=int, default=default.together, help="at the same time")
    parser.add_argument("--no-docker", action="store_true", help="leave `docker run` out")
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    given = parser.parse_args()
    options = Options(
        given.one_at_a_time, given.cycles, given.at_once, given.together, not given.no_docker
    )
    show([measured("containers", options.title, given.runs, lambda: rows(options))])


def rows(options: Options) -> list[Row]:
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        archive = image(directory)
        found = faults.run(measure(directory, archive, options))
        bare_s = bare(directory, options.one_at_a_time)
        docker_s = docker(options.one_at_a_time) if options.with_docker else None
    crun = "bare `crun run`, overlay and configuration made"
    bare_ms, own_ms = median(bare_s) * 1e3, median(found.running_s) * 1e3
    together = found.together
    return [
        Row("ACCEPT to TASK_RUNNING, p50", own_ms, "ms", "< 20", bare_ms, crun),
        Row("of that more than bare crun", own_ms - bare_ms, "ms", "< 10"),
        Row(
            "ACCEPT to TASK_RUNNING, p95",
            percentile(found.running_s, 95) * 1e3,
            "ms",
            "",
            percentile(bare_s, 95) * 1e3,
            crun,
        ),
        Row("whole lives at once", options.cycles / found.cycles_s, "containers/s"),
        *docker_rows(docker_s),
        Row("together: all running after", together.started_s, "s"),
        Row("together: all gone after", together.ended_s, "s"),
        Row("together: memory of all (PSS)", together.pss_bytes / MB, "MB"),
        Row("together: memory of the launcher (RSS)", together.launcher_bytes / MB, "MB"),
        Row("agent and launcher before them (RSS)", together.before_bytes / MB, "MB"),
        Row("agent and launcher after them (RSS)", together.after_bytes / MB, "MB"),
        Row("left of all containers: files, cgroups", together.left, "", "0"),
    ]


def docker_rows(docker_s: list[float] | None) -> list[Row]:
    """What Docker Engine takes, where there is one."""
    if docker_s is None:
        return []
    return [Row("`docker run` to its program's first byte, p50", median(docker_s) * 1e3, "ms")]


def image(directory: Path) -> Path:
    """An archive of an image with a few programs."""
    members = [
        *(made.directory(name) for name in ("bin", *PLACES)),
        made.file("bin/busybox", Path(BUSYBOX).read_bytes(), mode=0o755),
        *(made.symlink(f"bin/{tool}", "busybox") for tool in TOOLS),
    ]
    one = made.Made(made.tar_of(*members), config={"Env": ["PATH=/bin"]})
    return made.write_archive(made.saved_files({"bench:1": one}), directory / "bench.tar")


async def measure(directory: Path, archive: Path, options: Options) -> Measured:
    """The figures of one cluster."""
    many = max(options.together, options.at_once)
    resources = f"cpus:{many * CPUS + 1:g};mem:{many * MEM + 64:g};disk:1024;ports:[31000-31099]"
    flags = ("--containerizers=process,oci", f"--docker_registry={directory}")
    with cluster(directory, resources, *flags) as running:
        scheduler = Contained(running.port, str(archive))
        await scheduler.subscribe(connections=16)
        with contextlib.closing(scheduler):
            _, (offer,) = await scheduler.next_offers()
            _, offer = await run_one(scheduler, offer, "warm")  # the image is here afterwards
            running_s = []
            for number in range(options.one_at_a_time):
                seconds, offer = await run_one(scheduler, offer, f"one{number}")
                running_s.append(seconds)
            cycles_s, offer = await run_cycles(scheduler, offer, options)
            before_bytes = own_bytes(running)
            together = await run_together(scheduler, running, offer, options.together)
        left = await what_stays(directory / "agent")
        together = replace(
            together, before_bytes=before_bytes, after_bytes=own_bytes(running), left=len(left)
        )
    return Measured(running_s, cycles_s, together)


def own_bytes(running: Cluster) -> int:
    """The memory of agent and launcher."""
    return sum(map(processes.rss_bytes, (running.agent, *running.launchers)))


async def what_stays(work_dir: Path) -> list[Path]:
    """What is left of the containers when they had time to be cleared."""
    until_s = time.perf_counter() + LEFT_S
    while left := what_is_left(work_dir):
        if time.perf_counter() > until_s:
            fault(f"{len(left)} ended containers have left something: {left[0]}")
            break
        await asyncio.sleep(LOOK_S)
    return left


def what_is_left(work_dir: Path) -> list[Path]:
    """What containers have outside their sandboxes: files, and cgroups."""
    runtime = work_dir / "runtime"
    files = (work_dir / "containers", work_dir / "grounds", runtime / "bundles", runtime / "oci")
    found = [path for place in files for path in place.glob("*")]
    own = f"tepui/{digest_of(runtime)}/c-*"
    return [*found, *CGROUPS.glob(f"*/{own}"), *CGROUPS.glob(own)]


class Contained(Waiting):
    """Its tasks run in containers of one image."""

    def __init__(self, port: int, image: str) -> None:
        super().__init__(port, "bench")
        self._image = image

    def contained(self, task_id: str, offer: Offer, command: str, cpus: float, mem: float) -> str:
        """A task in JSON."""
        plain = self.task(task_id, offer.agent_id.value, command, cpus, mem)
        docker = f'{{"type":"DOCKER","docker":{{"name":"{self._image}"}}}}'
        return f'{plain[:-1]},"container":{{"type":"MESOS","mesos":{{"image":{docker}}}}}}}'

    async def whole_offer(self, cpus: float) -> Offer:
        """The next offer with so many cpus: all that the agent has."""
        while True:
            _, offers = await self.next_offers()
            for offer in offers:
                if offer.scalar("cpus") > cpus - CPUS / 2:
                    return offer
            for offer in offers:
                self.decline(offer.id.value)

    def decline(self, offer_id: str) -> None:
        """The offer is wanted again at once, with more."""
        body = f',"decline":{{"offer_ids":[{{"value":"{offer_id}"}}],"filters":{{"refuse_seconds":0}}}}'
        self.calls.post(self.call("DECLINE", body))

    def kill(self, task_id: str, agent_id: str) -> None:
        """The task is to end."""
        body = f',"kill":{{"task_id":{{"value":"{task_id}"}},"agent_id":{{"value":"{agent_id}"}}}}'
        self.calls.post(self.call("KILL", body))


async def run_one(scheduler: Contained, offer: Offer, task_id: str) -> tuple[float, Offer]:
    """One that takes the whole offer: from ACCEPT to TASK_RUNNING, and the offer after its end."""
    cpus, mem = offer.scalar("cpus"), offer.scalar("mem")
    started_s = time.perf_counter()
    task = scheduler.contained(task_id, offer, "sleep 0.05", cpus, mem)
    scheduler.accept([offer.id.value], [task])
    running_s = await scheduler.until(task_id, "TASK_RUNNING")
    await scheduler.until(task_id, "TASK_FINISHED")
    _, offers = await scheduler.next_offers()
    return running_s - started_s, offers[0]


async def run_cycles(scheduler: Contained, offer: Offer, options: Options) -> tuple[float, Offer]:
    """Whole lives of `true`: `at_once` in each ACCEPT, the next when all of them have ended."""
    cpus = offer.scalar("cpus")
    seconds = 0.0
    for begun in range(0, options.cycles, options.at_once):
        names = [f"cycle{begun + number}" for number in range(options.at_once)]
        tasks = [scheduler.contained(name, offer, "true", CPUS, MEM) for name in names]
        started_s = time.perf_counter()
        scheduler.accept([offer.id.value], tasks)
        ended_s = await until_ended(scheduler, set(names))
        seconds += ended_s - started_s
        offer = await scheduler.whole_offer(cpus)
    return seconds, offer


async def run_together(
    scheduler: Contained, running: Cluster, offer: Offer, count: int
) -> Together:
    """All of them run at the same time; then all are killed."""
    names = {f"together{number}" for number in range(count)}
    tasks = [scheduler.contained(name, offer, "sleep 600", CPUS, MEM) for name in sorted(names)]
    started_s = time.perf_counter()
    scheduler.accept([offer.id.value], tasks)
    waiting = set(names)
    at_s = started_s
    while waiting:
        at_s, status = await scheduler.next_update()
        if status.state in TERMINAL:
            raise AssertionError(f"a container ended as {status.state}: {status.message}")
        if status.state == "TASK_RUNNING":
            waiting.discard(status.task_id.value)
    pss_bytes = running.pss_bytes()
    launcher_bytes = sum(map(processes.rss_peak_bytes, running.launchers))
    killed_s = time.perf_counter()
    for name in sorted(names):
        scheduler.kill(name, offer.agent_id.value)
    ended_s = await until_ended(scheduler, names, expected="TASK_KILLED")
    return Together(at_s - started_s, ended_s - killed_s, pss_bytes, launcher_bytes, 0, 0, 0)


async def until_ended(
    scheduler: Contained, names: set[str], expected: str = "TASK_FINISHED"
) -> float:
    """When the last of them had ended."""
    at_s = time.perf_counter()
    while names:
        at_s, status = await scheduler.next_update()
        if status.state in TERMINAL and status.task_id.value in names:
            names.discard(status.task_id.value)
            if status.state != expected:
                fault(f"a container ended as {status.state}: {status.message}")
    return at_s


def bare(directory: Path, count: int) -> list[float]:
    """The same with crun alone: from nothing to the program's first byte, in seconds."""
    layer = directory / "layer"
    unpack(directory, layer)
    place = directory / "bare"
    place.mkdir()
    command = [sys.executable, "-m", "bench.containers_bare", str(place), str(layer), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=BARE_S)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def unpack(directory: Path, layer: Path) -> None:
    """The root of the image as a directory."""
    (layer / "bin").mkdir(parents=True)
    for name in PLACES:
        (layer / name).mkdir()
    shutil.copy2(BUSYBOX, layer / "bin" / "busybox")
    for tool in TOOLS:
        (layer / "bin" / tool).symlink_to("busybox")


def docker(count: int) -> list[float] | None:
    """The same with `docker run` on the host's network; None where there is no Engine."""
    if docker_engine.why_not() or shutil.which("docker") is None:
        return None
    with docker_engine.docker_engine() as engine:
        client = ["docker", "-H", f"unix://{engine.socket}"]
        return [_docker_run(client) for _ in range(count)]


def _docker_run(client: list[str]) -> float:
    program = ["/bin/sh", "-c", "echo reached"]
    command = [*client, "run", "--rm", "--network=host", docker_engine.IMAGE, *program]
    started_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.read(1), "the program was not reached"
        return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
