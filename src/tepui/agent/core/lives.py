"""How executors, tasks and frameworks begin and how they are over.

An executor is over when its container is gone and its last task's terminal update acknowledged; a
finished command lingers a moment longer, for clients that poll. A framework is over when it has
neither executors nor tasks. What is over goes to a bounded history.
"""

from __future__ import annotations

from msgspec import structs

from tepui.agent.core import gc, saved, updates
from tepui.agent.core.actions import CloseExecutor, ForgetContainer, Limits
from tepui.agent.core.container_limits import MIB
from tepui.agent.core.effects import Effects, send
from tepui.agent.core.environment import directory_of
from tepui.agent.core.events import LingerEnded
from tepui.agent.core.state import (
    COMPLETED_FRAMEWORKS_MAX,
    COMPLETED_TASKS_PER_EXECUTOR_MAX,
    Container,
    Ending,
    Executor,
    Framework,
    Kind,
    Phase,
    State,
    Supervision,
    Task,
)
from tepui.wire import link, mesos
from tepui.wire.states import TERMINAL_STATES

STATUS_UNKNOWN = -1  # Mesos: what FAILURE says of an executor that never ran

TERMINATED = Ending(
    mesos.TaskState.TASK_FAILED,
    mesos.TaskStatus.Reason.REASON_EXECUTOR_TERMINATED,
    "Executor terminated",
)


def framework_of(state: State, info: mesos.FrameworkInfo) -> Framework:
    """The framework, with the newest info; one that was over is taken back with its history."""
    assert info.id is not None
    framework = state.frameworks.get(info.id.value)
    if framework is None:
        before = [one for one in state.completed_frameworks if one.id == info.id.value]
        framework = before[0] if before else Framework(info)
        framework.info, framework.ending = info, False
        if before:
            state.completed_frameworks.remove(framework)
        state.frameworks[framework.id] = framework
        saved.framework_changed(state, framework)
    describe(state, framework, info)
    return framework


def describe(state: State, framework: Framework, info: mesos.FrameworkInfo) -> None:
    """The framework's info is the new one; whether it is checkpointed was decided when it came."""
    info = structs.replace(info, checkpoint=framework.info.checkpoint)
    if framework.info != info:
        framework.info = info
        saved.framework_changed(state, framework)


def out_of_memory(limits: Limits, message: str) -> Ending:
    """A container with these limits was killed for its memory."""
    limit_mib = (limits.mem_limit_bytes or 0) / MIB
    mem = mesos.Resource(
        name="mem", type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(limit_mib)
    )
    return Ending(
        mesos.TaskState.TASK_FAILED,
        mesos.TaskStatus.Reason.REASON_CONTAINER_LIMITATION_MEMORY,
        message,
        mesos.TaskResourceLimitation(resources=(mem,)),
    )


def out_of_disk(limits: Limits, message: str) -> Ending:
    """A container with these limits is destroyed for what it holds on disk."""
    disk = mesos.Resource(
        name="disk",
        type=mesos.Value.Type.SCALAR,
        scalar=mesos.Value.Scalar(limits.disk_bytes / MIB),
    )
    return Ending(
        mesos.TaskState.TASK_FAILED,
        mesos.TaskStatus.Reason.REASON_CONTAINER_LIMITATION_DISK,
        message,
        mesos.TaskResourceLimitation(resources=(disk,)),
    )


def begin_executor(
    state: State,
    framework: Framework,
    info: mesos.ExecutorInfo,
    kind: Kind,
    role: str,
    limits: Limits,
    now_ms: int,
    step: Effects,
) -> Executor:
    """The executor exists; its container is to be begun."""
    before = framework.executors.get(info.executor_id.value)
    if before is not None:  # a finished command that lingers, and whose task id is used again
        assert before.phase is Phase.TERMINATED
        _into_history(state, framework, before, now_ms, step)
    container_id = state.uuids.next_text()
    executor_id = info.executor_id.value
    directory = directory_of(state, framework.id, executor_id, container_id)
    executor = Executor(
        framework_id=framework.id,
        info=info,
        role=role,
        kind=kind,
        container=Container(container_id, directory, limits),
    )
    framework.executors[executor_id] = executor
    state.containers[container_id] = executor
    saved.executor_changed(state, executor)
    return executor


def add_task(
    state: State,
    framework: Framework,
    executor: Executor,
    info: mesos.TaskInfo,
    group: tuple[str, ...] = (),
) -> Task:
    """The executor has the task, in TASK_STAGING."""
    task = add_refused_task(state, framework, info, executor.id, group)
    if executor.kind is not Kind.CUSTOM:
        task.supervision = Supervision()
    executor.tasks[task.id] = None
    return task


def add_refused_task(
    state: State,
    framework: Framework,
    info: mesos.TaskInfo,
    executor_id: str,
    group: tuple[str, ...] = (),
) -> Task:
    """The task is here, and no executor has it: what has become of it is to be said."""
    task = Task(info, executor_id, state.tasks_begun, group)
    state.tasks_begun += 1
    framework.tasks[task.id] = task
    saved.task_added(state, framework, task)
    return task


