"""What clients of Mesos rely on: executors, their environment, events and ends."""

from __future__ import annotations

import json as plain_json
import os
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import AnswerExecutor, LaunchContainer
from tepui.agent.core.state import Settings
from tepui.agent.core.views import containers_view, state_view
from tepui.wire import executor, json, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    SETTINGS,
    Agent,
    executor_events,
    executor_info,
    messages,
    only,
    run_tasks,
    statuses,
    task_info,
)
from tests.clients.framework import Framework, RawExecutor, command_task, executor_task
from tests.clients.raw import get
from tests.real.cluster import Cluster

TaskState = mesos.TaskState
Call = executor.Call
PLAIN = structs.replace(FRAMEWORK, checkpoint=False)
CHECKPOINTING = structs.replace(FRAMEWORK, checkpoint=True)
ELSEWHERE: Settings = structs.replace(SETTINGS, ip="10.1.2.3", port=5059)


def launched(*, framework: mesos.FrameworkInfo, custom: bool) -> LaunchContainer:
    """How the executor `ex` is started, or the command task of that name."""
    agent = Agent(ELSEWHERE)
    task = task_info("t", executor_info=executor_info()) if custom else task_info("ex")
    agent.hear(run_tasks(task, framework=framework))
    return only(agent.put(events.SandboxPrepared(agent.container("ex"))), LaunchContainer)


