"""Every recorded LAUNCH and LAUNCH_GROUP gets the answer that was recorded.

Each case of `launch-validation.json` has the `operations` of one ACCEPT and the texts of the
TASK_ERRORs that came back, by task id; a task without one passes. `malformed`: the call cannot
even be decoded. `known`, `executors`, `offered`, `role`: what was there before, unless usual.
`differs`: where the answer is deliberately not that of Mesos, and why.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tepui.master.core.validation import (
    LaunchContext,
    completed_group,
    completed_task,
    operation_error,
    task_error,
    task_group_error,
)
from tepui.resources import Resources, parse_resources
from tepui.wire import mesos, scheduler
from tepui.wire.errors import Malformed
from tepui.wire.json import decode

OFFERED = "ports:[31000-32000];cpus:4;mem:4096;disk:10240"
CASES_MIN = 170


class Case(msgspec.Struct, kw_only=True):
    name: str
    operations: msgspec.Raw
    errors: dict[str, list[str]] = {}
    malformed: str | None = None
    known: tuple[str, ...] = ()
    executors: dict[str, msgspec.Raw] = {}
    offered: str = OFFERED
    role: str = "web"
    differs: str | None = None


CASES = msgspec.json.decode(
    (Path(__file__).parents[2] / "data" / "launch-validation.json").read_bytes(),
    type=list[Case],
)


def call_of(case: Case) -> scheduler.Call:
    body = (
        b'{"type": "ACCEPT", "framework_id": {"value": "framework"}, "accept": {"operations": '
        + bytes(case.operations)
        + b"}}"
    )
    return decode(scheduler.Call, body)


class Accept:
    """What a master remembers while it goes through the operations of one ACCEPT."""

    def __init__(self, case: Case) -> None:
        self.role = case.role
        self.offered = parse_resources(case.offered)
        self.known = set(case.known)
        self.executors = {
            executor_id: decode(mesos.ExecutorInfo, bytes(raw))
            for executor_id, raw in case.executors.items()
        }
        self.errors: dict[str, list[str]] = {}

    def context(self) -> LaunchContext:
        return LaunchContext(
            framework_id="framework",
            agent_id="agent",
            role=self.role,
            offered=self.offered,
            task_known=self.known.__contains__,
            executors=self.executors,
        )

    def run(self, operation: mesos.Offer.Operation) -> None:
        if operation.type is mesos.Offer.Operation.Type.LAUNCH and operation.launch:
            self.launch(operation, operation.launch)
        elif operation.launch_group:
            self.launch_group(operation, operation.launch_group)

    def launch(
        self, operation: mesos.Offer.Operation, launch: mesos.Offer.Operation.Launch
    ) -> None:
        whole = operation_error(operation)
        for sent in launch.task_infos:
            task = completed_task(sent, "framework")
            if error := whole or task_error(task, self.context()):
                self.refuse(task, error)
            else:
                self.start(task)

    def launch_group(
        self, operation: mesos.Offer.Operation, launch: mesos.Offer.Operation.LaunchGroup
    ) -> None:
        group = completed_group(launch.task_group, launch.executor)
        error = operation_error(operation) or task_group_error(
            group, launch.executor, self.context()
        )
        for task in group.tasks:
            if error:
                self.refuse(task, error)
            else:
                self.start(task)

    def start(self, task: mesos.TaskInfo) -> None:
        self.known.add(task.task_id.value)
        taken = Resources.of(task.resources)
        executor = task.executor
        if executor and executor.executor_id.value not in self.executors:
            self.executors[executor.executor_id.value] = executor
            taken += Resources.of(executor.resources)
        self.offered -= taken

    def refuse(self, task: mesos.TaskInfo, text: str) -> None:
        self.errors.setdefault(task.task_id.value, []).append(text)


def test_all_cases_are_there() -> None:
    assert len(CASES) >= CASES_MIN


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_launch_is_answered_as_recorded(case: Case) -> None:
    if case.malformed is not None:
        with pytest.raises(Malformed) as refused:
            call_of(case)
        assert refused.value.text == case.malformed
        return
    call = call_of(case)
    assert call.accept is not None
    accept = Accept(case)
    for operation in call.accept.operations:
        accept.run(operation)
    assert accept.errors == case.errors
