"""All that an agent knows.

A framework has executors and tasks. A command task has an executor too: the one that is built
into the agent, with the task's id; it takes no resources of its own, unlike Mesos's. The agent is
also the default executor, of pods: the pod has a container without process, and each of its tasks
one of its own within that. A task lives until its terminal update is acknowledged; an executor
lives until its container is gone and no task of it lives; a framework lives while it has either.
What is over is remembered for the views, within limits.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from tepui.agent.core.actions import Limits
from tepui.agent.core.events import ContainerExited, Event
from tepui.base.ids import Uuids
from tepui.base.timers import Timers
from tepui.wire import link, mesos

COMPLETED_FRAMEWORKS_MAX = 50  # Mesos: slave/constants.hpp
COMPLETED_TASKS_PER_EXECUTOR_MAX = 200  # Mesos: slave/constants.hpp
STATUSES_PER_TASK_MAX = 100  # of one task, for the views; Mesos has no limit
PENDING_PER_TASK_MAX = 10_000  # unacknowledged updates of one task; Mesos has no limit
PENDING_BYTES_PER_TASK_MAX = 16 << 20  # the same in bytes
UPDATE_BYTES_MAX = 1 << 20  # of one update of an executor, its data with it
TAKEN_PER_TASK_MAX = 1_000  # updates of one task that its executor may send a second time


class Settings(Struct, frozen=True, kw_only=True):
    """The flags that decisions depend on."""

    ip: str
    port: int
    hostname: str
    work_dir: str
    version: str
    boot_id: str = ""  # another one after each start of the machine
    switch_user: bool = True
    cgroups_enable_cfs: bool = False  # containers are throttled to the cpus they have
    default_container_info: mesos.ContainerInfo | None = None  # of executors that have none
    executor_registration_timeout_ms: int = 60_000  # Mesos: slave/constants.hpp, as all below
    executor_reregistration_timeout_ms: int = 15_000  # Mesos's longest; its default is 2 s
    executor_shutdown_grace_period_ms: int = 5_000
    recovery_timeout_ms: int = 900_000
    heartbeat_ms: int = 30_000
    gc_delay_ms: int = 604_800_000
    gc_disk_headroom: float = 0.1  # of the disk, which shall stay free; Mesos: slave/flags.cpp
    completed_executors_max: int = 150  # of one framework
    linger_ms: int = 1_000  # a finished command stays visible; some clients poll for it

    @property
    def address(self) -> str:
        """host:port of the agent's HTTP server."""
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{ip}:{self.port}"

    @property
    def pid(self) -> str:
        """What Mesos calls the agent's process."""
        return f"slave(1)@{self.address}"


class Phase(StrEnum):
    """How far a container is."""

    PREPARING = "PREPARING"  # its sandbox is being made
    PROVISIONING = "PROVISIONING"  # image, volumes and networks are got for it
    PROVISIONED = "PROVISIONED"  # it waits for the others of its task's group
    LAUNCHING = "LAUNCHING"
    REGISTERING = "REGISTERING"  # its process runs and has not subscribed
    RUNNING = "RUNNING"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"


NOT_LAUNCHED = (Phase.PREPARING, Phase.PROVISIONING, Phase.PROVISIONED)  # nothing of it has run
NOT_STARTED = (*NOT_LAUNCHED, Phase.LAUNCHING)


class Ending(Struct, frozen=True):
    """What to say of the tasks in a container that ends."""

    state: mesos.TaskState
    reason: mesos.TaskStatus.Reason
    message: str
    limitation: mesos.TaskResourceLimitation | None = None


class Container(Struct):
    """The container of an executor, or of a task of a pod."""

    id: str  # of one within another: the other's, a dot, and its own name
    directory: str
    limits: Limits
    phase: Phase = Phase.PREPARING
    pid: int | None = None
    network_infos: tuple[mesos.NetworkInfo, ...] = ()  # on networks of its own
    ending: Ending | None = None


