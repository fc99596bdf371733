"""Children by `fork`: each has what its parent knew at that moment, does its work, and ends.

    if (pid := fork()) == 0:
        end_with(work)               # which calls `leave_parent` first
    child = Child(pid)               # or OSError, and there is none
    loop.add_reader(child.handle, ended)
    ...
    code = child.reap()              # when it has ended, or after `kill`

A child of a process with threads must not use what they hold: no loop, no log, no lock of theirs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Final, NoReturn

NICENESS: Final = 5  # what the parent does comes first
EXIT_FAILED: Final = 70  # EX_SOFTWARE of sysexits.h
STDERR: Final = 2


class Orphaned(Exception):
    """The parent is no more: nobody waits for the work."""


class Child:
    """A child at work, as its parent sees it."""

    def __init__(self, pid: int) -> None:
        """Raises OSError when it can't be watched; then it is no more."""
        self.pid = pid
        try:
            self.handle = os.pidfd_open(pid)  # readable when it has ended
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

    def kill(self) -> None:
        """It ends at once, if it has not; that is seen like any other end."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def reap(self) -> int:
        """The exit code of the child, which has ended or was killed; nothing is left of it."""
        os.close(self.handle)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork() -> int:
    """The child's id; 0 in the child, which calls `end_with`. Raises OSError."""
    with warnings.catch_warnings():
        # Python warns of threads, whose locks may be held in the child: it uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def leave_parent(files: Iterable[int] = ()) -> None:
    """In the child: signals, sockets and the parent's other business are none of it any more.

    Of what is open `files` and the standard streams stay.
    """
    gc.disable()  # a collection would copy every page, and the child does not live long
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    os.nice(NICENESS)
    _close_all_but(files)


def end_with(work: Callable[[], None]) -> NoReturn:
    """Do the work and end; what goes wrong is said on stderr and by the exit status."""
    status = EXIT_FAILED
    try:
        work()
        status = 0
    except Orphaned:
        pass
    except BaseException:
        with contextlib.suppress(BaseException):
            os.write(STDERR, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _close_all_but(files: Iterable[int]) -> None:
    """Sockets above all: a client would not see its connection end while the child has it."""
    first = STDERR + 1
    for file in sorted(files):
        os.closerange(first, file)
        first = file + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
