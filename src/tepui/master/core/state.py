"""All that a master knows: one tree, changed only by the handlers of this core."""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

from msgspec import Struct, field

from tepui.allocator import Allocator
from tepui.base.ids import Uuids
from tepui.base.names import AgentId, ExecutorId, FrameworkId, OfferId, Role, StreamId, TaskId
from tepui.base.timers import Timers
from tepui.master.core.events import Event, LinkId
from tepui.master.core.settings import Settings
from tepui.resources import Resources
from tepui.wire import mesos, scheduler
from tepui.wire.states import TERMINAL_STATES

TaskKey: TypeAlias = tuple[FrameworkId, TaskId]


class Task(Struct, gc=False):
    """A task from its launch to the acknowledgement of its end.

    `state` is the newest that is known; the update that the scheduler has yet to acknowledge may
    be an older one. Resources are held until the state is terminal.
    """

    id: TaskId
    framework_id: FrameworkId
    agent_id: AgentId
    executor_id: ExecutorId | None  # None: a command task
    role: Role
    resources: Resources
    info: mesos.TaskInfo
    state: mesos.TaskState
    statuses: tuple[mesos.TaskStatus, ...] = ()  # the last of each state, without data, for views
    update: mesos.TaskStatus | None = None  # the one that its agent waits to be acknowledged
    # What was acknowledged when no update waited: its agent started anew, and sends it again.
    acknowledged_early: bytes | None = None
    forwarded: mesos.TaskState = mesos.TaskState.TASK_STAGING  # what the scheduler may know
    kill_policy: mesos.KillPolicy | None = None
    kill_wanted: bool = False  # said again when the agent is back
    unreachable_ms: int | None = None

    @property
    def terminal(self) -> bool:
        """The task has ended, whatever is acknowledged."""
        return self.state in TERMINAL_STATES

    @property
    def held(self) -> Resources:
        """What it uses of its agent."""
        return Resources.empty if self.terminal else self.resources


class Executor(Struct, gc=False):
    """An executor on an agent, with the resources of its own."""

    info: mesos.ExecutorInfo
    framework_id: FrameworkId
    agent_id: AgentId
    role: Role
    resources: Resources

    @property
    def held(self) -> Resources:
        """What it uses of its agent."""
        return self.resources


class Offer(Struct, frozen=True, gc=False):
    """What one framework may use of one agent until it answers."""

    id: OfferId
    framework_id: FrameworkId
    agent_id: AgentId
    role: Role
    resources: Resources
    timer: int | None


class Subscription(Struct, frozen=True):
    """The connected scheduler of a framework."""

    stream: StreamId
    heartbeat: int  # the timer of the next one


class Framework(Struct):
    """A framework from its first subscription to its removal."""

    id: FrameworkId
    info: mesos.FrameworkInfo
    roles: tuple[Role, ...]
    capabilities: frozenset[str]
    registered_ms: int
    subscription: Subscription | None = None
    suppressed: frozenset[Role] = frozenset()
    constraints: scheduler.OfferConstraints | None = None
    reregistered_ms: int | None = None
    disconnected_ms: int | None = None
    unregistered_ms: int | None = None
    failover_timer: int | None = None
    recovered: bool = False  # known from an agent, not yet subscribed to this master
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    executors: dict[tuple[AgentId, ExecutorId], Executor] = field(default_factory=dict)
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    unreachable_tasks: dict[TaskId, Task] = field(default_factory=dict)
    completed_tasks: deque[Task] = field(default_factory=deque)


class Agent(Struct):
    """An agent that is registered; it may be disconnected for a while."""

    id: AgentId
    info: mesos.AgentInfo
    total: Resources
    version: str
    address: str  # host:port of its HTTP server
    url: mesos.URL
    registered_ms: int
    link: LinkId | None
    reregistered_ms: int | None = None
    tasks: dict[TaskKey, Task] = field(default_factory=dict)
    executors: dict[FrameworkId, dict[ExecutorId, Executor]] = field(default_factory=dict)
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    deactivated: bool = False  # by the operator: no offers
    accepts_tasks: bool = True  # as it says since it has registered: else no offers
    ping_timer: int | None = None
    ping_sequence: int = 0
    pings_missed: int = 0
    next_ping_ms: int = 0
    is_overdue: bool = False  # to be marked unreachable as soon as the rate limit allows
    acknowledged: set[bytes] = field(default_factory=set)  # uuids sent since the last ping
    acknowledged_before: set[bytes] = field(default_factory=set)  # sent before it, not ponged yet

    def executors_of(self, framework_id: FrameworkId) -> dict[ExecutorId, Executor]:
        """The framework's executors here; not to be changed."""
        return self.executors.get(framework_id, {})

    def every_executor(self) -> list[Executor]:
        """The executors of all frameworks."""
        return [one for of_one in self.executors.values() for one in of_one.values()]

    def has_acknowledged(self, uuid: bytes | None) -> bool:
        """Whether the update was acknowledged, and the agent may not know that yet."""
        return uuid in self.acknowledged or uuid in self.acknowledged_before

    @property
    def connected(self) -> bool:
        """Its link is up."""
        return self.link is not None

    @property
    def active(self) -> bool:
        """Its resources may be offered."""
        return self.link is not None and not self.deactivated and self.accepts_tasks


