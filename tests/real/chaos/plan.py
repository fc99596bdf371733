"""Which fault comes when: a function of the seed and the length of the run.

Targets are classes, as the one that leads is known only when its time has come; `pick` chooses among
the others. ZooKeeper's faults come one at a time (`Fault.hurts_zookeeper`), so that two of three
servers always agree, but for the seconds that an election takes.
"""

from __future__ import annotations

import enum
import random

from msgspec import Struct

from tests.real.chaos.network import Direction, Mode

CALM_S = 5.0  # at first, so that there is something to break
GAP_S_MEAN = 3.0
GAP_S_MIN, GAP_S_MAX = 0.5, 8.0
AWAY_S_MAX = 4.0  # until what was killed is started again
PAUSE_S_MEAN, PAUSE_S_MAX = 5.0, 30.0
BROKEN_S_MEAN, BROKEN_S_MAX = 5.0, 20.0  # of the network
HURT_S_MAX = 8.0  # of a server of ZooKeeper


class Kind(enum.Enum):
    """What is done."""

    KILL = "kill"  # with SIGKILL, and start it again
    END = "end"  # with SIGTERM, and start it again
    PAUSE = "pause"  # with SIGSTOP
    BREAK = "break"  # the network between two


class Target(enum.Enum):
    """Whom it meets; for a BREAK, who connects and to whom."""

    LEADER = "leading master"
    MASTER = "master"
    AGENT = "agent"
    FRAMEWORK = "framework"
    ZOOKEEPER_LEADER = "leading zookeeper"
    ZOOKEEPER = "zookeeper"
    AGENT_MASTERS = "agent and masters"
    LEADER_AGENTS = "leading master and some agents"
    LEADER_ZOOKEEPER = "leading master and zookeeper"
    MASTER_ZOOKEEPER = "master and zookeeper"
    AGENT_ZOOKEEPER = "agent and zookeeper"
    FRAMEWORK_MASTERS = "framework and masters"
    ZOOKEEPER_ZOOKEEPER = "zookeeper and the others"


WEIGHTS = {
    (Kind.KILL, Target.LEADER): 3,
    (Kind.KILL, Target.MASTER): 1,
    (Kind.KILL, Target.AGENT): 5,
    (Kind.KILL, Target.FRAMEWORK): 3,
    (Kind.KILL, Target.ZOOKEEPER_LEADER): 2,
    (Kind.KILL, Target.ZOOKEEPER): 1,
    (Kind.END, Target.LEADER): 1,
    (Kind.END, Target.AGENT): 2,
    (Kind.PAUSE, Target.LEADER): 3,
    (Kind.PAUSE, Target.MASTER): 1,
    (Kind.PAUSE, Target.AGENT): 4,
    (Kind.PAUSE, Target.FRAMEWORK): 2,
    (Kind.PAUSE, Target.ZOOKEEPER_LEADER): 1,
    (Kind.PAUSE, Target.ZOOKEEPER): 1,
    (Kind.BREAK, Target.AGENT_MASTERS): 5,
    (Kind.BREAK, Target.LEADER_AGENTS): 2,
    (Kind.BREAK, Target.LEADER_ZOOKEEPER): 3,
    (Kind.BREAK, Target.MASTER_ZOOKEEPER): 1,
    (Kind.BREAK, Target.AGENT_ZOOKEEPER): 2,
    (Kind.BREAK, Target.FRAMEWORK_MASTERS): 3,
    (Kind.BREAK, Target.ZOOKEEPER_ZOOKEEPER): 2,
}
OF_ZOOKEEPER = frozenset((Target.ZOOKEEPER_LEADER, Target.ZOOKEEPER, Target.ZOOKEEPER_ZOOKEEPER))


class Fault(Struct, frozen=True):
    """One of them; `seconds` it lasts, or its target is away."""

    at_s: float  # since the run began
    kind: Kind
    target: Target
    pick: int
    seconds: float
    mode: Mode = Mode.CUT  # these two are for a BREAK
    direction: Direction = Direction.BOTH

    @property
    def hurts_zookeeper(self) -> bool:
        """One of its servers is away, or can't be reached by the others."""
        return self.target in OF_ZOOKEEPER

    @property
    def name(self) -> str:
        """What is counted."""
        how = f" ({self.mode.value})" if self.kind is Kind.BREAK else ""
        return f"{self.kind.value} {self.target.value}{how}"


def plan(seed: int, length_s: float) -> list[Fault]:
    """The faults of a run, in their order; all are over soon after its end."""
    chance = random.Random(seed)
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    found: list[Fault] = []
    at_s = CALM_S
    while at_s < length_s:
        [(kind, target)] = chance.choices(kinds, weights)
        mode = chance.choice(list(Mode))
        found.append(
            Fault(
                at_s=round(at_s, 2),
                kind=kind,
                target=target,
                pick=chance.randrange(1 << 16),
                seconds=round(_seconds(chance, kind, target), 2),
                mode=mode,
                direction=Direction.BOTH if mode is Mode.CUT else chance.choice(list(Direction)),
            )
        )
        at_s += min(GAP_S_MAX, max(GAP_S_MIN, chance.expovariate(1 / GAP_S_MEAN)))
    return found


def _seconds(chance: random.Random, kind: Kind, target: Target) -> float:
    if kind in (Kind.KILL, Kind.END):
        seconds = chance.uniform(0, AWAY_S_MAX)
    elif kind is Kind.PAUSE:
        seconds = min(PAUSE_S_MAX, 1 + chance.expovariate(1 / PAUSE_S_MEAN))
    else:
        seconds = min(BROKEN_S_MAX, 1 + chance.expovariate(1 / BROKEN_S_MEAN))
    return min(HURT_S_MAX, seconds) if target in OF_ZOOKEEPER else seconds
