"""What a framework of a simulation knows for good: which tasks it has launched, and how they are.

Its schedulers come and go; each finds this, as in a database of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from tepui.sim.time import VirtualTime
from tepui.wire import mesos

TaskState = mesos.TaskState
Reason = mesos.TaskStatus.Reason

CPUS = 0.5
MEM_MIB = 64
BURSTS = 6  # in which the tasks are to be launched
LIVING = frozenset(
    {
        TaskState.TASK_STAGING,
        TaskState.TASK_STARTING,
        TaskState.TASK_RUNNING,
        TaskState.TASK_KILLING,
    }
)


class Framework:
    """One framework with `wanted` tasks, which are launched until `until_ms`."""

    def __init__(
        self,
        name: str,
        *,
        wanted: int,
        capabilities: tuple[str, ...],
        is_checkpointed: bool,
        time: VirtualTime,
        random: Random,
        until_ms: int,
    ) -> None:
        kinds = mesos.FrameworkInfo.Capability
        self.name = name
        self.is_checkpointed = is_checkpointed
        self.info = mesos.FrameworkInfo(
            user="root",
            name=name,
            roles=(name,),
            failover_timeout=1e6,
            checkpoint=is_checkpointed,
            capabilities=tuple(kinds(type=kinds.Type[capability]) for capability in capabilities),
        )
        self.framework_id: mesos.FrameworkID | None = None
        self.states: dict[str, TaskState] = {}  # the newest of each task
        self.agents: dict[str, mesos.AgentID] = {}
        self.away: set[str] = set()  # nobody can tell how they are
        self.final: dict[str, TaskState] = {}
        self.by_master: set[str] = set()  # their end was the master's word
        self.early: set[str] = set()  # a master knew their end before its update came
        self.newest = (0, 0)  # the number of the last of its streams
        self.revived: Callable[[], None] = lambda: None  # more tasks are to be launched
        self._due = 0
        self._left = wanted
        for burst in range(BURSTS):
            count = wanted // BURSTS + (burst < wanted % BURSTS)
            at_ms = random.randint(0, until_ms) if burst else 0
            time.after(at_ms, partial(self._burst, count))

    @property
    def done(self) -> bool:
        """Every task has been launched and has ended."""
        return self._left == 0 and len(self.final) == len(self.states)

    @property
    def waiting(self) -> int:
        """So many tasks are to be launched now."""
        return self._due

    def _burst(self, count: int) -> None:
        self._due += count
        self.revived()

    def take(self, agent_id: mesos.AgentID) -> mesos.TaskInfo:
        """The next task, which is being launched on this agent."""
        self._due -= 1
        self._left -= 1
        task_id = f"{self.name}.{len(self.states) + 1}"
        self.states[task_id] = TaskState.TASK_STAGING
        self.agents[task_id] = agent_id
        return mesos.TaskInfo(
            name=task_id,
            task_id=mesos.TaskID(task_id),
            agent_id=agent_id,
            resources=_RESOURCES,
            command=mesos.CommandInfo(value="work"),
        )

    def updated(self, status: mesos.TaskStatus, *, is_newest: bool) -> None:
        """A scheduler was told this of a task; on an older stream it may be late.

        The first end counts. What a master says by itself may come before or after it: that the
        agent is away, of a task whose end was not acknowledged; and the latest state when the agent
        is back, before the updates that led to it (both as in Mesos).
        """
        task_id = status.task_id.value
        final = self.final.get(task_id)
        is_away = status.unreachable_time is not None
        if final is not None:
            if not is_newest:
                return
            is_repeated = task_id in self.early
            assert is_away or is_repeated or status.state not in LIVING, (
                f"{task_id}: {final.name}, then {status.state.name}"
            )
            known = status.reason is Reason.REASON_RECONCILIATION
            assert is_away or is_repeated or known or status.state is final, (
                f"{task_id}: {final.name}, then {status.state.name}"
            )
            return
        self.states[task_id] = status.state
        if is_away:
            self.away.add(task_id)
        else:
            self.away.discard(task_id)
            if status.state not in LIVING:
                self.final[task_id] = status.state
                if status.reason is Reason.REASON_AGENT_REREGISTERED:
                    self.early.add(task_id)
                elif status.uuid is None:
                    self.by_master.add(task_id)

    def give_up(self, lives: Callable[[str], bool]) -> None:
        """Tasks whose agent has gone for good have ended that way."""
        for task_id in sorted(self.away):
            if not lives(self.agents[task_id].value):
                self.away.discard(task_id)
                self.final[task_id] = self.states[task_id]
                self.by_master.add(task_id)


def _resource(name: str, value: float) -> mesos.Resource:
    return mesos.Resource(name=name, type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(value))


_RESOURCES = (_resource("cpus", CPUS), _resource("mem", MEM_MIB))
