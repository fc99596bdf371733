"""What every `Runtime` promises, held against Docker Engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.agent.containers import test_contract
from tests.agent.containers.docker.docker_host import docker_world
from tests.real.docker_engine import DockerEngine

pytestmark = pytest.mark.real

PROMISES: list[Callable[..., None]] = [
    one for name, one in vars(test_contract).items() if name.startswith("test_")
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one.__name__.removeprefix("test_"))
def test_docker_keeps_the_promise_that(
    promise: Callable[..., None], engine: DockerEngine, tmp_path: Path
) -> None:
    promise(make=partial(docker_world, engine), tmp_path=tmp_path)
