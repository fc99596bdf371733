"""An agent with pods is killed after any of its steps, and another goes on."""

from __future__ import annotations

import signal

import pytest
from msgspec import structs

from tepui.agent.core import events, saved
from tepui.agent.core.actions import (
    Action,
    AdoptContainer,
    AttachSandbox,
    DestroyContainer,
    ForgetContainer,
    LaunchContainer,
    PrepareSandbox,
    ProvisionContainer,
    RunCheck,
    SignalContainer,
)
from tepui.agent.core.recovery import Found, Leftovers
from tepui.agent.core.saved import SavedExecutor, SavedTask
from tepui.agent.core.state import Phase
from tepui.agent.core.step import step
from tepui.wire import link, mesos
from tests.agent.core.cluster import PING_TIMEOUT_MS, Agent, duration, only, task_info
from tests.agent.core.groups import (
    IMAGE,
    OWN_LIMITS,
    Pods,
    destroyed,
    group_of,
    launched,
    pod_info,
    signalled,
)

State = mesos.TaskState
Reason = mesos.TaskStatus.Reason
RUNS = ["TASK_STARTING", "TASK_RUNNING"]
UNKNOWN = "Abnormal executor termination: unknown container"


class Survivor(Pods):
    """Pods whose agent is killed now and then; its containers are not."""

    def __init__(self) -> None:
        super().__init__()
        self.todo: list[Action] = []
        self.running: dict[str, int] = {}
        self.exited: dict[str, events.ContainerExited] = {}

    def see(self, done: list[Action]) -> list[Action]:
        every = super().see(done)
        self.todo += every
        return every

    def work(self) -> bool:
        """The first thing that the agent asked for is done; False: there is none."""
        while self.todo:
            if self.do(self.todo.pop(0)):
                return True
        return False

    def do(self, action: Action) -> bool:
        match action:
            case PrepareSandbox(container_id=name):
                self.put(events.SandboxPrepared(name))
            case ProvisionContainer(container_id=name):
                self.put(events.ContainerProvisioned(name))
            case LaunchContainer(container_id=name, command=command):
                assert name not in self.running
                self.running[name] = 0 if command is None else 4711
                self.put(events.ContainerStarted(name, self.running[name]))
            case SignalContainer(container_id=name) | DestroyContainer(container_id=name):
                if name not in self.running:
                    return False
                self.end(name)
            case ForgetContainer(container_id=name):
                self.exited.pop(name, None)
                return False
            case _:
                return False
        return True

    def end(self, name: str, status: int = signal.SIGKILL) -> None:
        """The container ends, after all that is within it."""
        for inner in [one for one in self.running if one.startswith(f"{name}.")]:
            self.end(inner)
        del self.running[name]
        self.exited[name] = events.ContainerExited(name, status)
        self.put(self.exited[name])

    def restart(self) -> list[Action]:
        """The agent is killed, and what it was told to do is not done; another has begun."""
        self.todo.clear()
        found = {name: Found(pid) for name, pid in self.running.items()}
        found |= {name: Found(4711, one) for name, one in self.exited.items()}
        done = self.see(self.agent.restart(Leftovers(containers=found)))
        self.put(events.LinkOpened())
        self.hear(link.Registered("A", PING_TIMEOUT_MS))
        return done

    def settle(self) -> None:
        while self.work():
            pass


def begin(survivor: Survivor) -> None:
    """A group of three, of which one has an image, on a pod with a network."""
    tasks = (
        structs.replace(task_info("a"), container=IMAGE),
        task_info("b"),
        structs.replace(task_info("c"), container=OWN_LIMITS),
    )
    survivor.hear(group_of(*tasks, executor=pod_info(container=IMAGE)))


STEPS = 15  # more than the scenario has


@pytest.mark.parametrize("steps", range(STEPS))
@pytest.mark.parametrize("late", [False, True], ids=["lost", "late"])
def test_a_group_runs_or_ends_as_a_whole_whenever_the_agent_is_killed(
    steps: int, *, late: bool
) -> None:
    survivor = Survivor()
    begin(survivor)
    for _ in range(steps):
        survivor.work()
    if late:  # what it has asked for comes true when nobody looks
        for action in survivor.todo:
            if isinstance(action, LaunchContainer):
                survivor.running[action.container_id] = 0 if action.command is None else 4711
    survivor.restart()
    survivor.settle()
    told = [survivor.told(name) for name in "abc"]
    if survivor.running:
        assert told == [RUNS] * 3
        assert [survivor.phase(name) for name in "abc"] == [Phase.RUNNING] * 3
        survivor.hear(link.KillTask("F", "a", None))
        survivor.settle()
        told = [survivor.told(name) for name in "abc"]
    assert all(one[-1] in ("TASK_FAILED", "TASK_KILLED") for one in told)
    assert survivor.running == {}
    assert survivor.exited == {}
    assert survivor.is_over()


