"""One cluster of two agents for all tests that need a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.up_process import UpProcess


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    up = UpProcess(tmp_path_factory.mktemp("cluster"), 2, "--resources=cpus:4;mem:4096;disk:4096")
    yield up
    up.end()


@pytest.fixture
def start_up() -> Iterator[Callable[..., UpProcess]]:
    """Starts clusters as `UpProcess` does, and ends those that the test has not ended."""
    started: list[UpProcess] = []

    def start(work_dir: Path, agents: int = 1, *options: str) -> UpProcess:
        started.append(UpProcess(work_dir, agents, *options))
        return started[-1]

    yield start
    for up in started:
        if up.process.returncode is None:
            up.end()
