"""Executors see of every resource which role it is allocated to."""

from __future__ import annotations

from tepui.agent.core.allocated import allocated_task
from tepui.wire import mesos


def resource(role: str | None) -> mesos.Resource:
    return mesos.Resource(
        name="cpus",
        type=mesos.Value.Type.SCALAR,
        scalar=mesos.Value.Scalar(value=1.0),
        allocation_info=None if role is None else mesos.Resource.AllocationInfo(role=role),
    )


def task(role: str | None) -> mesos.TaskInfo:
    return mesos.TaskInfo(
        name="t",
        task_id=mesos.TaskID("t"),
        agent_id=mesos.AgentID("a"),
        resources=(resource(role),),
        executor=mesos.ExecutorInfo(
            executor_id=mesos.ExecutorID("e"), resources=(resource(role), resource(role))
        ),
    )


def test_all_resources_of_a_task_and_its_executor_name_their_role() -> None:
    assert allocated_task(task(None), "web") == task("web")


def test_a_task_without_an_executor_of_its_own_stays_so() -> None:
    plain = mesos.TaskInfo(
        name="t", task_id=mesos.TaskID("t"), agent_id=mesos.AgentID("a"), resources=()
    )
    assert allocated_task(plain, "web") == plain
