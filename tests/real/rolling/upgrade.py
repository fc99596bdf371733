"""The steps of an upgrade: who ends by SIGTERM and starts again, and when that is over."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from tests.real.cluster import END_S, TEPUI, Cluster, Daemon

MASTERS = 3
AGENTS = 3
# Generous, for a slow machine: nothing here depends on how soon somebody is missed.
MASTER_FLAGS = ("--zk_session_timeout=10secs",)
BACK_S = 60.0  # for all to be there again, and to launch again
LAUNCHES_MIN = 2  # of each framework, until the next step


class Step(Struct, frozen=True):
    """One daemon was upgraded."""

    name: str
    began_s: float
    back_s: float  # all is there again
    ended_s: float  # and tasks are launched


class UpgradedCluster(Cluster):
    """Its first master leads at first."""

    def __init__(self, directory: Path, zk: str, programs: Mapping[str, Sequence[str]]) -> None:
        super().__init__(
            directory,
            agents=AGENTS,
            masters=MASTERS,
            zk=zk,
            master_flags=MASTER_FLAGS,
            programs=programs,
        )
        self.zk = zk

    def upgraded(self, launched: Callable[[], dict[str, int]]) -> Iterator[Step]:
        """One daemon after the other, each time until all is there and both frameworks launch.

        `launched` counts each framework's launches. Each daemon starts again as the current `tepui`.
        """
        for daemon in self._in_order():
            role = " (leader)" if daemon is self.leader() else ""
            began_s = time.time()
            self._end_by_sigterm(daemon)
            daemon.program = TEPUI
            daemon.start()
            self._wait_until_back(daemon)
            back_s = time.time()
            wanted = {kind: count + LAUNCHES_MIN for kind, count in launched().items()}
            self._wait_for_launches(launched, wanted)
            yield Step(f"{daemon.name}{role}", began_s, back_s, time.time())

    def _in_order(self) -> Iterator[Daemon]:
        """Standbys, the leader, once more who leads then, and the agents."""
        leader = self._the_leader()
        yield from (one for one in self.masters if one is not leader)
        yield leader
        yield self._the_leader()
        yield from self.agents

    def _wait_for_launches(
        self, launched: Callable[[], dict[str, int]], wanted: dict[str, int]
    ) -> None:
        self.wait_until(
            lambda: all(count >= wanted[kind] for kind, count in launched().items()),
            "both frameworks launch again",
            BACK_S,
        )

    def agent_ids(self) -> dict[str, str]:
        """By address."""
        found = self.get("/slaves", self._the_leader().address)
        assert isinstance(found, dict)
        return {f"{one['hostname']}:{one['port']}": one["id"] for one in found["slaves"]}

    def _the_leader(self) -> Daemon:
        leader = self.leader()
        assert leader is not None, "no master leads"
        return leader

    def _end_by_sigterm(self, daemon: Daemon) -> None:
        """It has ended well; that an agent has is known to the leader."""
        daemon.wanted = False
        daemon.killed = daemon in self.agents  # its launcher lives on
        daemon.process.send_signal(signal.SIGTERM)
        code = daemon.process.wait(END_S)
        assert code == 0, f"{daemon.name} ended with {code}"
        if daemon in self.agents:
            self.wait_for_agents(AGENTS - 1, BACK_S)

    def _wait_until_back(self, daemon: Daemon) -> None:
        """A master leads, with all agents, and each master knows who."""
        self.wait_for_agents(AGENTS, BACK_S)
        self.wait_until(
            lambda: (
                len({self._redirect(one) for one in self.masters} - {None}) == 1
                and self.answers(daemon)
            ),
            f"{daemon.name} is back, and all know who leads",
            BACK_S,
        )

    def _start_all(self) -> None:
        self._masters_count, others = 1, self._masters_count - 1
        self._count, agents = 0, self._count
        super()._start_all()
        self.wait_until(lambda: self.leader() is self.master, "the first master leads")
        self._masters_count, self._count = others, agents
        super()._start_all()
