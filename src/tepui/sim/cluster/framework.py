"""What a framework of a simulation knows for good: which tasks it has launched, and how they are.

Its schedulers come and go; each finds this, as in a database of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from tepui.sim.cluster.workload import (
    GROUP_CHANCE,
    GROUP_SIZES,
    Launch,
    Pods,
    Room,
    task_of,
)
from tepui.sim.time import VirtualTime
from tepui.wire import mesos

TaskState = mesos.TaskState
Reason = mesos.TaskStatus.Reason

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
        self.groups: dict[str, tuple[str, ...]] = {}  # of the tasks that were launched in one
        self.pods = Pods(name)
        self.away: set[str] = set()  # nobody can tell how they are
        self.final: dict[str, TaskState] = {}
        self.by_master: set[str] = set()  # their end was the master's word
        self.early: set[str] = set()  # a master knew their end before its update came
        self.newest = (0, 0)  # the number of the last of its streams
        self.revived: Callable[[], None] = lambda: None  # more tasks are to be launched
        self._random = random
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

    def launches(self, offer: mesos.Offer, count_max: int) -> list[Launch]:
        """The next tasks, as many as have room in the offer; they are being launched."""
        room = Room(offer)
        found: list[Launch] = []
        while count := min(self._due, count_max):
            is_group = count > 1 and self._random.random() < GROUP_CHANCE
            size = min(count, self._random.choice(GROUP_SIZES)) if is_group else 1
            if not room.take(size, pod=is_group):
                break
            count_max -= size
            take = self._take_group if is_group else self._take_one
            found.append(take(offer.agent_id, size))
        return found

    def _take_one(self, agent_id: mesos.AgentID, size: int) -> Launch:
        return Launch(tuple(self._take(agent_id, None) for _ in range(size)), None)

    def _take_group(self, agent_id: mesos.AgentID, size: int) -> Launch:
        pod = self.pods.choose(agent_id.value, self._random)
        container = self.pods.container(pod)
        infos = tuple(self._take(agent_id, container) for _ in range(size))
        names = tuple(info.task_id.value for info in infos)
        self.groups |= dict.fromkeys(names, names)
        return Launch(infos, self.pods.info(pod, self.framework_id))

    def _take(
        self, agent_id: mesos.AgentID, container: mesos.ContainerInfo | None
    ) -> mesos.TaskInfo:
        self._due -= 1
        self._left -= 1
        task_id = f"{self.name}.{len(self.states) + 1}"
        self.states[task_id] = TaskState.TASK_STAGING
        self.agents[task_id] = agent_id
        return task_of(task_id, agent_id, container, self._random)

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