@pytest.mark.parametrize("custom", [False, True])
def test_the_environment_says_where_the_executor_is_and_who(custom: bool) -> None:
    launch = launched(framework=PLAIN, custom=custom)
    found = launch.environment
    wanted = {
        "MESOS_AGENT_ENDPOINT": "10.1.2.3:5059",
        "MESOS_FRAMEWORK_ID": "F",
        "MESOS_EXECUTOR_ID": "ex",
        "MESOS_DIRECTORY": launch.directory,
        "MESOS_SANDBOX": launch.directory,
        "MESOS_SLAVE_ID": "A",
        "MESOS_SLAVE_PID": "slave(1)@10.1.2.3:5059",
        "MESOS_CHECKPOINT": "0",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
        "LIBPROCESS_IP": "10.1.2.3",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert "MESOS_RECOVERY_TIMEOUT" not in found
    assert "MESOS_SUBSCRIPTION_BACKOFF_MAX" not in found


@pytest.mark.parametrize("custom", [False, True])
def test_the_environment_of_checkpointing_frameworks_has_their_times(custom: bool) -> None:
    found = launched(framework=CHECKPOINTING, custom=custom).environment
    assert found["MESOS_CHECKPOINT"] == "1"
    assert found["MESOS_RECOVERY_TIMEOUT"] == "15mins"
    assert found["MESOS_SUBSCRIPTION_BACKOFF_MAX"] == "2secs"


@pytest.mark.real
def test_the_process_finds_the_environment(cluster: Cluster) -> None:
    agent = cluster.agents[0].address
    with Framework(cluster.master_address, checkpoint=True) as framework:
        offer = framework.offer()
        framework.launch(offer, command_task("t", "env; pwd"))
        framework.update("t", "TASK_FINISHED")
        path = f"/frameworks/{framework.id}/executors/t/runs/latest/stdout"
        *lines, directory = get(agent, f"/files/read?path={path}&offset=0").json()["data"].split()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert found["MESOS_AGENT_ENDPOINT"] == agent
    assert found["MESOS_SLAVE_PID"] == f"slave(1)@{agent}"
    assert found["MESOS_FRAMEWORK_ID"] == framework.id
    assert found["MESOS_EXECUTOR_ID"] == "t"
    assert found["MESOS_SLAVE_ID"] == offer["agent_id"]["value"]
    assert found["MESOS_DIRECTORY"] == found["MESOS_SANDBOX"] == directory
    assert found["MESOS_CHECKPOINT"] == "1"
    assert found["MESOS_RECOVERY_TIMEOUT"] == "15mins"
    assert found["LIBPROCESS_IP"] == agent.partition(":")[0]


@pytest.mark.real
def test_each_is_in_a_process_group_of_its_own_and_may_kill_it(cluster: Cluster) -> None:
    agent = cluster.agents[0].address
    with Framework(cluster.master_address) as framework:
        tasks = [command_task("other", "sleep 1000"), command_task("fatal", "read x; kill -9 0")]
        framework.launch(framework.offer(), *tasks, executor_task("t", framework.id, "ex"))
        assert framework.update("fatal", "TASK_FAILED")["message"] == (
            "Command terminated with signal Killed"
        )
        cluster.wait_until(
            lambda: {"other", "ex"} <= pids(agent, framework.id).keys(), "the others run"
        )
        found = pids(agent, framework.id)
        for name in ("other", "ex"):
            assert os.getpgid(found[name]) == found[name] != os.getpgid(0)
        assert cluster.answers(cluster.agents[0])
        tasks_shown = get(cluster.master_address, "/tasks?task_id=other").json()["tasks"]
        assert tasks_shown[0]["state"] != "TASK_FAILED"


def pids(agent: str, framework_id: str) -> dict[str, int]:
    """The processes of a framework's containers, by executor."""
    return {
        one["executor_id"]: one["status"]["executor_pid"]
        for one in get(agent, "/containers").json()
        if one["framework_id"] == framework_id and "executor_pid" in one["status"]
    }


# Events


@pytest.mark.real
def test_ids_in_events_are_objects_of_one_value(cluster: Cluster) -> None:
    with Framework(cluster.master_address) as framework:
        framework.launch(framework.offer(), executor_task("t", framework.id, "ex"))
        agent = cluster.agents[0].address
        cluster.wait_until(lambda: "ex" in pids(agent, framework.id), "it runs")
        with RawExecutor(agent, framework.id, "ex") as one:
            subscribed = one.talk.event_of("SUBSCRIBED")["subscribed"]
            assert subscribed["executor_info"]["executor_id"] == {"value": "ex"}
            assert subscribed["executor_info"]["framework_id"] == {"value": framework.id}
            assert subscribed["framework_info"]["id"] == {"value": framework.id}
            task = one.talk.event_of("LAUNCH")["launch"]["task"]
            assert task["executor"]["executor_id"] == {"value": "ex"}
            assert task["executor"]["framework_id"] == {"value": framework.id}
            assert task["task_id"] == {"value": "t"}


def test_ids_are_objects_of_one_value_though_the_framework_left_them_out() -> None:
    agent = Agent()
    info = structs.replace(executor_info(), framework_id=None)
    agent.hear(run_tasks(task_info("t", executor_info=info)))
    done = agent.put(events.SandboxPrepared(agent.container("ex")))
    done += agent.put(events.ExecutorSubscribed(5, _call(Call.Type.SUBSCRIBE)))
    (subscribed,) = [one.subscribed for one in executor_events(done) if one.subscribed]
    written = plain_json.loads(json.encode(subscribed))
    assert written["executor_info"]["executor_id"] == {"value": "ex"}
    assert written["executor_info"]["framework_id"] == {"value": "F"}
    assert written["framework_info"]["id"] == {"value": "F"}


def _call(kind: Call.Type, update: mesos.TaskStatus | None = None) -> Call:
    return Call(
        type=kind,
        executor_id=mesos.ExecutorID("ex"),
        framework_id=mesos.FrameworkID("F"),
        subscribe=Call.Subscribe() if kind is Call.Type.SUBSCRIBE else None,
        update=None if update is None else Call.Update(status=update),
    )


def _update(state: mesos.TaskState, number: int) -> Call:
    status = mesos.TaskStatus(
        task_id=mesos.TaskID("t"),
        state=state,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        uuid=UUID(int=number, version=4).bytes,
    )
    return _call(Call.Type.UPDATE, status)


@pytest.mark.parametrize("acknowledged", [False, True], ids=["unacknowledged", "acknowledged"])
@pytest.mark.parametrize("second", [TaskState.TASK_FINISHED, TaskState.TASK_FAILED])
def test_a_second_terminal_update_is_ignored(second: mesos.TaskState, acknowledged: bool) -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info("t", executor_info=executor_info())))
    agent.put(events.SandboxPrepared(agent.container("ex")))
    agent.put(events.ExecutorSubscribed(5, _call(Call.Type.SUBSCRIBE)))
    done = agent.put(events.ExecutorCalled(6, _update(TaskState.TASK_FINISHED, 1)))
    if acknowledged:
        agent.acknowledge(done)
    done = agent.put(events.ExecutorCalled(7, _update(second, 2)))
    assert only(done, AnswerExecutor).status == 202
    assert messages(done) == []
    kinds = [event.type for event in executor_events(done)]
    assert kinds == [executor.Event.Type.ACKNOWLEDGED]  # else it would be sent for ever
    assert statuses(agent.advance(0)) == []


