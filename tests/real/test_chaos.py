"""Frameworks work while everything around them is killed, paused and cut off; nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.real.chaos import away
from tests.real.chaos.__main__ import command
from tests.real.chaos.run import Options, run
from tests.real.pymesos import environment
from tests.real.zookeeper import Unavailable

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.apart]

SEED = 7
MINUTES = 3.0
AWAY_S = 20.0
ENDED_MIN = 100  # tasks, or the cluster did not work at all


@pytest.mark.timeout(720)
def test_every_task_has_one_outcome_when_all_around_it_is_killed_paused_and_cut_off(
    tmp_path: Path,
) -> None:
    options = Options(MINUTES, SEED, tmp_path)
    print(f"again: {command(options)}\nlogs, ledgers and faults: {tmp_path}")
    try:
        report = asyncio.run(run(options))
    except (Unavailable, environment.Unavailable) as reason:
        pytest.skip(str(reason))
    print(report.text())
    assert report.faults == []
    assert report.verdict.outcomes["TASK_FINISHED"] >= ENDED_MIN
    assert report.verdict.leaders > 1


@pytest.mark.timeout(480)
def test_tasks_run_on_and_nothing_starts_while_zookeeper_is_away(tmp_path: Path) -> None:
    options = Options(0, SEED, tmp_path)
    print(f"again: {command(options, AWAY_S / 60)}\nlogs and ledgers: {tmp_path}")
    try:
        report = asyncio.run(away.run(tmp_path, SEED, AWAY_S))
    except (Unavailable, environment.Unavailable) as reason:
        pytest.skip(str(reason))
    print(report.text())
    assert report.faults == []
    assert report.verdict.outcomes["TASK_FINISHED"] > 0
