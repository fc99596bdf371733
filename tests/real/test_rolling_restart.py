"""A cluster under load is upgraded, one daemon after the other, and no task notices.

To upgrade a daemon is to end it by SIGTERM and to start it again with the same flags.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.chaos.fleet import Framework
from tests.real.chaos.verdict import Verdict, judge
from tests.real.cluster import PROJECT
from tests.real.rolling.framework import COMMANDS, EXECUTOR
from tests.real.rolling.outcome import lasting, launches_s, longest_pause_s, never_launched
from tests.real.rolling.upgrade import AGENTS, Step, UpgradedCluster
from tests.real.zookeeper import available

pytestmark = [
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.apart,
    pytest.mark.timeout(400),
]

OLD_PROTOCOL = ("-P", str(PROJECT / "tests" / "real" / "rolling" / "old_protocol.py"))
DRAINED_S = 120.0  # for a framework's tasks to end, and for what would come again to come
PAUSE_S_MAX = 60.0  # without a launch; generous, for slow machines
FIRST = 4 * AGENTS  # so many tasks of each framework have begun before the first step
FINISHED = "TASK_FINISHED"
DROPPED = "TASK_DROPPED"  # its offer was void when the ACCEPT came: its agent was away by then
# To the next master, when the one that the ACCEPT was sent to had ended.
NOWHERE = {DROPPED, "TASK_GONE", "TASK_UNKNOWN"}
LEADERS_BEFORE_AGENTS = 3  # it is the agents' turn
STARTED = " started pid="
SPOKE_OLD = "old_link protocol=1 peer=1..3"


class Site:
    """A run's directory, and the frameworks in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cluster = directory / "cluster"
        self.notes = directory / "tasks"
        self.release = directory / "release"
        self.frameworks: list[Framework] = []
        self.notes.mkdir(parents=True)

    @property
    def ledgers(self) -> list[Path]:
        """Of the frameworks."""
        return [one.ledger for one in self.frameworks]

    def launched(self) -> dict[str, int]:
        """How many tasks of each framework have begun."""
        names = [path.name for path in self.notes.iterdir()]
        return {
            one.name: sum(name.startswith(f"{one.name}-") for name in names)
            for one in self.frameworks
        }

    @contextmanager
    def working(self, cluster: UpgradedCluster) -> Iterator[None]:
        """Both frameworks submit tasks; afterwards they have ended."""
        for kind, master in ((COMMANDS, cluster.zk), (EXECUTOR, cluster.addresses)):
            command = (
                *(sys.executable, "-m", "tests.real.rolling.framework", "--kind", kind),
                *("--master", master, "--notes", str(self.notes), "--release", str(self.release)),
            )
            self.frameworks.append(Framework(kind, command, self.directory / "frameworks"))
        try:
            for framework in self.frameworks:
                framework.start()
            yield
        finally:
            for framework in self.frameworks:
                framework.kill()

    def drain(self) -> None:
        """All tasks have ended, and the frameworks by themselves."""
        self.release.touch()
        for framework in self.frameworks:
            framework.drain()
        until_s = time.monotonic() + DRAINED_S
        for framework in self.frameworks:
            assert framework.process is not None
            assert framework.process.wait(max(1.0, until_s - time.monotonic())) == 0

    def verdict(self) -> Verdict:
        """Of ledgers, tasks' files and logs."""
        logs = [*self.cluster.glob("*.log"), *self.directory.glob("frameworks/*.log")]
        return judge({one.name: one.ledger for one in self.frameworks}, self.notes, sorted(logs))


def upgraded(tmp_path: Path, programs: Mapping[str, Sequence[str]] | None = None) -> Site:
    """All daemons, one after the other, under load; each task has finished, and knows nothing of it.

    `programs` says which daemons are something else before.
    """
    site = Site(tmp_path / "site")
    with available(tmp_path / "zookeeper") as zookeeper:
        cluster = UpgradedCluster(site.cluster, zookeeper.url("/mesos"), programs or {})
        with cluster:
            ids = cluster.agent_ids()
            with site.working(cluster):
                cluster.wait_until(
                    lambda: all(len(launches_s([one])) >= FIRST for one in site.ledgers),
                    "they work",
                )
                steps = list(cluster.upgraded(site.launched))
                assert cluster.agent_ids() == ids
                site.drain()
    check(site, steps)
    return site


def check(site: Site, steps: list[Step]) -> None:
    """Each task that was launched has finished, once, as the process that it was."""
    verdict = site.verdict()
    began_s, ended_s = steps[0].began_s, steps[-1].ended_s
    launched_s = launches_s(site.ledgers)
    pause_s = longest_pause_s(launched_s, began_s, ended_s)
    lasted = {one.name: lasting(one.ledger, began_s, ended_s) for one in site.frameworks}
    for step in steps:
        own_s = longest_pause_s(launched_s, step.began_s, step.ended_s)
        print(
            f"{step.name}: back after {step.back_s - step.began_s:.1f} s, no launch {own_s:.1f} s"
        )
    print(f"longest time without a launch: {pause_s:.1f} s, of {ended_s - began_s:.0f} s")
    print(f"tasks: {dict(verdict.outcomes)}; all the time ran {lasted}")
    refusals = never_launched(site.ledgers)
    print(f"never launched: {dict(Counter((one.state, one.answered) for one in refusals))}")
    print(
        f"updates: {verdict.updates}, again before they were acknowledged: {verdict.repeated},"
        f" afterwards: {verdict.crossed + verdict.repeated_by_next}"
    )
    assert verdict.faults == []
    assert all(one.state in ({DROPPED} if one.answered else NOWHERE) for one in refusals), refusals
    assert verdict.outcomes[FINISHED] == verdict.outcomes.total() - len(refusals)
    assert verdict.crossed + verdict.repeated_by_next == 0
    assert min(lasted.values()) >= AGENTS
    assert pause_s < PAUSE_S_MAX


def test_no_task_notices_that_all_daemons_are_upgraded(tmp_path: Path) -> None:
    upgraded(tmp_path)


def test_no_task_notices_that_an_agent_of_the_protocol_before_is_upgraded(tmp_path: Path) -> None:
    name = "agent-2"
    site = upgraded(tmp_path, {name: OLD_PROTOCOL})
    before, _, after = (site.cluster / f"{name}.log").read_text().rpartition(STARTED)
    greeted = before.count(SPOKE_OLD)
    assert greeted >= LEADERS_BEFORE_AGENTS
    assert "registered agent=" in after
    assert SPOKE_OLD not in after
    heard = "".join(log.read_text() for log in site.cluster.glob("master*.log"))
    assert heard.count("agent_of_an_older_protocol") == greeted


def test_no_task_notices_that_a_leader_of_the_protocol_before_is_upgraded(tmp_path: Path) -> None:
    site = upgraded(tmp_path, {"master": OLD_PROTOCOL})
    before, _, after = (site.cluster / "master.log").read_text().rpartition(STARTED)
    assert before.count(SPOKE_OLD) >= AGENTS
    assert SPOKE_OLD not in after