@pytest.mark.parametrize("steps", range(STEPS))
@pytest.mark.parametrize("again", range(4))
def test_a_group_that_is_killed_ends_whenever_the_agent_is_killed(steps: int, again: int) -> None:
    survivor = Survivor()
    begin(survivor)
    for _ in range(steps):
        survivor.work()
    survivor.hear(link.KillTask("F", "b", None))
    for _ in range(again):
        survivor.work()
    survivor.restart()
    survivor.settle()
    assert survivor.running == {}
    assert survivor.is_over()
    assert {survivor.told(name)[-1] for name in "abc"} <= {"TASK_KILLED", "TASK_FAILED"}


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_machine_that_starts_anew_leaves_no_pod(steps: int) -> None:
    survivor = Survivor()
    begin(survivor)
    for _ in range(steps):
        survivor.work()
    has_begun = bool(launched(survivor.done))
    survivor.running.clear()
    survivor.exited.clear()
    survivor.restart()
    survivor.settle()
    ended = [survivor.last(name) for name in "abc"]
    state = State.TASK_FAILED if has_begun else State.TASK_RUNNING
    assert [one.state for one in ended] == [state] * 3
    if has_begun:
        assert [one.message for one in ended] == [UNKNOWN] * 3


def running(*tasks: mesos.TaskInfo | str) -> Survivor:
    survivor = Survivor()
    survivor.run(*tasks)
    survivor.todo.clear()
    for name in (survivor.executor().container_id, *survivor.agent.state.task_containers):
        survivor.running[name] = 4711
    return survivor


def test_pods_that_run_are_adopted_with_all_that_is_in_them_and_nobody_is_told() -> None:
    """[DefaultExecutorTest.SlaveRecoveryWithMetadataCheckpointed, ReconnectDefaultExecutor]"""
    survivor = running("a", "b")
    pod = survivor.executor().container_id
    before = survivor.came.copy()
    done = survivor.restart()
    adopted = [one for one in done if isinstance(one, AdoptContainer)]
    assert [one.container_id for one in adopted] == [pod, *survivor.agent.state.task_containers]
    assert only(done, AttachSandbox).directory == survivor.executor().directory
    assert survivor.came == before
    survivor.exit("a")
    assert survivor.told("a") == [*RUNS, "TASK_FINISHED"]
    assert survivor.phase("b") is Phase.RUNNING


def test_a_pod_without_checkpoints_is_destroyed() -> None:
    """[DefaultExecutorTest.SlaveRecoveryWithoutMetadataCheckpointed]"""
    agent = Agent()
    framework = structs.replace(Pods().framework, checkpoint=False)
    agent.hear(group_of("a", framework=framework))
    pod = agent.container("pod")
    agent.put(events.SandboxPrepared(pod))
    agent.put(events.ContainerStarted(pod, 0))
    (nested,) = agent.state.task_containers
    done = agent.restart(Leftovers(containers={pod: Found(0), nested: Found(7)}))
    assert destroyed(done) == [pod, nested]
    assert agent.state.frameworks == {}


def test_a_task_that_failed_meanwhile_ends_its_group() -> None:
    survivor = running("a", "b", "c")
    name = survivor.container("a")
    del survivor.running[name]
    survivor.exited[name] = events.ContainerExited(name, 256)
    done = survivor.restart()
    assert signalled(done) == [survivor.container("b"), survivor.container("c")]
    assert survivor.last("a").message == "Command exited with status 1"
    survivor.settle()
    assert survivor.is_over()


def test_tasks_that_ended_together_meanwhile_have_their_own_ends() -> None:
    survivor = running("a", "b")
    for name, status in (("a", 256), ("b", 0)):
        container = survivor.container(name)
        del survivor.running[container]
        survivor.exited[container] = events.ContainerExited(container, status)
    done = survivor.restart()
    assert signalled(done) == []
    assert (survivor.told("a")[-1], survivor.told("b")[-1]) == ("TASK_FAILED", "TASK_FINISHED")
    survivor.settle()
    assert survivor.is_over()


