"""What the agent's core keeps of what executors, schedulers and its master make it keep."""

from __future__ import annotations

from uuid import UUID

import pytest
from msgspec import structs

from tepui.agent.core import checks, events, gc, state, updates, validation
from tepui.agent.core.actions import AnswerExecutor, RemoveSandbox, RunCheck, SendToExecutor
from tepui.agent.core.validation import executor_call_error
from tepui.wire import executor, link, mesos
from tests.agent.core.cluster import (
    PING_TIMEOUT_MS,
    SETTINGS,
    Agent,
    executor_info,
    messages,
    only,
    run_tasks,
    statuses,
    task_info,
)

Call = executor.Call
TaskState = mesos.TaskState


def uuid_of(number: int) -> bytes:
    return UUID(int=number, version=4).bytes


def call(**parts: object) -> Call:
    return Call(
        executor_id=mesos.ExecutorID("ex"),
        framework_id=mesos.FrameworkID("F"),
        **parts,  # type: ignore[arg-type]  # the test's own
    )


def update(
    number: int, to: TaskState = TaskState.TASK_RUNNING, *, data: bytes | None = None
) -> mesos.TaskStatus:
    return mesos.TaskStatus(
        task_id=mesos.TaskID("t"),
        state=to,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        executor_id=mesos.ExecutorID("ex"),
        uuid=uuid_of(number),
        timestamp=1.0,
        data=data,
    )


def sized(number: int, size_bytes: int) -> mesos.TaskStatus:
    """An update of so many bytes."""
    small = updates.size_bytes(update(number, data=bytes(1 << 17)))
    found = update(number, data=bytes((1 << 17) + size_bytes - small))
    assert updates.size_bytes(found) == size_bytes
    return found


