"""The examples as users start them, against a small master and agent."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tepui.wire import executor, mesos, scheduler
from tepui.wire.mesos import TaskState
from tests.sdk.fake_master import FakeAgent, fake_master, offer, offers, update
from tests.sdk.test_execution import SHUTDOWN
from tests.sdk.test_executor import fake_agent, state_of_next_update
from tests.sdk.test_scheduler import within_deadline

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
Type = scheduler.Call.Type


async def start(
    script: str, *arguments: str, env: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "examples" / script),
        *arguments,
        env=os.environ | {"PYTHONPATH": path} | (env or {}),
        stdout=asyncio.subprocess.PIPE,
    )


def launched(call: scheduler.Call) -> list[mesos.TaskInfo]:
    assert call.accept is not None
    return [t for o in call.accept.operations if o.launch for t in o.launch.task_infos]


def test_the_first_scheduler_runs_its_commands_and_ends() -> None:
    async def test() -> None:
        async with fake_master() as master:
            running = await start("first_scheduler.py", "--master", master.address, "--tasks", "2")
            stream = await master.next_stream()
            await stream.send(offers(offer()))
            tasks = launched(await master.next_call(Type.ACCEPT))
            assert [task.command.value for task in tasks if task.command] == [
                "echo I am echo-2",
                "echo I am echo-1",
            ]
            for number, task in enumerate(tasks):
                uuid = number.to_bytes(16, "big")
                await stream.send(update(task.task_id.value, TaskState.TASK_FINISHED, uuid))
            await master.next_call(Type.TEARDOWN)
            output, _ = await running.communicate()
            assert running.returncode == 0
            assert output.split(b"\n")[0].strip() == b"echo-2 TASK_FINISHED"

    within_deadline(test())


def test_scheduler_and_executor_exchange_messages() -> None:
    async def test() -> None:
        async with fake_master() as master, fake_agent() as agent:
            running = await start("with_executor/scheduler.py", "--master", master.address, "tepui")
            stream = await master.next_stream()
            await stream.send(offers(offer()))
            (task,) = launched(await master.next_call(Type.ACCEPT))
            assert task.executor is not None
            assert task.executor.command is not None
            served = await start("with_executor/executor.py", env=environment(agent))
            await agent.next_subscription()
            launch = executor.Event.Launch(task=task)
            await agent.send(executor.Event(type=executor.Event.Type.LAUNCH, launch=launch))
            assert await state_of_next_update(agent) is TaskState.TASK_RUNNING
            status = mesos.TaskStatus(
                task_id=task.task_id,
                state=TaskState.TASK_RUNNING,
                agent_id=task.agent_id,
                executor_id=task.executor.executor_id,
                uuid=b"1" * 16,
            )
            told = scheduler.Event.Update(status=status)
            await stream.send(scheduler.Event(type=scheduler.Event.Type.UPDATE, update=told))
            asked = (await master.next_call(Type.MESSAGE)).message
            assert asked is not None
            message = executor.Event.Message(data=asked.data)
            await agent.send(executor.Event(type=executor.Event.Type.MESSAGE, message=message))
            answer = (await agent.next_call(executor.Call.Type.MESSAGE)).message
            assert answer == executor.Call.Message(data=b"iupet")
            assert await state_of_next_update(agent) is TaskState.TASK_FINISHED
            await stream.send(
                update(task.task_id.value, TaskState.TASK_FINISHED, b"2" * 16),
            )
            await master.next_call(Type.TEARDOWN)
            await agent.send(SHUTDOWN)
            await running.communicate()
            await served.communicate()
            assert (running.returncode, served.returncode) == (0, 0)

    within_deadline(test())


def environment(agent: FakeAgent) -> dict[str, str]:
    return {
        "MESOS_AGENT_ENDPOINT": f"127.0.0.1:{agent.port}",
        "MESOS_FRAMEWORK_ID": "fw-1",
        "MESOS_EXECUTOR_ID": "reverser-a1",
        "MESOS_CHECKPOINT": "1",
    }
