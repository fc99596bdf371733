"""Checks on a real agent."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from tepui.wire import mesos
from tests.agent.daemon.fake_master import command_task, run_task, running_agent

pytestmark = pytest.mark.real

HEALTH = mesos.HealthCheck


def checked(command: str, **checks: float) -> mesos.TaskInfo:
    check = HEALTH(
        type=HEALTH.Type.COMMAND,
        command=mesos.CommandInfo(value=command),
        delay_seconds=0.0,
        interval_seconds=0.05,
        grace_period_seconds=0.0,
        consecutive_failures=2,
        **checks,  # type: ignore[arg-type]  # floats only
    )
    return structs.replace(command_task("t", "sleep 1000"), health_check=check)


def test_a_healthy_task_is_said_to_be() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, _):
            master.send(run_task(checked("test $MESOS_EXECUTOR_ID = t && test -e stdout")))
            status = (await master.updates("t", 3))[2]
            assert (status.state.name, status.healthy) == ("TASK_RUNNING", True)

    asyncio.run(scenario())


@pytest.mark.parametrize("command", ["false", "sleep 1000"])
def test_a_task_that_stays_unhealthy_is_killed(command: str) -> None:
    async def scenario() -> None:
        async with running_agent() as (master, _):
            master.send(run_task(checked(command, timeout_seconds=0.2)))
            *_, first, second, killed = await master.updates("t", 5)
            assert (first.healthy, second.healthy, killed.healthy) == (False, False, False)
            assert killed.state is mesos.TaskState.TASK_KILLED

    asyncio.run(scenario())


def test_web_and_tcp_checks_find_a_server() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        http = mesos.CheckInfo(
            type=mesos.CheckInfo.Type.HTTP,
            http=mesos.CheckInfo.Http(port=port, path="/p"),
            delay_seconds=0.0,
        )
        tcp = mesos.CheckInfo(
            type=mesos.CheckInfo.Type.TCP, tcp=mesos.CheckInfo.Tcp(port=port), delay_seconds=0.0
        )
        async with running_agent() as (master, _):
            for name, check in (("http", http), ("tcp", tcp)):
                master.send(run_task(structs.replace(command_task(name, "sleep 99"), check=check)))
            over_http = (await master.updates("http", 3))[2].check_status
            over_tcp = (await master.updates("tcp", 3))[2].check_status
        server.close()
        assert over_http is not None
        assert over_http.http == mesos.CheckStatusInfo.Http(status_code=204)
        assert over_tcp is not None
        assert over_tcp.tcp == mesos.CheckStatusInfo.Tcp(succeeded=True)

    asyncio.run(scenario())
