"""The events that operators read (SUBSCRIBE of the v1 operator API).

Source: Mesos include/mesos/v1/master/master.proto Event; the order is that of the changes.
"""

from __future__ import annotations

from tepui.master.core import messages
from tepui.master.core.actions import Effects, SendEvent
from tepui.master.core.state import Agent, Framework, State, Task
from tepui.wire import master, mesos

Event = master.Event


def publish(state: State, event: master.Event, step: Effects) -> None:
    """Send the event to every operator that subscribed."""
    for stream in state.operators:
        step.then.append(SendEvent(stream, event))


def publish_task_added(state: State, task: Task, step: Effects) -> None:
    """A task was launched, or is known again."""
    if state.operators:
        added = Event.TaskAdded(task=messages.task(task))
        publish(state, Event(type=Event.Type.TASK_ADDED, task_added=added), step)


def publish_task_updated(state: State, task: Task, status: mesos.TaskStatus, step: Effects) -> None:
    """A task's state changed."""
    if state.operators:
        updated = Event.TaskUpdated(
            framework_id=mesos.FrameworkID(task.framework_id), status=status, state=task.state
        )
        publish(state, Event(type=Event.Type.TASK_UPDATED, task_updated=updated), step)


def publish_framework_added(state: State, framework: Framework, step: Effects) -> None:
    """A framework subscribed for the first time."""
    if state.operators:
        added = Event.FrameworkAdded(framework=messages.framework(framework))
        publish(state, Event(type=Event.Type.FRAMEWORK_ADDED, framework_added=added), step)


def publish_framework_updated(state: State, framework: Framework, step: Effects) -> None:
    """A framework subscribed again, left, or changed."""
    if state.operators:
        updated = Event.FrameworkUpdated(framework=messages.framework(framework))
        publish(state, Event(type=Event.Type.FRAMEWORK_UPDATED, framework_updated=updated), step)


def publish_framework_removed(state: State, framework: Framework, step: Effects) -> None:
    """A framework is gone."""
    if state.operators:
        removed = Event.FrameworkRemoved(framework_info=framework.info)
        publish(state, Event(type=Event.Type.FRAMEWORK_REMOVED, framework_removed=removed), step)


def publish_agent_added(state: State, agent: Agent, step: Effects) -> None:
    """An agent registered."""
    if state.operators:
        added = Event.AgentAdded(agent=messages.agent(state, agent))
        publish(state, Event(type=Event.Type.AGENT_ADDED, agent_added=added), step)


def publish_agent_removed(state: State, agent: Agent, step: Effects) -> None:
    """An agent is gone or unreachable."""
    if state.operators:
        removed = Event.AgentRemoved(agent_id=mesos.AgentID(agent.id))
        publish(state, Event(type=Event.Type.AGENT_REMOVED, agent_removed=removed), step)
