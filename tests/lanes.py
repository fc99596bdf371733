"""Lets several pytest processes share one run: each takes the next file that no other has taken.

    python -m pytest -p tests.lanes --lane=DIRECTORY             # from the front
    python -m pytest -p tests.lanes --lane=DIRECTORY --backward  # from the end

At the front are the tests that mostly wait, at the end those that compute: lanes from both ends leave no
cpu idle, and end at the same time. What is taken is marked in the directory, which is empty at first.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options; without them nothing is different."""
    parser.addoption("--lane", type=Path, metavar="DIRECTORY", help="where lanes mark their files")
    parser.addoption("--backward", action="store_true", help="take files from the end")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests of each file that is there to be taken. Without `--lane`: as pytest does."""
    lane: Path | None = session.config.option.lane
    if lane is None or session.testsfailed or session.config.option.collectonly:
        return None
    files = in_order(session.items)
    for name in reversed(files) if session.config.option.backward else files:
        if taken(lane, name):
            _run(session, files[name])
    return True


def in_order(items: Iterable[pytest.Item]) -> dict[str, list[pytest.Item]]:
    """Return the tests of each file: files that have tests which mostly wait, with real processes, others."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    return dict(sorted(files.items(), key=lambda file: (_kind(file[1]), file[0])))


def _kind(tests: list[pytest.Item]) -> int:
    marks = {mark.name for test in tests for mark in test.iter_markers()}
    return 0 if "apart" in marks else 1 if "real" in marks else 2


def taken(lane: Path, name: str) -> bool:
    """Take the file; tell whether no other lane had."""
    try:
        (lane / name.replace("/", ":")).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _run(session: pytest.Session, tests: list[pytest.Item]) -> None:
    # Which test comes after the file's last one is not known yet. Of it only the chain of nodes is asked for, to
    # keep their fixtures; the session's own chain keeps those of the session.
    end = cast("pytest.Item", session)
    for test, following in pairwise([*tests, end]):
        test.ihook.pytest_runtest_protocol(item=test, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
