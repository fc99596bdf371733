"""Whether what the master says can be true; a master that says what cannot be is left at once.

A master has checked every task before it sends it, so this is no second judgement: what passes here
can be carried out and reported, and sums over it never fail later.
"""

from __future__ import annotations

import re

from tepui.base.errors import Refused
from tepui.resources import Resources
from tepui.resources.validation import validate_id
from tepui.wire import link, mesos

_is_plain = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.:\-]{0,200}").fullmatch  # most pass at once


def fault_of(message: link.FromMaster) -> str | None:
    """What is wrong with the message; None: nothing."""
    match message:
        case link.RunTasks():
            return _tasks_fault(message)
        case link.UpdateFramework(framework=framework) if framework.id is None:
            return "a framework without an id"
        case _:
            return None


def _tasks_fault(message: link.RunTasks) -> str | None:
    if message.framework.id is None:
        return "tasks of a framework without an id"
    ids = {task.task_id.value for task in message.tasks}
    if not ids or len(ids) < len(message.tasks):
        return f"{len(message.tasks)} tasks with {len(ids)} ids"
    if message.group and message.executor is None:
        return f"a group with task '{message.tasks[0].task_id.value}' and without an executor"
    for task in message.tasks:
        if message.executor is None and task.command is None:
            return f"task '{task.task_id.value}' without a command and without an executor"
        for check in (task.health_check, task.check):
            if check is not None and not _says_what_to_probe(check):
                return f"task '{task.task_id.value}' with a check of nothing"
    try:
        _check_id(message.framework.id.value)
        for task in message.tasks:
            _check_id(task.task_id.value)
            Resources.of(task.resources)
        if message.executor is not None:
            _check_id(message.executor.executor_id.value)
            Resources.of(message.executor.resources)
    except Refused as refused:
        return refused.text
    return None


def _check_id(text: str) -> None:
    """Raises Refused for what cannot be the name of a directory, and of what is saved."""
    if not _is_plain(text):
        validate_id(text)


def _says_what_to_probe(check: mesos.HealthCheck | mesos.CheckInfo) -> bool:
    if check.type is None or check.type.value not in ("COMMAND", "HTTP", "TCP"):
        return False
    return getattr(check, check.type.value.lower()) is not None
