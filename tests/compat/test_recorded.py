"""Tepui answers as the recorded Mesos did: same status, same text, same events in order, same fields.

Of the exchanges that were recorded (requests with their answers, and events read from a stream), by area:

    area       as recorded  differ on purpose  wait for a later feature
    A1         376          4                  0
    A2         431          30                 0
    A3         428          14                 0
    A4         281          10                 146
    A5         79           17                 2
    A6         56           0                  1
    B          270          36                 86
    B-crashes  4            2                  12
    C          111          66                 50
    D          20           10                 0
    E          136          1                  0
    F          73           6                  2
    G          35           7                  69
    H          228          5                  27

A few of those that differ do so by the moment of an offer; in another run they may be as recorded, and count all
the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.compat.differences import fitting, may_differ, unused, waits
from tests.compat.player import Finding
from tests.compat.recorded import AREAS, Step, scenarios
from tests.compat.scenarios import LANES, Chain, Lane
from tests.compat.stage import Played, Stage
from tests.compat.waiting import WAITING
from tests.real.zookeeper import Unavailable

pytestmark = pytest.mark.real

LANES_AT_ONCE = 4  # most of them wait for seconds, not for the processor
WORSE = ("differs", "waits", "fails")  # of several differences in an exchange the last one counts
CHAINS = tuple(chain for lane in LANES for chain in lane.chains)


class Performance:
    """Plays the chains that tests ask for, each lane on its own cluster, lanes at the same time."""

    def __init__(self, directory: Path, wanted: frozenset[str]) -> None:
        self._directory = directory
        self._played: dict[str, Future[Played]] = {}
        self._lanes: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(LANES_AT_ONCE)
        for lane in LANES:
            chains = [chain for chain in lane.chains if chain.name in wanted]
            if chains:
                self._played |= {chain.name: Future() for chain in chains}
                self._lanes.append(self._pool.submit(self._perform, lane, chains))

    def played(self, chain: Chain) -> Played:
        """What came of the chain, when it has been played."""
        try:
            return self._played[chain.name].result()
        except Unavailable as reason:
            pytest.skip(str(reason))

    def close(self) -> None:
        """Wait until all clusters have ended; raises what one of them says of its end."""
        self._pool.shutdown()
        for lane in self._lanes:
            lane.result()

    def _perform(self, lane: Lane, chains: list[Chain]) -> None:
        try:
            with Stage(lane, self._directory / lane.name) as stage:
                for chain in chains:
                    try:
                        self._played[chain.name].set_result(stage.play(chain))
                    except Exception as error:  # the test of this chain tells it
                        self._played[chain.name].set_exception(error)
        except BaseException as error:
            for chain in chains:
                if not self._played[chain.name].done():
                    self._played[chain.name].set_exception(error)
            if not isinstance(error, Unavailable):
                raise


@pytest.fixture(scope="module")
def performance(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Performance]:
    names = {chain.name for chain in CHAINS}
    asked = frozenset(
        name
        for item in request.session.items
        for name in names
        if item.nodeid.endswith(f"[{name}]") or "of_the_recordings" in item.name
    )
    performance = Performance(tmp_path_factory.mktemp("compat"), asked)
    yield performance
    performance.close()


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.name)
def test_the_answers_are_those_of_mesos(chain: Chain, performance: Performance) -> None:
    played = performance.played(chain)
    unlisted = [one for one in played.findings if fitting(one.step, one.problem.path) is None]
    assert not unlisted, _told(chain, unlisted)


def test_every_listed_difference_of_the_recordings_is_still_there(performance: Performance) -> None:
    found = [
        (one.step, one.problem.path)
        for chain in CHAINS
        for one in performance.played(chain).findings
    ]
    assert unused(found) == []


def test_at_least_as_many_exchanges_of_the_recordings_pass_as_stated(
    performance: Performance,
) -> None:
    stated = {line.split()[0]: line.split()[1:] for line in (__doc__ or "").splitlines() if line}
    other: list[str] = []
    for area in AREAS:
        passes, differs, waits = _count(area, performance)
        told = [int(number) for number in stated[area]]
        is_same = [passes + differs, waits] == [told[0] + told[1], told[2]]
        if passes < told[0] or not is_same:
            other.append(f"    {area:<10} {passes:<12} {differs:<18} {waits}")
    assert not other, "\n".join(("counted, to be written at the top of this file:", *other))


def test_every_recorded_scenario_is_played_or_waits() -> None:
    played = {name for c in CHAINS for name in (*c.scenarios, *c.beside)}
    waiting = {one.scenario for one in WAITING if not one.after and not one.steps}
    recorded = {name for area in AREAS for name in scenarios(area)}
    assert played | waiting == recorded
    assert not played & waiting


def _told(chain: Chain, findings: list[Finding]) -> str:
    first = findings[0]
    return (
        f"{chain.area} {first.step.where}: {first.problem}\n"
        f"({len(findings)} differences in all)\n"
        f"again: pytest 'tests/compat/test_recorded.py::"
        f"test_the_answers_are_those_of_mesos[{chain.name}]'"
    )


def _count(area: str, performance: Performance) -> tuple[int, int, int]:
    """How many exchanges pass, differ on purpose, wait for a later feature."""
    steps = [s for some in scenarios(area).values() for s in some if s.is_exchange]
    kinds: dict[tuple[str, int], str] = {}
    played: set[tuple[str, int]] = set()
    for chain in CHAINS:
        if not any(name in scenarios(area) for name in chain.scenarios):
            continue
        result = performance.played(chain)
        played |= {(step.name, step.step) for step in result.steps}
        for one in result.findings:
            entry = fitting(one.step, one.problem.path)
            kind = "fails" if entry is None else "waits" if entry.feature else "differs"
            key = (one.step.name, one.step.step)
            kinds[key] = max(kind, kinds.get(key, kind), key=WORSE.index)

    def kind_of(step: Step) -> str:
        if waits(step):
            return "waits"
        key = (step.name, step.step)
        is_as_recorded = key in played and not may_differ(step)
        return kinds.get(key, "passes" if is_as_recorded else "differs")

    told = [kind_of(step) for step in steps]
    return told.count("passes"), told.count("differs"), told.count("waits")
