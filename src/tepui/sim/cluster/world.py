"""A cluster whose every process may die, under virtual time: masters, agents, schedulers, ZooKeeper.

For a while there are faults; then all is mended, and every task must come to its one end.
"""

from __future__ import annotations

from functools import partial
from random import Random

from msgspec import Struct

from tepui.agent.core.saved import Saved
from tepui.sim.cluster.agent_node import AgentNode
from tepui.sim.cluster.audit import Audit
from tepui.sim.cluster.disk import Disk
from tepui.sim.cluster.faults import Faults, swarm
from tepui.sim.cluster.framework import Framework
from tepui.sim.cluster.injury import Injuries
from tepui.sim.cluster.master_node import MasterNode
from tepui.sim.cluster.network import Network
from tepui.sim.cluster.node import Machine
from tepui.sim.cluster.scheduler_node import SchedulerNode
from tepui.sim.cluster.zookeeper import Ensemble
from tepui.sim.time import VirtualTime
from tepui.wire import mesos

START_MS = 1_700_000_000_000
DELAYS_MS_MAX = (2, 10, 50)  # of a message, in one cluster or another
HEALING_MS_MAX = 1_800_000  # until all tasks have ended; what is repeated is within ten minutes
SETTLING_MS = 10_000  # after the faults, for what was slow or held: an agent may yet learn its id
# When all have ended. A scheduler finds out after 40 s that its stream is dead (SILENCE_MS), and
# what its agents repeat comes within another 40.
FORGETTING_MS_MAX = 100_000
QUIET_MS = 16_000  # for kills that are under way, and agents to be told the last
LOOK_AROUND_EVERY = 16  # things that happen
MASTERS = (1, 2, 3)
AWARE = ("MULTI_ROLE", "PARTITION_AWARE", "TASK_KILLING_STATE")
UNAWARE = ("MULTI_ROLE",)


UNDER_WAY_MAX = 50_000  # messages and timers; some hundreds are usual


class Stuck(Exception):
    """The cluster did not come to its end."""


class Case(Struct, frozen=True, kw_only=True):
    """All that a simulation depends on."""

    seed: int
    tasks: int
    masters: int
    agents: int
    faults_ms: int  # how long there are faults
    kinds: frozenset[str]


def case_of(seed: int, tasks: int) -> Case:
    """What the seed chooses by itself."""
    random = Random(f"case {seed}")
    return Case(
        seed=seed,
        tasks=tasks,
        masters=random.choice(MASTERS),
        agents=random.choice((2, 3)),
        faults_ms=random.choice((10_000, 25_000, 40_000)),
        kinds=swarm(random),
    )


