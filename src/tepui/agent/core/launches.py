"""RunTasks, and what then happens to sandboxes and containers, whoever's they are.

Source: Mesos slave.cpp (run, executorLaunched, executorTerminated); recorded answers.
"""

from __future__ import annotations

from tepui.agent.core import commands, disk, executors, lives, pods, starts, supervision, updates
from tepui.agent.core.effects import Effects, note, send
from tepui.agent.core.events import (
    ContainerExited,
    ContainerProgressed,
    ContainerProvisioned,
    ContainerStarted,
    LaunchFailed,
    SandboxFailed,
    SandboxPrepared,
    SandboxStage,
)
from tepui.agent.core.lives import STATUS_UNKNOWN
from tepui.agent.core.state import (
    NOT_STARTED,
    Ending,
    Executor,
    Framework,
    Kind,
    Phase,
    Place,
    State,
)
from tepui.wire import link, mesos

LAUNCH_FAILED = mesos.TaskStatus.Reason.REASON_CONTAINER_LAUNCH_FAILED


def run_tasks(state: State, message: link.RunTasks, now_ms: int, step: Effects) -> None:
    """The tasks are staging, or refused with an update each."""
    assert message.framework.id is not None  # fault_of
    here = state.frameworks.get(message.framework.id.value)
    known = here and [task for task in message.tasks if task.task_id.value in here.tasks]
    if state.stopping is not None or (here is not None and here.ending) or known:
        # The master sends no task twice, and none of a framework that it has shut down.
        framework_id = message.framework.id.value
        note(step, "tasks_ignored", framework=framework_id, task=message.tasks[0].task_id.value)
        return
    framework = lives.framework_of(state, message.framework)
    if state.disk_full is not None:
        disk.refuse(state, framework, message, now_ms, step)
    elif message.executor is None:
        for info in message.tasks:
            _run_command(state, framework, info, message.role, now_ms, step)
    else:
        _run_on_executor(state, framework, message, message.executor, now_ms, step)


def sandbox_prepared(state: State, event: SandboxPrepared, now_ms: int, step: Effects) -> None:
    """What the container needs is being got, or it is being launched."""
    place = _under_way(state, event.container_id, Phase.PREPARING)
    if place is None:
        return  # it was abandoned
    if starts.has_uris(place):
        state.counters.fetches_succeeded += 1
    if starts.needs_provisioning(state, place):
        starts.provision(state, place, step)
    else:
        _ready(state, place, step)


def sandbox_failed(state: State, event: SandboxFailed, now_ms: int, step: Effects) -> None:
    """What is to run there has failed, or is lost when there is no directory."""
    place = _under_way(state, event.container_id, Phase.PREPARING)
    if place is None:
        return
    if event.stage is SandboxStage.FETCH:
        state.counters.fetches_failed += 1
        state.counters.container_launch_errors += 1
        text = f"Failed to launch container: {event.message}"
        place.container.ending = Ending(mesos.TaskState.TASK_FAILED, LAUNCH_FAILED, text)
    else:
        reason = mesos.TaskStatus.Reason.REASON_EXECUTOR_TERMINATED
        lost = updates.lost_state(place.framework)
        place.container.ending = Ending(lost, reason, event.message)
    _ended(state, place, None, None, now_ms, step)


def container_provisioned(
    state: State, event: ContainerProvisioned, now_ms: int, step: Effects
) -> None:
    """The container is being launched, when the others of its group can be; not one that is to end."""
    place = _under_way(state, event.container_id, Phase.PROVISIONING)
    if place is not None:
        _ready(state, place, step)


def container_progressed(
    state: State, event: ContainerProgressed, now_ms: int, step: Effects
) -> None:
    """The tasks that wait for the container say what for, once until that is acknowledged."""
    place = _under_way(state, event.container_id, Phase.PROVISIONING)
    if place is None:
        return
    framework, executor, task, _ = place
    for name in (task.id,) if task is not None else tuple(executor.queued):
        one = framework.tasks[name]
        staging = mesos.TaskState.TASK_STAGING
        if one.state is staging and not one.pending:
            updates.report_from_agent(
                state, framework, one, staging, None, event.message, now_ms, step
            )


def container_started(state: State, event: ContainerStarted, now_ms: int, step: Effects) -> None:
    """The task or the pod runs, or the executor has its time to subscribe; not what is to end."""
    place = state.place(event.container_id)
    if place is None:
        return
    container = place.container
    container.pid, container.network_infos = event.pid, event.network_infos
    starts.changed(state, place)
    if container.ending is not None:
        return  # it was killed meanwhile, and its end will come
    if place.task is not None:
        supervision.started(state, place, now_ms, step)
    elif place.executor.kind is Kind.POD:
        pods.started(state, place.framework, place.executor, step)
    else:
        executors.started(state, place.executor, now_ms, step)


def launch_failed(state: State, event: LaunchFailed, now_ms: int, step: Effects) -> None:
    """Differs from Mesos: a program that cannot be executed fails here, with the reason.

    Mesos calls such a task running and then says that its command exited with status 1.
    """
    place = state.place(event.container_id)
    if place is None:
        return
    state.counters.container_launch_errors += 1
    if place.container.ending is None:
        text = f"Failed to launch container: {event.message}"
        place.container.ending = Ending(mesos.TaskState.TASK_FAILED, LAUNCH_FAILED, text)
    _ended(state, place, None, None, now_ms, step)


