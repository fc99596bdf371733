"""The processes that a command has started, and all that these start in turn.

This process makes itself the parent of orphans (PR_SET_CHILD_SUBREAPER): whatever its children
leave behind, in sessions of their own too, stays among its descendants and can be ended with them.

Source: prctl(2), proc(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

PR_SET_CHILD_SUBREAPER = 36
KILLED_S_MAX = 5.0  # for a killed process to be gone
KILLED_RETRY_S = 0.005
ASKED_S_MAX = 1.0  # for a process that was asked to end; then it is killed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Child(Struct):
    """A process that was started; `status` is its exit code once it has ended."""

    name: str
    pid: int
    log: Path
    status: int | None = None  # below zero: the signal that ended it

    def end_text(self) -> str:
        """How it ended, in words."""
        assert self.status is not None
        if self.status < 0:
            return f"was ended by signal {signal.Signals(-self.status).name}"
        return f"ended with exit code {self.status}"


class Children:
    """Starts processes, waits for what happens to them, and ends them. One at a time in a process."""

    def __init__(self) -> None:
        self.all: list[Child] = []
        self.asked_to_end: list[int] = []  # signals that have come
        self._waker, self._woken = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: self.asked_to_end.append(number))

    def start(self, name: str, command: Sequence[str], log: Path) -> Child:
        """Start a process whose output goes to `log`, in a process group of its own.

        So a Ctrl-C on the terminal reaches this process alone, which then ends them in order.
        """
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        child = Child(name, process.pid, log)
        process.returncode = 0  # `reap` waits for it: the object must not
        self.all.append(child)
        return child

    def adopt_orphans(self) -> None:
        """From now on, what loses its parent below this process becomes its child."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl PR_SET_CHILD_SUBREAPER")

    def wait(self, timeout_s: float | None) -> None:
        """Return when a signal has come, a process has ended, or the time has passed."""
        select.select([self._waker], [], [], timeout_s)
        with contextlib.suppress(BlockingIOError):
            os.read(self._waker, 4096)
        self.reap()

    def reap(self) -> None:
        """Take note of the processes that have ended."""
        by_pid = {child.pid: child for child in self.all}
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid in by_pid:
                    by_pid[pid].status = os.waitstatus_to_exitcode(status)

    def end(self, children: Sequence[Child], number: signal.Signals, timeout_s: float) -> None:
        """Have `children` end by a signal, and kill those that take longer than `timeout_s`.

        A further Ctrl-C shortens the wait.
        """
        so_far = len(self.asked_to_end)
        self._send(children, number)
        self._wait_until(
            lambda: (
                all(child.status is not None for child in children)
                or len(self.asked_to_end) > so_far
            ),
            timeout_s,
        )
        self._send(children, signal.SIGKILL)
        self._wait_until(lambda: all(child.status is not None for child in children), KILLED_S_MAX)

    def end_descendants(self, except_for: Sequence[Child]) -> bool:
        """End whatever runs below this process, until nothing new shows; False: some stayed.

        They are asked first: a launcher whose agent was killed still tidies up.
        """
        spared = {child.pid for child in except_for}
        asked: set[int] = set()
        started = time.monotonic()
        while found := descendants(os.getpid(), spared):
            elapsed_s = time.monotonic() - started
            if elapsed_s > ASKED_S_MAX + KILLED_S_MAX:
                return False
            number = signal.SIGKILL if elapsed_s > ASKED_S_MAX else signal.SIGTERM
            for pid in found:
                if number == signal.SIGKILL or pid not in asked:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            asked.update(found)
            self.wait(KILLED_RETRY_S)
        return True

    def close(self) -> None:
        """Give signals back their usual meaning."""
        signal.set_wakeup_fd(-1)
        for number in (*SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(self._waker)
        os.close(self._woken)

    def _send(self, children: Sequence[Child], number: signal.Signals) -> None:
        self.reap()
        for child in children:
            if child.status is None:  # not waited for: its pid is still its own
                os.kill(child.pid, number)

    def _wait_until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_done() and (left_s := deadline - time.monotonic()) > 0:
            self.wait(left_s)


def descendants(root: int, spared: set[int]) -> list[int]:
    """The processes below `root` that have not ended, without `spared` ones and those below them."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                # The name of the program stands in parentheses and may hold any character.
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                state, parent = fields[0], int(fields[1])
                if state not in "ZX":
                    children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = [pid for pid in children.get(waiting.pop(), []) if pid not in spared]
        found += below
        waiting += below
    return found
