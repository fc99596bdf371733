"""What goes wrong in a simulation: a seed has some kinds of faults, and each has its mean time.

Not every seed has every kind (swarm testing): a cluster in which everything fails all the time never
comes far enough for some faults to matter.
"""

from __future__ import annotations

from random import Random

MEANS_MS: dict[str, int] = {  # between two, over the whole cluster
    "break": 3_000,  # a connection is reset
    "crash": 6_000,  # a process is killed, and comes back
    "reboot": 15_000,  # a machine loses its power, and comes back
    "pause": 6_000,  # a process does not run for a while
    "clock": 8_000,  # a clock is set
    "cut": 7_000,  # nothing arrives between two machines, in one or both directions
    "slow": 9_000,  # what goes to or from a machine is slow
    "disk": 9_000,  # a disk is full for a while, fails once, or is slow
    "zookeeper": 12_000,  # it is away for a while, or a session ends
    "failover": 7_000,  # another scheduler of a framework subscribes, or one starts anew
    "resize": 15_000,  # an agent is started again with more resources
}
CHANCES: dict[str, float] = {  # of each occasion
    "torn": 0.5,  # a process dies while it saves, and leaves a part of it (see disk.py)
    "launch": 0.03,  # a container cannot be provisioned, or started
    "memory": 0.02,  # a container takes too much memory, and is killed
    "unhealthy": 0.2,  # a health check fails
    "halfway": 0.004,  # an agent dies while it does what it has decided
    "kill": 0.08,  # a scheduler kills a task of its, or the whole pod
    "retry": 0.2,  # a call is made a second time, or overtakes another
    "lose": 0.02,  # a call is not made
    "old": 0.5,  # a daemon speaks an older protocol until it starts again
}
KINDS = (*MEANS_MS, *CHANCES)


class Faults:
    """The kinds of faults that a simulation has now."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self.kinds = kinds

    def mean_ms(self, kind: str) -> int:
        """Of one that happens by itself; 0: never."""
        return MEANS_MS[kind] if kind in self.kinds else 0

    def happens(self, kind: str, random: Random) -> bool:
        """Whether it does on this occasion."""
        return kind in self.kinds and random.random() < CHANCES[kind]


def swarm(random: Random) -> frozenset[str]:
    """Some kinds; about one seed in twenty has all of them."""
    if random.random() < 0.05:
        return frozenset(KINDS)
    return frozenset(kind for kind in KINDS if random.random() < 0.5)


def parse(text: str) -> frozenset[str]:
    """The kinds that are named, with commas. Raises ValueError for one that there is not."""
    kinds = frozenset(one for one in text.split(",") if one not in ("", "none"))
    if unknown := sorted(kinds - set(KINDS)):
        raise ValueError(f"unknown faults {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return kinds