def container_exited(state: State, event: ContainerExited, now_ms: int, step: Effects) -> None:
    """What ran in the container is over."""
    place = state.place(event.container_id)
    if place is not None:
        _ended(state, place, event.status, event.memory_exceeded, now_ms, step, event.text)


def under_way(state: State) -> bool:
    """Whether something is between nothing and running: an agent that ends now fails it.

    Of frameworks that are checkpointed only what is being launched: the next agent goes on with
    the rest.
    """
    for executor in state.containers.values():
        framework = state.frameworks[executor.framework_id]
        phases = [executor.phase]
        phases += [
            task.container.phase
            for task in map(framework.tasks.__getitem__, executor.tasks)
            if task.container is not None
        ]
        is_saved = framework.info.checkpoint
        failing = (Phase.LAUNCHING,) if is_saved else NOT_STARTED
        if any(phase in failing for phase in phases):
            return True
    return False


def _under_way(state: State, container_id: str, phase: Phase) -> Place | None:
    """The container if it is so far, and not to end."""
    place = state.place(container_id)
    if place is None or place.container.phase is not phase or place.container.ending is not None:
        return None
    return place


def _ready(state: State, place: Place, step: Effects) -> None:
    """The container can be launched."""
    if place.task is not None and place.task.container is not None:
        pods.ready(state, place, step)
    else:
        starts.launch(state, place, step)


def _ended(
    state: State,
    place: Place,
    status: int | None,
    memory_exceeded: str | None,
    now_ms: int,
    step: Effects,
    text: str = "",
) -> None:
    """The container is gone, with this status or without having run; `text` is what else is to be told."""
    framework, executor, task, container = place
    if task is not None:
        supervision.ended(state, place, status, memory_exceeded, now_ms, step, text)
        return
    status = STATUS_UNKNOWN if status is None else status
    if memory_exceeded is not None and container.ending is None:
        container.ending = lives.out_of_memory(container.limits, memory_exceeded)
    if executor.kind is Kind.POD:
        pods.exited(state, framework, executor, status, now_ms, step)
    else:
        lives.executor_ended(state, executor, status, now_ms, step)


def _run_command(
    state: State,
    framework: Framework,
    info: mesos.TaskInfo,
    role: str,
    now_ms: int,
    step: Effects,
) -> None:
    before = framework.executors.get(info.task_id.value)
    if before is not None and before.container_id in state.containers:
        # The executor of another kind has this id: Mesos would give it the task.
        _refuse_taken(state, framework, before, info, now_ms, step)
        return
    commands.launch(state, framework, info, role, now_ms, step)


def _run_on_executor(
    state: State,
    framework: Framework,
    message: link.RunTasks,
    info: mesos.ExecutorInfo,
    now_ms: int,
    step: Effects,
) -> None:
    is_default = info.type is mesos.ExecutorInfo.Type.DEFAULT
    kind = Kind.POD if is_default else Kind.CUSTOM
    executor = framework.executors.get(info.executor_id.value)
    if executor is not None and executor.built_in and not executor.tasks:
        executor = None  # a finished command that lingers
    phase = Phase.TERMINATED if executor is None else executor.phase
    if phase is Phase.TERMINATING or (
        phase is Phase.TERMINATED and (executor is not None or message.launches_executor is False)
    ):
        _refuse_late(state, framework, message, info.executor_id.value, phase, now_ms, step)
    elif executor is not None and executor.kind is not kind:
        if executor.built_in:
            send(
                step, link.ExecutorExited(framework.id, executor.id, STATUS_UNKNOWN, built_in=False)
            )
        for task in message.tasks:
            _refuse_taken(state, framework, executor, task, now_ms, step)
    elif kind is Kind.POD:
        pods.run_group(state, framework, executor, message, now_ms, step)
    else:
        executors.run_tasks(state, framework, executor, message, now_ms, step)


def _refuse_late(
    state: State,
    framework: Framework,
    message: link.RunTasks,
    executor_id: str,
    phase: Phase,
    now_ms: int,
    step: Effects,
) -> None:
    """The executor ends, or has ended: these tasks never ran (Mesos: slave.cpp, __run)."""
    lives.say_absent(framework, message, step)
    gone = updates.gone_state(framework)
    reason = mesos.TaskStatus.Reason.REASON_EXECUTOR_TERMINATED
    text = f"Executor {phase.lower()}"
    for info in message.tasks:
        task = lives.add_refused_task(state, framework, info, executor_id)
        updates.report_from_agent(state, framework, task, gone, reason, text, now_ms, step)


def _refuse_taken(
    state: State,
    framework: Framework,
    executor: Executor,
    info: mesos.TaskInfo,
    now_ms: int,
    step: Effects,
) -> None:
    """An executor of another kind has the id: the task has failed, until that is acknowledged."""
    task = lives.add_refused_task(state, framework, info, executor.id)
    failed = mesos.TaskState.TASK_FAILED
    text = f"Executor '{executor.id}' is already running"
    updates.report_from_agent(state, framework, task, failed, LAUNCH_FAILED, text, now_ms, step)
