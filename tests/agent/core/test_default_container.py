"""`--default_container_info`: what the containers of executors are that name nothing."""

from __future__ import annotations

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import CommandProbe, LaunchContainer, ProvisionContainer, RunCheck
from tepui.agent.core.leftovers import awaits_docker
from tepui.wire import link, mesos
from tests.agent.core.cluster import SETTINGS, Agent, executor_info, only, run_tasks, task_info
from tests.agent.core.groups import group_of, pod_info

Container = mesos.ContainerInfo
VOLUME = mesos.Volume(mode=mesos.Volume.Mode.RW, container_path="/tmp", host_path=".private/tmp")
IMAGE = mesos.Image(type=mesos.Image.Type.DOCKER, docker=mesos.Image.Docker(name="busybox"))
DEFAULT = Container(
    type=Container.Type.MESOS,
    volumes=(VOLUME,),
    mesos=Container.MesosInfo(image=IMAGE),
)
OWN = Container(type=Container.Type.MESOS, hostname="own")
DOCKER = Container(type=Container.Type.DOCKER, docker=Container.DockerInfo(image="busybox"))


def agent_with(default: Container | None = DEFAULT) -> Agent:
    return Agent(structs.replace(SETTINGS, default_container_info=default))


def container_of(agent: Agent, message: link.RunTasks, executor_id: str) -> Container | None:
    """What the executor's container is asked to be; the same when it is provisioned and launched."""
    agent.hear(message)
    name = agent.container(executor_id)
    done = agent.put(events.SandboxPrepared(name))
    provisions = [one for one in done if isinstance(one, ProvisionContainer)]
    if provisions:
        done = agent.put(events.ContainerProvisioned(name))
    launched = only(done, LaunchContainer).container
    assert [one.container for one in provisions] == ([] if launched is None else [launched])
    return launched


def test_a_command_task_that_names_no_container_has_the_default() -> None:
    assert container_of(agent_with(), run_tasks(task_info()), "t") == DEFAULT
    assert container_of(agent_with(DOCKER), run_tasks(task_info()), "t") == DOCKER
    assert container_of(agent_with(None), run_tasks(task_info()), "t") is None


def test_a_command_task_that_names_one_has_that() -> None:
    task = structs.replace(task_info(), container=OWN)
    assert container_of(agent_with(), run_tasks(task), "t") == OWN


@pytest.mark.parametrize("own", [None, OWN])
def test_an_executor_has_the_default_unless_it_names_one(own: Container | None) -> None:
    """What its tasks name is for itself to look at."""
    executor = structs.replace(executor_info(), container=own)
    task = structs.replace(task_info(executor_info=executor), container=DOCKER)
    assert container_of(agent_with(), run_tasks(task), "ex") == (own or DEFAULT)


def test_a_pod_has_the_default_but_no_image() -> None:
    """It has no process, and frameworks cannot name an image for one."""
    expected = structs.replace(DEFAULT, mesos=None)
    assert container_of(agent_with(), group_of("a"), "pod") == expected
    assert container_of(agent_with(DOCKER), group_of("a"), "pod") is None
    own = group_of("a", executor=pod_info(container=OWN))
    assert container_of(agent_with(), own, "pod") == OWN


def test_what_is_within_a_pod_has_no_default() -> None:
    agent = agent_with()
    container_of(agent, group_of("a"), "pod")
    agent.put(events.ContainerStarted(agent.container("pod"), 0))
    inner = agent.state.frameworks["F"].tasks["a"].container
    assert inner is not None
    assert only(agent.put(events.SandboxPrepared(inner.id)), LaunchContainer).container is None


def test_the_image_of_the_default_is_fetched_into_like_any_other() -> None:
    agent = agent_with()
    done = agent.hear(run_tasks(task_info()))
    assert [one.has_image for one in done if hasattr(one, "has_image")] == [True]


def test_a_command_check_runs_in_the_default_container() -> None:
    check = mesos.CheckInfo(
        type=mesos.CheckInfo.Type.COMMAND,
        command=mesos.CheckInfo.Command(command=mesos.CommandInfo(value="true")),
        delay_seconds=0.0,
    )
    agent = agent_with()
    container_of(agent, run_tasks(task_info(check_info=check)), "t")
    agent.put(events.ContainerStarted(agent.container("t"), 4711))
    probe = only(agent.advance(1_000), RunCheck).probe
    assert isinstance(probe, CommandProbe)
    assert probe.container == DEFAULT


def test_a_task_that_is_provisioned_goes_on_so_after_a_restart() -> None:
    agent = agent_with()
    agent.hear(run_tasks(task_info()))
    agent.put(events.SandboxPrepared(agent.container("t")))
    assert only(agent.restart(), ProvisionContainer).container == DEFAULT


def test_docker_is_waited_for_when_containers_are_its_by_default() -> None:
    agent = agent_with(DOCKER)
    container_of(agent, run_tasks(task_info()), "t")
    assert awaits_docker(agent.disk, DOCKER)
    assert not awaits_docker(agent.disk)


def test_what_the_agent_reports_is_what_frameworks_have_said() -> None:
    """As in Mesos, whose agent does not change its executors' infos."""
    agent = agent_with()
    container_of(agent, run_tasks(task_info(executor_info=executor_info())), "ex")
    (executor,) = agent.state.containers.values()
    assert executor.info.container is None
    (task,) = agent.state.frameworks["F"].tasks.values()
    assert task.info.container is None
