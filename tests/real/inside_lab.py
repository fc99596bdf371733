"""The command line that goes into tasks which run, each in every runtime there is.

`held` has tasks run meanwhile; `cli` and `started` are the command line; `session_traces` is what it has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from msgspec import Struct

from tepui.sdk import SchedulerClient, framework_info
from tepui.wire import mesos
from tests.cli.up_process import TEPUI
from tests.real.container_lab import Lab, Scheduler
from tests.real.docker_lab import DockerLab

RUN_S = 90.0  # for one command, and for tasks to run
NEVER_S = 1e6
SESSION = b"TEPUI_SESSION="  # marks what Docker Engine runs for a session


class Done(Struct, frozen=True):
    """A command that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """What it wrote to stdout."""
        return self.out.decode()


def cli(lab: Lab, *words: str, stdin: bytes | None = None) -> Done:
    """The command line's end; without stdin it has none."""
    done = subprocess.run(
        [*TEPUI, *words],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=RUN_S,
        check=False,
        env=environment(lab),
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


@contextmanager
def started(
    lab: Lab, *words: str, stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """The command line at work; it is ended with the block, if it has not."""
    process = subprocess.Popen(
        [*TEPUI, *words],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(lab),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(RUN_S)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def environment(lab: Lab) -> Mapping[str, str]:
    """Of the command line."""
    return {**os.environ, "TEPUI_MASTER": lab.cluster.master_address, "COLUMNS": "200"}


@contextmanager
def held(lab: Lab, *tasks: mesos.TaskInfo) -> Iterator[Scheduler]:
    """The tasks run in the block, and have ended after it; their framework lives in a thread."""
    ready, over = threading.Event(), threading.Event()
    found: list[Scheduler] = []
    faults: list[BaseException] = []

    async def hold() -> None:
        info = framework_info("inside")
        async with SchedulerClient(lab.cluster.master_address, info) as client:
            scheduler = Scheduler(client, lab)
            try:
                async with asyncio.timeout(RUN_S):
                    await scheduler.running(*tasks)
                found.append(scheduler)
                ready.set()
                declining = asyncio.create_task(decline_all(scheduler))
                await asyncio.to_thread(over.wait)
                declining.cancel()
                await asyncio.gather(declining, return_exceptions=True)
            finally:
                await client.teardown()

    async def decline_all(scheduler: Scheduler) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                offer = await scheduler.offer()
                await scheduler.client.decline(offer, refuse_seconds=NEVER_S)

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as error:  # told in the test's own thread
            faults.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="framework")
    thread.start()
    try:
        ready.wait()
        if not found:
            raise AssertionError("the tasks do not run") from faults[0]
        yield found[0]
    finally:
        over.set()
        thread.join(RUN_S)


def session_traces(lab: Lab) -> set[str]:
    """What there is of sessions in containers of Docker, besides what `traces` tells."""
    found = set()
    if isinstance(lab, DockerLab):
        for group in Path("/sys/fs/cgroup/pids", lab.engine.cgroup).glob("**/cgroup.procs"):
            for pid in group.read_text().split():
                with contextlib.suppress(OSError):
                    if SESSION in Path("/proc", pid, "environ").read_bytes():
                        found.add(f"session {pid}")
    return found


def pids_of(command: str) -> list[int]:
    """Processes of this machine whose command is this, its words joined by blanks."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if " ".join(one.cmdline()) == command:
                found.append(one.pid)
    return found
