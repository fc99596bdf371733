"""What always holds of an agent's state between two steps."""

from __future__ import annotations

from tepui.agent.core.fitting import limits_now
from tepui.agent.core.pods import is_over, living
from tepui.agent.core.state import (
    COMPLETED_FRAMEWORKS_MAX,
    COMPLETED_TASKS_PER_EXECUTOR_MAX,
    NOT_LAUNCHED,
    NOT_STARTED,
    Executor,
    Framework,
    Kind,
    Phase,
    State,
    Task,
)
from tepui.agent.core.supervision import FAILURES
from tepui.agent.core.updates import size_bytes
from tepui.wire.states import TERMINAL_STATES


def check(state: State) -> None:
    """Raise AssertionError when the state contradicts itself; for tests and simulations."""
    assert state.linked or not state.registered
    assert state.ping_timer is None or state.registered or state.stopping is not None
    assert state.registration_timer is None or (state.linked and not state.registered)
    for container_id, executor in state.containers.items():
        assert executor.container_id == container_id
        assert state.frameworks[executor.framework_id].executors[executor.id] is executor
    for container_id, (framework_id, task_id) in state.task_containers.items():
        container = state.frameworks[framework_id].tasks[task_id].container
        assert container is not None
        assert container.id == container_id
        assert container.phase is not Phase.TERMINATED
    for connection, container_id in state.connections.items():
        assert state.containers[container_id].connection == connection
    for framework_id, framework in state.frameworks.items():
        assert framework.id == framework_id
        assert framework.executors or framework.tasks, f"framework {framework_id} has nothing"
        _check_framework(state, framework)
    assert len(state.completed_frameworks) <= COMPLETED_FRAMEWORKS_MAX


def _check_framework(state: State, framework: Framework) -> None:
    for executor_id, executor in framework.executors.items():
        assert executor.id == executor_id
        _check_executor(state, framework, executor)
    for task_id, task in framework.tasks.items():
        assert task.id == task_id
        if task.state not in TERMINAL_STATES:
            assert task_id in framework.executors[task.executor_id].tasks
        _check_task(state, framework, task)
    assert len(framework.completed_executors) <= state.settings.completed_executors_max


def _check_executor(state: State, framework: Framework, executor: Executor) -> None:
    is_here = executor.container_id in state.containers
    assert is_here == (executor.phase is not Phase.TERMINATED)
    assert set(executor.queued) <= set(executor.tasks) <= set(framework.tasks)
    assert len(executor.completed_tasks) <= COMPLETED_TASKS_PER_EXECUTOR_MAX
    if executor.connection is not None:
        assert state.connections[executor.connection] == executor.container_id
    if executor.phase is Phase.TERMINATED:
        assert executor.connection is None
        assert not executor.queued
    if executor.kind is Kind.POD:
        _check_pod(state, framework, executor)


def _check_pod(state: State, framework: Framework, executor: Executor) -> None:
    """Its tasks wait for it, are within it, or are over; it lasts as long as one is not."""
    left = living(framework, executor)
    if executor.phase is Phase.TERMINATED:
        assert not left, "nothing is within what is not there"
    elif executor.phase is not Phase.TERMINATING and state.stopping is None:
        assert left, "a pod without tasks ends"
    if executor.queued:
        assert executor.phase in NOT_STARTED, "nothing waits for a pod that is there"
    for task_id in executor.tasks:
        task = framework.tasks[task_id]
        assert task_id in task.group
        if not framework.ending and state.stopping is None:
            assert is_over(executor, task) == (task.state in TERMINAL_STATES)
        container = task.container
        if container is not None:
            assert executor.phase not in NOT_STARTED
            assert container.id.startswith(executor.container_id + ".")
            assert container.directory.startswith(executor.directory + "/")
    for task in left:
        _check_group(framework, executor, task)
    if executor.phase is Phase.RUNNING and state.stopping is None:
        wanted, given = limits_now(state, framework, executor), executor.container.limits
        assert given.cpus_milli == wanted.cpus_milli, f"pod {executor.id} has not what it needs"
    for name in executor.tasks:
        if framework.tasks[name].state in FAILURES and executor.exit_status is None:
            _check_ending(framework, executor, framework.tasks[name])


def _check_ending(framework: Framework, executor: Executor, failed: Task) -> None:
    """What came with a task that has failed is ending, too."""
    for task in living(framework, executor, failed):
        is_killed = task.supervision is not None and task.supervision.kill is not None
        container = task.container
        is_ending = container is not None and (
            container.ending is not None or container.phase is Phase.TERMINATING
        )
        assert is_killed or is_ending, f"task {task.id} outlives {failed.id} of its group"


def _check_group(framework: Framework, executor: Executor, task: Task) -> None:
    """Of a group nothing is launched before all can be."""
    phases = {
        one.container.phase if one.container is not None and not one.container.ending else None
        for one in living(framework, executor, task)
    }
    if phases & {Phase.LAUNCHING, Phase.RUNNING}:
        assert not phases & set(NOT_LAUNCHED), f"the group of task {task.id} runs in part"


def _check_supervision(state: State, framework: Framework, task: Task) -> None:
    executor = framework.executors.get(task.executor_id)
    if executor is None or task.id not in executor.tasks:
        return
    assert (task.supervision is None) == (executor.kind is Kind.CUSTOM)
    assert task.container is None or executor.kind is Kind.POD
    if task.supervision is not None and task.supervision.kill is not None:
        assert task.supervision.health is None, "a task that is killed is not checked"
        assert task.supervision.check is None


def _check_task(state: State, framework: Framework, task: Task) -> None:
    _check_supervision(state, framework, task)
    if task.state in TERMINAL_STATES and not framework.ending:
        assert task.pending, f"task {task.id} is over and is still here"
        assert task.pending[-1].state is task.state
    assert task.pending_bytes == sum(map(size_bytes, task.pending))
    states = [status.state for status in task.pending]
    assert sum(one in TERMINAL_STATES for one in states) <= 1
    assert task.resend_timer is None or task.pending
