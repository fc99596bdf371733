"""One Docker Engine for all tests of a run; each leaves it empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real.docker_engine import DockerEngine, docker_engine


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[DockerEngine]:
    """An Engine that several tests use."""
    with docker_engine() as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: DockerEngine) -> Iterator[DockerEngine]:
    """The Engine; what the test left in it is removed."""
    yield shared_engine
    shared_engine.clear()
