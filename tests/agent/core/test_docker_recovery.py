"""An agent comes back while Docker Engine, which has containers of its tasks, is away."""

from __future__ import annotations

from msgspec.structs import replace

from tepui.agent.core import events
from tepui.agent.core.leftovers import Leftovers, awaits_docker
from tepui.wire import link, mesos
from tests.agent.core.cluster import (
    PING_TIMEOUT_MS,
    Agent,
    executor_info,
    run_tasks,
    states,
    task_info,
)

DOCKER = mesos.ContainerInfo(
    type=mesos.ContainerInfo.Type.DOCKER, docker=mesos.ContainerInfo.DockerInfo(image="box")
)
AWAY = Leftovers(docker_away="ask Docker Engine at '/docker.sock': No such file or directory")


def launched(agent: Agent, task: mesos.TaskInfo) -> str:
    """The container of the task runs; its id."""
    agent.hear(run_tasks(task))
    name = agent.container(task.task_id.value if task.executor is None else "ex")
    agent.put(events.SandboxPrepared(name))
    agent.put(events.ContainerProvisioned(name))
    agent.acknowledge_all(agent.put(events.ContainerStarted(name, 4711)))
    return name


def test_engine_is_awaited_while_it_has_a_container_of_a_task_or_an_executor() -> None:
    for docker, plain in (
        (replace(task_info(), container=DOCKER), task_info()),
        (
            task_info(executor_info=replace(executor_info("ex"), container=DOCKER)),
            task_info(executor_info=executor_info("ex")),
        ),
    ):
        agent = Agent()
        name = launched(agent, docker)
        assert awaits_docker(agent.disk)
        agent.acknowledge_all(agent.put(events.ContainerExited(name, 0)))
        assert not awaits_docker(agent.disk)
        other = Agent()
        launched(other, plain)
        assert not awaits_docker(other.disk)


def test_engine_is_not_awaited_for_what_it_was_not_given_yet() -> None:
    agent = Agent()
    agent.hear(run_tasks(replace(task_info(), container=DOCKER)))
    assert not awaits_docker(agent.disk)


def test_task_of_an_engine_that_stays_away_fails_with_words_that_say_so() -> None:
    agent = Agent()
    launched(agent, replace(task_info("docker"), container=DOCKER))
    launched(agent, task_info("plain"))
    agent.restart(AWAY)
    agent.put(events.LinkOpened())
    ends = agent.acknowledge_all(agent.hear(link.Registered("A", PING_TIMEOUT_MS)))
    assert states(ends) == ["TASK_FAILED", "TASK_FAILED"]
    assert {one.task_id.value: one.message for one in ends} == {
        "docker": f"What has become of the container is not known: {AWAY.docker_away}",
        "plain": "Abnormal executor termination: unknown container",
    }
