"""The executor's client against a small agent on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tepui.sdk import Environment, Executor, ExecutorEnded, Refused
from tepui.sdk.core import execution as core
from tepui.sdk.core.execution import Identity
from tepui.wire import executor, mesos
from tepui.wire.mesos import TaskState
from tests.sdk.fake_master import FakeAgent
from tests.sdk.test_execution import LAUNCH, SHUTDOWN
from tests.sdk.test_scheduler import within_deadline

pytestmark = pytest.mark.real
Type = executor.Call.Type


class Simple(Executor):
    """Says that tasks run, answers messages, and kills its tasks when it ends."""

    running: tuple[str, ...] = ()

    async def on_launch(self, task: mesos.TaskInfo) -> None:
        self.running += (task.task_id.value,)
        await self.send_update(task.task_id.value, TaskState.TASK_RUNNING)

    async def on_kill(self, task_id: str, kill_policy: mesos.KillPolicy | None) -> None:
        await self.send_update(task_id, TaskState.TASK_KILLED, message="as you wish")

    async def on_message(self, data: bytes) -> None:
        await self.send_message(data.upper())

    async def on_shutdown(self) -> None:
        for task_id in self.running:
            await self.send_update(task_id, TaskState.TASK_KILLED)


def environment(agent: FakeAgent, *, checkpoint: bool = True) -> Environment:
    return Environment(
        agent=f"http://127.0.0.1:{agent.port}",
        identity=Identity("fw", "ex", checkpoint=checkpoint, recovery_timeout_ms=20_000),
        sandbox=".",
        grace_period_ms=5000,
        backoff_ms_max=50,
        token=None,
    )


@asynccontextmanager
async def fake_agent() -> AsyncIterator[FakeAgent]:
    agent = FakeAgent()
    await agent.start()
    try:
        yield agent
    finally:
        await agent.kill()


async def state_of_next_update(agent: FakeAgent) -> TaskState:
    call = await agent.next_call(Type.UPDATE)
    assert call.update is not None
    assert call.update.status.uuid is not None
    assert len(call.update.status.uuid) == 16
    assert call.update.status.source is mesos.TaskStatus.Source.SOURCE_EXECUTOR
    return call.update.status.state


def test_a_task_s_life_and_messages_both_ways() -> None:
    async def test() -> None:
        async with fake_agent() as agent:
            running = asyncio.create_task(Simple(environment(agent)).run())
            subscription = await agent.next_subscription()
            assert subscription.executor_id == mesos.ExecutorID("ex")
            await agent.send(LAUNCH)
            assert await state_of_next_update(agent) is TaskState.TASK_RUNNING
            hello = executor.Event.Message(data=b"hello")
            await agent.send(executor.Event(type=executor.Event.Type.MESSAGE, message=hello))
            answer = await agent.next_call(Type.MESSAGE)
            assert answer.message == executor.Call.Message(data=b"HELLO")
            kill = executor.Event.Kill(task_id=mesos.TaskID("t1"))
            await agent.send(executor.Event(type=executor.Event.Type.KILL, kill=kill))
            assert await state_of_next_update(agent) is TaskState.TASK_KILLED
            await agent.send(SHUTDOWN)
            assert await state_of_next_update(agent) is TaskState.TASK_KILLED
            await running

    within_deadline(test())


def test_a_group_s_tasks_are_launched_one_by_one() -> None:
    async def test() -> None:
        async with fake_agent() as agent:
            running = asyncio.create_task(Simple(environment(agent)).run())
            await agent.next_subscription()
            assert LAUNCH.launch is not None
            group = mesos.TaskGroupInfo(tasks=(LAUNCH.launch.task, LAUNCH.launch.task))
            await agent.send(
                executor.Event(
                    type=executor.Event.Type.LAUNCH_GROUP,
                    launch_group=executor.Event.LaunchGroup(task_group=group),
                )
            )
            assert await state_of_next_update(agent) is TaskState.TASK_RUNNING
            assert await state_of_next_update(agent) is TaskState.TASK_RUNNING
            await agent.send(SHUTDOWN)
            await running

    within_deadline(test())


def test_a_restarted_agent_gets_what_it_did_not_acknowledge() -> None:
    async def test() -> None:
        async with fake_agent() as agent:
            agent.acknowledges = False
            running = asyncio.create_task(Simple(environment(agent)).run())
            await agent.next_subscription()
            await agent.send(LAUNCH)
            assert await state_of_next_update(agent) is TaskState.TASK_RUNNING
            await agent.kill()
            await agent.start()
            again = (await agent.next_subscription()).subscribe
            assert again is not None
            assert [t.task_id.value for t in again.unacknowledged_tasks] == ["t1"]
            (update,) = again.unacknowledged_updates
            assert update.status.state is TaskState.TASK_RUNNING
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    within_deadline(test())


def test_without_checkpointing_it_ends_with_its_agent() -> None:
    async def test() -> None:
        async with fake_agent() as agent:
            simple = Simple(environment(agent, checkpoint=False))
            running = asyncio.create_task(simple.run())
            await agent.next_subscription()
            await agent.kill()
            await running

    within_deadline(test())


def test_an_agent_that_recovers_is_asked_again() -> None:
    async def test() -> None:
        async with fake_agent() as agent:
            agent.answers = [(503, "Agent has not finished recovery")]
            running = asyncio.create_task(Simple(environment(agent)).run())
            await agent.next_subscription()
            await agent.send(SHUTDOWN)
            await running

    within_deadline(test())


def test_a_refusing_agent_ends_it_with_the_reason() -> None:
    async def test() -> None:
        async with fake_agent() as agent:
            agent.answers = [(400, "Framework cannot be found")]
            with pytest.raises(ExecutorEnded, match="400 Framework cannot be found"):
                await Simple(environment(agent)).run()

    within_deadline(test())


def test_a_shutdown_that_takes_too_long_ends_with_the_grace_period() -> None:
    class Slow(Executor):
        async def on_shutdown(self) -> None:
            await asyncio.Event().wait()

    async def test() -> None:
        async with fake_agent() as agent:
            short = Environment(
                agent=f"http://127.0.0.1:{agent.port}",
                identity=Identity("fw", "ex", checkpoint=True, recovery_timeout_ms=1000),
                sandbox=".",
                grace_period_ms=20,
                backoff_ms_max=50,
                token=None,
            )
            running = asyncio.create_task(Slow(short).run())
            await agent.next_subscription()
            await agent.send(SHUTDOWN)
            await running

    within_deadline(test())


def test_too_many_updates_for_an_agent_that_is_away_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        async with fake_agent() as agent:
            monkeypatch.setattr(core, "UNACKNOWLEDGED_MAX", 2)
            simple = Simple(environment(agent))  # it does not run: nobody takes its updates
            for _ in range(2):
                await simple.send_update("t1", TaskState.TASK_RUNNING)
            with pytest.raises(Refused, match="task 't1': 2 updates wait"):
                await simple.send_update("t1", TaskState.TASK_RUNNING)
            simple._driver.close()

    within_deadline(test())
