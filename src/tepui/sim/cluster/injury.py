"""Faults as they happen to a cluster, and how each ends."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tepui.agent.core.saved import Saved
from tepui.sim.cluster import zookeeper
from tepui.sim.cluster.agent_node import AgentNode
from tepui.sim.cluster.disk import Disk
from tepui.sim.cluster.faults import MEANS_MS
from tepui.sim.cluster.master_node import MasterNode
from tepui.sim.cluster.node import Process
from tepui.sim.cluster.scheduler_node import SchedulerNode

if TYPE_CHECKING:
    from tepui.sim.cluster.world import World

RESTART_MS = (100, 5_000)
CPUS_MAX = 12


class Injuries:
    """Does harm from `begin` to `heal`."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._is_over = False
        self._open: dict[int, Callable[[], None]] = {}  # what ends later
        self._last = 0
        self._kinds: dict[str, Callable[[], None]] = {
            "break": self._break,
            "crash": self._crash,
            "reboot": self._reboot,
            "pause": self._pause,
            "clock": self._set_clock,
            "cut": self._cut,
            "slow": self._slow_down,
            "disk": self._harm_disk,
            "zookeeper": self._harm_zookeeper,
            "failover": self._fail_over,
            "resize": self._resize,
        }
        assert self._kinds.keys() == MEANS_MS.keys()

    def begin(self) -> None:
        """Each kind happens from now on."""
        for kind, happen in self._kinds.items():
            self._plan(kind, happen)

    def heal(self) -> None:
        """All is mended, at once, and stays so."""
        self._is_over = True
        self._world.faults.kinds = frozenset()
        for disk in self._world.disks:
            disk.tears = False
        for end in list(self._open.values()):
            end()
        world = self._world
        for node in world.daemons:
            if not node.process.alive:
                world.time.after(self._random.randint(0, 1_000), node.start)
        for framework in world.frameworks:
            living = [node for node in world.schedulers if node.framework is framework]
            if living and not living[-1].process.alive:
                world.start_scheduler(framework)

    def _plan(self, kind: str, happen: Callable[[], None]) -> None:
        mean_ms = self._world.faults.mean_ms(kind)
        if mean_ms == 0:
            return

        def now() -> None:
            if not self._is_over:
                happen()
                self._plan(kind, happen)

        self._world.time.after(int(self._random.expovariate(1 / mean_ms)), now)

    def _for(self, least_ms: int, most_ms: int, end: Callable[[], None]) -> None:
        """Have `end` happen once, in a while or when all is mended."""
        self._last += 1
        number = self._last

        def once() -> None:
            if self._open.pop(number, None) is not None:
                end()

        self._open[number] = once
        self._world.time.after(self._random.randint(least_ms, most_ms), once)

    # Processes

    def _nodes(self) -> list[MasterNode | AgentNode | SchedulerNode]:
        world = self._world
        newest = {node.framework.name: node for node in world.schedulers}
        return [*world.masters, *world.agents, *newest.values()]

    def _crash(self) -> None:
        self._kill(self._random.choice(self._nodes()))

    def _kill(self, node: MasterNode | AgentNode | SchedulerNode) -> None:
        if not node.process.alive:
            return
        node.process.die()
        if isinstance(node, SchedulerNode):  # others are started again in any case
            self._for(*RESTART_MS, lambda: self._world.start_scheduler(node.framework))

    def _pause(self) -> None:
        process: Process = self._random.choice(self._nodes()).process
        process.pause()
        self._for(50, self._random.choice((500, 8_000)), process.resume)

    def _reboot(self) -> None:
        world = self._world
        node = self._random.choice(world.daemons)
        if not node.machine.is_up:
            return
        network = world.network
        network.down.add(node.name)
        node.machine.is_up = False
        node.process.die()
        if isinstance(node, AgentNode):
            node.reboot()

        def boot() -> None:
            node.machine.is_up = True
            network.down.remove(node.name)
            network.flow()
            node.start()

        self._for(500, 8_000, boot)

    def _fail_over(self) -> None:
        framework = self._random.choice(self._world.frameworks)
        if framework.framework_id is not None:
            self._world.start_scheduler(framework)

    def _resize(self) -> None:
        node = self._random.choice(self._world.agents)
        if node.cpus < CPUS_MAX:
            node.cpus += 1
            self._kill(node)

    # The rest of the world

    def _break(self) -> None:
        ends = list(self._world.network.ends)
        if ends:
            self._random.choice(ends).reset()

    def _set_clock(self) -> None:
        node = self._random.choice(self._nodes())
        node.process.machine.clock.offset_ms = self._random.randint(-60_000, 60_000)

    def _cut(self) -> None:
        names = [node.name for node in self._nodes()]
        if self._world.ensemble is not None:
            names.append(zookeeper.NAME)
        one, other = self._random.sample(names, 2)
        ways = [(one, other), (other, one)]
        match self._random.choice(("one way", "both ways", "alone")):
            case "one way":
                ways.pop()
            case "alone":
                ways = [way for name in names if name != one for way in ((one, name), (name, one))]
        network = self._world.network
        for way in ways:
            network.cut(*way)

        def mend() -> None:
            for way in ways:
                network.mend(*way)

        self._for(200, self._random.choice((2_000, 15_000)), mend)

    def _slow_down(self) -> None:
        name = self._random.choice(self._nodes()).name
        slow = self._world.network.slow
        slow[name] = self._random.choice((10, 100))
        self._for(500, 6_000, lambda: _end_slowness(slow, name))

    def _harm_disk(self) -> None:
        world = self._world
        if world.ensemble is None and self._random.random() < 0.3:
            self._harm(world.masters[0].disk)
            return
        node = self._random.choice(world.agents)
        if self._random.random() < 0.7:
            self._harm(node.disk)
            return
        node.is_crowded = True
        node.measure_disk()

        def make_room() -> None:
            node.is_crowded = False
            node.measure_disk()

        self._for(500, 6_000, make_room)

    def _harm(self, disk: Disk[Saved] | Disk[bytes]) -> None:
        match self._random.choice(("full", "fails", "slow")):
            case "full":
                disk.is_full = True
                self._for(300, 4_000, lambda: setattr(disk, "is_full", False))
            case "fails":
                disk.fails_next = True
            case "slow":
                disk.is_slow = True
                self._for(1_000, 6_000, lambda: setattr(disk, "is_slow", False))

    def _harm_zookeeper(self) -> None:
        ensemble = self._world.ensemble
        if ensemble is None or ensemble.is_away:
            return
        if self._random.random() < 0.5:
            ensemble.end_some_session()
            self._world.audit.forced_ms = self._world.time.now_ms
        else:
            ensemble.leave()
            self._for(300, 6_000, ensemble.come_back)


def _end_slowness(slow: dict[str, int], name: str) -> None:
    slow.pop(name, None)
