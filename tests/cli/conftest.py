"""One cluster of two agents for all tests that need a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.up_process import UpProcess


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    up = UpProcess(tmp_path_factory.mktemp("cluster"), 2, "--resources=cpus:4;mem:4096;disk:4096")
    yield up
    up.end()
