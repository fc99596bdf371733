"""The state's frameworks, agents and tasks as messages of the API."""

from __future__ import annotations

from msgspec.structs import replace

from tepui.master.core.state import Agent, Executor, Framework, Task
from tepui.wire import master, mesos

Frameworks = master.Response.GetFrameworks
Agents = master.Response.GetAgents
Executors = master.Response.GetExecutors
NANOSECONDS_OF_MS = 1_000_000


def time_info(at_ms: int) -> mesos.TimeInfo:
    """Milliseconds since the epoch, as the API has them."""
    return mesos.TimeInfo(nanoseconds=at_ms * NANOSECONDS_OF_MS)


def task(task: Task) -> mesos.Task:
    """The task as operators and agents see it (Mesos: protobuf::createTask)."""
    info = task.info
    return mesos.Task(
        name=info.name,
        task_id=info.task_id,
        framework_id=mesos.FrameworkID(task.framework_id),
        executor_id=None if task.executor_id is None else mesos.ExecutorID(task.executor_id),
        agent_id=mesos.AgentID(task.agent_id),
        state=task.state,
        resources=task.resources.to_wire(role=task.role, refinement=True),
        limits=info.limits,
        statuses=task.statuses,
        status_update_state=task.update.state if task.update else None,
        status_update_uuid=task.update.uuid if task.update else None,
        labels=info.labels,
        discovery=info.discovery,
        container=info.container,
        health_check=info.health_check,
        kill_policy=info.kill_policy,
        user=(info.command.user if info.command else None),
    )


def framework(framework: Framework) -> master.Response.GetFrameworks.Framework:
    """The framework as operators see it."""
    return Frameworks.Framework(
        framework_info=framework.info,
        active=framework.subscription is not None,
        connected=framework.subscription is not None,
        recovered=framework.recovered,
        registered_time=time_info(framework.registered_ms),
        reregistered_time=time_info(framework.reregistered_ms or framework.registered_ms),
        unregistered_time=time_info(framework.unregistered_ms or 0),
    )


def agent(agent: Agent) -> master.Response.GetAgents.Agent:
    """The agent as operators see it."""
    return Agents.Agent(agent_info=agent.info, active=agent.active, version=agent.version)


def executor(executor: Executor) -> master.Response.GetExecutors.Executor:
    """The executor as operators see it."""
    info = replace(executor.info, framework_id=mesos.FrameworkID(executor.framework_id))
    return Executors.Executor(executor_info=info, agent_id=mesos.AgentID(executor.agent_id))
