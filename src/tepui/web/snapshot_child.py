"""What the child of a snapshot does: write the texts, and end without a trace of the parent's business.

A text with several files is made by as many processes, which the child forks in turn. Whoever of
them finds that its parent is no more ends as well.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Final, NoReturn

from msgspec import Struct

from tepui.wire.pieces import Part, gathered, share_of

NICENESS: Final = 5  # schedulers' calls come first
EXIT_FAILED: Final = 70  # EX_SOFTWARE of sysexits.h
STDERR: Final = 2


class Text(Struct, frozen=True):
    """A text, and the files for its shares."""

    parts: Callable[[], Iterable[Part]]
    values: int  # in all shares together, as `share_of` wants to know
    files: Sequence[int]


class Orphaned(Exception):
    """Nobody waits for the text any more."""


def be_child(texts: Sequence[Text], parent: int) -> NoReturn:
    """Called right after the fork, in the child; `parent` has forked it."""

    def write_all() -> None:
        gc.disable()  # a collection would copy every page, and the child does not live long
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.nice(NICENESS)
        _close_all_but(chain.from_iterable(text.files for text in texts))
        for text in texts:
            _write_text(text, parent)

    _end_with(write_all)


def _end_with(work: Callable[[], None]) -> NoReturn:
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


def _write_text(text: Text, parent: int) -> None:
    """All shares are written, or an exception says that they are not."""
    me = os.getpid()
    others: list[int] = []
    for share in range(1, len(text.files)):
        pid = os.fork()
        if pid == 0:
            _end_with(partial(_write_share, text, share, me))
        others.append(pid)
    _write_share(text, 0, parent)
    for pid in others:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != 0:
            raise ChildProcessError(f"a share of the text was not made: exit {code}")


def _write_share(text: Text, share: int, parent: int) -> None:
    file = text.files[share]
    for piece in gathered(share_of(text.parts(), text.values, share, len(text.files))):
        if os.getppid() != parent:
            raise Orphaned
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(file, rest) :]


def _close_all_but(files: Iterable[int]) -> None:
    """Sockets above all: a client would not see its connection end while the child has it."""
    first = STDERR + 1
    for file in sorted(files):
        os.closerange(first, file)
        first = file + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
