"""A disk that fills: old sandboxes are removed earlier, and no task is taken when it is full.

A container that holds more than its share is ended, where that is asked for.

Source of the age: Mesos slave.cpp (Slave::age), docs/configuration/agent.md (gc_disk_headroom).
Differs from Mesos, which may remove a sandbox the moment its executor is over and goes on to
take tasks: a sandbox that is not an hour old is kept until the disk is full.
"""

from __future__ import annotations

from tepui.agent.core import gc, lives, operator_lives, pods, saved, starts, updates
from tepui.agent.core.actions import DestroyContainer
from tepui.agent.core.effects import Effects, note, send
from tepui.agent.core.events import DiskExceeded, DiskMeasured
from tepui.agent.core.state import Executor, Framework, Kind, Phase, State
from tepui.wire import link, mesos

FREE_BYTES_MIN = 64 << 20  # with less the disk is full
SANDBOX_AGE_MS_MIN = 3_600_000

LAUNCH_FAILED = mesos.TaskStatus.Reason.REASON_CONTAINER_LAUNCH_FAILED


def disk_measured(state: State, event: DiskMeasured, now_ms: int, step: Effects) -> None:
    """Sandboxes that are too old by now are gone, and the master knows whether tasks are taken."""
    is_full = event.free_bytes < FREE_BYTES_MIN
    state.sandbox_age_ms = _sandbox_age_ms(state, event, is_full=is_full)
    gc.remove_older(state, now_ms - state.sandbox_age_ms, step)
    if is_full == (state.disk_full is not None):
        return
    state.disk_full = None
    if is_full:
        free, wanted = event.free_bytes >> 20, FREE_BYTES_MIN >> 20
        state.disk_full = f"the disk of {state.settings.work_dir} is full: {free} MB are free, {wanted} are needed"
    note(step, "disk_full" if is_full else "disk_has_room", free_bytes=str(event.free_bytes))
    tell(state, step)


def disk_exceeded(state: State, event: DiskExceeded, now_ms: int, step: Effects) -> None:
    """The container ends for what it holds, unless it does already: its tasks fail, and say why."""
    one = state.operator_containers.get(event.container_id)
    if one is not None:
        if one.exited is None and one.container.ending is None:
            one.container.ending = lives.out_of_disk(one.container.limits, event.message)
            operator_lives.destroy(state, one, step)
        return
    place = state.place(event.container_id)
    if place is None or place.container.ending is not None:
        return
    task = place.task
    if task is not None and task.supervision is not None and task.supervision.kill is not None:
        return
    place.container.ending = lives.out_of_disk(place.container.limits, event.message)
    starts.changed(state, place)
    if place.executor.kind is Kind.POD and place.task is None:
        _tasks_exceed(state, place.framework, place.executor, event.message)
    step.then.append(DestroyContainer(event.container_id))


def _tasks_exceed(state: State, framework: Framework, executor: Executor, message: str) -> None:
    """What runs of the pod ends for the same reason: it is gone before the pod is."""
    for task in pods.living(framework, executor):
        container = task.container
        is_killed = task.supervision is not None and task.supervision.kill is not None
        if container is None or container.ending is not None or is_killed:
            continue
        if container.phase in (Phase.LAUNCHING, Phase.RUNNING):
            container.ending = lives.out_of_disk(executor.container.limits, message)
            saved.task_changed(state, framework, task)


def tell(state: State, step: Effects) -> None:
    """The master knows whether tasks are taken; one that has just admitted us takes it for granted."""
    if state.registered and state.protocol >= link.PROTOCOL_OF_CONDITION:
        send(step, link.Condition(state.disk_full is None, state.disk_full or ""))


def refuse(
    state: State, framework: Framework, message: link.RunTasks, now_ms: int, step: Effects
) -> None:
    """The tasks, which were sent before the master knew, are lost or dropped; nothing is launched."""
    assert state.disk_full is not None
    executor = message.executor
    lives.say_absent(framework, message, step)
    for info in message.tasks:
        executor_id = info.task_id.value if executor is None else executor.executor_id.value
        task = lives.add_refused_task(state, framework, info, executor_id)
        lost, text = updates.lost_state(framework), f"Not launched: {state.disk_full}"
        updates.report_from_agent(state, framework, task, lost, LAUNCH_FAILED, text, now_ms, step)


def _sandbox_age_ms(state: State, event: DiskMeasured, *, is_full: bool) -> int:
    """How old a sandbox may become."""
    if is_full:
        return 0
    used = 1 - event.free_bytes / event.capacity_bytes
    allowed = max(0.0, 1 - state.settings.gc_disk_headroom - used)
    delay_ms = state.settings.gc_delay_ms
    return max(int(delay_ms * allowed), min(SANDBOX_AGE_MS_MIN, delay_ms))
