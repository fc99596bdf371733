"""Finds the container of a task, and the agent that has it."""

from __future__ import annotations

import re
import uuid

import click
from msgspec import Struct

from tepui.cli.connect import find_task, get_cluster
from tepui.cli.logs import agent_address
from tepui.sdk import is_terminal
from tepui.sdk.reach import nested_id
from tepui.wire import mesos

_FORWARD = re.compile(r"(?:(\d+):)?(\d+)")


class Inside(Struct, frozen=True):
    """Where a task runs."""

    task: mesos.Task
    address: str  # of its agent
    container_id: mesos.ContainerID

    def new_session(self) -> mesos.ContainerID:
        """An id for a session in it, unlike any other."""
        return nested_id(self.container_id, uuid.uuid4().hex)


def find_inside(master: str, given: str, framework: str | None) -> Inside:
    """Where the task runs; says so when it does not."""
    cluster = get_cluster(master)
    task = find_task(cluster, given, framework)
    if is_terminal(task.state):
        state = task.state.value.removeprefix("TASK_")
        raise click.ClickException(f"task '{task.task_id.value}' has already ended ({state})")
    for status in reversed(task.statuses):
        told = status.container_status
        if told is not None and told.container_id is not None:
            return Inside(task, agent_address(cluster, task), told.container_id)
    raise click.ClickException(f"task '{task.task_id.value}' does not run yet")


def ports_of(given: str) -> tuple[int, int]:
    """Local and remote port of `[LOCAL:]REMOTE`; a local 0 is any."""
    found = _FORWARD.fullmatch(given)
    if found is None:
        raise click.BadParameter(f"'{given}' is no [LOCAL:]REMOTE port")
    remote = int(found[2])
    local = remote if found[1] is None else int(found[1])
    if not 1 <= remote <= 65_535 or local > 65_535:
        raise click.BadParameter(f"a port is at most 65535, not '{given}'")
    return local, remote
