"""Containers that operators launch: standalone, nested, sessions; waiting, killing, removing, restarts."""

from __future__ import annotations

import signal

import pytest

from tepui.agent.core import events, operator_containers
from tepui.agent.core.actions import (
    Action,
    AdoptContainer,
    AnswerContainer,
    AnswerOperator,
    DestroyContainer,
    EndAgent,
    ForgetContainer,
    LaunchContainer,
    LaunchSession,
    PrepareSandbox,
    ProvisionContainer,
    RemoveSandbox,
    SignalContainer,
)
from tepui.agent.core.operator_containers import CONTAINERS_MAX, WAITS_MAX
from tepui.agent.core.recovery import Found, Leftovers
from tepui.resources import parse_resources
from tepui.wire import agent, mesos
from tests.agent.core.cluster import Agent, only, task_info, without_notes

Type = agent.Call.Type
SLEEP = mesos.CommandInfo(value="sleep 1000")


def container_id(name: str) -> mesos.ContainerID:
    around, _, own = name.rpartition(".")
    return mesos.ContainerID(value=own, parent=container_id(around) if around else None)


class Operator:
    """Calls of one operator, numbered by itself."""

    def __init__(self, one: Agent) -> None:
        self.agent = one
        self.requests = 0

    def call(self, call: agent.Call) -> list[Action]:
        self.requests += 1
        return self.agent.put(events.ContainerCalled(self.requests, call))

    def launch(
        self,
        name: str,
        command: mesos.CommandInfo = SLEEP,
        resources: str = "",
        **further: object,
    ) -> list[Action]:
        part = agent.Call.LaunchContainer(
            container_id=container_id(name),
            command=command,
            resources=parse_resources(resources).to_wire(role=None, refinement=True),
            **further,  # type: ignore[arg-type] # the fields that a test names
        )
        return self.call(agent.Call(type=Type.LAUNCH_CONTAINER, launch_container=part))

    def run(self, name: str, command: mesos.CommandInfo = SLEEP) -> int:
        """A container that runs; the request that launched it."""
        self.launch(name, command)
        request = self.requests
        self.agent.put(events.SandboxPrepared(name))
        answered = only(self.agent.put(events.ContainerStarted(name, 4712)), AnswerContainer)
        assert answered == AnswerContainer(request, 200, "")
        return request

    def session(self, name: str, command: mesos.CommandInfo = SLEEP) -> list[Action]:
        part = agent.Call.LaunchNestedContainerSession(
            container_id=container_id(name), command=command
        )
        kind = Type.LAUNCH_NESTED_CONTAINER_SESSION
        return self.call(agent.Call(type=kind, launch_nested_container_session=part))

    def wait(self, name: str) -> list[Action]:
        part = agent.Call.WaitContainer(container_id=container_id(name))
        return self.call(agent.Call(type=Type.WAIT_CONTAINER, wait_container=part))

    def kill(self, name: str, number: int | None = None) -> list[Action]:
        part = agent.Call.KillContainer(container_id=container_id(name), signal=number)
        return self.call(agent.Call(type=Type.KILL_CONTAINER, kill_container=part))

    def remove(self, name: str) -> list[Action]:
        part = agent.Call.RemoveContainer(container_id=container_id(name))
        return self.call(agent.Call(type=Type.REMOVE_CONTAINER, remove_container=part))


@pytest.fixture
def operator() -> Operator:
    return Operator(Agent())


def answers(actions: list[Action]) -> list[tuple[int, str]]:
    return [(one.status, one.text) for one in actions if isinstance(one, AnswerContainer)]


def exit_status(actions: list[Action]) -> int | None:
    response = only(actions, AnswerContainer).response
    assert response is not None
    assert response.wait_container is not None
    return response.wait_container.exit_status


