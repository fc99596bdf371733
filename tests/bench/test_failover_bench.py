"""The benches of failovers still run: tiny, so that their figures mean nothing."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from itertools import pairwise

import pytest
from msgspec.structs import replace

from bench import failover, failover_leader, failover_return, faults, state
from bench.failover_masters import why_no_zookeeper
from bench.failover_return import Store
from bench.table import Row
from tests.bench.test_benches import check

SMALL = failover_return.Options(agents=6, tasks=18, loads=2, session_s=1.0)
RETURN = (  # in this order, how soon ever
    "registry read",
    "leading",
    "first agent registered",
    "all agents registered",
    "when all are back",
    "counted by the master",
)
LEADER = failover_leader.Options(agents=3, session_s=1.0)


@pytest.fixture(autouse=True)
def _no_run_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "RUN_S_MAX", 60.0)


def skip_without_zookeeper() -> None:
    if (reason := why_no_zookeeper()) is not None:
        pytest.skip(reason)


def at(rows: list[Row], end: str) -> float:
    """The figure of the row that ends so."""
    (figure,) = (row.figure for row in rows if row.what.endswith(end))
    return figure


def test_each_part_has_a_title_of_its_own() -> None:
    titles = [part.title for part in failover.parts(LEADER, SMALL)]

    assert len(set(titles)) == len(titles)


def test_without_a_zookeeper_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "why_no_zookeeper", lambda: "there is none")

    assert [part.name for part in failover.parts(LEADER, SMALL)] == ["sqlite"]


def test_as_many_agents_come_back_as_a_process_may_have_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for hard, agents in ((20_000, 20_000 - state.FILES_SPARE), (100_000, 40_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, hard=hard: (1_024, hard))
        options = failover_return.Options()
        assert options.agents == agents
        assert options.agents * options.tasks_per_agent >= 400_000
        assert ("not 40,000" in options.title) == (agents < 40_000)


def in_order(moments: Sequence[float]) -> bool:
    """Nothing comes before what precedes it; lines of a log that are read at once may seem to."""
    return all(later > earlier - 0.001 for earlier, later in pairwise(moments))


@pytest.mark.real
@pytest.mark.parametrize("store", ["sqlite", "zookeeper"])
def test_the_return_of_all_agents_is_measured(store: Store) -> None:
    if store == "zookeeper":
        skip_without_zookeeper()

    rows = failover_return.rows(replace(SMALL, store=store))

    check(rows)
    moments = [at(rows, end) for end in RETURN]
    assert in_order(moments)


@pytest.mark.real
def test_the_death_of_a_leader_is_measured() -> None:
    skip_without_zookeeper()

    rows = failover_leader.rows(LEADER)

    check(rows)
    ends = ("next elected", "leading", "scheduler subscribed", "first offer", "of a new task")
    moments = [at(rows, end) for end in ends]
    assert in_order(moments)
