"""Command tasks on a real agent: true processes, a master of the test's own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from msgspec import structs

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


def test_what_keeps_a_task_from_running_is_said() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, _):
            missing = (mesos.CommandInfo.URI(value="/no/such/file"),)
            master.send(run_task(command_task("uri", "true", uris=missing)))
            stranger = mesos.CommandInfo(value="true", user="nosuchuser")
            master.send(run_task(structs.replace(command_task("user", ""), command=stranger)))
            program = mesos.CommandInfo(value="/no/such/command", shell=False)
            master.send(run_task(structs.replace(command_task("argv", ""), command=program)))
            (uri,) = await master.updates("uri", 1)
            (user,) = await master.updates("user", 1)
            (argv,) = await master.updates("argv", 1)
            assert uri.message is not None
            assert uri.message.startswith("Failed to launch container: Failed to fetch all URIs")
            assert uri.message.endswith("'/no/such/file': No such file or directory")
            assert user.state is mesos.TaskState.TASK_LOST
            assert user.message is not None
            assert user.message.endswith(
                ": Failed to chown directory to 'nosuchuser': No such user 'nosuchuser'"
            )
            assert argv.state is mesos.TaskState.TASK_FAILED
            assert argv.message is not None
            assert argv.message.startswith("Failed to launch container: ")
            assert "/no/such/command" in argv.message

    asyncio.run(scenario())


def test_a_fetch_is_given_up_with_its_task() -> None:
    async def scenario() -> None:
        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # until the fetcher has gone
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with running_agent() as (master, _):
            slow = (mesos.CommandInfo.URI(value=f"http://127.0.0.1:{port}/slow"),)
            master.send(run_task(command_task("t", "true", uris=slow)))
            master.send(link.KillTask("F", "t", None))
            (killed,) = await master.updates("t", 1)
            assert killed.message == "Killed before delivery to the executor"
            server.close()

    asyncio.run(scenario())


def test_a_task_that_takes_too_much_memory_is_told_so() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            if "memory" not in daemon.enforced:
                pytest.skip("this machine does not limit memory")
            eater = f"{sys.executable} -c 'x = bytearray(300 << 20)'"
            master.send(run_task(command_task("t", eater)))
            failed = (await master.updates("t", 3))[2]
            assert failed.reason is mesos.TaskStatus.Reason.REASON_CONTAINER_LIMITATION_MEMORY
            assert failed.message is not None
            assert failed.message.startswith("Memory limit exceeded: Requested: 64MB")

    asyncio.run(scenario())