def test_standalone_container_is_launched_awaited_and_removed(operator: Operator) -> None:
    prepare = only(operator.launch("s1", resources="cpus:0.1;mem:32"), PrepareSandbox)
    assert prepare.directory == "/work_dir/sandboxes/s1/sandbox"
    assert prepare.virtual_path == "/containers/s1"
    launch = only(operator.agent.put(events.SandboxPrepared("s1")), LaunchContainer)
    assert launch.command == SLEEP
    assert launch.limits.cpus_milli == 100
    assert launch.limits.mem_limit_bytes == 32 << 20
    assert launch.environment["MESOS_SANDBOX"] == prepare.directory
    assert launch.parent is None
    assert answers(operator.agent.put(events.ContainerStarted("s1", 4712))) == [(200, "")]
    assert answers(operator.launch("s1")) == [(202, "")]
    assert answers(operator.remove("s1")) == [(500, "Container has not terminated yet")]
    assert operator.wait("s1") == []
    ended = operator.agent.put(events.ContainerExited("s1", 512))
    assert exit_status(ended) == 512
    assert ForgetContainer("s1") in ended
    assert exit_status(operator.wait("s1")) == 512
    assert answers(operator.kill("s1")) == [
        (404, "Container 's1' cannot be found (or is already killed)")
    ]
    assert operator.remove("s1") == [
        RemoveSandbox(prepare.directory), AnswerContainer(operator.requests, 200, ""),
    ]  # fmt: skip
    assert answers(operator.wait("s1")) == [(404, "Container s1 cannot be found")]
    assert answers(operator.remove("s1")) == [(200, "")]
    assert not [key for key in operator.agent.disk if key.startswith("containers/")]


def test_standalone_container_that_has_exited_may_be_launched_again(operator: Operator) -> None:
    operator.run("s1")
    operator.agent.put(events.ContainerExited("s1", 0))
    assert only(operator.launch("s1"), PrepareSandbox).container_id == "s1"


def test_nested_container_has_a_sandbox_in_its_parents_and_shares_its_limits(
    operator: Operator,
) -> None:
    parent = operator.agent.run(task_info())
    around = operator.agent.state.containers[parent]
    prepare = only(operator.launch(f"{parent}.n1"), PrepareSandbox)
    assert prepare.directory == f"{around.directory}/containers/n1"
    assert prepare.user == "root"
    launch = only(operator.agent.put(events.SandboxPrepared(f"{parent}.n1")), LaunchContainer)
    assert launch.parent == parent
    assert launch.limits.cpus_milli == launch.limits.mem_bytes == 0
    operator.agent.put(events.ContainerStarted(f"{parent}.n1", 1))
    deeper = only(operator.launch(f"{parent}.n1.n2"), PrepareSandbox)
    assert deeper.directory == f"{around.directory}/containers/n1/containers/n2"
    assert answers(operator.launch(f"{parent}.n1")) == [(202, "")]
    operator.agent.put(events.ContainerExited(f"{parent}.n1", 0))
    assert answers(operator.launch(f"{parent}.n1")) == [(202, "")], "until it is removed"


def test_container_with_nothing_to_run_ends_at_once_and_says_why(operator: Operator) -> None:
    parent = operator.agent.run(task_info())
    name = f"{parent}.n1"
    part = agent.Call.LaunchNestedContainer(container_id=container_id(name))
    kind = Type.LAUNCH_NESTED_CONTAINER
    only(operator.call(agent.Call(type=kind, launch_nested_container=part)), PrepareSandbox)
    request = operator.requests
    waiting = operator.wait(name)
    assert waiting == []
    done = operator.agent.put(events.SandboxPrepared(name))
    assert AnswerContainer(request, 200, "") in done
    assert not [one for one in done if isinstance(one, LaunchContainer)]
    (told,) = [one.response for one in done if isinstance(one, AnswerContainer) and one.response]
    assert told.wait_container is not None
    assert told.wait_container.exit_status == 1 << 8
    assert told.wait_container.message == "the command names nothing to run"
    assert told.wait_container.state is mesos.TaskState.TASK_FAILED
    assert only(operator.wait(name), AnswerContainer).response == told
    assert answers(operator.remove(name)) == [(200, "")]


def test_container_without_command_runs_what_its_image_says(operator: Operator) -> None:
    image = mesos.Image(
        type=mesos.Image.Type.DOCKER, docker=mesos.Image.Docker(name="registry.test/app")
    )
    info = mesos.ContainerInfo(
        type=mesos.ContainerInfo.Type.MESOS, mesos=mesos.ContainerInfo.MesosInfo(image=image)
    )
    part = agent.Call.LaunchContainer(container_id=container_id("s1"), container=info)
    operator.call(agent.Call(type=Type.LAUNCH_CONTAINER, launch_container=part))
    only(operator.agent.put(events.SandboxPrepared("s1")), ProvisionContainer)
    launch = only(operator.agent.put(events.ContainerProvisioned("s1")), LaunchContainer)
    assert launch.command == mesos.CommandInfo(shell=False)


