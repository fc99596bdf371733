"""An executor of its own program, over HTTP."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from msgspec import structs

from tepui.wire import link, mesos
from tests.agent.daemon.fake_master import command_task, run_task, running_agent

pytestmark = pytest.mark.real

PROGRAM = Path(__file__).with_name("tiny_executor.py")


def executor_task(task_id: str, what: str, command: str | None = None) -> mesos.TaskInfo:
    task = command_task(task_id, "")
    info = mesos.ExecutorInfo(
        type=mesos.ExecutorInfo.Type.CUSTOM,
        executor_id=mesos.ExecutorID("ex"),
        command=mesos.CommandInfo(value=command or f"{sys.executable} {PROGRAM}"),
        resources=task.resources,
    )
    return structs.replace(task, command=None, executor=info, data=what.encode())


def names(statuses: list[mesos.TaskStatus]) -> list[str]:
    return [status.state.name for status in statuses]


def test_an_executor_lives_through_its_tasks_until_it_is_shut_down() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, _):
            master.send(run_task(executor_task("a", "wait")))
            assert names(await master.updates("a", 1)) == ["TASK_RUNNING"]
            master.send(run_task(executor_task("b", "finish")))
            assert names(await master.updates("b", 2)) == ["TASK_RUNNING", "TASK_FINISHED"]
            master.send(link.SchedulerMessage("F", "ex", b"hello"))
            reply = await master.see(link.ExecutorMessage)
            assert reply == link.ExecutorMessage("F", "ex", b"hello")
            master.send(link.KillTask("F", "a", None))
            (_, killed) = await master.updates("a", 2)
            assert killed.state is mesos.TaskState.TASK_KILLED
            assert killed.container_status is not None
            master.send(link.ShutdownExecutor("F", "ex"))
            exited = await master.see(link.ExecutorExited)
            assert exited == link.ExecutorExited("F", "ex", 0, built_in=False)

    asyncio.run(scenario())


def test_an_executor_that_exits_fails_its_tasks() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, _):
            master.send(run_task(executor_task("a", "exit")))
            statuses = await master.updates("a", 2)
            assert names(statuses) == ["TASK_RUNNING", "TASK_FAILED"]
            assert statuses[1].message == "Executor terminated"
            exited = await master.see(link.ExecutorExited)
            assert exited.status == 7 << 8

    asyncio.run(scenario())


def test_an_executor_that_never_subscribes_is_ended() -> None:
    async def scenario() -> None:
        async with running_agent(executor_registration_timeout_ms=200) as (master, _):
            master.send(run_task(executor_task("a", "", "sleep 1000")))
            (status,) = await master.updates("a", 1)
            assert status.message == "Executor did not register within 200ms"
            exited = await master.see(link.ExecutorExited)
            assert exited.status == 9

    asyncio.run(scenario())


def test_tasks_and_updates_survive_the_loss_of_the_link() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, _):
            master.acknowledges = False
            master.send(run_task(executor_task("a", "wait")))
            (status,) = await master.updates("a", 1)
            master.break_link()
            again = await master.see(link.Return)
            assert [one.task_id for one in again.tasks] == ["a"]
            assert [one.info.executor_id.value for one in again.executors] == ["ex"]
            resent = await master.see(link.StatusUpdated, 2)
            assert resent.status == status

    asyncio.run(scenario())
