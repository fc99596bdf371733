"""Children by fork: how they end, what they keep, and that nothing is left of them."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from functools import partial

import pytest

from tepui.base.forking import EXIT_FAILED, Child, Orphaned, end_with, fork, leave_parent

pytestmark = pytest.mark.real

ENDS_S = 20


def started(work: Callable[[], None]) -> Child:
    if (pid := fork()) == 0:
        end_with(work)
    return Child(pid)


def code_of(child: Child) -> int:
    """How it ends; nothing of it is left."""
    assert select.select([child.handle], [], [], ENDS_S)[0], "it does not end"
    code = child.reap()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    return code


def fail() -> None:
    raise ValueError("no good")


def orphaned() -> None:
    raise Orphaned


def test_the_exit_status_says_whether_the_work_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of(started(lambda: None)) == 0
    assert code_of(started(orphaned)) == EXIT_FAILED
    assert capfd.readouterr().err == ""
    assert code_of(started(fail)) == EXIT_FAILED
    assert "ValueError: no good" in capfd.readouterr().err


def test_one_that_is_killed_is_reaped_at_once() -> None:
    child = started(signal.pause)
    child.kill()
    assert child.reap() == -signal.SIGKILL


def test_one_that_cannot_be_watched_is_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    pid = fork()
    if pid == 0:
        end_with(signal.pause)

    def too_few(pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", too_few)
    with pytest.raises(OSError, match="Too many"):
        Child(pid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_of_what_is_open_it_keeps_what_it_works_on() -> None:
    kept, other = os.memfd_create("kept"), os.memfd_create("other")

    def work(file: int) -> None:
        leave_parent([kept])
        os.fstat(file)

    assert code_of(started(partial(work, kept))) == 0
    assert code_of(started(partial(work, other))) == EXIT_FAILED
    for file in (kept, other):
        os.close(file)