def test_container_goes_into_one_that_runs_only(operator: Operator) -> None:
    assert answers(operator.launch("nope.x")) == [(400, "Parent container nope does not exist")]
    operator.launch("s1")
    assert answers(operator.launch("s1.x")) == [
        (400, "Parent container s1 is in 'PREPARING' state")
    ]
    operator.agent.put(events.SandboxPrepared("s1"))
    operator.agent.put(events.ContainerStarted("s1", 1))
    operator.kill("s1")
    refused = [(400, "Parent container s1 is in 'TERMINATING' state")]
    assert answers(operator.launch("s1.x")) == refused
    operator.agent.put(events.ContainerExited("s1", 9))
    assert answers(operator.session("s1.x")) == [(400, "Parent container s1 does not exist")]


def test_what_is_within_a_container_ends_with_it_and_is_forgotten(operator: Operator) -> None:
    parent = operator.agent.run(task_info())
    operator.run(f"{parent}.old")
    operator.agent.put(events.ContainerExited(f"{parent}.old", 0))
    operator.run(f"{parent}.new")
    operator.wait(f"{parent}.new")
    ended = operator.agent.put(events.ContainerExited(parent, 0))
    assert DestroyContainer(f"{parent}.new") in ended
    assert exit_status(operator.agent.put(events.ContainerExited(f"{parent}.new", 9))) == 9
    assert operator.agent.state.operator_containers == {}
    assert operator.agent.state.waits == {}


def test_launch_that_fails_is_answered_with_the_reason_and_leaves_nothing(
    operator: Operator,
) -> None:
    operator.launch("s1")
    operator.agent.put(events.SandboxPrepared("s1"))
    operator.wait("s1")
    failed = operator.agent.put(events.LaunchFailed("s1", "no such program"))
    assert answers(failed) == [(400, "no such program"), (404, "Container s1 cannot be found")]
    assert RemoveSandbox("/work_dir/sandboxes/s1/sandbox") in failed
    assert operator.agent.state.operator_containers == {}
    operator.launch("s2")
    stage = events.SandboxStage.DIRECTORY
    assert answers(operator.agent.put(events.SandboxFailed("s2", stage, "no room"))) == [
        (500, "no room")
    ]


def test_kill_sends_the_signal_that_is_asked_for(operator: Operator) -> None:
    operator.run("s1")
    request = operator.requests + 1
    assert operator.kill("s1", signal.SIGTERM) == [
        SignalContainer("s1", signal.SIGTERM), AnswerContainer(request, 200, ""),
    ]  # fmt: skip
    assert operator.kill("s1")[0] == DestroyContainer("s1")
    for number, status in ((64, 200), (65, 400), (0, 400), (-1, 400), (999, 400)):
        assert answers(operator.kill("s1", number))[0][0] == status
    task = operator.agent.run(task_info())
    assert operator.kill(task, signal.SIGUSR1)[0] == SignalContainer(task, signal.SIGUSR1)


def test_kill_before_the_launch_is_the_answer_to_the_launch(operator: Operator) -> None:
    operator.launch("s1")
    killed = operator.kill("s1")
    assert answers(killed) == [(400, "the container was killed before it was launched"), (200, "")]
    assert operator.agent.state.operator_containers == {}
    operator.launch("s2")
    operator.agent.put(events.SandboxPrepared("s2"))
    assert DestroyContainer("s2") in operator.kill("s2")
    assert answers(operator.agent.put(events.LaunchFailed("s2", "given up"))) == [(400, "given up")]


def test_wait_for_a_tasks_container_is_answered_at_its_end(operator: Operator) -> None:
    task = operator.agent.run(task_info())
    operator.wait(task)
    assert exit_status(operator.agent.put(events.ContainerExited(task, 3 << 8))) == 3 << 8


