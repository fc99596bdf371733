"""What an agent with tasks shows, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from msgspec import structs

from tepui.agent.containers.specs.kinds import Kind
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.wire import mesos
from tests.agent.daemon.client import call, get
from tests.agent.daemon.fake_master import FakeMaster, command_task, run_task, running_agent

pytestmark = pytest.mark.real

LABELS = mesos.Labels(labels=(mesos.Label(key="a", value="b"),))


async def with_tasks(master: FakeMaster) -> None:
    """`done` has finished and is history, `on` runs and has said hello."""
    master.send(run_task(structs.replace(command_task("done", "true"), labels=LABELS)))
    await master.updates("done", 3)
    said = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND,
        command=mesos.CommandInfo(value="test -s stdout"),
        delay_seconds=0.0,
        interval_seconds=0.05,
    )
    on = command_task("on", "echo hello; exec sleep 1000")
    master.send(run_task(structs.replace(on, health_check=said)))
    await master.updates("on", 3)  # the third says that it is healthy


async def shown(port: int, path: str) -> Any:  # any JSON
    answer = await get(port, path)
    assert answer.status == 200, (path, answer)
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_the_state_shows_frameworks_executors_and_tasks() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            await with_tasks(master)
            for path in ("/slave(1)/state", "/state.json", "/slave(1)/state.json"):
                assert (await shown(daemon.port, path))["id"] == "A"
            state = await shown(daemon.port, "/state")
            assert state["pid"] == f"slave(1)@127.0.0.1:{daemon.port}"
            assert state["resources"] == {
                "disk": 1000.0,
                "mem": 1024.0,
                "gpus": 0.0,
                "cpus": 4.0,
                "ports": "[31000-32000]",
            }
            assert state["attributes"] == {"rack": "r1"}
            assert state["master_hostname"] == "127.0.0.1"
            assert state["flags"]["port"] == str(daemon.port)
            (framework,) = state["frameworks"]
            on = [one for one in framework["executors"] if one["id"] == "on"]
            container = daemon.state.frameworks["F"].executors["on"].container_id
            directory = daemon.state.frameworks["F"].executors["on"].directory
            (task,) = on[0].pop("tasks")
            assert on == [
                {
                    "id": "on",
                    "name": "Command Executor (Task: on) (Command: sh -c 'echo hello; ...')",
                    "source": "on",
                    "container": container,
                    "directory": directory,
                    "resources": {"disk": 0.0, "mem": 64.0, "gpus": 0.0, "cpus": 0.1},
                    "role": "*",
                    "queued_tasks": [],
                    "completed_tasks": [],
                }
            ]
            assert [one["state"] for one in task.pop("statuses")] == [
                "TASK_STARTING",
                "TASK_RUNNING",
            ]
            assert task.pop("health_check")["type"] == "COMMAND"
            assert task == {
                "id": "on",
                "name": "on",
                "framework_id": "F",
                "executor_id": "",
                "slave_id": "A",
                "state": "TASK_RUNNING",
                "resources": {"disk": 0.0, "mem": 64.0, "gpus": 0.0, "cpus": 0.1},
                "role": "*",
            }

    asyncio.run(scenario())


def test_containers_show_what_they_use() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            await with_tasks(master)
            container = daemon.state.frameworks["F"].executors["on"].container_id
            found = await shown(daemon.port, f"/containers?container_id={container}")
            (entry,) = cast("list[dict[str, Any]]", found)  # the shape is asserted below
            assert entry["executor_id"] == "on"
            assert entry["statistics"]["mem_rss_bytes"] > 0
            assert entry["status"]["container_id"] == {"value": container}
            assert await shown(daemon.port, "/containers?container_id=nope") == []
            statistics = await shown(daemon.port, "/slave(1)/monitor/statistics.json")
            assert [one["executor_id"] for one in statistics if "statistics" in one] == ["on"]

    asyncio.run(scenario())


def test_files_of_a_sandbox_are_read_by_either_path() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            await with_tasks(master)
            directory = daemon.state.frameworks["F"].executors["on"].directory
            for path in (directory, "/frameworks/F/executors/on/runs/latest"):
                found = await shown(daemon.port, f"/files/browse?path={path}")
                assert [one["path"] for one in found] == [f"{path}/stderr", f"{path}/stdout"]
                read = await shown(daemon.port, f"/files/read.json?path={path}/stdout&offset=0")
                assert read == {"data": "hello\n", "offset": 0}
            listed = await call(
                daemon.port, {"type": "LIST_FILES", "list_files": {"path": directory}}
            )
            body = cast("dict[str, Any]", listed.json())
            assert [one["size"] for one in body["list_files"]["file_infos"]] == [0, 6]
            message = {
                "type": "READ_FILE",
                "read_file": {"path": f"{directory}/stdout", "offset": 2, "length": 3},
            }
            assert (await call(daemon.port, message)).json() == {
                "type": "READ_FILE",
                "read_file": {"size": 6, "data": "bGxv"},
            }

    asyncio.run(scenario())


def test_metrics_count_tasks_in_both_formats() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            await with_tasks(master)
            metrics = await shown(daemon.port, "/metrics/snapshot")
            assert list(metrics) == sorted(metrics)
            wanted = {
                "slave/tasks_running": 1.0,
                "slave/tasks_finished": 1.0,
                "slave/cpus_used": 0.1,
                "slave/mem_total": 1024.0,
                "slave/registered": 1.0,
                "slave/executors_running": 1.0,
                "slave/executors_terminated": 1.0,
            }
            assert {name: metrics[name] for name in wanted} == wanted
            text = (await get(daemon.port, "/metrics")).body.decode()
            assert "tepui_slave_tasks_running 1.0\n" in text

    asyncio.run(scenario())


def test_the_agent_says_what_the_machine_lacks_and_why() -> None:
    async def scenario() -> None:
        only = ContainerOptions(kinds=(Kind.PROCESS,))
        async with running_agent(cgroups=False, containers=only) as (_, daemon):
            lacking = (await shown(daemon.port, "/lacking"))["lacking"]
            limits = lacking.pop("limits")
            assert limits.startswith("not enforced: cpu limits, memory limits")
            assert limits.endswith("(cgroups are switched off)")
            assert lacking.pop("images")  # there is no crun, or the flag does not name it
            assert lacking == {}

    asyncio.run(scenario())


def test_the_operator_api_shows_the_same() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            await with_tasks(master)

            async def ask(name: str) -> dict[str, Any]:
                body = cast("dict[str, Any]", (await call(daemon.port, {"type": name})).json())
                assert body["type"] == name
                part: dict[str, Any] = body[name.lower()]
                return part

            tasks = await ask("GET_TASKS")
            assert [one["task_id"] for one in tasks["launched_tasks"]] == [{"value": "on"}]
            (done,) = tasks["completed_tasks"]
            assert "executor_id" not in done
            assert done["status_update_state"] == "TASK_FINISHED"
            assert done["labels"] == {"labels": [{"key": "a", "value": "b"}]}
            assert tasks["queued_tasks"] == []
            frameworks = await ask("GET_FRAMEWORKS")
            assert frameworks["frameworks"][0]["framework_info"]["id"] == {"value": "F"}
            containers = await ask("GET_CONTAINERS")
            on = [one for one in containers["containers"] if one["executor_id"]["value"] == "on"]
            assert on[0]["resource_statistics"]["mem_limit_bytes"] == 64 << 20
            agent = await ask("GET_AGENT")
            assert agent["agent_info"]["id"] == {"value": "A"}
            state = await ask("GET_STATE")
            assert state["get_tasks"] == tasks

    asyncio.run(scenario())


def test_the_log_may_be_made_verbose_for_a_while() -> None:
    async def scenario() -> None:
        async with running_agent() as (_, daemon):
            duration = {"nanoseconds": 50_000_000}
            level = {"level": 1, "duration": duration}
            message = {"type": "SET_LOGGING_LEVEL", "set_logging_level": level}
            assert (await call(daemon.port, message)).status == 200
            answer = await call(daemon.port, {"type": "GET_LOGGING_LEVEL"})
            assert answer.json() == {
                "type": "GET_LOGGING_LEVEL",
                "get_logging_level": {"level": 1},
            }

    asyncio.run(scenario())


def test_what_is_not_served_is_404() -> None:
    async def scenario() -> None:
        async with running_agent() as (_, daemon):
            for path in ("/", "/tasks", "/slave", "/slave/state", "/nope", "/slave(1)/nope"):
                answer = await get(daemon.port, path)
                assert (answer.status, answer.body) == (404, b"404 Not Found."), path
            for path in ("/health", "/slave(1)/health"):
                answer = await get(daemon.port, path)
                assert (answer.status, answer.body) == (200, b"")
            jsonp = await get(daemon.port, "/version?jsonp=cb")
            assert jsonp.body.startswith(b'cb({"build_date"')

    asyncio.run(scenario())
