"""The shell of the master."""

from __future__ import annotations

from typing import get_args

from tepui.master.core.actions import Action
from tepui.master.daemon.shell import Shell
from tepui.web.event_streams import EventStreams
from tepui.web.requests import Requests
from tepui.web.snapshots import Snapshots


def test_the_shell_can_do_everything_that_the_core_may_ask_for() -> None:
    shell = Shell(Requests(), EventStreams(), {}, Snapshots(lambda question: (), lambda: None))
    assert shell.can_do == frozenset(get_args(Action))