class OperatorContainer(Struct):
    """A container that an operator has launched: see operator_containers.py."""

    container: Container
    parent: str | None  # the container that it lives in
    command: mesos.CommandInfo
    info: mesos.ContainerInfo | None
    environment: dict[str, str]
    user: str | None
    is_session: bool = False  # it ends with the client that asked for it
    is_orphan: bool = False  # the one around it is gone: nothing is kept of it when it exits
    asked: int | None = None  # the request that waits for its start
    exited: ContainerExited | None = None
    number: int = 0  # in the order in which they exited


class Watch(Struct):
    """A check, or health check, of a running task."""

    started_ms: int
    timer: int | None = None
    check_id: int | None = None  # of the probe that is under way
    initializing: bool = True  # it has never succeeded
    failures: int = 0  # in a row


class Kill(Struct, frozen=True):
    """A kill that is under way."""

    since_ms: int
    until_ms: int  # the end of its grace
    timer: int


class Supervision(Struct):
    """Of a task whose executor is the agent itself: a command task, or one of a pod."""

    started_ms: int | None = None  # None: it does not run yet
    kill: Kill | None = None
    completion_timer: int | None = None
    overdue: bool = False  # it is killed because its time is over
    unhealthy: bool = False  # it is killed because of its health check
    health: Watch | None = None
    check: Watch | None = None


class Task(Struct):
    """A task and its stream of updates; the first of `pending` is the one that was sent."""

    info: mesos.TaskInfo
    executor_id: str
    number: int  # in the order in which tasks came
    group: tuple[str, ...] = ()  # ids of the tasks that came with it, itself among them
    supervision: Supervision | None = None  # None: an executor that subscribes has it
    container: Container | None = None  # of its own; None: it runs in its executor's
    state: mesos.TaskState = mesos.TaskState.TASK_STAGING
    statuses: list[mesos.TaskStatus] = field(default_factory=list)
    pending: deque[mesos.TaskStatus] = field(default_factory=deque)
    pending_bytes: int = 0
    updates_begun: int = 0  # so many were pending at some time: the number of the next
    last_acknowledged: tuple[int, mesos.TaskStatus] | None = None  # its number; without data
    saved_updates: set[int] = field(default_factory=set)  # numbers of those that are on the disk
    taken: dict[bytes, int] = field(default_factory=dict)  # the last of its executor; -1: dropped
    resend_timer: int | None = None
    backoff_ms: int = 0
    sent_state: mesos.TaskState | None = None
    sent_uuid: bytes | None = None

    @property
    def id(self) -> str:
        return self.info.task_id.value


class Kind(StrEnum):
    """What an executor is."""

    COMMAND = "COMMAND"  # the agent itself, for one command task
    POD = "POD"  # the agent itself, for groups of tasks: the default executor
    CUSTOM = "CUSTOM"  # a process that subscribes


class Executor(Struct):
    """An executor and its container."""

    framework_id: str
    info: mesos.ExecutorInfo
    role: str
    kind: Kind
    container: Container
    tasks: dict[str, None] = field(default_factory=dict)  # ids of those that live
    # Of those that were not delivered, or wait for the pod's container to be there.
    queued: list[str] = field(default_factory=list)
    kills: dict[str, mesos.KillPolicy | None] = field(default_factory=dict)  # it is to hear of
    completed_tasks: list[mesos.Task] = field(default_factory=list)
    ever_sent: bool = False  # it was given a task
    connection: int | None = None
    registration_timer: int | None = None
    shutdown_timer: int | None = None
    heartbeat_timer: int | None = None
    exit_status: int | None = None  # of a pod whose container ended before those within it

    @property
    def id(self) -> str:
        return self.info.executor_id.value

    @property
    def container_id(self) -> str:
        return self.container.id

    @property
    def directory(self) -> str:
        return self.container.directory

    @property
    def phase(self) -> Phase:
        return self.container.phase

    @property
    def built_in(self) -> bool:
        """Whether it was made up for a command task: schedulers do not know of it."""
        return self.kind is Kind.COMMAND


class Framework(Struct):
    """A framework that has something on this agent."""

    info: mesos.FrameworkInfo
    executors: dict[str, Executor] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    completed_executors: deque[Executor] = field(default_factory=deque)
    ending: bool = False  # it is being shut down: no update of it is of interest

    @property
    def id(self) -> str:
        assert self.info.id is not None
        return self.info.id.value

    def has(self, capability: mesos.FrameworkInfo.Capability.Type) -> bool:
        return any(one.type is capability for one in self.info.capabilities)


