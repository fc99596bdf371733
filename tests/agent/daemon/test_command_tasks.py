"""Command tasks on a real agent: true processes, a master of the test's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tepui.wire import link, mesos
from tests.agent.daemon.fake_master import command_task, run_task, running_agent

pytestmark = pytest.mark.real


def names(statuses: list[mesos.TaskStatus]) -> list[str]:
    return [status.state.name for status in statuses]


def test_a_command_runs_to_its_end_in_its_sandbox() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            master.send(run_task(command_task("t", "echo out; echo err >&2; pwd; env")))
            statuses = await master.updates("t", 3)
            assert names(statuses) == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
            assert statuses[2].message == "Command exited with status 0"
            exited = await master.see(link.ExecutorExited)
            assert exited == link.ExecutorExited("F", "t", 0, built_in=True)
            container = statuses[0].container_status
            assert container is not None
            assert container.container_id is not None
            runs = Path(daemon.state.settings.work_dir) / "slaves/A/frameworks/F/executors/t/runs"
            sandbox = runs / container.container_id.value
            assert (runs / "latest").resolve() == sandbox.resolve()
            assert sandbox.stat().st_mode & 0o777 == 0o750
            lines = (sandbox / "stdout").read_text().splitlines()
            assert lines[:2] == ["out", str(sandbox)]
            assert f"MESOS_AGENT_ENDPOINT=127.0.0.1:{daemon.port}" in lines
            assert f"MESOS_SANDBOX={sandbox}" in lines
            assert (sandbox / "stderr").read_text() == "err\n"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit 3", "Command exited with status 3"),
        ("kill -9 $$", "Command terminated with signal Killed"),
        ("/no/such/command --x", "Command exited with status 127"),
    ],
)
def test_a_command_that_fails_says_how(command: str, message: str) -> None:
    async def scenario() -> None:
        async with running_agent() as (master, _):
            master.send(run_task(command_task("t", command)))
            statuses = await master.updates("t", 3)
            assert names(statuses) == ["TASK_STARTING", "TASK_RUNNING", "TASK_FAILED"]
            assert statuses[2].message == message

    asyncio.run(scenario())


def test_a_killed_command_ends_by_sigterm_and_a_deaf_one_by_sigkill() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, _):
            master.send(run_task(command_task("soft", "sleep 1000")))
            master.send(run_task(command_task("deaf", "trap '' TERM; touch on; sleep 1000")))
            await master.updates("soft", 2)
            await master.updates("deaf", 2)
            grace = mesos.KillPolicy(grace_period=mesos.DurationInfo(nanoseconds=100_000_000))
            master.send(link.KillTask("F", "soft", None))
            master.send(link.KillTask("F", "deaf", grace))
            soft = (await master.updates("soft", 3))[2]
            deaf = (await master.updates("deaf", 3))[2]
            assert (soft.state.name, soft.message) == (
                "TASK_KILLED",
                "Command terminated with signal Terminated",
            )
            assert deaf.state.name == "TASK_KILLED"

    asyncio.run(scenario())