class Ran(Agent):
    """An agent whose executor has subscribed and runs the task `t`; nothing is acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.hear(run_tasks(task_info("t", executor_info=executor_info())))
        container = self.container("ex")
        self.put(events.SandboxPrepared(container))
        self.put(events.ContainerStarted(container, 4711))
        subscribe = call(type=Call.Type.SUBSCRIBE, subscribe=Call.Subscribe())
        self.put(events.ExecutorSubscribed(1, subscribe))

    def update(self, status: mesos.TaskStatus) -> None:
        """The executor sends it, and it is taken."""
        update_call = call(type=Call.Type.UPDATE, update=Call.Update(status=status))
        done = self.put(events.ExecutorCalled(2, update_call))
        assert only(done, AnswerExecutor).status == 202

    @property
    def task(self) -> state.Task:
        return self.state.frameworks["F"].tasks["t"]


def test_an_update_has_so_many_bytes() -> None:
    def error(status: mesos.TaskStatus) -> str | None:
        return executor_call_error(call(type=Call.Type.UPDATE, update=Call.Update(status=status)))

    assert error(sized(1, state.UPDATE_BYTES_MAX)) is None
    text = "the update of task 't' has 1048577 bytes, more than 1048576"
    assert error(sized(1, state.UPDATE_BYTES_MAX + 1)) == text


def test_updates_of_a_task_that_wait_are_counted_and_the_end_is_always_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(updates, "PENDING_PER_TASK_MAX", 3)
    agent = Ran()
    for number in range(1, 5):
        agent.update(update(number))
    assert [one.uuid for one in agent.task.pending] == [uuid_of(1), uuid_of(2), uuid_of(3)]
    agent.update(update(5, TaskState.TASK_FINISHED))
    assert [one.uuid for one in agent.task.pending][3:] == [uuid_of(5)]


def test_updates_of_a_task_that_wait_have_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Ran()
    agent.update(update(1))
    each = agent.task.pending_bytes
    monkeypatch.setattr(updates, "PENDING_BYTES_PER_TASK_MAX", 2 * each)
    agent.update(update(2))
    agent.update(update(3))
    assert [one.uuid for one in agent.task.pending] == [uuid_of(1), uuid_of(2)]
    agent.hear(link.AcknowledgeUpdate("F", "t", uuid_of(1)))
    agent.update(update(4))
    assert [one.uuid for one in agent.task.pending] == [uuid_of(2), uuid_of(4)]
    agent.update(update(5, TaskState.TASK_FINISHED))
    assert len(agent.task.pending) == 3


def test_uuids_of_an_executor_are_remembered_up_to_a_count() -> None:
    agent = Ran()
    for number in range(1, state.TAKEN_PER_TASK_MAX + 2):
        agent.update(update(number))
    assert len(agent.task.taken) == state.TAKEN_PER_TASK_MAX
    assert uuid_of(1) not in agent.task.taken
    assert uuid_of(2) in agent.task.taken


def test_statuses_for_the_views_are_counted_and_have_no_data() -> None:
    agent = Ran()
    kinds = (TaskState.TASK_RUNNING, TaskState.TASK_STARTING)
    for number in range(1, state.STATUSES_PER_TASK_MAX + 2):
        agent.update(update(number, kinds[number % 2], data=b"x" * 100))
    kept = agent.task.statuses
    assert len(kept) == state.STATUSES_PER_TASK_MAX
    assert (kept[0].uuid, kept[-1].uuid) == (uuid_of(2), uuid_of(101))
    assert all(one.data is None for one in kept)
    assert agent.task.pending[0].data == b"x" * 100


def test_an_update_with_data_comes_again_after_the_registration_with_its_data() -> None:
    agent = Ran()
    agent.update(update(1, data=b"x"))
    agent.put(events.LinkLost())
    (again,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(again, link.Reregister)
    assert again.tasks[0].status_update_uuid is None
    (status,) = statuses(agent.hear(link.Registered("A", PING_TIMEOUT_MS)))
    assert (status.uuid, status.data) == (uuid_of(1), b"x")


def test_a_registration_that_is_too_large_says_only_what_the_master_must_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = Ran()
    agent.update(update(1))
    agent.put(events.LinkLost())
    (whole,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(whole, link.Reregister)
    size = len(link.frame(link.in_short(whole))) - 4
    monkeypatch.setattr(link, "MESSAGE_BYTES_MAX", size)
    agent.put(events.LinkLost())
    assert messages(agent.put(events.LinkOpened())) == [whole]
    monkeypatch.setattr(link, "MESSAGE_BYTES_MAX", size - 1)
    agent.put(events.LinkLost())
    (short,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(short, link.Reregister)
    assert len(link.frame(link.in_short(short))) < size
    ((before,), (after,)) = whole.tasks, short.tasks
    assert (after.task_id, after.state, after.resources, after.executor_id) == (
        before.task_id,
        before.state,
        before.resources,
        before.executor_id,
    )
    assert (after.statuses, after.status_update_uuid) == ((), None)
    assert [one.info.executor_id for one in short.executors] == [mesos.ExecutorID("ex")]


def test_histories_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tepui.agent.core.lives.COMPLETED_FRAMEWORKS_MAX", 2)
    agent = Agent()
    for name in "GHI":
        framework = mesos.FrameworkInfo(user="root", name=name, id=mesos.FrameworkID(name))
        container = agent.run(task_info(), framework=framework)
        done = agent.put(events.ContainerExited(container, 0))
        for _ in range(3):
            done = agent.acknowledge([*done, *agent.advance(10_000)], name)
        agent.advance(SETTINGS.linger_ms)
    assert [one.id for one in agent.state.completed_frameworks] == ["H", "I"]


def test_tasks_that_ended_are_remembered_up_to_a_count_by_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tepui.agent.core.lives.COMPLETED_TASKS_PER_EXECUTOR_MAX", 2)
    agent = Ran()
    for number in range(1, 4):
        name = mesos.TaskID(f"t{number}")
        agent.hear(run_tasks(task_info(f"t{number}", executor_info=executor_info())))
        ended = structs.replace(update(number, TaskState.TASK_FINISHED), task_id=name)
        agent.update(ended)
        agent.hear(link.AcknowledgeUpdate("F", name.value, uuid_of(number)))
    (found,) = agent.state.frameworks["F"].executors.values()
    assert [one.task_id.value for one in found.completed_tasks] == ["t2", "t3"]


def test_of_too_many_sandboxes_the_oldest_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "SANDBOXES_MAX", 2)
    agent = Agent()
    removed: list[str] = []
    directories: list[str] = []
    for number in range(3):
        container = agent.run(task_info(f"t{number}"))
        directories.append(agent.state.containers[container].directory)
        done = agent.put(events.ContainerExited(container, 0))
        agent.acknowledge_all([*done, *agent.advance(10_000)])
        done = agent.advance(10 * SETTINGS.linger_ms)
        removed += [one.directory for one in done if isinstance(one, RemoveSandbox)]
    assert removed == directories[:1]
    assert [directory for directory, _ in agent.state.sandboxes] == directories[1:]


def test_a_check_without_an_interval_does_not_keep_the_agent_busy() -> None:
    agent = Agent()
    check = mesos.CheckInfo(
        type=mesos.CheckInfo.Type.COMMAND,
        delay_seconds=0.0,
        interval_seconds=0.0,
        command=mesos.CheckInfo.Command(command=mesos.CommandInfo(value="true")),
    )
    agent.run(task_info("t", check_info=check))
    first = only(agent.advance(0), RunCheck)
    agent.put(events.CheckFinished(first.check_id, events.CommandExited(0)))
    assert [
        one for one in agent.advance(checks.PAUSE_MIN_MS - 1) if isinstance(one, RunCheck)
    ] == []
    only(agent.advance(1), RunCheck)


def test_a_second_subscription_takes_the_place_of_the_first() -> None:
    agent = Ran()
    subscribe = call(type=Call.Type.SUBSCRIBE, subscribe=Call.Subscribe())
    for connection in range(2, 50):
        agent.put(events.ExecutorSubscribed(connection, subscribe))
    assert list(agent.state.connections) == [49]
    done = agent.hear(link.SchedulerMessage("F", "ex", b"x"))
    assert only(done, SendToExecutor).connection == 49


def nested(depth: int) -> mesos.ContainerID:
    """A container within so many others."""
    found = mesos.ContainerID(value="c")
    for _ in range(depth - 1):
        found = mesos.ContainerID(value="c", parent=found)
    return found


def test_a_container_id_has_so_many_bytes_and_parents() -> None:
    longest = "x" * validation.CONTAINER_ID_BYTES_MAX
    assert validation.container_id_error(mesos.ContainerID(value=longest)) is None
    text = validation.container_id_error(mesos.ContainerID(value=longest + "x"))
    assert text == f"'ContainerID.value' '{longest}x' exceeds the maximum length (242)"
    assert validation.container_id_error(nested(validation.NESTED_MAX)) is None
    text = validation.container_id_error(nested(validation.NESTED_MAX + 1))
    assert text == "containers nest at most 32 deep"
