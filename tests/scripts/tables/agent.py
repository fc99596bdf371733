"""An agent as the tables find it: who is known to it, by ids that never change.

Framework `F` has on agent `A`:

| executor | what                                                    |
| -------- | ------------------------------------------------------- |
| `ex`     | runs, is subscribed, and has the running task `t`       |
| `early`  | its process runs, and it has not subscribed             |
| `c`      | is no executor of its own: the agent runs the command   |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tepui.agent.core import actions, events
from tepui.agent.core.actions import Action, Record
from tepui.agent.core.events import Event
from tepui.agent.core.state import State
from tepui.agent.core.step import step
from tepui.agent.daemon.container_calls import ContainerCalls
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.endpoints import Endpoints
from tepui.agent.daemon.executor_api import ExecutorApi
from tepui.agent.daemon.main import _routes
from tepui.agent.daemon.master_link import MasterLink
from tepui.agent.daemon.operator_api import OperatorApi
from tepui.agent.daemon.put import Put
from tepui.agent.daemon.sessions import Sessions
from tepui.web.event_streams import EventStreams
from tepui.web.files import Files, FilesApi
from tepui.web.loglevel import LogLevel
from tepui.web.requests import Requests
from tepui.wire import executor, mesos
from tests.agent.containers.fake import FakeRuntime, Machine
from tests.agent.core.cluster import Agent, executor_info, run_tasks, task_info
from tests.agent.daemon.bound import bind
from tests.scripts.tables.served import Served

FRAMEWORK = "F"
EXECUTOR, EARLY, COMMAND = "ex", "early", "c"
TASK = "t"
FIRST_REQUEST = 1_000  # the executor's own stream has a lower number


def served(directory: Path) -> tuple[Served[Event, Record, Action], State]:
    """The agent, to be asked; it shows `directory` as `/sandbox`."""
    agent = _peopled()
    requests: Requests[actions.Reply] = Requests()
    for _ in range(FIRST_REQUEST):
        requests.number()
    daemon: Served[Event, Record, Action] = Served(
        partial(step, agent.state),
        lambda decided: _act(decided, requests, streams, containers, put),
        agent.state.timers.next_ms,
        agent.now_ms,
    )
    put = daemon.loop.put
    streams: EventStreams[int] = EventStreams()
    files = Files()
    files.attach("/sandbox", str(directory))
    containers = Containers(put)
    bind(containers, FakeRuntime(Machine(), containers.exited), directory)
    log_level = LogLevel()
    calls = ContainerCalls(put, requests, Sessions(put, containers), containers)
    flags = {"work_dir": "/work_dir"}
    daemon.routes = _routes(
        ExecutorApi(put, requests, streams),
        OperatorApi(put, requests, files, containers, calls, flags, log_level, _prune),
        Endpoints(
            put, requests, containers, MasterLink("127.0.0.1:5050", put, 1), flags, log_level
        ),
        FilesApi(files),
    )
    return daemon, agent.state


def _act(
    decided: list[Action],
    requests: Requests[actions.Reply],
    streams: EventStreams[int],
    containers: Containers,
    put: Put,
) -> None:
    """What reaches a caller, and what starts containers, is carried out; the rest of the world is not there."""
    table: dict[type[Action], Callable[[Any], None]] = {  # Any: the action of its key
        actions.AcceptExecutor: lambda a: requests.answer(a.connection, a),
        actions.SendToExecutor: lambda a: streams.send(a.connection, a.event),
        actions.CloseExecutor: lambda a: streams.end(a.connection),
        actions.AnswerExecutor: lambda a: requests.answer(a.request, a),
        actions.AnswerClassic: lambda a: requests.answer(a.request, a),
        actions.AnswerOperator: lambda a: requests.answer(a.request, a),
        actions.PrepareSandbox: lambda a: put(events.SandboxPrepared(a.container_id)),
        actions.ProvisionContainer: containers.provision,
        actions.LaunchContainer: containers.launch,
        actions.AnswerContainer: lambda a: requests.answer(a.request, a),
    }
    for action in decided:
        act = table.get(type(action))
        if act is not None:
            act(action)


async def _prune(excluded: Sequence[mesos.Image]) -> None:
    """There are no images."""


def _peopled() -> Agent:
    agent = Agent()
    agent.run(task_info(COMMAND))
    for name, task_id in ((EXECUTOR, TASK), (EARLY, "waiting")):
        agent.hear(run_tasks(task_info(task_id, executor_info=executor_info(name))))
        container = agent.container(name)
        agent.put(events.SandboxPrepared(container))
        agent.put(events.ContainerStarted(container, 4711))
    agent.put(events.ExecutorSubscribed(1, _call(executor.Call.Type.SUBSCRIBE)))
    status = mesos.TaskStatus(
        task_id=mesos.TaskID(TASK),
        state=mesos.TaskState.TASK_RUNNING,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        uuid=b"u" * 6 + b"\x11" + b"u" * 9,
    )
    agent.put(events.ExecutorCalled(2, _call(executor.Call.Type.UPDATE, status)))
    return agent


def _call(kind: executor.Call.Type, status: mesos.TaskStatus | None = None) -> executor.Call:
    return executor.Call(
        type=kind,
        executor_id=mesos.ExecutorID(EXECUTOR),
        framework_id=mesos.FrameworkID(FRAMEWORK),
        subscribe=executor.Call.Subscribe() if status is None else None,
        update=None if status is None else executor.Call.Update(status=status),
    )
