"""Pods that an agent finds: which of their tasks run on, go on to their start, or have failed.

A task whose container was being launched and is not there may have run, and has failed; unless
another one of its group was not launched yet, for then none of it was. Of a group of which a part
was never saved nothing has run, and nothing will.
"""

from __future__ import annotations

from tepui.agent.core import kills, launches, lives, pods, supervision, updates
from tepui.agent.core.actions import AdoptContainer, DestroyContainer, ForgetContainer
from tepui.agent.core.effects import Effects
from tepui.agent.core.leftovers import (
    UNKNOWN,
    Leftovers,
    begin_again,
    resume_kill,
    supervise_again,
    take_up,
)
from tepui.agent.core.state import (
    NOT_LAUNCHED,
    NOT_STARTED,
    Executor,
    Framework,
    Phase,
    Place,
    State,
    Task,
)
from tepui.wire import mesos
from tepui.wire.states import TERMINAL_STATES

RESTARTED = mesos.TaskStatus.Reason.REASON_AGENT_RESTARTED
TORN = "Task launched during agent restart"


def resume(
    state: State,
    framework: Framework,
    executor: Executor,
    left: Leftovers,
    now_ms: int,
    step: Effects,
) -> None:
    """The pod goes on, or ends: first what is there, then what is not."""
    _reopen(state, framework, executor)
    _find(state, framework, executor, left, step)
    if framework.ending or executor.exit_status is not None:
        executor.queued.clear()
    for task in pods.living(framework, executor):
        if task.container is not None:  # what the pod ended of is what it ends of
            task.container.ending = task.container.ending or executor.container.ending
    _end_told(state, framework, executor, left, step)
    _end_torn(state, framework, executor, now_ms, step)
    _take_up(state, framework, executor, left, now_ms, step)
    _end_with_failed(state, framework, executor, now_ms, step)
    for _ in range(2):  # one that is lost may end others of its group
        _end_lost(state, framework, executor, left, now_ms, step)
    if executor.phase is Phase.TERMINATED:
        return
    if pods.living(framework, executor):
        _go_on(state, framework, executor, left, step)
        return
    if executor.container_id not in left.containers:
        executor.exit_status = lives.STATUS_UNKNOWN
    pods.settle(state, framework, executor, now_ms, step)


def _reopen(state: State, framework: Framework, executor: Executor) -> None:
    """A task of which only the end could not be read ends again: as it did if that is still known."""
    for name in executor.tasks:
        task = framework.tasks[name]
        container = task.container
        if container is None or task.state in TERMINAL_STATES:
            continue
        if container.phase is Phase.TERMINATED:
            container.phase = Phase.RUNNING
            state.task_containers[container.id] = (framework.id, name)


def _find(
    state: State, framework: Framework, executor: Executor, left: Leftovers, step: Effects
) -> None:
    """The pod's own container runs, has exited, is to be begun again, or is lost."""
    container = executor.container
    found = left.containers.get(container.id)
    if found is None:
        if framework.ending or container.phase not in NOT_LAUNCHED:
            if container.phase in NOT_STARTED or container.phase is Phase.TERMINATING:
                step.then.append(DestroyContainer(container.id))
            container.ending = container.ending or UNKNOWN
            executor.exit_status = lives.STATUS_UNKNOWN
        return
    container.pid = found.pid
    container.network_infos = found.network_infos or container.network_infos
    if container.phase in NOT_STARTED:
        container.phase = Phase.RUNNING
    if found.exited is None:
        step.then.append(AdoptContainer(container.id, container.limits, container.directory))
        return
    executor.exit_status = found.exited.status
    if found.exited.memory_exceeded is not None:
        oom = lives.out_of_memory(container.limits, found.exited.memory_exceeded)
        container.ending = container.ending or oom


def _end_told(
    state: State, framework: Framework, executor: Executor, left: Leftovers, step: Effects
) -> None:
    """The agent died while it saved that the task is over."""
    for task in pods.living(framework, executor):
        if task.container is not None and task.state in TERMINAL_STATES:
            pods.close(state, framework, task)
            found = left.containers.get(task.container.id)
            is_gone = found is None or found.exited is not None
            step.then.append((ForgetContainer if is_gone else DestroyContainer)(task.container.id))