def test_a_task_whose_container_is_not_there_has_failed_and_its_group_ends() -> None:
    survivor = running("a", "b")
    del survivor.running[survivor.container("a")]
    done = survivor.restart()
    assert signalled(done) == [survivor.container("b")]
    end = survivor.last("a")
    assert (end.state, end.reason, end.message) == (
        State.TASK_FAILED,
        Reason.REASON_EXECUTOR_TERMINATED,
        UNKNOWN,
    )
    survivor.settle()
    assert survivor.is_over()


@pytest.mark.parametrize("exited", [False, True])
def test_a_pod_that_ended_meanwhile_takes_its_tasks_with_it(*, exited: bool) -> None:
    survivor = running("a", "b")
    pod = survivor.executor().container_id
    del survivor.running[pod]
    if exited:
        survivor.exited[pod] = events.ContainerExited(pod, 9)
    done = survivor.restart()
    assert set(destroyed(done)) == set(survivor.running)
    survivor.settle()
    assert survivor.is_over()


def test_a_kill_of_a_task_goes_on_with_what_is_left_of_its_grace() -> None:
    survivor = running("a", "b")
    a = survivor.container("a")
    policy = mesos.KillPolicy(grace_period=duration(10_000))
    survivor.hear(link.KillTask("F", "a", policy))
    survivor.advance(4_000)
    assert signalled(survivor.restart()) == [a]
    assert destroyed(survivor.advance(5_999)) == []
    assert destroyed(survivor.advance(1)) == [a]
    survivor.settle()
    assert survivor.told("a")[-1] == "TASK_KILLED"
    assert survivor.is_over()


def test_the_completion_time_of_a_task_counts_from_its_start() -> None:
    survivor = running(task_info("a", max_completion_ms=10_000), "b")
    a = survivor.container("a")
    survivor.agent.now_ms += 9_000
    survivor.restart()
    assert signalled(survivor.advance(999)) == []
    assert signalled(survivor.advance(1)) == [a]
    survivor.settle()
    assert survivor.last("a").reason is Reason.REASON_MAX_COMPLETION_TIME_REACHED


def test_checks_of_tasks_begin_again() -> None:
    check = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND, command=mesos.CommandInfo(value="x"), delay_seconds=1.0
    )
    survivor = running(task_info("a", health_check=check), "b")
    survivor.restart()
    assert only(survivor.advance(1_000), RunCheck).probe is not None


def test_a_shutdown_goes_on() -> None:
    survivor = running("a", "b")
    survivor.hear(link.ShutdownExecutor("F", "pod"))
    survivor.restart()
    survivor.settle()
    assert {survivor.told(name)[-1] for name in "ab"} == {"TASK_KILLED"}
    assert survivor.is_over()


def test_addresses_of_a_pod_are_known_after_a_restart() -> None:
    survivor = Survivor()
    address = mesos.NetworkInfo.IPAddress(ip_address="10.0.0.7")
    infos = (mesos.NetworkInfo(name="net", ip_addresses=(address,)),)
    survivor.hear(group_of("a"))
    pod = survivor.executor().container_id
    survivor.put(events.SandboxPrepared(pod))
    survivor.go_on(survivor.put(events.ContainerStarted(pod, 0, infos)))
    survivor.running = {pod: 0, survivor.container("a"): 4711}
    survivor.restart()
    survivor.exit("a")
    status = survivor.last("a").container_status
    assert status is not None
    assert status.network_infos == infos


def test_a_group_of_which_a_part_was_never_saved_is_lost() -> None:
    survivor = Survivor()
    survivor.hear(group_of("a", "b"))
    del survivor.agent.disk["tasks/F/b"]
    survivor.restart()
    survivor.settle()
    end = survivor.last("a")
    assert (end.state, end.reason, end.message) == (
        State.TASK_LOST,
        Reason.REASON_AGENT_RESTARTED,
        "Task launched during agent restart",
    )
    assert launched(survivor.done) == []
    assert survivor.is_over()


def test_a_group_whose_launch_was_saved_in_part_was_not_launched_and_is_now() -> None:
    survivor = Survivor()
    survivor.hear(group_of("a", "b"))
    while not launched(survivor.done[1:]) or len(launched(survivor.done)) < 3:
        assert survivor.work()
    a = survivor.agent.disk["tasks/F/a"]
    b = survivor.agent.disk["tasks/F/b"]
    assert isinstance(a, SavedTask)
    assert isinstance(b, SavedTask)
    assert a.container is not None
    assert b.container is not None
    half = structs.replace(b.container, phase=Phase.PROVISIONED)
    survivor.agent.disk["tasks/F/b"] = structs.replace(b, container=half)
    for name in (a.container.id, b.container.id):
        survivor.running.pop(name, None)
    survivor.restart()
    survivor.settle()
    assert (survivor.told("a"), survivor.told("b")) == (RUNS, RUNS)


