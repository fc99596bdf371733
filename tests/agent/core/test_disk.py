"""A disk that fills: sandboxes go earlier, and no task is taken when it is full."""

from __future__ import annotations

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import (
    Action,
    LaunchContainer,
    Note,
    PrepareSandbox,
    RemoveSandbox,
    SendToMaster,
)
from tepui.agent.core.disk import FREE_BYTES_MIN, SANDBOX_AGE_MS_MIN
from tepui.wire import link, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    PING_TIMEOUT_MS,
    SETTINGS,
    Agent,
    executor_info,
    messages,
    only,
    run_tasks,
    statuses,
    task_info,
    without_notes,
)
from tests.agent.core.groups import group_of

GB = 1 << 30
FULL = events.DiskMeasured(100 * GB, FREE_BYTES_MIN - (1 << 20))
ROOM = events.DiskMeasured(100 * GB, FREE_BYTES_MIN)
REASON = "the disk of /work_dir is full: 63 MB are free, 64 are needed"
AWARE = structs.replace(
    FRAMEWORK,
    capabilities=(
        mesos.FrameworkInfo.Capability(
            type=mesos.FrameworkInfo.Capability.Type.PARTITION_AWARE,
        ),
    ),
)


def sent(*told: link.FromAgent) -> list[Action]:
    """The actions that send these."""
    return [SendToMaster(message) for message in told]


def removed(agent: Agent, event: events.DiskMeasured) -> list[str]:
    """The sandboxes that go when this is measured."""
    return [one.directory for one in agent.put(event) if isinstance(one, RemoveSandbox)]


def sandbox(agent: Agent, task_id: str) -> str:
    """The one of a task that is over now, and of which everything is acknowledged."""
    container = agent.run(task_info(task_id))
    directory = agent.state.containers[container].directory
    agent.put(events.ContainerExited(container, 0))
    agent.acknowledge_all(agent.advance(60_000))  # what was not acknowledged comes again
    agent.advance(SETTINGS.linger_ms)
    assert agent.state.sandboxes[-1][0] == directory
    return directory


def test_the_master_is_told_once_that_the_disk_is_full_and_once_that_it_is_not() -> None:
    agent = Agent()
    assert agent.put(FULL) == [
        Note("disk_full", (("free_bytes", str(FULL.free_bytes)),)),
        *sent(link.Condition(False, REASON)),
    ]
    assert agent.put(FULL) == []
    assert messages(agent.put(ROOM)) == [link.Condition(True, "")]
    assert agent.put(ROOM) == []


def test_a_master_that_admits_the_agent_is_told_that_its_disk_is_full() -> None:
    agent = Agent(registered=False)
    assert messages(agent.put(FULL)) == []
    agent.put(events.LinkOpened())
    assert link.Condition(False, REASON) in messages(
        agent.hear(link.Registered("A", PING_TIMEOUT_MS))
    )


@pytest.mark.parametrize(
    ("framework", "state"),
    [(FRAMEWORK, mesos.TaskState.TASK_LOST), (AWARE, mesos.TaskState.TASK_DROPPED)],
)
def test_a_task_that_comes_when_the_disk_is_full_is_lost(
    framework: mesos.FrameworkInfo, state: mesos.TaskState
) -> None:
    agent = Agent()
    agent.put(FULL)
    done = agent.hear(run_tasks(task_info(), framework=framework))
    assert not [one for one in done if isinstance(one, (PrepareSandbox, LaunchContainer))]
    (status,) = statuses(done)
    assert (status.state, status.reason, status.message) == (
        state,
        mesos.TaskStatus.Reason.REASON_CONTAINER_LAUNCH_FAILED,
        f"Not launched: {REASON}",
    )
    agent.acknowledge_all(done)
    assert not agent.state.frameworks
    agent.put(ROOM)
    only(agent.hear(run_tasks(task_info(), framework=framework)), PrepareSandbox)


def test_the_master_hears_that_the_executor_of_a_lost_task_is_not_there() -> None:
    agent = Agent()
    agent.put(FULL)
    done = agent.hear(run_tasks(task_info(executor_info=executor_info())))
    assert link.ExecutorExited("F", "ex", -1, built_in=False) in messages(done)


def test_the_master_hears_it_too_of_an_executor_whose_last_updates_are_not_acknowledged() -> None:
    agent = Agent()
    agent.hear(group_of("t1"))
    pod = agent.container("pod")
    agent.put(events.SandboxPrepared(pod))
    agent.put(events.LaunchFailed(pod, "no"))
    agent.put(FULL)
    done = agent.hear(group_of("t2"))
    assert link.ExecutorExited("F", "pod", -1, built_in=False) in messages(done)


def test_tasks_that_run_go_on_when_the_disk_is_full() -> None:
    agent = Agent()
    container = agent.run(task_info())
    assert without_notes(agent.put(FULL)) == sent(link.Condition(False, REASON))
    assert agent.state.containers[container].container.ending is None


def test_sandboxes_go_earlier_the_fuller_the_disk_is() -> None:
    agent = Agent()
    first = sandbox(agent, "t1")
    week_ms = SETTINGS.gc_delay_ms
    agent.advance(int(week_ms * 0.3))
    second = sandbox(agent, "t2")
    half = events.DiskMeasured(100 * GB, 50 * GB)  # 1 - 0.1 - 0.5 of a week may they be old
    assert removed(agent, half) == []
    agent.advance(int(week_ms * 0.1))
    assert removed(agent, half) == [first]
    nearly = events.DiskMeasured(100 * GB, 5 * GB)
    assert removed(agent, nearly) == [second]


def test_a_sandbox_is_kept_for_an_hour_unless_the_disk_is_full() -> None:
    agent = Agent()
    directory = sandbox(agent, "t1")
    nearly = events.DiskMeasured(100 * GB, 1 * GB)
    agent.advance(SANDBOX_AGE_MS_MIN - 120_000)
    assert removed(agent, nearly) == []
    assert removed(agent, FULL) == [directory]
    assert agent.advance(2 * SETTINGS.gc_delay_ms) == []  # its timer finds nothing