def _end_torn(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    """The agent died while it saved the group: the master will hear nothing of the others."""
    for task in pods.living(framework, executor):
        container = task.container
        has_run = container is not None and container.phase not in NOT_LAUNCHED
        is_ending = container is not None and container.ending is not None
        if has_run or is_ending or all(name in executor.tasks for name in task.group):
            continue
        lost = updates.lost_state(framework)
        updates.report_from_agent(state, framework, task, lost, RESTARTED, TORN, now_ms, step)
        if container is None:
            executor.queued.remove(task.id)
        else:
            pods.task_over(state, framework, task, step)


def _take_up(
    state: State,
    framework: Framework,
    executor: Executor,
    left: Leftovers,
    now_ms: int,
    step: Effects,
) -> None:
    """What runs goes on; what has exited meanwhile, or is lost, is marked as such."""
    for task in pods.living(framework, executor):
        container = task.container
        if container is None:
            continue
        found = left.containers.get(container.id)
        if found is None:
            if container.phase is Phase.LAUNCHING and _was_not_launched(framework, executor, task):
                container.phase = Phase.PROVISIONED
            elif container.phase not in NOT_LAUNCHED:
                if container.phase is Phase.LAUNCHING:
                    # The launcher may have forked, and not be at the program yet.
                    step.then.append(DestroyContainer(container.id))
                container.phase = Phase.TERMINATING
            continue
        place = Place(framework, executor, task, container)
        is_new = take_up(state, container, found, now_ms, step)
        if found.exited is not None:
            container.phase = Phase.TERMINATING
            resume_kill(state, place, left, now_ms)
        elif _is_to_end(framework, executor, task):
            step.then.append(DestroyContainer(container.id))
        elif not is_new:
            supervise_again(state, place, left, now_ms, step)


def _was_not_launched(framework: Framework, executor: Executor, task: Task) -> bool:
    """Whether the agent died while it saved that the group was to be launched."""
    group = pods.living(framework, executor, task)
    return any(one.container is None or one.container.phase in NOT_LAUNCHED for one in group)


def _end_with_failed(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    """The agent died while it saved that a task has failed: the others of its group are ending, too."""
    for name in tuple(executor.tasks):
        task = framework.tasks[name]
        if task.state in supervision.FAILURES:
            kills.end_group(state, framework, executor, task, now_ms, step)


def _end_lost(
    state: State,
    framework: Framework,
    executor: Executor,
    left: Leftovers,
    now_ms: int,
    step: Effects,
) -> None:
    """What has exited or is lost is over, and its group with it; so is what was to end."""
    for task in pods.living(framework, executor):
        container = task.container
        if container is None or pods.is_over(executor, task):
            continue  # the latter: with one before it
        found = left.containers.get(container.id)
        place = Place(framework, executor, task, container)
        if found is not None and found.exited is not None:
            launches.container_exited(state, found.exited, now_ms, step)
        elif found is None and (
            container.phase not in NOT_LAUNCHED or _is_to_end(framework, executor, task)
        ):
            container.ending = container.ending or UNKNOWN
            supervision.ended(state, place, None, None, now_ms, step)


def _is_to_end(framework: Framework, executor: Executor, task: Task) -> bool:
    assert task.container is not None
    is_gone = framework.ending or executor.exit_status is not None
    return is_gone or task.container.ending is not None


def _go_on(
    state: State, framework: Framework, executor: Executor, left: Leftovers, step: Effects
) -> None:
    """What was not launched is on its way again."""
    if executor.container_id not in left.containers and executor.exit_status is None:
        begin_again(state, Place(framework, executor, None, executor.container), step)
        return
    waiting = [
        task
        for task in pods.living(framework, executor)
        if task.container is not None
        and task.container.phase in NOT_LAUNCHED
        and task.container.ending is None
    ]
    for task in waiting:
        assert task.container is not None
        begin_again(state, Place(framework, executor, task, task.container), step)
    for task in waiting:
        assert task.container is not None
        if task.container.phase is Phase.PROVISIONED:
            pods.launch_if_ready(state, framework, executor, task, step)
    if executor.phase is Phase.RUNNING:
        pods.begin_queued(state, framework, executor, step)
