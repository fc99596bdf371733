"""Status updates on their way from agent to scheduler, and acknowledgements on their way back.

An agent sends the updates of a task one after the other and repeats each until it is
acknowledged. The master forwards them and remembers, for each task, the one that waits. An
acknowledgement that may have been lost with a connection is said again instead of forwarding
the update a second time. (Mesos: docs/high-availability-framework-guide.md)
"""

from __future__ import annotations

from tepui.base.ids import is_uuid
from tepui.base.names import AgentId, ExecutorId, FrameworkId, TaskId
from tepui.master.core import statuses, tasks
from tepui.master.core.actions import Effects, SendEvent, SendToAgent
from tepui.master.core.publish import publish_task_updated
from tepui.master.core.settings import ACKNOWLEDGED_MAX
from tepui.master.core.state import Agent, Framework, State
from tepui.master.core.validation.agent import has_nan
from tepui.wire import link, mesos, scheduler
from tepui.wire.states import TERMINAL_STATES

Event = scheduler.Event


def status_updated(
    state: State, agent: Agent, message: link.StatusUpdated, now_ms: int, step: Effects
) -> None:
    """An agent has news of a task."""
    status = message.status
    framework = state.frameworks.get(FrameworkId(message.framework_id))
    if framework is None or not is_uuid(status.uuid or b"") or has_nan(status):
        state.counters.add("invalid_status_updates")
        return
    assert status.uuid is not None  # is_uuid
    task = agent.tasks.get((framework.id, TaskId(status.task_id.value)))
    if agent.has_acknowledged(status.uuid) or (
        task is not None and task.acknowledged_early == status.uuid
    ):
        _say_acknowledged(agent, message.framework_id, status.task_id.value, status.uuid, step)
        if task is not None and status.state in TERMINAL_STATES:
            # Its agent started anew meanwhile, and did not know what it had sent: it was taken in.
            tasks.change_state(state, task, status.state, now_ms)
            tasks.forget_task(state, framework, task)
        return
    if task is None or framework.subscription is None:
        state.counters.add("invalid_status_updates")
    else:
        state.counters.add("valid_status_updates")
    if task is not None:
        is_news = task.update is None or task.update.uuid != status.uuid
        task.update = status
        task.forwarded = status.state
        is_end = status.state in TERMINAL_STATES  # then it is the latest, whatever the agent says
        latest = status.state if is_end else message.latest_state
        tasks.change_state(state, task, latest, now_ms)
        statuses.remember(task, status)
        if is_news:
            publish_task_updated(state, task, status, step)
    statuses.tell(framework, status, step)


def acknowledge(
    state: State, framework: Framework, call: scheduler.Call.Acknowledge, now_ms: int, step: Effects
) -> None:
    """The scheduler has an update: its agent may send the next; an ended task is history."""
    agent_id = AgentId(call.agent_id.value)
    agent = state.agents.get(agent_id)
    if agent is None:
        state.counters.add("invalid_status_update_acknowledgements")
        absent = state.unreachable_agents.get(agent_id) or state.recovered_agents.get(agent_id)
        if absent is not None and len(absent.acknowledged) < ACKNOWLEDGED_MAX:
            absent.acknowledged.add(call.uuid)
        return
    task = agent.tasks.get((framework.id, TaskId(call.task_id.value)))
    if task is not None:
        if task.update is None or task.update.uuid != call.uuid:
            state.counters.add("invalid_status_update_acknowledgements")
            if task.update is None:
                task.acknowledged_early = call.uuid
            return
        ended = task.update.state in TERMINAL_STATES
        task.update = None
        if ended:
            tasks.forget_task(state, framework, task)
    state.counters.add("valid_status_update_acknowledgements")
    # The agent judges what is said of a task that is not known; only what was awaited is remembered,
    # for else an update of another task with this uuid would be taken for acknowledged.
    remembered = task is not None
    _say_acknowledged(
        agent, framework.id, call.task_id.value, call.uuid, step, remembered=remembered
    )


def executor_message(
    state: State, agent: Agent, message: link.ExecutorMessage, now_ms: int, step: Effects
) -> None:
    """An executor speaks to its scheduler."""
    framework = state.frameworks.get(FrameworkId(message.framework_id))
    if framework is None or framework.subscription is None:
        state.counters.add("invalid_executor_to_framework_messages")
        return
    state.counters.add("valid_executor_to_framework_messages")
    event = Event(
        type=Event.Type.MESSAGE,
        message=Event.Message(
            agent_id=mesos.AgentID(agent.id),
            executor_id=mesos.ExecutorID(message.executor_id),
            data=message.data,
        ),
    )
    step.then.append(SendEvent(framework.subscription.stream, event))


def executor_exited(
    state: State, agent: Agent, message: link.ExecutorExited, now_ms: int, step: Effects
) -> None:
    """An executor is gone; its scheduler hears of it unless the agent made it up for a command."""
    framework_id = FrameworkId(message.framework_id)
    executor_id = ExecutorId(message.executor_id)
    executor = agent.executors_of(framework_id).get(executor_id)
    if executor is not None:
        tasks.remove_executor(state, executor, now_ms)
    framework = state.frameworks.get(framework_id)
    if framework is None or framework.subscription is None or message.built_in:
        return
    failure = Event.Failure(
        agent_id=mesos.AgentID(agent.id),
        executor_id=mesos.ExecutorID(executor_id),
        status=message.status,
    )
    step.then.append(
        SendEvent(framework.subscription.stream, Event(type=Event.Type.FAILURE, failure=failure))
    )


def _say_acknowledged(
    agent: Agent,
    framework_id: str,
    task_id: str,
    uuid: bytes,
    step: Effects,
    *,
    remembered: bool = True,
) -> None:
    """Tell the agent, and remember it until a ping that follows is answered."""
    if remembered and len(agent.acknowledged) < ACKNOWLEDGED_MAX:
        agent.acknowledged.add(uuid)
    if agent.link is not None:
        message = link.AcknowledgeUpdate(framework_id, task_id, uuid)
        step.then.append(SendToAgent(agent.link, message))
