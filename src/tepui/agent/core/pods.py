"""Pods: groups of tasks on the default executor, which the agent itself is.

    RunTasks ─▶ the pod's container ─▶ each task's sandbox and provisioning ─▶ all are launched
                (no process in it)                                              │
                    ▲                                                           ▼
                    └── destroyed when its last task is over ◀── STARTING, RUNNING, an end

The first group for an executor id begins the pod, later ones join it. A group is launched when all
of its containers can be, so that one which is killed before, or of which a part cannot be had, has
not run at all. When a task fails or is killed, its group ends with it (kills.py).

Source: Mesos launcher/default_executor.cpp, docs/nested-container-and-task-group.md.
"""

from __future__ import annotations

from tepui.agent.core import fitting, lives, saved, starts, updates
from tepui.agent.core.actions import AbandonSandbox, DestroyContainer, ForgetContainer
from tepui.agent.core.effects import Effects
from tepui.agent.core.environment import directory_in_pod
from tepui.agent.core.state import (
    Container,
    Ending,
    Executor,
    Framework,
    Kind,
    Phase,
    Place,
    State,
    Task,
)
from tepui.wire import link


def run_group(
    state: State,
    framework: Framework,
    executor: Executor | None,
    message: link.RunTasks,
    now_ms: int,
    step: Effects,
) -> None:
    """The group waits for its pod, or is begun; the pod is, when it is not there."""
    before = starts.queue(state, framework, executor, Kind.POD, message, now_ms, step)
    if before is not None and before.phase is Phase.RUNNING:
        begin_queued(state, framework, before, step)


def started(state: State, framework: Framework, executor: Executor, step: Effects) -> None:
    """The pod is there: the groups that waited for it are begun."""
    if executor.phase is not Phase.LAUNCHING:
        return  # all that waited was killed meanwhile, and its end will come
    executor.container.phase = Phase.RUNNING
    saved.executor_changed(state, executor)
    begin_queued(state, framework, executor, step)


def begin_queued(state: State, framework: Framework, executor: Executor, step: Effects) -> None:
    """The tasks that waited have containers, whose sandboxes are being made."""
    fitting.fit(state, framework, executor, step)
    for task_id in executor.queued:
        task = framework.tasks[task_id]
        name = state.uuids.next_text()
        container_id = f"{executor.container_id}.{name}"
        limits = fitting.limits_in_pod(state, task.info)
        task.container = Container(container_id, directory_in_pod(executor, name), limits)
        state.task_containers[container_id] = (framework.id, task.id)
        starts.prepare(state, Place(framework, executor, task, task.container), step)
    executor.queued.clear()


def ready(state: State, place: Place, step: Effects) -> None:
    """The container can be launched; when all of its group can, they are."""
    assert place.task is not None
    starts.move(state, place, Phase.PROVISIONED)
    launch_if_ready(state, place.framework, place.executor, place.task, step)


def launch_if_ready(
    state: State, framework: Framework, executor: Executor, task: Task, step: Effects
) -> None:
    """The task's group is being launched, unless one of it is not ready."""
    places = [place_in_pod(framework, executor, one) for one in living(framework, executor, task)]
    if all(one is not None and one.container.phase is Phase.PROVISIONED for one in places):
        for one in places:
            assert one is not None
            starts.launch(state, one, step)


def place_in_pod(framework: Framework, executor: Executor, task: Task) -> Place | None:
    """Where the task's own container belongs, if it has one."""
    container = task.container
    return None if container is None else Place(framework, executor, task, container)


def living(framework: Framework, executor: Executor, of: Task | None = None) -> list[Task]:
    """Tasks of the pod that run or are to run: all, or those of one's group."""
    names = executor.tasks if of is None else of.group
    tasks = [framework.tasks[name] for name in names if name in executor.tasks]
    return [task for task in tasks if not is_over(executor, task)]


def is_over(executor: Executor, task: Task) -> bool:
    """Whether nothing of the task runs, or is to run."""
    if task.container is None:
        return task.id not in executor.queued
    return task.container.phase is Phase.TERMINATED


def is_unknown(state: State, place: Place) -> bool:
    """Whether only its sandbox was asked for so far."""
    match place.container.phase:
        case Phase.PREPARING:
            return True
        case Phase.PROVISIONED:
            return not starts.needs_provisioning(state, place)
    return False


def give_up(state: State, place: Place, ending: Ending, now_ms: int, step: Effects) -> None:
    """A task whose container `is_unknown` is over. `settle` is to be called."""
    framework, _, task, container = place
    assert task is not None
    if container.phase is Phase.PREPARING:
        step.then.append(AbandonSandbox(container.id))
    updates.report_from_agent(
        state, framework, task, ending.state, ending.reason, ending.message, now_ms, step,
        ending.limitation,
    )  # fmt: skip
    task_over(state, framework, task, step)


def task_over(state: State, framework: Framework, task: Task, step: Effects) -> None:
    """The task's container is gone, and its end was told. `settle` is to be called."""
    assert task.container is not None
    close(state, framework, task)
    step.then.append(ForgetContainer(task.container.id))


def close(state: State, framework: Framework, task: Task) -> None:
    """Nothing more of the task's container is of interest."""
    assert task.container is not None
    task.container.phase = Phase.TERMINATED
    state.task_containers.pop(task.container.id, None)
    saved.task_changed(state, framework, task)


def settle(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    """A pod of which no task is left is ending; another has what its tasks need."""
    if executor.phase is Phase.TERMINATED:
        return
    if living(framework, executor):
        fitting.fit(state, framework, executor, step)
    elif executor.exit_status is not None:
        lives.executor_ended(state, executor, executor.exit_status, now_ms, step)
    elif executor.phase is Phase.PREPARING:
        step.then.append(AbandonSandbox(executor.container_id))
        lives.executor_ended(state, executor, lives.STATUS_UNKNOWN, now_ms, step)
    else:
        executor.container.phase = Phase.TERMINATING
        saved.executor_changed(state, executor)
        step.then.append(DestroyContainer(executor.container_id))


def exited(
    state: State,
    framework: Framework,
    executor: Executor,
    status: int,
    now_ms: int,
    step: Effects,
) -> None:
    """The pod's container is gone: so are those within it, and the pod is over when all are."""
    container = executor.container
    executor.exit_status = status
    executor.queued.clear()
    container.phase = Phase.TERMINATING
    saved.executor_changed(state, executor)
    for task in living(framework, executor):
        assert task.container is not None
        place = Place(framework, executor, task, task.container)
        task.container.ending = task.container.ending or container.ending
        if is_unknown(state, place):
            give_up(state, place, task.container.ending or lives.TERMINATED, now_ms, step)
        else:
            saved.task_changed(state, framework, task)
            step.then.append(DestroyContainer(task.container.id))
    if not living(framework, executor):
        lives.executor_ended(state, executor, status, now_ms, step)