class AbsentAgent(Struct, frozen=True):
    """An agent that was: not back yet after a failover, unreachable, removed or marked gone.

    Should it come back: `acknowledged` are uuids of updates that it would send again, and
    `deactivated` says that it still gets no offers. `tasks` are those of an unreachable one that
    are remembered (see unreachable.py), in the order of their loss.
    """

    id: AgentId
    info: mesos.AgentInfo
    since_ms: int
    acknowledged: set[bytes] = field(default_factory=set)
    deactivated: bool = False
    tasks: dict[TaskKey, None] = field(default_factory=dict)


class Counters(Struct):
    """What has been counted since the start, for metrics (Mesos: docs/monitoring.md)."""

    events: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, count: int = 1) -> None:
        """Count `name`, a name of a metric after `master/`."""
        self.events[name] = self.events.get(name, 0) + count


class Throttled(Struct):
    """The calls of a principal that is limited."""

    next_ms: float = 0.0  # when the next call may be made
    waiting: int = 0
    waiting_bytes: int = 0


class State(Struct):
    """The master. Made by `new`; nothing else sets the derived parts."""

    info: mesos.MasterInfo
    settings: Settings
    allocator: Allocator
    uuids: Uuids
    started_ms: int
    timers: Timers[Event]
    epoch: int = 0  # in which this master leads; see recovery.py
    frameworks: dict[FrameworkId, Framework] = field(default_factory=dict)
    completed_frameworks: dict[FrameworkId, Framework] = field(default_factory=dict)
    agents: dict[AgentId, Agent] = field(default_factory=dict)
    recovered_agents: dict[AgentId, AbsentAgent] = field(default_factory=dict)
    unreachable_agents: dict[AgentId, AbsentAgent] = field(default_factory=dict)
    removed_agents: dict[AgentId, AbsentAgent] = field(default_factory=dict)
    gone_agents: dict[AgentId, AbsentAgent] = field(default_factory=dict)
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    agent_by_link: dict[LinkId, AgentId] = field(default_factory=dict)
    unregistered_links: dict[LinkId, int] = field(default_factory=dict)  # to their timers
    closing_links: set[LinkId] = field(default_factory=set)  # told to close, not closed yet
    old_links: set[LinkId] = field(default_factory=set)  # of an older protocol, which was noted
    framework_by_stream: dict[StreamId, FrameworkId] = field(default_factory=dict)
    operators: dict[StreamId, int] = field(default_factory=dict)  # streams to heartbeat timers
    operators_waiting: dict[StreamId, None] = field(default_factory=dict)  # for the next snapshot
    takes_snapshot: bool = False  # at the end of this step
    weights: dict[Role, float] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)  # as the operator gave them, for views
    throttled: dict[str, Throttled] = field(default_factory=dict)  # by principal; "" is shared
    counters: Counters = field(default_factory=Counters)
    frameworks_registered: int = 0
    agents_registered: int = 0
    offers_made: int = 0
    allocation_timer: int | None = None
    allocation_due_ms: int = 0
    recovery_timer: int | None = None  # of the end of the time to come back
    is_recovery_over: bool = False  # who is not back is marked unreachable, as the limit allows
    registry_timer: int | None = None
    next_removal_ms: int = 0  # no agent is marked unreachable before


class IdsGiven(Struct, frozen=True):
    """How many ids a master has given: it gives none a second time, however often it leads."""

    frameworks: int = 0
    agents: int = 0
    offers: int = 0


NO_IDS: Final = IdsGiven()


def ids_given(state: State) -> IdsGiven:
    """By the master so far."""
    return IdsGiven(state.frameworks_registered, state.agents_registered, state.offers_made)


def new(
    info: mesos.MasterInfo,
    *,
    now_ms: int,
    seed: bytes,
    settings: Settings | None = None,
    weights: dict[Role, float] | None = None,
    flags: dict[str, str] | None = None,
    given: IdsGiven = NO_IDS,
) -> State:
    """A master that knows nothing yet, but which ids it has `given` when it led before.

    `seed` makes its other ids.
    """
    settings = settings or Settings()
    allocator = Allocator(
        min_allocatable=settings.min_allocatable,
        filter_gpu_resources=settings.filter_gpu_resources,
        domain=info.domain,
        weights=weights,
    )
    return State(
        info=info,
        settings=settings,
        allocator=allocator,
        uuids=Uuids(seed),
        started_ms=now_ms,
        timers=Timers(),
        weights=dict(weights or {}),
        flags=dict(flags or {}),
        frameworks_registered=given.frameworks,
        agents_registered=given.agents,
        offers_made=given.offers,
    )
