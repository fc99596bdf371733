"""Reaps whatever has ended below the launcher: main processes, and orphans of any container."""

from __future__ import annotations

import os

from . import tree

STRANGERS_MAX = 10_000  # ended processes of which one may turn out to be a container's first


class Reaper:
    """The first process of a runtime's container may end before it is known whose it is: such are kept."""

    __slots__ = ("_strangers",)

    def __init__(self) -> None:
        self._strangers: dict[int, tuple[int, bool]] = {}  # by pid: status, whether it executed

    def next_ended(self, *, looks: bool) -> tuple[int, int, bool] | None:
        """Reap one process; return its pid, its status, and whether it became a program.

        None when none is left. The last is known only before a process is reaped: it is only `looks`ed at
        where it matters, while a runtime is at work.
        """
        try:
            if not looks:
                pid, status = os.waitpid(-1, os.WNOHANG)
                return (pid, status, True) if pid else None
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return None
            executed = tree.has_executed(found.si_pid)
            return *os.waitpid(found.si_pid, 0), executed
        except ChildProcessError:
            return None

    def keep(self, pid: int, wait_status: int, *, executed: bool) -> None:
        """It may be the first process of a container whose runtime has not ended yet."""
        if len(self._strangers) >= STRANGERS_MAX:
            self._strangers.pop(next(iter(self._strangers)))
        self._strangers[pid] = (wait_status, executed)

    def taken(self, pid: int) -> tuple[int, bool] | None:
        """Return how a process ended that was kept, and keep it no longer."""
        return self._strangers.pop(pid, None)

    def forget(self) -> None:
        """No runtime is at work: nothing kept can be anybody's."""
        self._strangers.clear()
