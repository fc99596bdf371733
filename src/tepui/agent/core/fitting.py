"""The limits of a container follow the tasks in it."""

from __future__ import annotations

from msgspec import structs

from tepui.agent.core import saved
from tepui.agent.core.actions import NO_LIMITS, Limits, UpdateContainer
from tepui.agent.core.container_limits import limits_of
from tepui.agent.core.effects import Effects
from tepui.agent.core.state import Executor, Framework, Phase, State
from tepui.wire import mesos
from tepui.wire.states import TERMINAL_STATES


def fit(state: State, framework: Framework, executor: Executor, step: Effects) -> None:
    """The executor's container has what the tasks that are not over need.

    Its memory limit is never lowered: what those that are left hold by now may be over it (Mesos: memory
    subsystem, update).
    """
    before = executor.container.limits.mem_limit_bytes
    limits = limits_now(state, framework, executor)
    if limits.mem_limit_bytes is not None:
        kept = None if before is None else max(before, limits.mem_limit_bytes)
        limits = structs.replace(limits, mem_limit_bytes=kept)
    if executor.phase is Phase.RUNNING and limits != executor.container.limits:
        executor.container.limits = limits
        saved.executor_changed(state, executor)
        step.then.append(UpdateContainer(executor.container_id, limits))


def limits_now(state: State, framework: Framework, executor: Executor) -> Limits:
    """What the executor and the tasks that are not over may use."""
    tasks = [framework.tasks[task_id] for task_id in executor.tasks]
    running = [task.info for task in tasks if task.state not in TERMINAL_STATES]
    return limits_of(executor.info.resources, running, cfs=state.settings.cgroups_enable_cfs)


def asked_in_pod(state: State, info: mesos.TaskInfo) -> Limits:
    """What a task of a pod has asked for, whether or not it has limits of its own."""
    return limits_of((), (info,), cfs=state.settings.cgroups_enable_cfs)


def limits_in_pod(state: State, info: mesos.TaskInfo) -> Limits:
    """What a task of a pod may use under the pod's limits: its own share only if it asks for that."""
    linux = None if info.container is None else info.container.linux_info
    if linux is None or linux.share_cgroups:
        return NO_LIMITS
    return asked_in_pod(state, info)