class World:
    """One case, played once."""

    def __init__(self, case: Case, *, check_every: int = 1, digests: bool = False) -> None:
        """See Audit."""
        self.case = case
        self.time = time = VirtualTime(START_MS)
        random = self._random("world")
        self.faults = Faults(case.kinds)
        self.network = Network(time, self._random("network"), random.choice(DELAYS_MS_MAX))
        self.audit = Audit(check_every, digests=digests)
        self.ensemble: Ensemble[bytes] | None = None
        if case.masters > 1:
            self.ensemble = Ensemble(time, self.network, self._random("zookeeper"))
            self.ensemble.tears = "torn" in case.kinds
        finds = self.ensemble if random.random() < 0.6 else None  # or they try all masters
        names = tuple(f"master{number}" for number in range(case.masters))
        self.masters = [
            MasterNode(self.machine(name), self.network, self.ensemble, self.faults, self.audit)
            for name in names
        ]
        self.agents = [
            AgentNode(
                self.machine(f"agent{number}"),
                number,
                self.network,
                names,
                finds,
                self.faults,
                self.audit,
            )
            for number in range(case.agents)
        ]
        for disk in self.disks:
            disk.tears = "torn" in case.kinds
        half = case.tasks // 2
        kinds = [("a", case.tasks - half, AWARE, True), ("b", half, UNAWARE, False)]
        if random.random() < 0.5:
            kinds = [("a", case.tasks - half, UNAWARE, True), ("b", half, AWARE, False)]
        self.frameworks = [
            Framework(
                name,
                wanted=wanted,
                capabilities=capabilities,
                is_checkpointed=is_checkpointed,
                time=time,
                random=self._random(name),
                until_ms=case.faults_ms,
            )
            for name, wanted, capabilities, is_checkpointed in kinds
        ]
        self.schedulers: list[SchedulerNode] = []
        self._advances = 0
        self._names, self._finds = names, finds
        self.audit.masters, self.audit.agents = self.masters, self.agents
        for node in self.daemons:
            time.after(random.randint(0, 300), node.start)
        for framework in self.frameworks:
            late = random.choice((300, 10_000))
            time.after(random.randint(0, late), partial(self.start_scheduler, framework))
        self.injuries = Injuries(self, self._random("faults"))

    @property
    def disks(self) -> list[Disk[Saved] | Disk[bytes]]:
        """All there are."""
        return [*(node.disk for node in self.agents), *(node.disk for node in self.masters)]

    @property
    def daemons(self) -> list[MasterNode | AgentNode]:
        """All masters and agents."""
        return [*self.masters, *self.agents]

    @property
    def elapsed_ms(self) -> int:
        """How long the cluster has lived."""
        return self.time.now_ms - START_MS

    def run(self) -> None:
        """Play until every task has ended and all is quiet. Raises AssertionError or Stuck."""
        time = self.time
        self.injuries.begin()
        end_ms = START_MS + self.case.faults_ms
        while time.now_ms < end_ms:
            if time.waiting > UNDER_WAY_MAX:
                raise Stuck(f"{time.waiting} things are under way, and ever more")
            self._advance()
        self.injuries.heal()
        settled_ms = time.now_ms + SETTLING_MS
        end_ms = time.now_ms + HEALING_MS_MAX
        while not all(framework.done for framework in self.frameworks):
            if time.now_ms > end_ms:
                raise Stuck(f"tasks have no end: {self._left()}")
            for _ in range(100):
                self._advance()
            if time.now_ms > settled_ms:
                for framework in self.frameworks:
                    framework.give_up(self.audit.lives)
        end_ms = time.now_ms + FORGETTING_MS_MAX
        while not self._is_forgotten() and time.now_ms < end_ms:
            self._advance()
        end_ms = time.now_ms + QUIET_MS
        while time.now_ms < end_ms:
            self._advance()
        self._check_end()

    def _advance(self) -> None:
        self.time.advance()
        self._advances += 1
        if self._advances % LOOK_AROUND_EVERY == 0:
            self.audit.look_around()

    def start_scheduler(self, framework: Framework) -> None:
        """A new scheduler of the framework; the one before may not know that it is not its any more."""
        count = sum(node.framework is framework for node in self.schedulers)
        self.schedulers.append(
            SchedulerNode(
                self.machine(f"scheduler-{framework.name}{count}"),
                framework,
                self.network,
                self._names,
                self._finds,
                self.faults,
                self.audit,
            )
        )

    def machine(self, name: str) -> Machine:
        """A new one, with chance of its own."""
        return Machine(name, self.time, self._random(name))

    def _random(self, what: str) -> Random:
        return Random(f"{what} {self.case.seed}")

    def _left(self) -> list[str]:
        return [
            f"{task_id} {state.name} on {framework.agents[task_id].value}"
            for framework in self.frameworks
            for task_id, state in framework.states.items()
            if task_id not in framework.final
        ] + [
            f"{framework.waiting} of {framework.name} to be launched"
            for framework in self.frameworks
        ]

    def _is_forgotten(self) -> bool:
        """A master leads, and neither it nor an agent waits for the end of a task to be acknowledged."""
        leaders = [node.leader for node in self.masters if node.leader is not None]
        return (
            bool(leaders)
            and not any(
                owner.tasks for leader in leaders for owner in leader.state.frameworks.values()
            )
            and not any(
                owner.tasks for node in self.agents for owner in node.state.frameworks.values()
            )
        )

    def _check_end(self) -> None:
        self.audit.containers.check_end()
        for framework in self.frameworks:
            assert framework.framework_id is not None
            for task_id, final in framework.final.items():
                said = self.audit.ended.get((framework.framework_id.value, task_id))
                assert said is None or said is final or task_id in framework.by_master, (
                    f"{task_id} is {said} to its agent, and {final} to its scheduler"
                )
            self._check_groups(framework)
        self._check_nothing_left()

    @staticmethod
    def _check_groups(framework: Framework) -> None:
        """What a master does not launch it does not launch as a whole."""
        error = mesos.TaskState.TASK_ERROR
        for task_id, names in framework.groups.items():
            if framework.final[task_id] is error:
                ends = {framework.final[name] for name in names}
                assert ends == {error}, f"of the group {names} only some were refused: {ends}"

    def _check_nothing_left(self) -> None:
        leaders = [node.leader for node in self.masters if node.leader is not None]
        assert len(leaders) == 1, f"{len(leaders)} masters lead"
        state = leaders[0].state
        for owner in state.frameworks.values():
            assert not owner.tasks, f"{owner.id} has tasks left: {sorted(owner.tasks)}"
            assert not owner.executors, f"{owner.id} has executors left: {sorted(owner.executors)}"
        for node in self.agents:
            running = [one.id for one in node.launcher.containers.values() if one.runs]
            assert not running, f"{node.name} runs {running}, which have ended"
            assert node.state.info.id is not None, f"{node.name} is not registered"
            assert node.state.info.id.value in state.agents, f"{node.name} is not registered"
            for owned in node.state.frameworks.values():
                assert not owned.tasks, f"{node.name} has tasks left: {sorted(owned.tasks)}"
