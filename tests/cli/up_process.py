"""A cluster for tests: `tepui up` as a process of its own, and the command line against it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tepui.cli.ports import free_range

TEPUI = [sys.executable, "-m", "tepui.cli.main"]
READY_S_MAX = 30.0
END_S_MAX = 30.0
RUN_S_MAX = 60.0
COLUMNS = "200"


class UpProcess:
    """`tepui up`, ready when the constructor returns."""

    def __init__(self, work_dir: Path, agents: int = 1, *options: str) -> None:
        port = free_range("127.0.0.1", 20_000 + os.getpid() % 20_000, agents + 1)
        self.master = f"127.0.0.1:{port}"
        self.work_dir = work_dir
        self.process = subprocess.Popen(
            [
                *TEPUI,
                "up",
                f"--agents={agents}",
                f"--port={port}",
                f"--work-dir={work_dir}",
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.welcome = self._first_lines()

    def _first_lines(self) -> str:
        """What it says when it is ready: up to the line about Ctrl-C."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + READY_S_MAX
        found = b""
        file = self.process.stdout.fileno()
        while b"Ctrl-C" not in found:
            ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(file, 4096) if ready else b""
            if not piece:
                self.process.kill()
                raise AssertionError(f"not ready: {self.process.communicate()}")
            found += piece
        return found.decode()

    def descendants(self) -> list[psutil.Process]:
        """All processes below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Its exit code and what it said on stderr."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """The same, when it ends without being told to."""
        _, err = self.process.communicate(timeout=END_S_MAX)
        return self.process.returncode, err

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the command line against this cluster."""
        return subprocess.Popen(
            [*TEPUI, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TEPUI_MASTER": self.master, "COLUMNS": COLUMNS},
        )

    def tepui(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of the command line against this cluster."""
        return finished(self.start(*arguments))


def finished(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Wait for the end of a process: its exit code, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=RUN_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out.decode(), err.decode()


def read_until(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """What the process writes to stdout, up to `text`."""
    assert process.stdout is not None
    deadline = time.monotonic() + RUN_S_MAX
    found = b""
    file = process.stdout.fileno()
    while text not in found:
        ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(file, 65_536) if ready else b""
        assert piece, f"no {text!r} in {found!r}"
        found += piece
    return found
