"""Masters that are killed, their ZooKeeper, and when each became what, as their logs say."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from bench import processes
from bench.faults import POLL_S
from tests.real.zookeeper import Unavailable, ZooKeeper, command

PATH = "/mesos"
LOGGED_S = 60.0  # a master has logged what it is waited for by then
ELECTED = "election_leading"
READ = "registry_read"
LEADING = " leading "


class Master:
    """One process, which has a name of its own for each time that it is started."""

    def __init__(self, name: str, port: int, pid: int, log: Path, started_s: float) -> None:
        self.name = name
        self.port = port
        self.pid = pid
        self.started_s = started_s  # of `time.monotonic`, as all times here
        self._log = log

    async def logged(self, word: str) -> float:
        """When it first logged that, to the millisecond; return when it has."""
        until_s = time.monotonic() + LOGGED_S
        while (at_s := self.when(word)) is None:
            assert time.monotonic() < until_s, f"{self.name} has not logged '{word}'"
            await asyncio.sleep(POLL_S)
        return at_s

    def when(self, word: str) -> float | None:
        """The same; None when it has not."""
        with self._log.open() as lines:
            line = next((line for line in lines if word in line and line.endswith("\n")), None)
        if line is None:
            return None
        logged_s = datetime.fromisoformat(line.partition(" ")[0]).timestamp()
        return logged_s - (time.time() - time.monotonic())


@contextlib.contextmanager
def master(
    name: str,
    port: int,
    directory: Path,
    *flags: str,
    end: signal.Signals = signal.SIGKILL,
    profile: tuple[str, Path] | None = None,
) -> Iterator[Master]:
    """A master, ended with the block as by `kill -9`; return when its port is open."""
    log = directory / f"{name}.log"
    arguments = processes.tepui("master", f"--port={port}", *flags, profile=profile)
    started_s = time.monotonic()
    with processes.started(arguments, log, end) as pid:
        processes.wait_for_port(port, pid)
        yield Master(name, port, pid, log, started_s)


@contextlib.contextmanager
def zookeeper(directory: Path) -> Iterator[str]:
    """The URL for masters and agents of a ZooKeeper of one server."""
    with ZooKeeper(directory) as server:
        yield server.url(PATH)


def why_no_zookeeper() -> str | None:
    """Why there is none here; None: there is."""
    try:
        command()
    except Unavailable as reason:
        return str(reason)
    return None