def test_wait_says_that_the_container_was_killed_for_its_memory(operator: Operator) -> None:
    operator.launch("s1", resources="cpus:1;mem:32")
    operator.agent.put(events.SandboxPrepared("s1"))
    operator.agent.put(events.ContainerStarted("s1", 1))
    operator.wait("s1")
    ended = operator.agent.put(events.ContainerExited("s1", 9, "too much"))
    response = only(ended, AnswerContainer).response
    assert response is not None
    assert response.wait_container == agent.Response.WaitContainer(
        exit_status=9,
        state=mesos.TaskState.TASK_FAILED,
        reason=mesos.TaskStatus.Reason.REASON_CONTAINER_LIMITATION_MEMORY,
        message="too much",
        limitation=mesos.TaskResourceLimitation(
            resources=(
                mesos.Resource(
                    name="mem", type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(32.0)
                ),
            )
        ),
    )


def test_too_many_that_wait_for_one_are_told_oldest_first(operator: Operator) -> None:
    operator.run("s1")
    for _ in range(WAITS_MAX):
        assert operator.wait("s1") == []
    assert answers(operator.wait("s1")) == [(503, f"More than {WAITS_MAX} wait for container s1")]
    assert len(answers(operator.agent.put(events.ContainerExited("s1", 0)))) == WAITS_MAX


def test_too_many_containers_push_out_the_one_that_exited_first(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CONTAINERS_MAX == 1_000
    monkeypatch.setattr(operator_containers, "CONTAINERS_MAX", 3)
    for name in ("a", "b", "c"):
        operator.run(name)
    assert answers(operator.launch("d")) == [(503, "3 containers of operators run")]
    operator.agent.put(events.ContainerExited("b", 0))
    operator.agent.put(events.ContainerExited("a", 0))
    done = operator.launch("d")
    assert RemoveSandbox("/work_dir/sandboxes/b/sandbox") in done
    assert sorted(operator.agent.state.operator_containers) == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("name", "resources", "further", "text"),
    [
        ("s", "cpus(web):1", {}, "'launch_container.resources' must be unreserved"),
        (
            "a.b.c",
            "cpus:1",
            {},
            "'launch_container' is invalid: containers nested at the second level or greater"
            " cannot specify resources",
        ),
        (
            "a.b.c",
            "",
            {"limits": {"mem": mesos.Value.Scalar(32.0)}},
            "'launch_container' is invalid: containers nested at the second level or greater"
            " cannot specify resource limits",
        ),
    ],
)
def test_resources_that_may_not_be_are_refused(
    operator: Operator, name: str, resources: str, further: dict[str, object], text: str
) -> None:
    refused = [(400, f"Failed to validate agent::Call: {text}")]
    assert answers(operator.launch(name, SLEEP, resources, **further)) == refused


# Sessions


def test_session_runs_with_what_the_container_around_it_has(operator: Operator) -> None:
    variable = mesos.Environment.Variable(name="OWN", value="1")
    own = mesos.CommandInfo(
        value="sh", environment=mesos.Environment(variables=(variable,)), user="nobody"
    )
    parent = operator.agent.run(task_info())
    launch = only(operator.session(f"{parent}.x", own), LaunchSession)
    around = operator.agent.state.containers[parent]
    assert launch.parent == parent
    assert launch.directory == around.directory
    assert launch.environment["MESOS_SANDBOX"] == around.directory
    assert launch.environment["OWN"] == "1"
    assert launch.user == "nobody"
    assert only(operator.session(f"{parent}.y"), LaunchSession).user == "root"
    started = operator.agent.put(events.ContainerStarted(f"{parent}.x", 7))
    assert answers(started) == [(200, "")]
    assert answers(operator.session(f"{parent}.x")) == [(202, "")]
    refused = f"Parent container {parent}.x is a session, which can have none within it"
    assert answers(operator.launch(f"{parent}.x.z")) == [(400, refused)]


def test_session_ends_with_its_client_and_its_status_can_be_asked_for(operator: Operator) -> None:
    parent = operator.agent.run(task_info())
    name = f"{parent}.x"
    operator.session(name)
    operator.agent.put(events.ContainerStarted(name, 7))
    assert operator.agent.put(events.SessionLeft(name)) == [DestroyContainer(name)]
    operator.agent.put(events.ContainerExited(name, 9))
    assert operator.agent.put(events.SessionLeft(name)) == []
    assert exit_status(operator.wait(name)) == 9
    assert answers(operator.remove(name)) == [(200, "")]
    assert operator.agent.put(events.SessionLeft(name)) == []


