"""The link: registering, the master's messages, and what is said again after a loss.

While the link is down tasks go on and their updates wait. An agent that has an id says all it has
when it registers again, and then sends every unacknowledged update once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import msgpack, structs

from tepui.agent.core import disk, frameworks, kills, launches, lives, saved, updates
from tepui.agent.core.actions import AdoptId, CloseLink, OpenLink
from tepui.agent.core.effects import Effects, note, send
from tepui.agent.core.events import (
    LinkLost,
    LinkOpened,
    MasterSpoke,
    PingsMissed,
    RegistrationOverdue,
)
from tepui.agent.core.faults import fault_of
from tepui.agent.core.state import Framework, State, Task
from tepui.agent.core.stopping import stop
from tepui.wire import link, mesos

REGISTRATION_MS = 30_000  # from our registration to the master's answer; Mesos retries instead


def link_opened(state: State, event: LinkOpened, now_ms: int, step: Effects) -> None:
    """The agent has asked to be registered."""
    state.linked = True
    state.protocol = event.protocol
    send(step, _registration(state))
    _expect_no_registration(state)
    overdue_ms = now_ms + REGISTRATION_MS
    state.registration_timer = state.timers.set(overdue_ms, RegistrationOverdue())


def link_lost(state: State, event: LinkLost, now_ms: int, step: Effects) -> None:
    """The agent goes on alone, and nothing is expected of the master.

    No other link is opened before what was decided so far is done: a registration that was meant for
    this one would be taken on the next, after its own, for the newest of what the agent has.
    """
    state.linked = state.registered = False
    _expect_no_registration(state)
    state.timers.cancel(state.ping_timer)
    state.ping_timer = None
    step.then.append(OpenLink())


def master_spoke(state: State, event: MasterSpoke, now_ms: int, step: Effects) -> None:
    """What the message asks for is done; each kind has a function in MESSAGES.

    After what cannot be, the link is closed: the next registration says what is not here.
    """
    fault = fault_of(event.message)
    if fault is not None:
        step.then.append(CloseLink(f"the master sent {fault}"))
        return
    handler = MESSAGES[type(event.message)]
    handler(state, event.message, now_ms, step)


def pings_missed(state: State, event: PingsMissed, now_ms: int, step: Effects) -> None:
    """The link is given up: the master may be gone without a word."""
    state.ping_timer = None
    step.then.append(CloseLink(f"no ping for {state.ping_timeout_ms} ms"))


def registration_overdue(
    state: State, event: RegistrationOverdue, now_ms: int, step: Effects
) -> None:
    """The link is given up: the master does not answer the registration."""
    state.registration_timer = None
    step.then.append(CloseLink(f"not registered within {REGISTRATION_MS} ms"))


def _registered(state: State, message: link.Registered, now_ms: int, step: Effects) -> None:
    """The agent is the master's, unless another has begun to lead since this one did.

    So nothing else that a master sends needs to name its epoch: it comes on the same link.
    """
    if 0 != message.epoch < state.master_epoch:
        step.then.append(CloseLink(_old_leader(state, message.epoch)))
        return
    _expect_no_registration(state)
    if state.info.id is None:
        state.info = structs.replace(state.info, id=mesos.AgentID(message.agent_id))
        saved.agent_changed(state)
    elif state.info.id.value != message.agent_id:
        stop(state, f"the master calls this agent {message.agent_id}", now_ms, step)
        return
    if message.epoch > state.master_epoch:
        state.master_epoch = message.epoch
        saved.agent_changed(state)
    step.then.append(AdoptId(message.agent_id))
    state.registered = True
    state.ping_timeout_ms = message.ping_timeout_ms
    _expect_ping(state, now_ms)
    if state.disk_full is not None:
        disk.tell(state, step)
    updates.forward_all(state, now_ms, step)


def _old_leader(state: State, epoch: int) -> str:
    return (
        f"an old leader: its epoch is {epoch}, epoch {state.master_epoch} has begun (epochs are"
        " times in seconds at least: if no other master leads, set its clock, or remove"
        f" '{state.settings.work_dir}/meta' to start as a new agent, which ends its tasks)"
    )


def _pinged(state: State, message: link.Ping, now_ms: int, step: Effects) -> None:
    send(step, link.Pong(message.sequence))
    if state.registered:
        _expect_ping(state, now_ms)


def _acknowledged(
    state: State, message: link.AcknowledgeUpdate, now_ms: int, step: Effects
) -> None:
    task = updates.acknowledged(state, message, now_ms, step)
    if task is not None:
        lives.task_over(state, state.frameworks[message.framework_id], task, now_ms, step)


def _shut_down(state: State, message: link.Shutdown, now_ms: int, step: Effects) -> None:
    stop(state, message.message, now_ms, step)


def _greeted(state: State, message: link.Hello, now_ms: int, step: Effects) -> None:
    note(step, "greeting_repeated", version=message.version)


def _expect_ping(state: State, now_ms: int) -> None:
    state.timers.cancel(state.ping_timer)
    state.ping_timer = state.timers.set(now_ms + state.ping_timeout_ms, PingsMissed())


def _expect_no_registration(state: State) -> None:
    state.timers.cancel(state.registration_timer)
    state.registration_timer = None


_encode = msgpack.Encoder().encode


def _registration(state: State) -> link.Register | link.Reregister | link.Return:
    settings = state.settings
    if state.info.id is None:
        return link.Register(state.info, settings.version, settings.address)
    frameworks_here = tuple(state.frameworks.values())
    whole = link.Reregister(
        info=state.info,
        version=settings.version,
        address=settings.address,
        frameworks=tuple(one.info for one in frameworks_here),
        executors=tuple(
            link.RunningExecutor(framework.id, executor.info)
            for framework in frameworks_here
            for executor in framework.executors.values()
            if not executor.built_in and executor.container_id in state.containers
        ),
        tasks=tuple(
            _reported(framework, task)
            for framework in frameworks_here
            for task in framework.tasks.values()
        ),
    )
    said = _in_protocol(state.protocol, whole)
    if len(_encode(said)) <= link.MESSAGE_BYTES_MAX:
        return said
    return _in_protocol(state.protocol, _shortened(whole))


def _in_protocol(protocol: int, whole: link.Reregister) -> link.Reregister | link.Return:
    return link.in_short(whole) if protocol >= link.PROTOCOL_OF_RETURN else whole


def _shortened(whole: link.Reregister) -> link.Reregister:
    """Only what the master must know; one framework's long labels must not cut the agent off."""
    return structs.replace(
        whole,
        executors=tuple(
            link.RunningExecutor(
                one.framework_id,
                mesos.ExecutorInfo(
                    type=one.info.type,
                    executor_id=one.info.executor_id,
                    framework_id=one.info.framework_id,
                    resources=one.info.resources,
                ),
            )
            for one in whole.executors
        ),
        tasks=tuple(
            mesos.Task(
                name=task.task_id.value,
                task_id=task.task_id,
                framework_id=task.framework_id,
                executor_id=task.executor_id,
                agent_id=task.agent_id,
                state=task.state,
                resources=task.resources,
                status_update_state=task.status_update_state,
            )
            for task in whole.tasks
        ),
    )


def _reported(framework: Framework, task: Task) -> mesos.Task:
    """The task as the master is told, with the uuid only of an update that it may not have.

    One with data, which the task's statuses have not, comes again itself.
    """
    wire = updates.to_wire(framework, framework.executors.get(task.executor_id), task)
    first = task.pending[0] if task.pending else None
    if first is not None and first.uuid == task.sent_uuid and first.data is None:
        return wire
    return structs.replace(wire, status_update_uuid=None)


# Any: each handler takes the message that it stands beside, as in HANDLERS of step.py.
MESSAGES: dict[type[link.FromMaster], Callable[[State, Any, int, Effects], None]] = {
    link.Hello: _greeted,
    link.Registered: _registered,
    link.RunTasks: launches.run_tasks,
    link.KillTask: kills.kill_task,
    link.ShutdownExecutor: frameworks.shut_down_executor,
    link.SchedulerMessage: frameworks.scheduler_said,
    link.AcknowledgeUpdate: _acknowledged,
    link.UpdateFramework: frameworks.update_framework,
    link.ShutdownFramework: frameworks.shut_down_framework,
    link.Ping: _pinged,
    link.Shutdown: _shut_down,
}