def test_a_task_whose_end_was_saved_and_whose_container_was_not_is_over() -> None:
    survivor = running("a", "b")
    name = survivor.container("a")
    saved = survivor.agent.disk["tasks/F/a"]
    survivor.agent.put(events.ContainerExited(name, 0))  # its end is not acknowledged
    survivor.agent.disk["tasks/F/a"] = saved
    del survivor.running[name]
    survivor.restart()
    assert survivor.told("a")[-1] == "TASK_FINISHED"
    assert survivor.phase("b") is Phase.RUNNING


def test_the_end_of_a_task_is_saved_before_it_is_said_to_be_over() -> None:
    """A store may die after any of the records."""
    survivor = running("a", "b")
    agent = survivor.agent
    name = survivor.container("a")
    changed = saved.task_changed  # by something else in the same batch
    changed(agent.state, agent.state.frameworks["F"], survivor.task("a"))
    effects = step(agent.state, [events.ContainerExited(name, 0)], agent.now_ms)
    keys = [record.key for record in effects.save if isinstance(record, saved.Save)]
    assert keys.index("updates/F/a/2") < keys.index("tasks/F/a")


@pytest.mark.parametrize("container", [None, IMAGE])
def test_a_kill_of_a_group_that_was_saved_in_part_is_one_of_the_whole_group(
    container: mesos.ContainerInfo | None,
) -> None:
    """None of the group runs, then: the others must not run without the one that was killed."""
    survivor = Survivor()
    tasks = [structs.replace(task_info(name), container=container) for name in ("a", "b")]
    survivor.hear(group_of(*tasks))
    while survivor.phase("b") is None:
        assert survivor.work()
    if container is not None:
        survivor.put(events.SandboxPrepared(survivor.container("b")))
        assert survivor.phase("b") is Phase.PROVISIONING
    before = survivor.agent.disk["tasks/F/b"]
    survivor.agent.hear(link.KillTask("F", "a", None))
    survivor.agent.disk["tasks/F/b"] = before
    survivor.agent.disk.pop("updates/F/b/0", None)
    survivor.restart()
    survivor.settle()
    assert launched(survivor.done)[1:] == []
    assert (survivor.told("a"), survivor.told("b")) == (["TASK_KILLED"], ["TASK_KILLED"])
    assert survivor.is_over()


def test_a_task_whose_kill_was_not_saved_is_killed_when_the_failure_that_led_to_it_was() -> None:
    survivor = running("a", "b")
    name = survivor.container("a")
    before = survivor.agent.disk["tasks/F/b"]
    survivor.agent.put(events.ContainerExited(name, 1 << 8))
    survivor.agent.disk["tasks/F/b"] = before
    for key in [key for key in survivor.agent.disk if key.startswith("updates/F/b/")][2:]:
        del survivor.agent.disk[key]
    del survivor.running[name]
    assert signalled(survivor.restart()) == [survivor.container("b")]
    survivor.settle()
    assert survivor.told("b")[-1] == "TASK_KILLED"
    assert survivor.is_over()


@pytest.mark.parametrize("is_known", [True, False])
def test_a_task_whose_end_cannot_be_read_ends_again(*, is_known: bool) -> None:
    survivor = running("a", "b")
    name = survivor.container("a")
    survivor.agent.put(events.ContainerExited(name, 0))
    del survivor.agent.disk["updates/F/a/2"]
    del survivor.running[name]
    if is_known:
        survivor.exited[name] = events.ContainerExited(name, 0)
    survivor.restart()
    survivor.settle()
    end = survivor.last("a")
    if is_known:
        assert (end.state, end.message) == (State.TASK_FINISHED, "Command exited with status 0")
        assert survivor.phase("b") is Phase.RUNNING
    else:
        assert (end.state, end.message) == (State.TASK_FAILED, UNKNOWN)
        assert survivor.told("b")[-1] == "TASK_KILLED"


def test_a_pod_that_lost_its_tasks_is_destroyed() -> None:
    survivor = running("a", "b")
    for key in ("tasks/F/a", "tasks/F/b"):
        del survivor.agent.disk[key]
    survivor.restart()
    survivor.settle()
    assert survivor.running == {}
    assert survivor.is_over()


def test_what_is_saved_of_a_pod_says_what_it_is() -> None:
    survivor = running("a")
    (found,) = [one for one in survivor.agent.disk.values() if isinstance(one, SavedExecutor)]
    assert found.kind is not None
    assert (found.kind.value, found.command, found.phase) == ("POD", None, Phase.RUNNING)