def test_session_is_not_saved(operator: Operator) -> None:
    parent = operator.agent.run(task_info())
    before = dict(operator.agent.disk)
    operator.session(f"{parent}.x")
    operator.agent.put(events.ContainerStarted(f"{parent}.x", 7))
    assert operator.agent.disk == before


# Restarts and the end of the agent


def test_next_agent_takes_up_what_runs_and_what_has_exited(operator: Operator) -> None:
    parent = operator.agent.run(task_info())
    for name in ("runs", "ended", "heard", f"{parent}.n", "lost"):
        operator.run(name)
    operator.agent.put(events.ContainerExited("heard", 1 << 8))
    operator.launch("begun")
    found = {
        parent: Found(4711),
        "runs": Found(4712),
        f"{parent}.n": Found(4713),
        "ended": Found(4714, events.ContainerExited("ended", 2 << 8)),
    }
    done = operator.agent.restart(Leftovers(containers=found))
    adopted = {one.container_id for one in done if isinstance(one, AdoptContainer)}
    assert adopted == {parent, "runs", f"{parent}.n"}
    assert ForgetContainer("ended") in done
    assert exit_status(operator.wait("heard")) == 1 << 8
    assert exit_status(operator.wait("ended")) == 2 << 8
    for name in ("lost", "begun"):
        assert answers(operator.wait(name)) == [(404, f"Container {name} cannot be found")]
    assert operator.wait(f"{parent}.n") == []
    assert exit_status(operator.agent.put(events.ContainerExited(f"{parent}.n", 0))) == 0


def test_nested_container_whose_parent_has_gone_meanwhile_is_forgotten(operator: Operator) -> None:
    parent = operator.agent.run(task_info())
    operator.run(f"{parent}.n")
    exited = events.ContainerExited(f"{parent}.n", 9)
    found = {f"{parent}.n": Found(1, exited), parent: Found(2, events.ContainerExited(parent, 0))}
    operator.agent.restart(Leftovers(containers=found))
    assert operator.agent.state.operator_containers == {}


def test_agent_ends_when_containers_of_operators_are_gone(operator: Operator) -> None:
    operator.run("s1")
    operator.run("old")
    operator.agent.put(events.ContainerExited("old", 0))
    stopping = operator.agent.put(events.StopAsked())
    assert DestroyContainer("s1") in stopping
    assert RemoveSandbox("/work_dir/sandboxes/old/sandbox") in stopping
    assert not any(isinstance(one, EndAgent) for one in stopping)
    assert answers(operator.launch("s2")) == [(503, "The agent is ending")]
    ended = operator.agent.put(events.ContainerExited("s1", 9))
    assert RemoveSandbox("/work_dir/sandboxes/s1/sandbox") in ended
    only(ended, EndAgent)
    assert operator.agent.disk == {}


# What is shown


def test_containers_of_operators_are_shown_when_they_are_asked_for(operator: Operator) -> None:
    parent = operator.agent.run(task_info())
    operator.run("s1")
    operator.run(f"{parent}.n")

    def shown(*, nested: bool, standalone: bool) -> set[str]:
        asked = events.OperatorCalled(
            1, Type.GET_CONTAINERS, {}, {}, show_nested=nested, show_standalone=standalone
        )
        response = only(operator.agent.put(asked), AnswerOperator).response
        assert response.get_containers is not None
        return {one.container_id.value for one in response.get_containers.containers}

    assert shown(nested=False, standalone=False) == {parent}
    assert shown(nested=True, standalone=False) == {parent, "n"}
    assert shown(nested=False, standalone=True) == {parent, "s1"}


def test_container_is_found_by_whoever_wants_to_reach_into_it(operator: Operator) -> None:
    parent = operator.agent.run(task_info())
    found = only(operator.agent.put(events.ContainerAsked(1, parent)), AnswerContainer).found
    assert found is not None
    assert (found.pid, found.has_terminal) == (4711, False)
    assert found.directory == operator.agent.state.containers[parent].directory
    asked = without_notes(operator.agent.put(events.ContainerAsked(2, "nope")))
    assert asked == [AnswerContainer(2, 404, "Container nope cannot be found")]