class Place(NamedTuple):
    """Whose a container is. Without a task it is the executor's alone."""

    framework: Framework
    executor: Executor
    task: Task | None  # that the agent runs in it
    container: Container


def container_of(executor: Executor, task: Task) -> Container:
    """What the task runs in."""
    return task.container or executor.container


class Counters(Struct):
    """What metrics count since the start."""

    terminal_tasks: dict[mesos.TaskState, int] = field(default_factory=dict)
    executors_terminated: int = 0
    container_launch_errors: int = 0
    valid_status_updates: int = 0
    invalid_status_updates: int = 0
    valid_framework_messages: int = 0
    invalid_framework_messages: int = 0
    fetches_failed: int = 0
    fetches_succeeded: int = 0
    sandboxes_removed: int = 0


class State(Struct):
    """The agent."""

    settings: Settings
    info: mesos.AgentInfo  # its id is set once the master has given one
    uuids: Uuids
    started_ms: int
    timers: Timers[Event] = field(default_factory=Timers)
    linked: bool = False  # the master hears us
    protocol: int = link.PROTOCOL  # of the link that is open, or was last
    registered: bool = False  # over the link that is open now
    ping_timeout_ms: int = 0
    ping_timer: int | None = None
    registration_timer: int | None = None  # while the master has not answered
    master_epoch: int = 0  # the greatest in which a master has led that has taken the agent
    frameworks: dict[str, Framework] = field(default_factory=dict)
    tasks_begun: int = 0  # the number of the next
    completed_frameworks: deque[Framework] = field(default_factory=deque)
    containers: dict[str, Executor] = field(default_factory=dict)  # until they are gone
    # Containers of tasks of pods until they are gone, to their frameworks and tasks.
    task_containers: dict[str, tuple[str, str]] = field(default_factory=dict)
    operator_containers: dict[str, OperatorContainer] = field(default_factory=dict)  # by id
    operator_exits: int = 0  # the number of the next
    # Requests that wait for the end of a container, and whether by the older call.
    waits: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    connections: dict[int, str] = field(default_factory=dict)  # of executors, to their containers
    checks: dict[int, tuple[str, str, bool]] = field(default_factory=dict)  # as CheckDue
    next_check_id: int = 1
    unsaved: dict[str, Struct | None] = field(default_factory=dict)  # by key; see saved.py
    # Directories that will be removed, and since when; the oldest first.
    sandboxes: deque[tuple[str, int]] = field(default_factory=deque)
    sandbox_age_ms: int | None = None  # that is allowed by how full the disk is
    disk_full: str | None = None  # why no tasks are taken
    counters: Counters = field(default_factory=Counters)
    stopping: str | None = None  # why the agent ends
    ended: bool = False  # the shell was told to end

    @property
    def agent_id(self) -> mesos.AgentID:
        """The id; an agent without one has no tasks."""
        assert self.info.id is not None
        return self.info.id

    def executor(self, framework_id: str, executor_id: str) -> Executor | None:
        framework = self.frameworks.get(framework_id)
        return None if framework is None else framework.executors.get(executor_id)

    def task(self, framework_id: str, task_id: str) -> Task | None:
        framework = self.frameworks.get(framework_id)
        return None if framework is None else framework.tasks.get(task_id)

    def place(self, container_id: str) -> Place | None:
        """Where the container belongs; None: it is gone, or was never asked for."""
        within = self.task_containers.get(container_id)
        if within is not None:
            framework = self.frameworks[within[0]]
            task = framework.tasks[within[1]]
            assert task.container is not None
            return Place(framework, framework.executors[task.executor_id], task, task.container)
        executor = self.containers.get(container_id)
        if executor is None:
            return None
        framework = self.frameworks[executor.framework_id]
        has_task = executor.kind is Kind.COMMAND and executor.id in executor.tasks
        only = framework.tasks[executor.id] if has_task else None
        return Place(framework, executor, only, executor.container)
