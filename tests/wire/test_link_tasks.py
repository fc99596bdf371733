"""Tasks in short are the same tasks: whatever an agent has, the master reads it as it was."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tepui.wire import link, mesos
from tepui.wire.link_tasks import reported
from tests.wire.at_length import at_length, in_full

Status = mesos.TaskStatus
TaskState = mesos.TaskState

AGENT_ID = mesos.AgentID("S1")
CONTAINER = mesos.ContainerStatus(container_id=mesos.ContainerID(value="c"), executor_pid=7)
OTHER = mesos.ContainerStatus(container_id=mesos.ContainerID(value="d"))
ID = mesos.TaskID("web.1")
STATUS = Status(
    task_id=ID,
    state=TaskState.TASK_RUNNING,
    source=Status.Source.SOURCE_EXECUTOR,
    agent_id=AGENT_ID,
    executor_id=mesos.ExecutorID("web.1"),
    timestamp=1.5,
    uuid=b"u",
    container_status=CONTAINER,
)
TASK = mesos.Task(
    name="web",
    task_id=ID,
    framework_id=mesos.FrameworkID("f"),
    agent_id=AGENT_ID,
    state=TaskState.TASK_RUNNING,
    resources=(
        mesos.Resource(
            name="cpus", type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(value=0.1)
        ),
    ),
    statuses=(STATUS,),
    status_update_state=TaskState.TASK_RUNNING,
    status_update_uuid=b"u",
)


def with_statuses(*statuses: mesos.TaskStatus) -> mesos.Task:
    return replace(TASK, statuses=statuses)


@pytest.mark.parametrize(
    "task",
    [
        TASK,
        with_statuses(),
        with_statuses(replace(STATUS, state=TaskState.TASK_STAGING, container_status=None), STATUS),
        with_statuses(replace(STATUS, container_status=OTHER), STATUS),
        with_statuses(replace(STATUS, executor_id=None, source=Status.Source.SOURCE_AGENT)),
        with_statuses(replace(STATUS, executor_id=mesos.ExecutorID("another"))),
        with_statuses(replace(STATUS, healthy=False, uuid=None, timestamp=None)),
        with_statuses(
            replace(
                STATUS,
                message="out of memory",
                reason=Status.Reason.REASON_CONTAINER_LIMITATION_MEMORY,
            )
        ),
        with_statuses(replace(STATUS, labels=mesos.Labels(labels=(mesos.Label(key="k"),)))),
        replace(TASK, executor_id=mesos.ExecutorID("own"), status_update_uuid=None),
        replace(
            with_statuses(replace(STATUS, executor_id=mesos.ExecutorID("own"))),
            executor_id=mesos.ExecutorID("own"),
        ),
        replace(
            TASK,
            labels=mesos.Labels(labels=(mesos.Label(key="team", value="web"),)),
            discovery=mesos.DiscoveryInfo(visibility=mesos.DiscoveryInfo.Visibility.CLUSTER),
            container=mesos.ContainerInfo(type=mesos.ContainerInfo.Type.MESOS),
            health_check=mesos.HealthCheck(delay_seconds=3.0),
            kill_policy=mesos.KillPolicy(),
            user="nobody",
            limits={"mem": mesos.Value.Scalar(value=64.0)},
        ),
    ],
)
def test_a_task_in_short_is_the_same_task(task: mesos.Task) -> None:
    alike, tasks = reported([task])
    assert at_length(AGENT_ID, alike, tasks) == (task,)


def test_it_is_the_same_after_its_way_over_the_link() -> None:
    info = mesos.AgentInfo(hostname="h", id=AGENT_ID)
    said = link.Reregister(info, "1", "h:1", (), (), (TASK, with_statuses()))
    reader = link.LinkReader()
    (heard,) = reader.from_agent(link.frame(link.in_short(said)))
    assert isinstance(heard, link.Return)
    assert in_full(heard) == said


def test_what_instances_of_a_service_have_alike_is_said_once() -> None:
    tasks = [
        replace(TASK, name=name, task_id=mesos.TaskID(f"{name}.{number}"))
        for number in range(3)
        for name in ("web", "db")
    ]
    alike, short = reported(tasks)
    assert [one.name for one in alike] == ["web", "db"]
    assert [one.number for one in short] == [0, 1, 0, 1, 0, 1]


def test_a_status_with_what_most_say_repeats_no_id() -> None:
    _, (short,) = reported([with_statuses(STATUS, replace(STATUS, healthy=True))])
    said = msgspec.msgpack.encode(short)
    assert (said.count(b"web.1"), said.count(b"S1")) == (1, 0)