def executor_ended(
    state: State, executor: Executor, status: int, now_ms: int, step: Effects
) -> None:
    """The container is gone: the master knows, and no task of the executor lives.

    The master hears of the executor before it hears of its tasks (FAILURE before UPDATE).
    """
    framework = state.frameworks[executor.framework_id]
    executor.container.phase = Phase.TERMINATED
    state.counters.executors_terminated += 1
    for timer in (executor.registration_timer, executor.shutdown_timer, executor.heartbeat_timer):
        state.timers.cancel(timer)
    executor.registration_timer = executor.shutdown_timer = executor.heartbeat_timer = None
    if executor.connection is not None:
        step.then.append(CloseExecutor(executor.connection))
        del state.connections[executor.connection]
        executor.connection = None
    if state.linked and not executor.built_in:
        send(step, link.ExecutorExited(framework.id, executor.id, status, built_in=False))
    executor.queued.clear()
    ending = executor.container.ending or TERMINATED
    for task_id in tuple(executor.tasks):
        task = framework.tasks[task_id]
        updates.report_from_agent(
            state,
            framework,
            task,
            ending.state,
            ending.reason,
            ending.message,
            now_ms,
            step,
            ending.limitation,
        )
    if state.linked and executor.built_in:
        send(step, link.ExecutorExited(framework.id, executor.id, status, built_in=True))
    step.then.append(ForgetContainer(executor.container_id))
    del state.containers[executor.container_id]
    saved.executor_changed(state, executor)
    settle(state, framework, executor, now_ms, step)


def say_absent(framework: Framework, message: link.RunTasks, step: Effects) -> None:
    """The master, which counts a new executor for tasks that are refused, knows that there is none."""
    if message.executor is None or message.launches_executor is False:
        return  # the end of the one that it counts is on its way
    executor_id = message.executor.executor_id.value
    executor = framework.executors.get(executor_id)
    if executor is None or executor.phase is Phase.TERMINATED:
        exited = link.ExecutorExited(framework.id, executor_id, STATUS_UNKNOWN, built_in=False)
        send(step, exited)


def task_over(state: State, framework: Framework, task: Task, now_ms: int, step: Effects) -> None:
    """The task is history: its terminal update was acknowledged, or nobody wants to know it."""
    assert task.state in TERMINAL_STATES or framework.ending
    forget_task(state, framework, task)
    executor = framework.executors.get(task.executor_id)
    if executor is not None and task.id in executor.tasks:
        del executor.tasks[task.id]
        executor.completed_tasks.append(updates.to_wire(framework, executor, task))
        del executor.completed_tasks[:-COMPLETED_TASKS_PER_EXECUTOR_MAX]
        settle(state, framework, executor, now_ms, step)
    else:
        settle_framework(state, framework)


def forget_task(state: State, framework: Framework, task: Task) -> None:
    """The framework has the task no more, and nothing of it is sent or kept."""
    updates.drop(state, framework, task)
    del framework.tasks[task.id]
    saved.task_removed(state, framework, task)
    executor = framework.executors.get(task.executor_id)
    if executor is not None and executor.container_id in state.containers:
        saved.executor_changed(state, executor)  # with a command task its supervision is saved


def settle(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    """The executor, and then the framework, are over if nothing of them lives."""
    if executor.phase is not Phase.TERMINATED:
        return
    if framework.ending:
        for task_id in tuple(executor.tasks):
            task = framework.tasks[task_id]
            forget_task(state, framework, task)
            del executor.tasks[task_id]
            executor.completed_tasks.append(updates.to_wire(framework, executor, task))
    if executor.tasks:
        return
    if executor.built_in and not framework.ending:
        due = LingerEnded(framework.id, executor.container_id)
        state.timers.set(now_ms + state.settings.linger_ms, due)
        return
    _executor_over(state, framework, executor, now_ms, step)


def linger_ended(state: State, event: LingerEnded, now_ms: int, step: Effects) -> None:
    framework = state.frameworks.get(event.framework_id)
    if framework is None:
        return
    for executor in framework.executors.values():
        if executor.container_id == event.container_id:
            _executor_over(state, framework, executor, now_ms, step)
            return


def settle_framework(state: State, framework: Framework) -> None:
    """The framework is over if nothing of it lives."""
    if framework.executors or framework.tasks or framework.id not in state.frameworks:
        return
    del state.frameworks[framework.id]
    saved.framework_changed(state, framework)
    state.completed_frameworks.append(framework)
    if len(state.completed_frameworks) > COMPLETED_FRAMEWORKS_MAX:
        state.completed_frameworks.popleft()


def _executor_over(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    _into_history(state, framework, executor, now_ms, step)
    settle_framework(state, framework)


def _into_history(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    if framework.executors.get(executor.id) is executor:
        del framework.executors[executor.id]
    framework.completed_executors.append(executor)
    if len(framework.completed_executors) > state.settings.completed_executors_max:
        framework.completed_executors.popleft()
    gc.schedule(state, executor.directory, now_ms, step)