@pytest.mark.real
def test_a_scheduler_hears_of_the_first_end_alone(cluster: Cluster) -> None:
    with Framework(cluster.master_address) as framework:
        framework.launch(framework.offer(), executor_task("t", framework.id, "ex"))
        agent = cluster.agents[0].address
        cluster.wait_until(lambda: "ex" in pids(agent, framework.id), "it runs")
        with RawExecutor(agent, framework.id, "ex") as one:
            one.talk.event_of("LAUNCH")
            for state in ("TASK_RUNNING", "TASK_FINISHED", "TASK_FAILED", "TASK_FINISHED"):
                assert one.update("t", state).status == 202
            framework.update("t", "TASK_FINISHED")
            assert one.update("t", "TASK_KILLED").status == 202
        shown = get(cluster.master_address, "/tasks?task_id=t").json()["tasks"]
        states = [task["state"] for task in shown if task["framework_id"] == framework.id]
        assert states == ["TASK_FINISHED"]


# Commands


def test_the_executor_of_a_command_is_named_by_its_task() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info("t")))
    container = agent.container("t")
    done = agent.put(events.SandboxPrepared(container), events.ContainerStarted(container, 9))
    assert {one.executor_id for one in statuses(done)} == {mesos.ExecutorID("t")}
    (shown,) = _executors(agent, "executors")
    assert (shown["id"], shown["source"]) == ("t", "t")
    assert shown["name"].startswith("Command Executor (Task: t) ")
    (found,) = containers_view(agent.state, {})
    assert (found["executor_id"], found["source"]) == ("t", "t")


def test_a_finished_command_is_seen_by_who_looks_every_100_ms_then_it_is_completed() -> None:
    agent = Agent()
    container = agent.run(task_info("t"))
    agent.put(events.ContainerExited(container, 0))
    came = agent.acknowledge_all(agent.advance(10_000))  # the first update is sent again
    assert came[-1].state is TaskState.TASK_FINISHED
    for _ in range(5):
        agent.advance(100)
        (found,) = containers_view(agent.state, {})
        assert (found["executor_id"], found["container_id"]) == ("t", container)
        (shown,) = _executors(agent, "executors")
        assert shown["container"] == container
    agent.advance(1_000)
    assert list(containers_view(agent.state, {})) == []
    assert _executors(agent, "executors") == []
    (over,) = _executors(agent, "completed_executors")
    assert over["container"] == container
    (task,) = over["completed_tasks"]
    assert (task["id"], task["state"]) == ("t", "TASK_FINISHED")


def _executors(agent: Agent, name: str) -> list[Any]:
    """The executors of all frameworks, running or completed."""
    state: Any = state_view(agent.state)
    both = [*state["frameworks"], *state["completed_frameworks"]]
    return [one for framework in both for one in framework[name]]


@pytest.mark.real
def test_a_finished_command_is_among_the_completed_ones(cluster: Cluster) -> None:
    agent = cluster.agents[0].address
    with Framework(cluster.master_address) as framework:
        framework.launch(framework.offer(), command_task("t", "true"))
        framework.update("t", "TASK_FINISHED")

        def completed() -> list[str]:
            state = get(agent, "/state").json()
            both = [*state["frameworks"], *state["completed_frameworks"]]
            mine = [one for one in both if one["id"] == framework.id]
            return [one["id"] for each in mine for one in each["completed_executors"]]

        cluster.wait_until(lambda: completed() == ["t"], "it is completed")
